package config

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// configMap writes a file as the kubelet does: the name is a link through ..data, which is swapped.
func configMap(t *testing.T, dir, content string) {
	t.Helper()
	version, err := os.MkdirTemp(dir, "..v")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(version, "gpulet.yaml"), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "..data_tmp")
	if err := os.Symlink(filepath.Base(version), link); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link, filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("..data/gpulet.yaml", filepath.Join(dir, "gpulet.yaml")); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
}

func watch(t *testing.T, s Sources) *Watcher {
	t.Helper()
	w, err := NewWatcher(WatcherOptions{Sources: s, Log: slog.New(slog.DiscardHandler), Poll: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return w
}

func await(t *testing.T, w *Watcher, what string, is func(State) bool) State {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		s, changed := w.States().Get()
		if is(s) {
			return s
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("never: %s; it is %+v", what, s)
		}
	}
}

// A ConfigMap that changes is taken over; one that is wrong changes nothing and is shown, also over a restart.
func TestWatch(t *testing.T) {
	dir, state := t.TempDir(), t.TempDir()
	head := "version: " + Version + "\n"
	configMap(t, dir, head+"migStrategy: none\n")
	s := Sources{Flags: map[string]string{"config": filepath.Join(dir, "gpulet.yaml"), "state-dir": state}}
	w := watch(t, s)
	first, changed := w.States().Get()
	if first.Config.Plugin.Strategy != "none" {
		t.Fatalf("got %s", first.Config.Plugin.Strategy)
	}
	configMap(t, dir, head+"migStrategy: none\n")
	if err := w.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
		t.Error("the same content counts as a change")
	default:
	}
	configMap(t, dir, head+"migStrategy: single\n")
	await(t, w, "the new configuration", func(s State) bool { return s.Config.Plugin.Strategy == "single" })
	configMap(t, dir, head+"migStrategy: singel\n")
	wrong := await(t, w, "an error", func(s State) bool { return s.Err != nil })
	if wrong.Config.Plugin.Strategy != "single" {
		t.Errorf("a wrong file left %s in force", wrong.Config.Plugin.Strategy)
	}
	if err := w.Reload(t.Context()); err == nil {
		t.Error("a reload of a wrong file succeeded")
	}
	// Another agent starts with the wrong file.
	again, err := NewWatcher(WatcherOptions{Sources: s, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if st, _ := again.States().Get(); st.Err == nil || st.Config.Plugin.Strategy != "single" {
		t.Errorf("after a restart it is %s, %v", st.Config.Plugin.Strategy, st.Err)
	}
	if err := os.Remove(filepath.Join(dir, "gpulet.yaml")); err != nil {
		t.Fatal(err)
	}
	await(t, w, "that the file is gone", func(s State) bool { return s.Err != nil && s.Err.Error() != wrong.Err.Error() })
	configMap(t, dir, head+"migStrategy: single\n")
	await(t, w, "no error", func(s State) bool { return s.Err == nil })
}

// Without anything that was right before, a wrong file is an error.
func TestFirstFileWrong(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gpulet.yaml")
	s := Sources{Flags: map[string]string{"config": file, "state-dir": t.TempDir()}}
	if _, err := NewWatcher(WatcherOptions{Sources: s, Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("a missing file was accepted")
	}
}

// A change of what needs a restart is told.
func TestPending(t *testing.T) {
	old, err := Sources{}.Resolve("f", []byte("version: "+Version))
	if err != nil {
		t.Fatal(err)
	}
	now, err := Sources{}.Resolve("f", []byte("version: "+Version+"\nmigStrategy: none\nhealth: {cleanProbes: 9}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := Pending(old, now); len(got) != 1 || got[0] != "health.cleanProbes" {
		t.Errorf("got %v", got)
	}
}
