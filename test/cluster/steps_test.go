//go:build e2e

package cluster_test

import (
	"context"
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

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func loadProbe(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	program, archive := filepath.Join(t.TempDir(), "probe"), filepath.Join(t.TempDir(), "probe.tar")
	if err := cluster.BuildProgram(t.Context(), "github.com/gpulet/gpulet/test/e2e/probe", program); err != nil {
		t.Fatal(err)
	}
	image, err := cluster.ProgramImage(t.Context(), probe, program, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := image.Write(archive); err != nil {
		t.Fatal(err)
	}
	if err := c.LoadImage(t.Context(), archive); err != nil {
		t.Fatal(err)
	}
}

func binds(t *testing.T, c *cluster.Cluster) {
	const path = "/usr/lib/gpulet-test/shown"
	out, err := c.Nodes[0].Run(t.Context(), "cat", path)
	if err != nil || out != "from the host" {
		t.Errorf("%q %v", out, err)
	}
	for n, want := range map[*cluster.Node]bool{c.Nodes[0]: true, c.Nodes[1]: false} {
		if _, err := os.Stat(n.HostPath(path)); (err == nil) != want {
			t.Errorf("%s: %v", n.Name(), err)
		}
	}
	for _, socket := range []string{cluster.KubeletSocket, cluster.PodResourcesSocket, cluster.PodsSocket} {
		if _, err := os.Stat(c.Nodes[0].HostPath(socket)); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the host has it too")
	}
	if _, err := c.Nodes[0].Run(t.Context(), "mknod", "/dev/nvidia0", "c", "195", "0"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat("/dev/nvidia0"); err == nil {
		t.Error("a device of the node is on the host")
	}
	// By way of a link: /var/run is one.
	if _, err := c.Nodes[0].Run(t.Context(), "touch", "/var/run/cdi/here"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(c.Nodes[0].HostPath("/var/run/cdi/here")); err != nil {
		t.Error(err)
	}
}

func startPod(t *testing.T, k *kube.Kube, n *cluster.Node) *core.Pod {
	ctx := within(t, 30*time.Second)
	pod, err := k.Create(ctx, kube.Pod{
		Name: "probe-" + n.Name(), Node: n.Name(), Restart: core.RestartPolicyAlways,
		Containers: []kube.Container{{Image: probe, Env: map[string]string{"WHERE": n.Name()}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if pod, err = k.Wait(ctx, pod, kube.Ready); err != nil {
		t.Fatal(err)
	}
	if pod.Spec.NodeName != n.Name() {
		t.Errorf("runs on %s", pod.Spec.NodeName)
	}
	logs, err := k.FirstLine(ctx, pod, "")
	if err != nil || !strings.Contains(logs, `"WHERE":"`+n.Name()+`"`) {
		t.Errorf("%q %v", logs, err)
	}
	return pod
}

// dynamicProgram runs one that needs a loader and libraries in an image of its own.
func dynamicProgram(t *testing.T, c *cluster.Cluster, k *kube.Kube) {
	const name = "gpulet.dev/test/cat:1"
	archive := filepath.Join(t.TempDir(), "cat.tar")
	image, err := cluster.ProgramImage(t.Context(), name, "/usr/bin/cat", map[string]string{"/etc/said": "/etc/hostname"})
	if err != nil {
		t.Fatal(err)
	}
	if err := image.Write(archive); err != nil {
		t.Fatal(err)
	}
	if err := c.Nodes[1].LoadImage(t.Context(), archive); err != nil {
		t.Fatal(err)
	}
	ctx := within(t, 30*time.Second)
	pod, err := k.Create(ctx, kube.Pod{Name: "cat", Node: c.Nodes[1].Name(), Containers: []kube.Container{{
		Image: name, Command: []string{"cat", "/etc/said"},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if pod, err = k.Wait(ctx, pod, kube.Phase(core.PodSucceeded)); err != nil {
		t.Fatal(err)
	}
	want, _ := os.ReadFile("/etc/hostname")
	if got, err := k.Logs(ctx, pod, ""); err != nil || got != string(want) {
		t.Errorf("%q %v, not %q", got, err, want)
	}
}

func execInPod(t *testing.T, c *cluster.Cluster, pod *core.Pod) {
	cmd := exec.CommandContext(within(t, 20*time.Second), "kubectl", "exec", pod.Name, "--", "/usr/bin/probe", "--for", "1ms")
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig)
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), `"WHERE"`) {
		t.Errorf("%v: %s", err, out)
	}
}

// undisturbed says that the pod's container is the one that it was.
func undisturbed(t *testing.T, k *kube.Kube, pod *core.Pod) {
	t.Helper()
	now, err := k.Wait(within(t, 30*time.Second), pod, kube.Ready)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := pod.Status.ContainerStatuses[0], now.Status.ContainerStatuses[0]; a.ContainerID != b.ContainerID || b.RestartCount != 0 {
		t.Errorf("another container: %s, restarts %d", kube.Describe(now), b.RestartCount)
	}
}

func kubeletRestart(t *testing.T, k *kube.Kube, n *cluster.Node, pod *core.Pod) {
	for _, end := range []func() error{n.StopKubelet, n.KillKubelet} {
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if err := n.StartKubelet(); err != nil {
			t.Fatal(err)
		}
		more, err := k.Create(t.Context(), kube.Pod{Name: "more", Node: n.Name(), Containers: []kube.Container{{Image: probe}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Wait(within(t, 40*time.Second), more, kube.Ready); err != nil {
			t.Fatal(err)
		}
		if err := k.Delete(within(t, 40*time.Second), more); err != nil {
			t.Fatal(err)
		}
		undisturbed(t, k, pod)
	}
}

func containerdRestart(t *testing.T, k *kube.Kube, n *cluster.Node, pod *core.Pod) {
	if err := n.StopContainerd(); err != nil {
		t.Fatal(err)
	}
	if err := n.StartContainerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	undisturbed(t, k, pod)
}

func serverRestart(t *testing.T, c *cluster.Cluster, k *kube.Kube, pod *core.Pod) {
	if err := c.StopAPIServer(); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Allocatable(within(t, time.Second), c.Nodes[0].Name(), "cpu"); err == nil {
		t.Error("it answers")
	}
	if err := c.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	undisturbed(t, k, pod)
}

func reboot(t *testing.T, k *kube.Kube, n *cluster.Node, pod *core.Pod) {
	var old string
	ctx := within(t, 90*time.Second)
	if _, err := k.WaitNode(ctx, n.Name(), func(now *core.Node) bool {
		old = now.Status.NodeInfo.BootID
		return true
	}); err != nil {
		t.Fatal(err)
	}
	if err := n.Reboot(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := k.WaitNode(ctx, n.Name(), func(now *core.Node) bool {
		return now.Status.NodeInfo.BootID != old && kube.NodeReady(now)
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Wait(ctx, pod, kube.Restarted("main", 1)); err != nil {
		t.Fatal(err)
	}
}
