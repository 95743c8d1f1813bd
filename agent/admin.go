package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gpulet/gpulet/agent/config"
	"github.com/gpulet/gpulet/gpu"
)

// Socket is the admin socket below a run folder. Only root can reach it: it may change things.
func Socket(runDir string) string { return filepath.Join(runDir, "admin.sock") }

// adminLook is between two looks at whether the admin socket is still there.
const adminLook = time.Second

// serveAdmin serves the admin socket until ctx ends. A folder that cannot hold it costs the CLI, not the GPUs.
// Two agents of a node may share the folder, and the younger takes the path. If it goes first, the path leads nowhere, and
// the other takes it back.
func (a *Agent) serveAdmin(ctx context.Context) error {
	dir := a.running.Config.Process.RunDir
	for ctx.Err() == nil {
		l, err := listenAdmin(ctx, dir)
		if err != nil {
			a.log.Warn("no admin socket: `gpulet status` and changes by command do not work", "reason", err)
			return nil
		}
		serving, stop := context.WithCancel(ctx)
		var g errgroup.Group
		g.Go(func() error {
			return serve(serving, a.adminHandler(), 0, func(s *http.Server) error { return s.Serve(l) })
		})
		awaitDead(ctx, Socket(dir))
		stop()
		if err := g.Wait(); err != nil {
			a.log.Warn("the admin socket is made anew", "reason", err)
		}
	}
	return nil
}

// awaitDead returns when nobody answers on a socket, or ctx ends.
func awaitDead(ctx context.Context, path string) {
	tick := time.NewTicker(adminLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
		if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) {
			return
		}
		if err == nil {
			_ = conn.Close()
		}
	}
}

func listenAdmin(ctx context.Context, dir string) (net.Listener, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the run folder: %w", err)
	}
	// Made under another name: until its mode is set nobody finds it.
	path := Socket(dir)
	hidden := fmt.Sprintf("%s.%d", path, os.Getpid())
	_ = os.Remove(hidden)
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", hidden)
	if err != nil {
		return nil, fmt.Errorf("listen on the admin socket: %w", err)
	}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	if err := errors.Join(os.Chmod(hidden, 0o600), os.Rename(hidden, path)); err != nil {
		return nil, errors.Join(fmt.Errorf("place the admin socket: %w", err), l.Close())
	}
	return l, nil
}

// Settings are those in force, and a file that gives them by itself.
type Settings struct {
	Lines []config.Line `json:"lines"`
	File  string        `json:"file"`
}

func (a *Agent) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", a.handleStatus)
	mux.Handle("GET /metrics", a.metricsHandler())
	mux.HandleFunc("GET /config", func(w http.ResponseWriter, _ *http.Request) {
		state, _ := a.config.States().Get()
		file, err := state.File()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		reply(w, Settings{Lines: state.Lines, File: string(file)})
	})
	mux.HandleFunc("POST /config/reload", func(w http.ResponseWriter, r *http.Request) {
		if err := a.config.Reload(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
			return
		}
		a.log.Info("the configuration was read again by command")
	})
	mux.HandleFunc("POST /health/clear", func(w http.ResponseWriter, r *http.Request) {
		uuid, err := a.find(r.FormValue("gpu"))
		if err == nil {
			err = a.monitor.Clear(r.Context(), uuid)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		a.log.Info("health was cleared by command", "gpu", uuid)
		a.monitor.Refresh()
	})
	return mux
}

// find is the UUID of a GPU that is named by UUID or index.
func (a *Agent) find(name string) (gpu.UUID, error) {
	s, _ := a.monitor.Snapshots().Get()
	for _, g := range s.GPUs {
		if string(g.UUID) == name || strconv.Itoa(g.Index) == name {
			return g.UUID, nil
		}
	}
	return "", fmt.Errorf("no GPU %q: want an index or a UUID as `gpulet status` shows them", name)
}
