package fakekubelet_test

import (
	"context"
	"testing"
	"time"

	"github.com/gpulet/gpulet/test/fakekubelet"
	"github.com/gpulet/gpulet/test/fakekubelet/kubelettest"
)

func TestPluginThatGoes(t *testing.T) {
	k, clock := manual(t, nil)
	p := plugin(t, k, &kubelettest.Plugin{}, "a", "b")
	p.Close()
	has(t, k)
	node := func(want fakekubelet.Count) {
		t.Helper()
		k.SyncNode()
		if got, ok := k.Node()[gpus]; got != want || !ok {
			t.Errorf("the node has %v (%v), not %v", got, ok, want)
		}
	}
	node(fakekubelet.Count{Capacity: 2})
	_, err := k.Admit(t.Context(), fakekubelet.Requesting("", gpus, 1))
	rejection(t, err, "UnexpectedAdmissionError")
	clock.Advance(5*time.Minute + time.Second)
	node(fakekubelet.Count{}) // dropped: 0, not removed
	_, err = k.Admit(t.Context(), fakekubelet.Requesting("", gpus, 1))
	if m := rejection(t, err, "OutOf"+gpus); m != "Pod was rejected: Node didn't have enough resource: nvidia.com/gpu, requested: 1, used: 0, capacity: 0" {
		t.Error(m)
	}
	k.RemoveFromNode(gpus)
	k.SyncNode()
	if _, ok := k.Node()[gpus]; ok {
		t.Error("the removed resource came back")
	}
	// Nobody knows the resource any more: the pod is admitted without it.
	if run(t, k, fakekubelet.Requesting("", gpus, 1)).Container("main").Devices[gpus] != nil {
		t.Error("it got a device")
	}
}

// The kubelet writes its own numbers over a patch, and leaves what it does not know.
func TestPatchedNode(t *testing.T) {
	k, _ := manual(t, nil)
	plugin(t, k, &kubelettest.Plugin{}, "a")
	k.PatchNode(map[string]fakekubelet.Count{gpus: {Capacity: 8, Allocatable: 8}, "other.io/x": {Capacity: 1, Allocatable: 1}})
	if k.Allocatable(gpus) != 8 {
		t.Error("the patch is not there")
	}
	k.SyncNode()
	if k.Allocatable(gpus) != 1 || k.Allocatable("other.io/x") != 1 {
		t.Errorf("the node has %v", k.Node())
	}
}

func TestStatusPeriod(t *testing.T) {
	clock := &fakekubelet.ManualClock{}
	began := clock.Now()
	k := fakekubelet.New(t, fakekubelet.Options{Clock: clock})
	kubelettest.Start(t, k.DevicePlugins(), &kubelettest.Plugin{Resource: gpus}, "a")
	has(t, k, "a")
	if k.Allocatable(gpus) != 0 {
		t.Error("the Node object changed before its time")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { // the kubelet may begin to wait a little later than we advance
		for ctx.Err() == nil {
			clock.Advance(time.Second)
			time.Sleep(time.Millisecond)
		}
	}()
	wait(t, k, "the Node object", func() bool { return k.Allocatable(gpus) == 1 })
	if passed := clock.Now().Sub(began); passed < 10*time.Second {
		t.Errorf("it changed after %v", passed)
	}
}
