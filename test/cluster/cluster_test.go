//go:build e2e

package cluster_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	core "k8s.io/api/core/v1"

	"github.com/gpulet/gpulet/test/cluster"
	"github.com/gpulet/gpulet/test/cluster/kube"
)

const probe = "gpulet.dev/test/probe:1"

// What a user sees: two nodes that run pods, that survive what happens to nodes, and afterwards a
// machine as it was.
func TestTwoNodes(t *testing.T) {
	dir := t.TempDir()
	before := look(t, dir)
	shown := filepath.Join(dir, "shown")
	write(t, shown, "from the host")
	c, err := cluster.Up(t.Context(), cluster.Options{
		Dir: dir, Nodes: 2, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		PerNode: []cluster.NodeOptions{{
			Labels: map[string]string{"gpulet.dev/test": "first"},
			Binds:  []cluster.Bind{{Host: shown, Node: "/usr/lib/gpulet-test/shown"}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Down(); err != nil {
			t.Error(err)
		}
		same(t, before, look(t, dir))
	}()
	config, err := c.Client()
	if err != nil {
		t.Fatal(err)
	}
	k, err := kube.New(config)
	if err != nil {
		t.Fatal(err)
	}
	loadProbe(t, c)
	t.Run("binds", func(t *testing.T) { binds(t, c) })
	t.Run("dynamic program", func(t *testing.T) { dynamicProgram(t, c, k) })
	pods := map[string]*core.Pod{}
	for _, n := range c.Nodes {
		t.Run("pod on "+n.Name(), func(t *testing.T) { pods[n.Name()] = startPod(t, k, n) })
	}
	if t.Failed() {
		return
	}
	first := c.Nodes[0]
	t.Run("exec", func(t *testing.T) { execInPod(t, c, pods[first.Name()]) })
	t.Run("kubelet restart", func(t *testing.T) { kubeletRestart(t, k, first, pods[first.Name()]) })
	t.Run("containerd restart", func(t *testing.T) { containerdRestart(t, k, first, pods[first.Name()]) })
	t.Run("API server restart", func(t *testing.T) { serverRestart(t, c, k, pods[first.Name()]) })
	t.Run("reboot", func(t *testing.T) { reboot(t, k, first, pods[first.Name()]) })
}

// What a user sees: a run that was killed leaves nothing alive, and the next clears what is left.
func TestKilledRun(t *testing.T) {
	if dir := os.Getenv("GPULET_TEST_KILLED"); dir != "" {
		if _, err := cluster.Up(t.Context(), cluster.Options{Dir: dir, Nodes: 1}); err != nil {
			t.Fatal(err)
		}
		_, _ = os.Stdout.WriteString("cluster is up\n")
		time.Sleep(time.Minute)
	}
	dir := t.TempDir()
	before := look(t, dir)
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledRun$")
	child.Env = append(os.Environ(), "GPULET_TEST_KILLED="+dir)
	var out bytes.Buffer
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	child.Stderr = &out
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 100)
	if n, err := stdout.Read(line); err != nil || !strings.Contains(string(line[:n]), "is up") {
		t.Errorf("%s %v %s", line[:n], err, out.String())
	}
	_ = child.Process.Kill()
	_ = child.Wait()
	deadline, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for len(processes(t, dir+"\x00")) > 0 && deadline.Err() == nil {
		time.Sleep(50 * time.Millisecond)
	}
	if left := processes(t, dir+"\x00"); len(left) > 0 {
		t.Errorf("still running: %v", left)
	}
	if err := cluster.Clear(t.Context(), dir); err != nil {
		t.Error(err)
	}
	same(t, before, look(t, dir))
}
