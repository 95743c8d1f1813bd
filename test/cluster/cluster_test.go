//go:build e2e

package cluster_test

import (
	"log/slog"
	"os"
	"testing"

	"github.com/gpulet/gpulet/test/cluster"
)

func TestUp(t *testing.T) {
	c, err := cluster.Up(t.Context(), cluster.Options{Dir: "/tmp/gpuc", Nodes: 1, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.Nodes[0].Run(t.Context(), "sh", "-c", "ps ax; ls -R /var/lib/kubelet /run | head -50; cat /proc/sys/kernel/random/boot_id; ip a; mount | tail -20")
	t.Log(out, err)
	if err := c.Down(); err != nil {
		t.Fatal(err)
	}
}
