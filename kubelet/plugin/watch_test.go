package plugin

import (
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// A directory that is moved away and removed before its events were looked at does not stop the watcher for ever.
func TestDirectoryMovedAndRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "device-plugins")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	w := newWatcher(Config{Dir: dir, Log: slog.New(slog.DiscardHandler)}.withDefaults())
	w.follow()
	if w.notify == nil {
		t.Skip("no inotify here: ", w.failed)
	}
	if err := os.WriteFile(filepath.Join(dir, "first"), nil, 0o600); err != nil { // its event waits to be taken
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir + ".old"); err != nil {
		t.Fatal(err)
	}
	<-w.notify.Events
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline) && !reports(); {
		time.Sleep(time.Millisecond)
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		w.stop()
	}()
	select {
	case <-stopped:
	case <-time.After(10 * time.Second):
		t.Fatal("the watcher cannot be stopped")
	}
}

// reports tells whether fsnotify is about to report an error to us.
func reports() bool {
	stacks := make([]byte, 1<<20)
	return strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "fsnotify.(*shared).sendError")
}
