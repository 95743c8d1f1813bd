package agent

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/prometheus/exporter-toolkit/web"
	"golang.org/x/sync/errgroup"

	"github.com/gpulet/gpulet/agent/config"
)

// answerTime is how long a client may take to read an answer. Who reads no further would hold one of the maxScrapes for ever.
const answerTime = 10 * time.Second

// serveWeb serves the open, read-only address until ctx ends. An address that is taken, or a wrong web configuration, is tried
// again: the GPUs go on without it.
func (a *Agent) serveWeb(ctx context.Context) error {
	p := a.running.Config.Process
	if p.Listen == "" && !p.SystemdSocket {
		return nil
	}
	for {
		err := a.serveWebOnce(ctx, p)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it ends because it was told to
		}
		why := err.Error()
		if old := a.web.Swap(&why); old == nil || *old != why {
			a.log.Warn("no metrics and probes yet", "reason", why)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

// serveWebOnce serves until ctx ends or it cannot.
func (a *Agent) serveWebOnce(ctx context.Context, p config.Process) error {
	flags := &web.FlagConfig{WebListenAddresses: &[]string{p.Listen}, WebSystemdSocket: &p.SystemdSocket, WebConfigFile: &p.WebConfigFile}
	if err := web.Validate(p.WebConfigFile); err != nil {
		return fmt.Errorf("web configuration %s: %w", p.WebConfigFile, err)
	}
	serving := func(net.Listener) context.Context { // called once there is something to serve on
		a.web.Store(nil)
		return context.WithoutCancel(ctx)
	}
	run := func(s *http.Server) error {
		s.BaseContext = serving
		return web.ListenAndServe(s, flags, a.log)
	}
	if !p.SystemdSocket {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", p.Listen)
		if err != nil {
			return err
		}
		a.log.Info("serving HTTP", "address", l.Addr().String())
		run = func(s *http.Server) error {
			s.BaseContext = serving
			return web.Serve(l, s, flags, slog.New(slog.DiscardHandler))
		}
	}
	return serve(ctx, a.webHandler(), answerTime, run)
}

// serve runs a server of h until ctx ends or it fails. An answer may take timeout from its request on; 0 is any time.
func serve(ctx context.Context, h http.Handler, timeout time.Duration, run func(*http.Server) error) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: timeout, IdleTimeout: 2 * time.Minute}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := run(server); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve HTTP: %w", err)
		}
		return nil
	})
	<-ctx.Done()
	c, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if server.Shutdown(c) != nil {
		_ = server.Close()
	}
	return g.Wait()
}

// webHandler has what may be read over the network.
func (a *Agent) webHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", a.metricsHandler())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		snapshot, _ := a.monitor.Snapshots().Get()
		if why := a.notReady(snapshot); len(why) > 0 {
			http.Error(w, strings.Join(why, "\n"), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.Handle("GET /api/v1/status", guard(a.running.Config.Process.StatusTokenFile, http.HandlerFunc(a.handleStatus)))
	return mux
}

func (a *Agent) handleStatus(w http.ResponseWriter, _ *http.Request) { reply(w, a.Status()) }

// reply writes JSON.
func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // the reader is gone
}

// guard lets loopback and bearers of the token pass. The file is read each time, so that a token can be replaced.
func guard(tokenFile string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !loopback(r.RemoteAddr) && !bearer(r.Header.Get("Authorization"), tokenFile) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "want the status token, or a request from loopback such as kubectl port-forward", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func loopback(remote string) bool {
	peer, err := netip.ParseAddrPort(remote)
	return err == nil && peer.Addr().Unmap().IsLoopback()
}

func bearer(header, file string) bool {
	got, ok := strings.CutPrefix(header, "Bearer ")
	if !ok || file == "" {
		return false
	}
	data, err := os.ReadFile(file)
	want := strings.TrimSpace(string(data))
	return err == nil && want != "" && subtle.ConstantTimeCompare([]byte(got), []byte(want)) == 1
}
