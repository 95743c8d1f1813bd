package process

import (
	"slices"
	"strings"
	"testing"

	"github.com/gpulet/gpulet/agent"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/test/gpusim/model"
)

// exitStale is the exit code of an agent that only a new process can follow: the driver's library is another one now.
const exitStale = 4

// replace exchanges the driver under an agent with pods.
func replace(t *testing.T, from, to string) {
	n := begin(t, wanted{hardware: divided(t, "t4x4"), driver: from, config: "health: {interval: 200ms}\n"})
	n.offers(offered(n.pieces()))
	_, mine := n.runs("nvidia.com/gpu", 1)
	n.reloadDriver(to)
	ctx, cancel := within(t)
	defer cancel()
	if code, err := n.agent.Wait(ctx); err != nil || code != exitStale {
		t.Fatalf("the agent of the old driver ends with %d, %v", code, err)
	}
	n.start()
	n.offers(offered(n.pieces()))
	s := n.await("ready", ready)
	if s.Driver.Version != to || len(s.Claims) != 1 || s.Claims[0].ID != mine[0] {
		t.Errorf("driver %s, claims %+v", s.Driver.Version, s.Claims)
	}
	n.gives(n.pieces(), "nvidia.com/gpu")
}

// reload takes the driver away from a running agent with pods and brings it back: instances are gone then and are made anew.
func reload(t *testing.T) {
	n := begin(t, wanted{hardware: divided(t, "mixed"), config: "health: {interval: 200ms, cleanProbes: 2}\n"})
	pieces := n.pieces()
	n.offers(offered(pieces))
	n.runs("nvidia.com/gpu", 1)
	n.runs("nvidia.com/mig-1g.10gb", 1)
	pid := n.agent.PID()
	if err := n.sim.UnloadDriver(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	n.offers(map[string][]string{})
	s := n.await("why", func(s agent.Status) bool { return sick(s) && len(reasons(s, "nvidia.com/gpu")) > 0 })
	for id, why := range reasons(s, "nvidia.com/gpu") {
		if !strings.Contains(why, "driver") {
			t.Errorf("%s is not healthy because %q", id, why)
		}
	}
	n.reloadDriver("")
	n.remake(pieces)
	n.offers(offered(pieces))
	n.await("ready", ready)
	if n.agent.PID() != pid || n.agent.Running() != nil {
		t.Error("the agent was another one meanwhile")
	}
	n.gives(n.pieces(), "nvidia.com/gpu")
	n.gives(n.pieces(), "nvidia.com/mig-1g.10gb")
}

func (n *node) reloadDriver(version string) {
	n.t.Helper()
	if err := n.sim.UnloadDriver(n.t.Context(), true); err != nil {
		n.t.Fatal(err)
	}
	if err := n.sim.LoadDriver(n.t.Context(), version); err != nil {
		n.t.Fatal(err)
	}
}

// remake switches MIG mode on and makes the instances that there were, as an administrator does.
func (n *node) remake(pieces []piece) {
	n.t.Helper()
	ctx := n.t.Context()
	for _, p := range pieces {
		id, err := gpu.ParseDeviceID(p.id)
		if err != nil {
			n.t.Fatal(err)
		}
		if id.Kind != gpu.Slice {
			continue
		}
		g := n.sim.Model.Status().GPUs[p.gpu]
		if !g.MIG {
			if err := n.sim.SetMIG(ctx, p.gpu, true); err != nil {
				n.t.Fatal(err)
			}
		}
		start := uint32(id.Start)
		if slices.ContainsFunc(g.Instances, func(in model.InstanceStatus) bool { return in.Placement.Start == start }) {
			continue
		}
		if _, _, err := n.sim.CreateInstance(ctx, p.gpu, id.Profile.String(), &start); err != nil {
			n.t.Fatal(err)
		}
	}
}
