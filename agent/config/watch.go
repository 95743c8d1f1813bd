package config

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/statefile"
)

// lastGood is the file in the state folder that keeps the content that was right last, so that a mistake in the
// configuration does not outlast a restart of the agent as an outage.
const lastGood = "config-last-good.yaml"

// State is the configuration that is in force, and what is wrong with the file if it is another.
type State struct {
	Resolved
	// Err is why the file is not what is in force; nil when it is.
	Err error
	// Since is when the configuration in force was read.
	Since time.Time
}

// Watcher keeps a configuration up to date with the content of its file.
type Watcher struct {
	sources Sources
	dir     string // the state folder; empty: nothing is kept
	log     *slog.Logger
	feed    *gpu.Feed[State]
	asks    chan chan error
	poll    time.Duration
}

// WatcherOptions are what a Watcher needs.
type WatcherOptions struct {
	Sources Sources
	Log     *slog.Logger
	// Poll is between two looks at the file beside notifications, 5 s unless set.
	Poll time.Duration
}

// NewWatcher reads the configuration for the first time. If the file is wrong, what was right last goes on; without
// that the error is returned: ProblemsError.
func NewWatcher(o WatcherOptions) (*Watcher, error) {
	w := &Watcher{sources: o.Sources, log: o.Log, asks: make(chan chan error), poll: o.Poll}
	if w.poll <= 0 {
		w.poll = 5 * time.Second
	}
	r, err := o.Sources.Load()
	if err == nil {
		w.dir = r.Config.Process.StateDir
		w.feed = gpu.NewFeed(State{Resolved: r, Since: time.Now()})
		return w, nil
	}
	p, flagsErr := o.Sources.Process()
	if flagsErr != nil {
		return nil, err
	}
	data, readErr := ReadFile(filepath.Join(p.StateDir, lastGood))
	if readErr != nil {
		return nil, err
	}
	old, oldErr := o.Sources.Resolve(lastGood, data)
	if oldErr != nil {
		return nil, err
	}
	w.dir = p.StateDir
	w.log.Warn("the configuration is wrong; what was right last goes on", "file", p.File, "reason", err)
	w.feed = gpu.NewFeed(State{Resolved: old, Err: err, Since: time.Now()})
	return w, nil
}

// States is the feed of what is in force.
func (w *Watcher) States() *gpu.Feed[State] { return w.feed }

// Reload looks at the file now and says what is wrong with it.
func (w *Watcher) Reload(ctx context.Context) error {
	reply := make(chan error, 1)
	select {
	case w.asks <- reply:
	case <-ctx.Done():
		return ctx.Err()
	}
	return <-reply
}

// Run watches until ctx ends.
func (w *Watcher) Run(ctx context.Context) error {
	state, _ := w.feed.Get()
	file := state.Config.Process.File
	if state.Err == nil {
		w.keep(state.Data)
	}
	var events <-chan fsnotify.Event
	var failures <-chan error
	if file != "" {
		if n, err := notifier(filepath.Dir(file)); err != nil {
			w.log.Info("the configuration is looked at by the clock alone", "reason", err)
		} else {
			defer func() { _ = n.Close() }()
			events, failures = n.Events, n.Errors
		}
	}
	tick := time.NewTicker(w.poll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case reply := <-w.asks:
			reply <- w.look(file)
		case _, ok := <-events:
			if !ok {
				events = nil
			}
			_ = w.look(file)
		case err, ok := <-failures:
			if !ok {
				failures = nil
			}
			w.log.Debug("a notification was missed", "reason", err)
		case <-tick.C:
			_ = w.look(file)
		}
	}
}

// notifier watches a folder: a ConfigMap changes by a link that is swapped in it.
func notifier(dir string) (*fsnotify.Watcher, error) {
	n, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", dir, err)
	}
	if err := n.Add(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("watch %s: %w", dir, err), n.Close())
	}
	return n, nil
}

// look compares the file's content with what is in force and takes it over if it is right.
func (w *Watcher) look(file string) error {
	if file == "" {
		return nil
	}
	state, _ := w.feed.Get()
	r, err := w.sources.Load()
	switch {
	case err != nil && (state.Err == nil || state.Err.Error() != err.Error()):
		w.log.Warn("the configuration is wrong; what ran goes on", "file", file, "reason", err)
		state.Err = err
		w.feed.Set(state)
	case err == nil && !bytes.Equal(r.Data, state.Data):
		w.log.Info("the configuration changed", "file", file)
		w.keep(r.Data)
		w.feed.Set(State{Resolved: r, Since: time.Now()})
	case err == nil && state.Err != nil:
		w.log.Info("the configuration is what runs again", "file", file)
		state.Resolved, state.Err = r, nil
		w.feed.Set(state)
	}
	return err
}

// keep writes what is right to the state folder.
func (w *Watcher) keep(data []byte) {
	if w.dir == "" || data == nil {
		return
	}
	path := filepath.Join(w.dir, lastGood)
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
		return
	}
	if err := statefile.Replace(path, data, 0o644); err != nil {
		w.log.Warn("the configuration is not kept over a restart", "reason", err)
	}
}

// Pending are the settings that differ between two configurations and take effect at the next start only.
func Pending(running, now Resolved) (out []string) {
	old := map[string]string{}
	for _, l := range running.Lines {
		old[l.Path] = l.Value
	}
	for _, l := range now.Lines {
		if l.Setting.Restart && old[l.Path] != l.Value {
			out = append(out, l.Path)
		}
	}
	return out
}
