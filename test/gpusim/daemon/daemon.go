package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

// Config says what to serve and where.
type Config struct {
	Node *model.Node
	// Root is the folder that becomes the machine. It holds nvml.sock, dcgm.sock, control.sock, lib, dcgm, proc, sys, dev and driver.
	Root string
	// Engines are the node's DCGM host engines; Prepare makes them unless they are there.
	Engines *Engines
	// Log defaults to none.
	Log *slog.Logger
}

// Daemon serves a node. Make it with Prepare, then Run it once.
type Daemon struct {
	cfg      Config
	sessions *sessions
	tree     tree
	version  string // of the driver that is installed
	nvml     *net.UnixListener
	dcgm     *net.UnixListener
	kmsg     kmsg
	control  *net.UnixListener
}

// Sockets and trees in the root folder.
const (
	NVMLSocket    = "nvml.sock"
	ControlSocket = "control.sock"
)

func trees() []string { return []string{"proc", "sys", "dev"} }

// Prepare empties the root folder's trees, shows the node in them and listens: after it, clients can connect.
func Prepare(ctx context.Context, cfg Config) (*Daemon, error) {
	root, err := filepath.Abs(cfg.Root)
	if err != nil {
		return nil, err
	}
	cfg.Root = root
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Engines == nil {
		cfg.Engines = NewEngines(cfg.Node, root, cfg.Log)
	}
	d := &Daemon{kmsg: kmsg{path: filepath.Join(root, "dev", "kmsg")}, cfg: cfg, sessions: newSessions(cfg.Node, cfg.Log), tree: tree{root: root, have: map[string]model.File{}}}
	for _, name := range trees() {
		if err := empty(filepath.Join(root, name)); err != nil {
			return nil, err
		}
	}
	if err := d.show(ctx); err != nil {
		return nil, err
	}
	if d.nvml, err = listen(ctx, filepath.Join(root, NVMLSocket)); err != nil {
		return nil, err
	}
	if d.dcgm, err = listen(ctx, filepath.Join(root, DCGMSocket)); err != nil {
		_ = d.nvml.Close()
		return nil, err
	}
	if d.control, err = listen(ctx, filepath.Join(root, ControlSocket)); err != nil {
		_ = d.nvml.Close()
		_ = d.dcgm.Close()
		return nil, err
	}
	return d, nil
}

// empty makes an empty folder, and keeps the one that is there, since it may be mounted somewhere.
func empty(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

// listen takes the place of a socket that nobody serves; everybody may connect.
func listen(ctx context.Context, path string) (*net.UnixListener, error) {
	if c, err := (&net.Dialer{}).DialContext(ctx, "unix", path); err == nil {
		_ = c.Close()
		return nil, fmt.Errorf("%s is served by another process", path)
	}
	_ = os.Remove(path)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	return l, os.Chmod(path, 0o777)
}

// show brings files and library up to date with the node.
func (d *Daemon) show(ctx context.Context) error {
	if v := d.cfg.Node.DriverVersion(); v != d.version {
		if err := install(ctx, d.cfg.Root, v); err != nil {
			return err
		}
		d.version = v
	}
	if err := d.tree.update(d.cfg.Node.Files()); err != nil {
		return err
	}
	return d.kmsg.update(d.cfg.Node)
}

// Run serves until ctx ends. The sockets are gone then, the files stay.
func (d *Daemon) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	handler := &http.Server{Handler: d.handler(), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(d.cfg.Log.Handler(), slog.LevelError)}
	group.Go(func() error {
		<-ctx.Done()
		return errors.Join(d.nvml.Close(), d.dcgm.Close(), handler.Close())
	})
	group.Go(func() error {
		if err := handler.Serve(d.control); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("control: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		for {
			conn, err := d.dcgm.AcceptUnix()
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("accept: %w", err)
			}
			group.Go(func() error { d.cfg.Engines.serve(ctx, conn, nil); return nil })
		}
	})
	group.Go(func() error {
		for {
			conn, err := d.nvml.AcceptUnix()
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("accept: %w", err)
			}
			group.Go(func() error { d.sessions.serve(ctx, conn); return nil })
		}
	})
	group.Go(func() error {
		for {
			changed := d.cfg.Node.Changed()
			if err := d.show(ctx); err != nil && ctx.Err() == nil {
				return err
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return nil
			}
		}
	})
	return group.Wait()
}
