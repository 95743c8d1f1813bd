package plugin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	kubeletSocket = "kubelet.sock"
	// maxSocketPath is what fits into sun_path with its ending zero (unix(7)).
	maxSocketPath = 107
	// maxSocketName leaves room for the kubelet's own path of the directory, which need not be ours.
	maxSocketName = maxSocketPath - len("/var/lib/kubelet/device-plugins/")
)

// identity tells one socket file from the next at the same path. Inode numbers are used again, so the time when it was made
// belongs to it; that a file's mode changes does not make it another one.
type identity struct {
	dev, ino uint64
	made     int64
}

// identify looks at a socket file; false when there is none.
func identify(path string) (identity, bool) {
	info, err := os.Stat(path)
	if err != nil || info.Mode().Type() != fs.ModeSocket {
		return identity{}, false
	}
	return identityOf(info), true
}

func identityOf(info fs.FileInfo) identity {
	id := identity{made: info.ModTime().UnixNano()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		id.dev, id.ino = uint64(st.Dev), st.Ino //nolint:unconvert // Dev is narrower on some machines
	}
	return id
}

// socketPath makes a path that was never used before: the kubelet keeps a client for each path, and registering again under
// one that it knows ends the live client too (handler.go of the kubelet's device plugin server, 1.37.2).
func socketPath(dir, resource string) (string, error) {
	unique := "-" + strings.ToLower(rand.Text()[:12]) + ".sock"
	room := min(maxSocketPath-len(filepath.Join(dir, "x"))+1, maxSocketName) - len(Prefix) - len(unique)
	if room < 0 {
		return "", fmt.Errorf("the path of %s is too long for sockets in it", dir)
	}
	_, base, found := strings.Cut(resource, "/")
	if !found {
		base = resource
	}
	base = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '_'
	}, base)
	return filepath.Join(dir, Prefix+base[:min(len(base), room)]+unique), nil
}

// listen opens a new socket that only root can reach.
func listen(ctx context.Context, dir, resource string) (net.Listener, string, error) {
	path, err := socketPath(dir, resource)
	if err != nil {
		return nil, "", err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, "", fmt.Errorf("listen in the device-plugins directory: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return nil, "", fmt.Errorf("close the socket to others: %w", err)
	}
	return l, path, nil
}

// removeStale removes our sockets on which nobody listens. Young ones may be about to be listened on.
func removeStale(cfg Config) {
	entries, err := os.ReadDir(cfg.Dir)
	if err != nil {
		return // it may be made later
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), Prefix) || e.Type() != fs.ModeSocket {
			continue
		}
		path := filepath.Join(cfg.Dir, e.Name())
		info, err := e.Info()
		if err != nil || cfg.Clock().Sub(info.ModTime()) < 5*time.Second {
			continue
		}
		conn, err := net.DialTimeout("unix", path, time.Second) //nolint:noctx // a connect to a local socket does not wait
		if err == nil {
			_ = conn.Close()
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			continue
		}
		if err := os.Remove(path); err == nil {
			cfg.Log.Info("removed the socket of an earlier process", "socket", e.Name())
		}
	}
}
