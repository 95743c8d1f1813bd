package fakekubelet_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/gpulet/gpulet/test/fakekubelet"
	"github.com/gpulet/gpulet/test/fakekubelet/kubelettest"
)

// After a reboot pods are admitted before any plugin is there, and fail.
func TestReboot(t *testing.T) {
	k, _ := manual(t, nil)
	p := plugin(t, k, &kubelettest.Plugin{}, "a", "b")
	with := run(t, k, fakekubelet.Requesting("with", gpus, 1))
	without := run(t, k, fakekubelet.PodSpec{Name: "without", Containers: []fakekubelet.ContainerSpec{{Name: "main"}}})
	p.Close()
	rejected, err := k.Restart(fakekubelet.RestartOptions{Reboot: true})
	if err != nil || len(rejected) != 1 || rejected[0].UID != with.UID {
		t.Fatalf("rejected %v, error %v", rejected, err)
	}
	want := "Pod was rejected: Allocate failed due to no healthy devices present; cannot allocate unhealthy devices nvidia.com/gpu, which is unexpected"
	if rejected[0].Phase != corev1.PodFailed || rejected[0].Reason != "UnexpectedAdmissionError" || rejected[0].Message != want {
		t.Errorf("%s %s: %s", rejected[0].Phase, rejected[0].Reason, rejected[0].Message)
	}
	if _, err := k.StartPod(t.Context(), without.UID); err != nil {
		t.Error(err)
	}
}

// A plugin that registers before the pods are admitted again saves them, with the devices that they had.
func TestRebootWithAFastPlugin(t *testing.T) {
	k, _ := manual(t, nil)
	p := plugin(t, k, &kubelettest.Plugin{}, "a", "b", "c")
	pod := run(t, k, fakekubelet.Requesting("", gpus, 2))
	p.Close()
	again := &kubelettest.Plugin{}
	rejected, err := k.Restart(fakekubelet.RestartOptions{Reboot: true, Readmit: func() {
		plugin(t, k, again, "a", "b", "c")
	}})
	if err != nil || len(rejected) > 0 {
		t.Fatalf("rejected %v, error %v", rejected, err)
	}
	now, err := k.StartPod(t.Context(), pod.UID)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(now.Container("main").Devices[gpus], pod.Container("main").Devices[gpus]) || len(again.Allocated()) != 0 {
		t.Errorf("had %v, has %v", pod.Container("main"), now.Container("main"))
	}
}

// A kubelet that restarts rejects a running pod whose init container had a device, for that does not run any more. Its
// containers are killed and it looks like one that has succeeded.
func TestRestartWithInitContainer(t *testing.T) {
	k, _ := manual(t, nil)
	plugin(t, k, &kubelettest.Plugin{}, "a")
	one := map[string]int64{gpus: 1}
	run(t, k, fakekubelet.PodSpec{Containers: []fakekubelet.ContainerSpec{
		{Name: "prepare", Kind: fakekubelet.Init, Resources: one}, {Name: "main", Resources: one},
	}})
	rejected, err := k.Restart(fakekubelet.RestartOptions{})
	if err != nil || len(rejected) != 1 {
		t.Fatalf("rejected %v, error %v", rejected, err)
	}
	if p := rejected[0]; p.Container("main").State != fakekubelet.Terminated || p.Phase != corev1.PodSucceeded || p.Reason != "" {
		t.Errorf("the pod is %v", p)
	}
}

// A new directory under the old path has the checkpoint and a new kubelet.sock, and no plugin's socket.
func TestReplaceDirectory(t *testing.T) {
	k, _ := manual(t, nil)
	plugin(t, k, &kubelettest.Plugin{}, "a", "b")
	pod := run(t, k, fakekubelet.Requesting("", gpus, 1))
	before, _ := os.Stat(k.DevicePlugins())
	if err := k.ReplaceDirectory(); err != nil {
		t.Fatal(err)
	}
	after, _ := os.Stat(k.DevicePlugins())
	if os.SameFile(before, after) {
		t.Error("it is the same directory")
	}
	sockets, _ := filepath.Glob(filepath.Join(k.DevicePlugins(), "*.sock"))
	if len(sockets) != 1 {
		t.Errorf("sockets %v", sockets)
	}
	now, _ := k.Pod(pod.UID)
	if now.Phase != corev1.PodRunning || !slices.Equal(now.Container("main").Devices[gpus], pod.Container("main").Devices[gpus]) {
		t.Errorf("the pod is %v", now)
	}
}
