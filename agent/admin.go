package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"github.com/gpulet/gpulet/agent/config"
	"github.com/gpulet/gpulet/gpu"
)

// Socket is the admin socket below a run folder. Only root can reach it: it may change things.
func Socket(runDir string) string { return filepath.Join(runDir, "admin.sock") }

// serveAdmin serves the admin socket until ctx ends. A folder that cannot hold it costs the CLI, not the GPUs.
func (a *Agent) serveAdmin(ctx context.Context) error {
	dir := a.running.Config.Process.RunDir
	l, err := listenAdmin(ctx, dir)
	if err != nil {
		a.log.Warn("no admin socket: `gpulet status` and changes by command do not work", "reason", err)
		return nil
	}
	return serve(ctx, l, a.adminHandler())
}

func listenAdmin(ctx context.Context, dir string) (net.Listener, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the run folder: %w", err)
	}
	// Made under another name: until its mode is set nobody finds it. What is there is of an agent that is gone.
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
