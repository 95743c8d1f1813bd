package sim

import (
	"context"
	"os"
)

// TB is what New needs of a *testing.T.
type TB interface {
	Helper()
	Context() context.Context
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
	Cleanup(f func())
}

// New starts a node for the length of a test, in a folder of the test's own unless Dir names one.
func New(t TB, o Options) *Node {
	t.Helper()
	if o.Dir == "" {
		dir, err := os.MkdirTemp("", "gpusim") // short: a socket's path has 108 bytes at most
		if err != nil {
			t.Fatalf("simulated node: %v", err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatalf("simulated node: %v", err)
		}
		o.Dir = dir
	}
	n, err := Start(t.Context(), o)
	if err != nil {
		t.Fatalf("simulated node: %v", err)
		return nil
	}
	t.Cleanup(func() {
		if err := n.Stop(); err != nil {
			t.Errorf("simulated node: %v", err)
		}
	})
	return n
}
