package process

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gpulet/gpulet/agent"
	"github.com/gpulet/gpulet/test/fakekubelet"
	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

const (
	whole = "nvidia.com/gpu"
	slice = "nvidia.com/mig-1g.10gb"
)

// fault is one thing that goes wrong with a GPU, and how it is put right.
type fault struct {
	name string
	hurt func(ctx context.Context, s *sim.Node, g int) error
	// mend is nil where it passes by itself.
	mend     func(n *node, g int) error
	harmless bool   // an application's own mistake: nothing changes
	instance bool   // concerns an instance of the divided GPU
	reason   string // what status must say
}

func faults() []fault {
	xid := func(n uint64) func(context.Context, *sim.Node, int) error {
		return func(ctx context.Context, s *sim.Node, g int) error { return s.XID(ctx, sim.Whole(g), n) }
	}
	return []fault{
		{
			name: "lost with XID 79", reason: "XID 79",
			hurt: func(ctx context.Context, s *sim.Node, g int) error { return s.SetLost(ctx, g, true) },
			mend: func(n *node, g int) error { return n.sim.SetLost(n.t.Context(), g, false) },
		},
		{
			name: "hung", reason: "no answer from the driver",
			hurt: func(ctx context.Context, s *sim.Node, g int) error { return s.Hang(ctx, g, false) },
			mend: func(n *node, g int) error { return n.sim.Unhang(n.t.Context(), g) },
		},
		{
			name: "hung with the driver's front door", reason: "no answer from the driver",
			hurt: func(ctx context.Context, s *sim.Node, g int) error { return s.Hang(ctx, g, true) },
			mend: func(n *node, g int) error { return n.sim.Unhang(n.t.Context(), g) },
		},
		{name: "XID 79", reason: "XID 79", hurt: xid(79), mend: (*node).loadAgain},
		{name: "XID 48", reason: "XID 48", hurt: xid(48), mend: (*node).resetAndClear},
		{name: "XID 94", reason: "XID 94", hurt: xid(94)},
		{name: "XID 31", harmless: true, hurt: xid(31)},
		{name: "XID 13", harmless: true, hurt: xid(13)},
		{
			name: "pending row remap", reason: "replaced at the next reset", mend: (*node).reset,
			hurt: func(ctx context.Context, s *sim.Node, g int) error {
				return s.SetRowRemap(ctx, g, model.RemappedRows{Uncorrectable: 1, Pending: true})
			},
		},
		{
			name: "XID 94 of an instance", reason: "XID 94", instance: true,
			hurt: func(ctx context.Context, s *sim.Node, g int) error {
				return s.XID(ctx, sim.In(g, s.Model.Status().GPUs[g].Instances[0].GI), 94)
			},
		},
	}
}

// two whole A100 and one that is divided.
func threeGPUs() model.Shape {
	return model.Shape{Name: "three", Driver: "550.54.15", GPUs: []model.GPUShape{
		{Model: "a100-80", Count: 2}, {Model: "a100-80", MIG: true, Instances: instances("1g.10gb", "1g.10gb", "1g.10gb")},
	}}
}

// A fault of a GPU costs that GPU: it stays listed as Unhealthy with its reason while its pod goes on, others are admitted
// meanwhile, nobody gets the sick one, and it returns.
func TestProcessFaults(t *testing.T) {
	t.Parallel()
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			suffer(t, f)
		})
	}
}

func suffer(t *testing.T, f fault) {
	// Three clean looks a third of a second apart: long enough for a test to see what passes by itself.
	n := begin(t, wanted{hardware: threeGPUs(), config: "health: {interval: 400ms, quarantine: 1s}\n"})
	all := offered(n.pieces())
	n.offers(all)
	resource, g := whole, 0
	if f.instance {
		resource, g = slice, 2
	}
	user, mine := n.runs(resource, 1)
	victim := mine[0]
	if f.instance {
		victim = n.pieces()[2].id
	} else if i, err := n.sim.Model.FindGPU(victim); err != nil {
		t.Fatal(err)
	} else {
		g = i
	}
	if err := f.hurt(t.Context(), n.sim, g); err != nil {
		t.Fatal(err)
	}
	if f.harmless {
		n.await("the XID in the log", func(agent.Status) bool { return strings.Contains(n.log.String(), "xid="+strings.Fields(f.name)[1]) })
		n.probes(2)
		for _, l := range n.kubelet.Lists(whole) {
			if l.Healthy() != len(l.Health) {
				t.Errorf("a list in which not all is well: %v", l.Health)
			}
		}
		return
	}
	n.await("the reason", func(s agent.Status) bool { return strings.Contains(reasons(s, resource)[victim], f.reason) })
	n.alone(resource, victim)
	if f.mend != nil {
		n.meanwhile(resource, victim)
		if err := f.mend(n, g); err != nil {
			t.Fatal(err)
		}
	}
	n.offers(all)
	n.await("health", func(s agent.Status) bool { return ready(s) && !sick(s) })
	if pod, _ := n.kubelet.Pod(user.UID); pod.Container("main").State != fakekubelet.Running || pod.Container("main").Health[mine[0]] != "Healthy" {
		t.Errorf("the pod is %+v", pod)
	}
	n.end(user.UID)
	n.runs(whole, int64(len(all[whole])-n.users(whole)))
}

// alone waits until the kubelet has been told of the victim, and looks that it was told of nothing else.
func (n *node) alone(resource, victim string) {
	n.t.Helper()
	ctx, cancel := within(n.t)
	defer cancel()
	told := func() bool {
		return slices.ContainsFunc(n.kubelet.Lists(resource), func(l fakekubelet.List) bool { return l.Health[victim] == "Unhealthy" })
	}
	if err := n.kubelet.Wait(ctx, "a list in which "+victim+" is Unhealthy", told); err != nil {
		n.t.Fatal(err)
	}
	for r := range n.kubelet.Node() {
		for _, l := range n.kubelet.Lists(r) {
			for id, h := range l.Health {
				if h != "Healthy" && id != victim {
					n.t.Errorf("%s of %s was listed as %s", id, r, h)
				}
			}
		}
	}
}

// meanwhile has pods come while a GPU is sick: they get the others, and none the sick one.
func (n *node) meanwhile(resource, victim string) {
	n.t.Helper()
	n.runs(slice, 1)
	_, other := n.runs(whole, 1)
	if slices.Contains(other, victim) {
		n.t.Errorf("a pod was given %s", victim)
	}
	if resource == whole {
		n.rejects(whole, 1)
	}
}

// reset is what an administrator does: stop the agent, as a GPU cannot be reset while anybody has it open, and start it again.
func (n *node) reset(g int) error {
	n.stop()
	if err := n.sim.ResetGPU(n.t.Context(), g); err != nil {
		return err
	}
	n.start()
	return nil
}

// resetAndClear is for what the agent cannot see from the GPU itself: that it was reset while no agent ran.
func (n *node) resetAndClear(g int) error {
	if err := n.reset(g); err != nil {
		return err
	}
	n.await("the GPU", func(s agent.Status) bool { return ready(s) && sick(s) })
	return n.agent.Client().ClearHealth(n.t.Context(), strconv.Itoa(g))
}

// loadAgain unloads the driver and loads it, which resets all GPUs, under the running agent.
func (n *node) loadAgain(int) error {
	pieces := n.pieces()
	n.reloadDriver("")
	n.remake(pieces)
	return nil
}

// users counts the devices of a resource that pods have.
func (n *node) users(resource string) (count int) {
	for _, s := range n.stays.list() {
		if s.resource == resource && s.to.IsZero() {
			count += len(s.ids)
		}
	}
	return count
}
