package plugin

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/gpulet/gpulet/gpu"
)

// sighting is the kubelet's socket at one moment; reason says why there is none.
type sighting struct {
	socket identity
	reason string
}

// watcher sees the kubelet's socket come and go: by inotify at once, and by looking at it every poll where there is no inotify
// instance left, an event got lost, or the directory was replaced.
type watcher struct {
	cfg  Config
	path string
	seen *gpu.Feed[sighting]

	notify *fsnotify.Watcher // nil: polling only
	dir    identity          // the directory that notify watches; made is 0
	failed string            // why there are no events
}

func newWatcher(cfg Config) *watcher {
	w := &watcher{cfg: cfg, path: filepath.Join(cfg.Dir, kubeletSocket)}
	w.seen = gpu.NewFeed(w.look())
	return w
}

// look sees the socket as it is now.
func (w *watcher) look() sighting {
	if id, ok := identify(w.path); ok {
		return sighting{socket: id}
	}
	info, err := os.Stat(w.cfg.Dir)
	if err != nil {
		return sighting{reason: fmt.Sprintf("the directory %s is not there", w.cfg.Dir)}
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink == 0 {
		return sighting{reason: fmt.Sprintf("the directory %s was removed on the host", w.cfg.Dir)}
	}
	return sighting{reason: fmt.Sprintf("the kubelet's socket %s is not there", w.path)}
}

func (w *watcher) run(ctx context.Context) {
	tick := time.NewTicker(w.cfg.Poll)
	defer tick.Stop()
	defer w.stop()
	for {
		w.follow()
		if now, was := w.look(), w.last(); now != was {
			w.seen.Set(now)
		}
		if !w.wait(ctx, tick.C) {
			return
		}
	}
}

// awaitOther returns true as soon as another socket than this, or none, is seen; false when ctx has ended before.
func (w *watcher) awaitOther(ctx context.Context, than identity) bool {
	for {
		_, moved := w.seen.Get()
		if w.look().socket != than {
			return true
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return false
		}
	}
}

func (w *watcher) last() sighting {
	s, _ := w.seen.Get()
	return s
}

// wait returns at the next reason to look, or false when ctx has ended.
func (w *watcher) wait(ctx context.Context, tick <-chan time.Time) bool {
	var events <-chan fsnotify.Event
	var errs <-chan error
	if w.notify != nil {
		events, errs = w.notify.Events, w.notify.Errors
	}
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick:
			return true
		case err := <-errs:
			w.cfg.Log.Debug("events were lost", "err", err)
			return true
		case e, ok := <-events:
			if ok && filepath.Clean(e.Name) == filepath.Clean(w.cfg.Dir) && e.Has(fsnotify.Remove|fsnotify.Rename) {
				w.stop() // it watches what is no longer at the path; the next one there may get the same inode number
			}
			if !ok || filepath.Base(e.Name) == kubeletSocket || filepath.Clean(e.Name) == filepath.Clean(w.cfg.Dir) {
				return true
			}
		}
	}
}

// follow makes notify watch the directory that is at the path now.
func (w *watcher) follow() {
	if w.cfg.WithoutEvents {
		return
	}
	info, err := os.Stat(w.cfg.Dir)
	if err != nil {
		w.stop()
		return
	}
	now := identityOf(info)
	now.made = 0 // a directory's time changes with what is in it
	if w.notify != nil && now == w.dir {
		return
	}
	w.stop()
	notify, err := fsnotify.NewWatcher()
	if err == nil {
		if err = notify.Add(w.cfg.Dir); err != nil {
			w.close(notify)
		}
	}
	if err != nil {
		if w.failed != err.Error() {
			w.failed = err.Error()
			w.cfg.Log.Warn("no events of the device-plugins directory, polling it instead", "dir", w.cfg.Dir, "poll", w.cfg.Poll, "err", err)
		}
		return
	}
	w.notify, w.dir, w.failed = notify, now, ""
}

func (w *watcher) stop() {
	if w.notify != nil {
		w.close(w.notify)
		w.notify = nil
	}
}

// close takes what there is still to say meanwhile: fsnotify (1.10.1) says that it cannot stop to watch a directory that was moved
// and removed while it holds the lock that Close wants.
func (w *watcher) close(notify *fsnotify.Watcher) {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_ = notify.Close()
	}()
	for {
		select {
		case <-closed:
			return
		case <-notify.Events:
		case err := <-notify.Errors:
			w.cfg.Log.Debug("events were lost", "err", err)
		}
	}
}
