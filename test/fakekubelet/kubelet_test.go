package fakekubelet_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"github.com/gpulet/gpulet/test/fakekubelet"
	"github.com/gpulet/gpulet/test/fakekubelet/kubelettest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const gpus = "nvidia.com/gpu"

// manual is a kubelet whose time stands still and whose Node object changes only on request.
func manual(t *testing.T, change func(*fakekubelet.Options)) (*fakekubelet.Kubelet, *fakekubelet.ManualClock) {
	t.Helper()
	clock := &fakekubelet.ManualClock{}
	o := fakekubelet.Options{Clock: clock, StatusPeriod: -1}
	if change != nil {
		change(&o)
	}
	return fakekubelet.New(t, o), clock
}

// plugin registers devices and waits until the kubelet has them.
func plugin(t *testing.T, k *fakekubelet.Kubelet, p *kubelettest.Plugin, ids ...string) *kubelettest.Plugin {
	t.Helper()
	p.Resource = gpus
	kubelettest.Start(t, k.DevicePlugins(), p, ids...)
	has(t, k, ids...)
	k.SyncNode()
	return p
}

func has(t *testing.T, k *fakekubelet.Kubelet, ids ...string) {
	t.Helper()
	wait(t, k, fmt.Sprint("healthy devices ", ids), func() bool {
		healthy, _ := k.Devices(gpus)
		return slices.Equal(healthy, ids)
	})
}

func wait(t *testing.T, k *fakekubelet.Kubelet, what string, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := k.Wait(ctx, what, cond); err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, k *fakekubelet.Kubelet, spec fakekubelet.PodSpec) fakekubelet.Pod {
	t.Helper()
	p, err := k.RunPod(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// rejection is the text with which a pod was rejected.
func rejection(t *testing.T, err error, reason string) string {
	t.Helper()
	var r *fakekubelet.RejectedError
	if !errors.As(err, &r) || r.Reason != reason {
		t.Fatalf("%v is not %s", err, reason)
	}
	return r.Message
}

// An id that is not in the list any more when its Allocate returns kills the kubelet; it comes back and admits the pod again.
func TestMissingIDKills(t *testing.T) {
	for _, mended := range []bool{false, true} {
		k, _ := manual(t, func(o *fakekubelet.Options) { o.MendedMissingID = mended })
		p := &kubelettest.Plugin{}
		p.OnAllocate = func([]string) error {
			p.Offer("b")
			return k.Wait(t.Context(), "the list without a", func() bool { return len(k.Lists(gpus)) == 2 })
		}
		plugin(t, k, p, "a")
		_, err := k.Admit(t.Context(), fakekubelet.Requesting("p", gpus, 1))
		if mended {
			if err != nil {
				t.Errorf("mended: %v", err)
			}
			continue
		}
		if !errors.Is(err, fakekubelet.ErrDown) || k.Running() {
			t.Errorf("it runs: %v, error %v", k.Running(), err)
		}
		if why := <-k.Died(); !strings.Contains(why, "a was not in the list") {
			t.Errorf("it died of %q", why)
		}
		rejected, err := k.Restart(fakekubelet.RestartOptions{})
		if err != nil || len(rejected) != 1 {
			t.Errorf("rejected %v, error %v", rejected, err)
		}
	}
}

// A podresources call while an Allocate is under way frees the pick when a pod has ended, and the id is given twice.
func TestListLosesAPick(t *testing.T) {
	for _, mended := range []bool{false, true} {
		var k *fakekubelet.Kubelet
		var list func()
		k, _ = manual(t, func(o *fakekubelet.Options) {
			o.MendedRebuild = mended
			o.Before = func(c fakekubelet.Call) {
				if c.Method == "Allocate" && list != nil {
					list()
				}
			}
		})
		wanted := ""
		plugin(t, k, &kubelettest.Plugin{
			Options: api.DevicePluginOptions{GetPreferredAllocationAvailable: true},
			OnPreferred: func(*api.ContainerPreferredAllocationRequest) ([]string, error) {
				return []string{wanted}, nil
			},
		}, "a", "b")
		old := run(t, k, fakekubelet.Requesting("old", gpus, 1))
		list = func() {
			list = nil
			k.EndPod(old.UID, corev1.PodSucceeded)
			listPods(t, k)
		}
		first := run(t, k, fakekubelet.Requesting("first", gpus, 1)).Container("main").Devices[gpus][0]
		wanted = first
		second := run(t, k, fakekubelet.Requesting("second", gpus, 1)).Container("main").Devices[gpus][0]
		if twice := first == second; twice == mended {
			t.Errorf("mended %v: the pods have %s and %s", mended, first, second)
		}
	}
}

// One plugin that hangs in Allocate holds up the admission of every pod.
func TestSlowAllocate(t *testing.T) {
	k, _ := manual(t, nil)
	release := make(chan struct{})
	plugin(t, k, &kubelettest.Plugin{OnAllocate: func([]string) error { <-release; return nil }}, "a")
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := k.Admit(short, fakekubelet.Requesting("slow", gpus, 1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	plain := fakekubelet.PodSpec{Containers: []fakekubelet.ContainerSpec{{Name: "main"}}}
	if _, err := k.Admit(short, plain); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	close(release)
	if _, err := k.Admit(t.Context(), plain); err != nil {
		t.Error(err)
	}
}

// Health of a device that a container has is what was said last, and Healthy when it is gone.
func TestHealthOfHeldDevices(t *testing.T) {
	k, _ := manual(t, nil)
	p := plugin(t, k, &kubelettest.Plugin{}, "a")
	pod := run(t, k, fakekubelet.Requesting("", gpus, 1))
	health := func() string {
		now, _ := k.Pod(pod.UID)
		return now.Container("main").Health["a"]
	}
	p.Change(func(all map[string]*api.Device) { all["a"] = &api.Device{ID: "a", Health: api.Unhealthy} })
	wait(t, k, "Unhealthy", func() bool { return health() == api.Unhealthy })
	p.Offer()
	wait(t, k, "Healthy again", func() bool { return health() == api.Healthy })
}

// Devices of a pod that ended are free for the next.
func TestEndedPodsFreeDevices(t *testing.T) {
	k, _ := manual(t, nil)
	plugin(t, k, &kubelettest.Plugin{}, "a")
	for i := range 3 {
		pod := run(t, k, fakekubelet.Requesting("", gpus, 1))
		_, err := k.Admit(t.Context(), fakekubelet.Requesting("", gpus, 1))
		if m := rejection(t, err, "UnexpectedAdmissionError"); !strings.Contains(m, "Requested: 1, Available: 0") {
			t.Error(m)
		}
		if i%2 == 0 {
			k.EndPod(pod.UID, corev1.PodSucceeded)
		} else {
			k.DeletePod(pod.UID)
		}
	}
}

func TestUnwritableRoot(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := fakekubelet.Start(t.Context(), file, fakekubelet.Options{}); err == nil {
		t.Error("it started in a file")
	}
}
