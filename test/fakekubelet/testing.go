package fakekubelet

import (
	"context"
	"os"
	"testing"
)

// New starts a kubelet in a short temporary directory for a test. The test fails when the kubelet dies unasked.
func New(t testing.TB, o Options) *Kubelet {
	t.Helper()
	root, err := os.MkdirTemp("", "fk")
	if err != nil {
		t.Fatal(err)
	}
	k, err := Start(context.Background(), root, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		k.Stop()
		_ = os.RemoveAll(root)
		select {
		case why := <-k.died:
			t.Errorf("the kubelet died: %s", why)
		default:
		}
	})
	return k
}
