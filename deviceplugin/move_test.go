package deviceplugin

import (
	"context"
	"testing"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
)

// shared shares each GPU in two under another name.
func shared() Settings {
	s := mixed()
	s.Rules = []Rule{{Sharing: map[string]Sharing{"*": {Replicas: 2, Rename: "nvidia.com/gpu.shared"}}}}
	return s
}

const sharedGPU = "nvidia.com/gpu.shared"

// begin is a node with one GPU at rest, whose configuration then changes to shared.
func begin(t *testing.T) *world {
	w := newWorld(t, mixed(), node(""))
	w.pass(time.Second, true)
	w.settings.Set(shared())
	return w
}

func (w *world) stages(want string) {
	w.t.Helper()
	v, _ := w.manager.View().Get()
	got := ""
	for _, m := range v.Moves {
		if m.ID == "GPU-0" {
			got = m.Stage + ": " + m.Reason
		}
	}
	if got != want {
		w.t.Fatalf("GPU-0 is %q, want %q", got, want)
	}
}

func TestTheNodeIsToldFirstAndAgain(t *testing.T) {
	w := begin(t)
	w.pass(400*time.Millisecond, true)
	w.stages("lowering: pods that are bound to this node just now may still get it")
	w.node.set(GPUResource, 1) // the kubelet writes what it counts
	w.pass(400*time.Millisecond, true)
	w.stages("lowering: the Node still says the higher number")
	w.pass(400*time.Millisecond, true)
	if c := w.node.says(GPUResource); c.Allocatable != 0 {
		t.Errorf("the Node was not told again: %+v", c)
	}
	w.pass(500*time.Millisecond, true)
	w.stages("withdrawn: the kubelet may still count it")
	w.pass(3*time.Second, true)
	if !w.kubelet[sharedGPU].devices["GPU-0::0"] {
		t.Error("the shares are not offered")
	}
}

func TestABoundPodKeepsItsOffer(t *testing.T) {
	w := begin(t)
	w.setPod("p", func(p *kubelet.Pod) {
		p.Containers = []kubelet.Container{{Requests: map[string]int64{GPUResource: 1}}}
	})
	w.pass(10*time.Second, true)
	w.stages("lowering: pod default/p is bound to this node and not admitted yet")
	if err := w.allocate("p", GPUResource, []string{"GPU-0"}); err != nil {
		t.Fatal(err)
	}
	w.setPod("p", func(p *kubelet.Pod) { p.Admitted = true })
	w.pass(5*time.Second, true)
	w.stages("released: it is no longer offered as nvidia.com/gpu; pod default/p has it")
	if w.kubelet[sharedGPU] != nil {
		t.Error("a GPU in use is offered in shares")
	}
	w.end("p")
	w.pass(time.Second, true)
	if !w.kubelet[sharedGPU].devices["GPU-0::1"] {
		t.Error("the shares are not offered after the pod's end")
	}
}

func TestAKubeletThatDidNotHearHoldsTheMove(t *testing.T) {
	w := begin(t)
	w.pass(time.Minute, false)
	w.stages("withdrawn: the kubelet was not told yet")
	if w.regs.handler(sharedGPU) != nil {
		t.Error("the shares are offered although the kubelet can pick the whole GPU")
	}
	w.pass(5*time.Second, true)
	if !w.kubelet[sharedGPU].devices["GPU-0::0"] {
		t.Error("the shares are not offered")
	}
}

func TestAMoveWithoutAnAPIServer(t *testing.T) {
	w := begin(t)
	w.node.away = true
	w.pass(29*time.Second, true)
	w.stages("lowering: the API server was not told yet")
	w.pass(14*time.Second, true)
	w.stages("withdrawn: the kubelet may still count it")
	w.pass(3*time.Second, true)
	if !w.kubelet[sharedGPU].devices["GPU-0::0"] {
		t.Error("the move waits for ever")
	}
}

func TestPodresourcesShortensAMove(t *testing.T) {
	w := newWorld(t, mixed(), node(""))
	resources := gpu.NewFeed(&kubelet.Assigned{})
	w.manager.cfg.Resources = assignments{resources}
	w.pass(time.Second, true)
	w.settings.Set(shared())
	w.pass(time.Second, true)
	w.stages("withdrawn: the kubelet may still count it")
	resources.Set(&kubelet.Assigned{At: w.now, Synced: true, Allocatable: map[string][]string{GPUResource: {"GPU-0"}}})
	w.pass(time.Minute, true)
	w.stages("withdrawn: the kubelet may still count it")
	resources.Set(&kubelet.Assigned{At: w.now, Synced: true})
	w.pass(10*time.Millisecond, true)
	if !w.kubelet[sharedGPU].devices["GPU-0::0"] {
		t.Error("the kubelet's answer is not heard")
	}
}

// assignments is podresources with answers that a test sets.
type assignments struct{ feed *gpu.Feed[*kubelet.Assigned] }

func (a assignments) Feed() *gpu.Feed[*kubelet.Assigned] { return a.feed }

func (a assignments) Refresh(context.Context) (*kubelet.Assigned, error) {
	v, _ := a.feed.Get()
	return v, nil
}

func TestASickDeviceLeavesAtOnce(t *testing.T) {
	for name, change := range map[string]func(s *gpu.Snapshot){
		"the GPU is sick":     func(s *gpu.Snapshot) { s.GPUs[0].Health = gpu.Health{State: gpu.Unhealthy, Reason: "XID 79"} },
		"its hardware is not": func(s *gpu.Snapshot) { s.GPUs[0].MIG.Enabled = true },
	} {
		w := begin(t)
		w.pass(100*time.Millisecond, true)
		s := node("")
		change(s)
		w.offers.Set(gpu.StaticOffers(s))
		w.pass(10*time.Millisecond, true)
		if w.kubelet[GPUResource].devices["GPU-0"] {
			t.Errorf("%s, and it can still be picked", name)
		}
	}
}

func TestBackAgain(t *testing.T) {
	w := begin(t)
	w.pass(100*time.Millisecond, true)
	w.settings.Set(mixed())
	w.pass(100*time.Millisecond, true)
	w.stages("")
	if c := w.node.says(GPUResource); c.Allocatable != 1 {
		t.Errorf("the Node says %+v", c)
	}
	w.pass(time.Minute, true)
	w.settled()
}

func TestTheListComesBeforeTheNumber(t *testing.T) {
	w := newWorld(t, mixed(), node(""))
	w.pass(time.Minute, false)
	if c := w.node.says(GPUResource); !c.Remove {
		t.Errorf("the Node says %+v of what the kubelet does not know", c)
	}
	w.pass(time.Millisecond, true)
	w.pass(time.Millisecond, true)
	if c := w.node.says(GPUResource); c != (Count{Capacity: 1, Allocatable: 1}) {
		t.Errorf("the Node says %+v", c)
	}
}

// A kubelet that comes back has set the Node to 0, and would say so for ten seconds.
func TestTheNodeIsToldAgainAfterTheKubeletsRestart(t *testing.T) {
	w := newWorld(t, mixed(), node(""))
	w.pass(time.Second, true)
	k := w.kubelet[GPUResource]
	delete(k.from.streams, k.stream)
	k.devices, k.from, k.stream = map[string]bool{}, nil, nil
	w.node.set(GPUResource, 0)
	w.step()
	w.pass(10*time.Millisecond, true)
	if c := w.node.says(GPUResource); c.Allocatable != 1 {
		t.Errorf("the Node says %+v", c)
	}
}
