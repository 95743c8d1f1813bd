package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/apimachinery/pkg/types"

	"github.com/gpulet/gpulet/apiserver"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/partitioner"
	"github.com/gpulet/gpulet/partitioner/fleet"
	"github.com/gpulet/gpulet/partitioner/fleet/fleettest"
	"github.com/gpulet/gpulet/partitioner/plan"
)

// A pod that waits reaches a node within half a second, and the node is told when it is gone.
func TestPodsReachNodes(t *testing.T) {
	g := h100(t)
	bubble(t, func(t *testing.T, ctx context.Context, w *world) {
		w.add(ctx, "node-a", g, 1)
		w.lead(ctx, "node-a")
		w.pass(5 * time.Second)
		w.cluster.SetPod(asks("one", "mig-3g.40gb"))
		w.pass(500 * time.Millisecond)
		w.want(map[string]string{"one": "node-a"})
		d := w.cluster.Demand("node-a")
		if d == nil || len(d.Pods) != 1 || d.Pods[0].Requests["nvidia.com/mig-3g.40gb"] != 1 || d.TTL != time.Minute {
			t.Errorf("%+v", d)
		}
		w.cluster.SetPod(asks("two", "mig-3g.40gb"))
		w.cluster.SetPod(asks("three", "mig-3g.40gb"))
		w.pass(10 * time.Minute) // it is told again before its time is over
		got := w.served()
		if len(got) != 2 {
			t.Errorf("%v", got)
		}
		said := w.events.of(fleet.ReasonFitsNowhere)
		if len(said) == 0 || !strings.Contains(said[0], "3g.40gb fits on no node: node-a: GPU 0 slots 0-3 are promised to pod team/") || !strings.Contains(said[0], "evicting pods of lower priority is off there") {
			t.Errorf("%q", said)
		}
		if len(said) > 3 {
			t.Errorf("%d Events in ten minutes", len(said))
		}
		for name := range got {
			w.cluster.RemovePod(types.UID("uid-" + name))
		}
		w.pass(30 * time.Second)
		if got := w.served(); len(got) != 1 {
			t.Errorf("%v", got)
		}
	})
}

// The planner is killed in mid-plan, five times: no pod is lost, none is served twice, and each stays where it is.
func TestLeaderDies(t *testing.T) {
	g := h100(t)
	bubble(t, func(t *testing.T, ctx context.Context, w *world) {
		for i := range 4 {
			w.add(ctx, fmt.Sprint("node-", i), g, 2)
		}
		w.pass(time.Second)
		first := map[string]string{}
		for round := range 5 {
			kill := w.lead(ctx, fmt.Sprint("agent-", round))
			for w.cluster.Leader() != fmt.Sprint("agent-", round) {
				w.pass(100 * time.Millisecond)
			}
			for i := range 6 {
				w.cluster.SetPod(asks(fmt.Sprint("pod-", round, "-", i), "mig-2g.20gb"))
			}
			w.pass(time.Duration(20+37*round) * time.Millisecond)
			kill()
			for name, at := range w.served() {
				if before := first[name]; before != "" && before != at {
					t.Errorf("%s went from %s to %s", name, before, at)
				}
				first[name] = at
			}
		}
		w.lead(ctx, "the-last")
		w.pass(30 * time.Second)
		now := w.served()
		if len(now) != 24 { // three of 2g.20gb on each of the eight GPUs
			t.Errorf("%d pods are served", len(now))
		}
		for name, at := range first {
			if now[name] != at {
				t.Errorf("%s went from %s to %q", name, at, now[name])
			}
		}
	})
}

// A node that says nothing any more loses its pods, but not before it believes its demand no longer.
func TestNodeDies(t *testing.T) {
	g := h100(t)
	bubble(t, func(t *testing.T, ctx context.Context, w *world) {
		a, _ := w.add(ctx, "node-a", g, 1), w.add(ctx, "node-b", g, 1)
		w.pass(time.Second)
		w.lead(ctx, "agent")
		w.cluster.SetPod(asks("one", "mig-7g.80gb"))
		w.pass(2 * time.Second)
		w.want(map[string]string{"one": "node-a"})
		// It goes on with what it has, and reaches nobody: only its demand's time ends what it does.
		w.cluster.Cut(a.name)
		w.pass(20 * time.Second)
		w.want(map[string]string{"one": "node-a"})
		w.pass(4 * time.Minute) // and nobody else serves the pod before that
		w.want(map[string]string{"one": "node-b"})
	})
}

// A pod of high priority gets the place of one of low priority where that is configured: once, and both are told.
func TestEvictedOnce(t *testing.T) {
	g := h100(t)
	bubble(t, func(t *testing.T, ctx context.Context, w *world) {
		w.cluster.SetNode(&apiserver.NodeFacts{Name: "node-a", Ready: true, Pods: 110})
		r := fleettest.Node(nil, "node-a", g, 0, 0)
		r.Evict = true
		small := fleettest.Slots(g)[slices.IndexFunc(fleettest.Slots(g), func(s mig.Slot) bool { return s.String() == "1g.10gb@0" })]
		r.GPUs = []fleet.ReportGPU{{GPU: plan.GPU{
			UUID: "GPU-1", Geometry: g, Mode: plan.Mode{On: true}, Claims: []plan.Claim{{Slot: small, Holder: "pod team/small"}}, Instances: []plan.Instance{{Slot: small}},
		}}}
		r.Holders["pod team/small"] = fleet.Holder{Namespace: "team", Name: "small", UID: "uid-small", Priority: -1}
		report := func() {
			r.Generation++
			data, err := fleet.EncodeReport(r)
			if err != nil {
				t.Fatal(err)
			}
			w.cluster.SetReport("node-a", data)
		}
		report()
		w.lead(ctx, "agent")
		w.cluster.SetPod(asks("large", "mig-7g.80gb"))
		w.cluster.SetPod(asks("large-too", "mig-7g.80gb"))
		w.pass(30 * time.Second)
		if got := w.cluster.Evicted(); len(got) != 1 || got[0] != "team/small" {
			t.Errorf("%v went", got)
		}
		if told := append(w.events.of(fleet.ReasonEvicted), w.events.of(fleet.ReasonMadeRoom)...); len(told) != 2 || !strings.HasPrefix(told[0], "small ") || !strings.HasPrefix(told[1], "large") {
			t.Errorf("%q", told)
		}
		r.GPUs[0].Claims = nil
		report()
		w.pass(time.Second)
		if d := w.cluster.Demand("node-a"); d == nil || len(d.Pods) != 1 {
			t.Errorf("%+v", d)
		}
	})
}

// What the planner does is in its metrics.
func TestMetricsOfThePlanner(t *testing.T) {
	g := h100(t)
	bubble(t, func(t *testing.T, ctx context.Context, w *world) {
		w.add(ctx, "node-a", g, 1)
		l := fleet.NewLeader(fleet.LeaderConfig{Cluster: &fleettest.Member{Cluster: w.cluster, Name: "agent"}, Name: "agent"})
		registry := prometheus.NewRegistry()
		registry.MustRegister(l.Collectors()...)
		w.wg.Go(func() { _ = l.Run(ctx) })
		w.pass(time.Second)
		for i := range 2 {
			w.cluster.SetPod(asks(fmt.Sprint("large-", i), "mig-7g.80gb"))
		}
		gated := asks("gated", "gpu")
		gated.Gated, gated.Unschedulable = true, false
		w.cluster.SetPod(gated)
		nominated := asks("nominated", "gpu")
		nominated.Nominated = "node-a"
		w.cluster.SetPod(nominated)
		w.cluster.SetPod(asks("foreign", "mig-5g.999gb"))
		w.pass(time.Second)
		want := `
# HELP gpulet_planner_demands_total Demands for nodes, by result: written, failed.
# TYPE gpulet_planner_demands_total counter
gpulet_planner_demands_total{result="written"} 1
# HELP gpulet_planner_leading 1 while this agent plans for the cluster.
# TYPE gpulet_planner_leading gauge
gpulet_planner_leading 1
# HELP gpulet_planner_pods_waiting Pods that wait for what gpulet serves, by cause.
# TYPE gpulet_planner_pods_waiting gauge
gpulet_planner_pods_waiting{cause="gated"} 1
gpulet_planner_pods_waiting{cause="given"} 1
gpulet_planner_pods_waiting{cause="held"} 1
gpulet_planner_pods_waiting{cause="nominated"} 1
`
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "gpulet_planner_demands_total", "gpulet_planner_leading", "gpulet_planner_pods_waiting"); err != nil {
			t.Error(err)
		}
	})
}

// While the API server is away nothing changes but that demands end with their time; when it is back all is as it was (case 13).
func TestServerIsAway(t *testing.T) {
	g := h100(t)
	bubble(t, func(t *testing.T, ctx context.Context, w *world) {
		w.add(ctx, "node-a", g, 1)
		w.add(ctx, "node-b", g, 1)
		w.pass(time.Second)
		w.lead(ctx, "agent")
		w.cluster.SetPod(asks("one", "mig-7g.80gb"))
		w.pass(2 * time.Second)
		w.want(map[string]string{"one": "node-a"})
		w.cluster.SetAway(true)
		w.pass(30 * time.Second)
		w.want(map[string]string{"one": "node-a"})
		w.pass(2 * time.Minute)
		w.want(map[string]string{})
		w.cluster.SetAway(false)
		w.pass(time.Minute)
		w.want(map[string]string{"one": "node-a"})
	})
}

// A demand of an earlier planner that arrives late is ignored, as is one of a form that nobody knows (case 10).
func TestOldPlannersAreIgnored(t *testing.T) {
	g := h100(t)
	bubble(t, func(t *testing.T, ctx context.Context, w *world) {
		n := w.add(ctx, "node-a", g, 1)
		say := func(generation uint64, ttl time.Duration, pods ...string) {
			d := &fleet.Demand{Generation: generation, Leader: fmt.Sprint("leader-", generation), TTL: ttl}
			for _, p := range pods {
				d.Pods = append(d.Pods, fleet.DemandPod{UID: "uid-" + p, Namespace: "team", Name: p, Requests: map[string]int64{"nvidia.com/mig-1g.10gb": 1}})
			}
			data, err := fleet.EncodeDemand(d)
			if err != nil {
				t.Fatal(err)
			}
			w.cluster.SetDemand("node-a", data)
			w.pass(100 * time.Millisecond)
		}
		say(7, time.Minute, "new")
		say(6, time.Minute, "old")
		w.want(map[string]string{"new": "node-a"})
		w.cluster.SetDemand("node-a", []byte(`{"version":99,"generation":8}`))
		w.pass(time.Second)
		w.want(map[string]string{"new": "node-a"})
		w.pass(time.Minute)
		w.want(map[string]string{}) // its time is over
		say(7, time.Minute, "new")
		w.want(map[string]string{"new": "node-a"})
		say(9, 10*time.Second, "newer")
		d, _ := n.reporter.Demands().Get()
		if d.Generation != 9 || d.Source != "leader-9" || len(d.Pods) != 1 || d.Pods[0].Asks[0].Resource.Profile.String() != "1g.10gb" {
			t.Errorf("%+v", d)
		}
		w.pass(11 * time.Second)
		w.want(map[string]string{})
		say(10, time.Minute, "last")
		w.pass(40 * time.Second)
		w.cluster.SetAway(true)
		w.pass(5 * time.Second)
		w.cluster.SetAway(false) // the same word is heard again, and lives no longer for it
		w.pass(10 * time.Second)
		w.want(map[string]string{"last": "node-a"})
		w.pass(10 * time.Second)
		w.want(map[string]string{})
	})
}

// A planner that takes over goes on from the demands alone: pods stay where they were sent, those that are gone are cleared, and
// nodes believe it.
func TestTakeOver(t *testing.T) {
	g := h100(t)
	bubble(t, func(t *testing.T, ctx context.Context, w *world) {
		for _, name := range []string{"node-a", "node-b", "node-c"} {
			w.add(ctx, name, g, 1)
		}
		say := func(node string, generation uint64, pods ...string) {
			d := &fleet.Demand{Generation: generation, Leader: "before", TTL: time.Minute}
			for _, p := range pods {
				d.Pods = append(d.Pods, fleet.DemandPod{UID: "uid-" + p, Namespace: "team", Name: p, Requests: map[string]int64{"nvidia.com/mig-3g.40gb": 1}})
			}
			data, err := fleet.EncodeDemand(d)
			if err != nil {
				t.Fatal(err)
			}
			w.cluster.SetDemand(node, data)
		}
		say("node-b", 5_000_000, "one")
		say("node-c", 4_999_999, "gone")
		w.cluster.SetPod(asks("one", "mig-3g.40gb"))
		w.cluster.SetPod(asks("two", "mig-3g.40gb"))
		w.pass(time.Second)
		w.lead(ctx, "agent")
		w.pass(20 * time.Second)
		if got := w.served(); got["one"] != "node-b" || got["two"] == "" || len(got) != 2 {
			t.Errorf("%v", got)
		}
		for _, name := range []string{"node-b", "node-c"} {
			if d := w.cluster.Demand(name); d.Generation <= 5_000_000 {
				t.Errorf("%s has %+v", name, d)
			}
		}
	})
}

// A node that can no longer serve a pod gives it back, and another gets it only after that.
func TestPodMoves(t *testing.T) {
	g := h100(t)
	bubble(t, func(t *testing.T, ctx context.Context, w *world) {
		a, _ := w.add(ctx, "node-a", g, 1), w.add(ctx, "node-b", g, 1)
		w.pass(time.Second)
		w.lead(ctx, "agent")
		w.cluster.SetPod(asks("one", "mig-7g.80gb"))
		w.pass(2 * time.Second)
		w.want(map[string]string{"one": "node-a"})
		v, _ := a.views.Get()
		next := *v
		next.Input.GPUs = []plan.GPU{v.Input.GPUs[0]}
		next.Input.GPUs[0].Out = "it fell off the bus"
		a.views.Set(&next)
		w.pass(3 * time.Second)
		w.want(map[string]string{"one": "node-b"})
	})
}

// The place of a pod that was bound is kept until its node says that it is there, and no longer than it takes to get there.
func TestBoundPodsHaveTheirPlace(t *testing.T) {
	g := h100(t)
	bubble(t, func(t *testing.T, ctx context.Context, w *world) {
		w.add(ctx, "node-a", g, 1)
		w.pass(time.Second)
		w.lead(ctx, "agent")
		w.cluster.SetPod(asks("one", "mig-7g.80gb"))
		w.pass(time.Second)
		w.cluster.SetPod(asks("two", "mig-7g.80gb"))
		w.cluster.RemovePod("uid-one")
		w.pass(8 * time.Second)
		w.want(map[string]string{})
		w.pass(10 * time.Second)
		w.want(map[string]string{"two": "node-a"})
	})
}

// A node whose agent restarts keeps its pods.
func TestPodsOutliveRestartsOfAgents(t *testing.T) {
	g := h100(t)
	bubble(t, func(t *testing.T, ctx context.Context, w *world) {
		a, _ := w.add(ctx, "node-a", g, 1), w.add(ctx, "node-b", g, 1)
		w.pass(time.Second)
		w.lead(ctx, "agent")
		w.cluster.SetPod(asks("one", "mig-7g.80gb"))
		w.pass(2 * time.Second)
		w.want(map[string]string{"one": "node-a"})
		v, _ := a.views.Get()
		a.views.Set(&partitioner.View{Waiting: "claims are read", Input: v.Input})
		w.pass(10 * time.Second)
		a.views.Set(v)
		w.pass(20 * time.Second)
		w.want(map[string]string{"one": "node-a"})
	})
}

// Writes that fail are made again, and at most so many are made at once.
func TestWritesAreLimited(t *testing.T) {
	g := h100(t)
	bubble(t, func(t *testing.T, ctx context.Context, w *world) {
		for i := range 30 {
			w.add(ctx, fmt.Sprintf("node-%02d", i), g, 1)
		}
		w.pass(time.Second)
		failed := 0
		var mu sync.Mutex
		w.cluster.Refuse(func(string) error {
			mu.Lock()
			defer mu.Unlock()
			if failed++; failed < 4 {
				return errors.New("not now")
			}
			return nil
		})
		l := fleet.NewLeader(fleet.LeaderConfig{
			Cluster: &fleettest.Member{Cluster: w.cluster, Name: "agent"}, Name: "agent", WritesPerSecond: 2, WritesAtOnce: 5,
		})
		w.wg.Go(func() { _ = l.Run(ctx) })
		for i := range 30 {
			w.cluster.SetPod(asks(fmt.Sprint("pod-", i), "gpu"))
		}
		w.pass(2 * time.Second)
		if _, n := w.cluster.Writes(); n > 9 {
			t.Errorf("%d demands in two seconds", n)
		}
		w.pass(20 * time.Second)
		if got := w.served(); len(got) != 30 {
			t.Errorf("%d of 30 pods are served", len(got))
		}
	})
}
