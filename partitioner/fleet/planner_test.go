package fleet_test

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/gpulet/gpulet/apiserver"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/partitioner/fleet"
	"github.com/gpulet/gpulet/partitioner/fleet/fleettest"
	"github.com/gpulet/gpulet/partitioner/plan"
)

// table is a few nodes to plan for.
type table struct {
	t       *testing.T
	planner *fleet.Planner
	g       mig.Geometry
	round   fleet.Round
}

func newTable(t *testing.T) *table { return &table{t: t, planner: fleet.NewPlanner(), g: h100(t)} }

// add puts a node of GPUs with these claims and idle instances: "3g.40gb@0 by a" is held, "1g.10gb@6" idle, "whole by a" whole.
func (x *table) add(name string, gpus [][]string, change func(*fleet.Report, *fleet.Node)) {
	x.t.Helper()
	r := fleettest.Node(nil, name, x.g, 0, 0)
	for i, things := range gpus {
		g := fleet.ReportGPU{GPU: plan.GPU{UUID: gpu.UUID(fmt.Sprint("GPU-", name, i)), Index: i, Geometry: x.g, Mode: plan.Mode{May: true}}}
		for _, text := range things {
			var what, holder string
			_, _ = fmt.Sscanf(text, "%s by %s", &what, &holder)
			if holder != "" {
				r.Holders["pod team/"+holder] = fleet.Holder{Namespace: "team", Name: holder, UID: "uid-" + holder, Priority: int32(len(holder) - 1)}
				holder = "pod team/" + holder
			}
			if what == "whole" {
				g.Claims = append(g.Claims, plan.Claim{Whole: true, Holder: holder})
				continue
			}
			i := slices.IndexFunc(fleettest.Slots(x.g), func(s mig.Slot) bool { return s.String() == what })
			slot := fleettest.Slots(x.g)[i]
			g.Mode.On = true
			g.Instances = append(g.Instances, plan.Instance{Slot: slot})
			if holder != "" {
				g.Claims = append(g.Claims, plan.Claim{Slot: slot, Holder: holder})
			} else {
				g.Offered = append(g.Offered, slot)
			}
		}
		r.GPUs = append(r.GPUs, g)
	}
	n := fleet.Node{}
	if change != nil {
		change(r, &n)
	}
	out, evicting := n.Out, n.Evicting
	facts := n.Facts
	n = site(x.t, x.planner, r)
	if n.Out, n.Evicting = out, evicting; facts != nil {
		facts.Name, facts.Ready, facts.MilliCPU, facts.MemoryBytes, facts.Pods = name, true, 96_000, 1<<40, 110
		n.Facts = facts
	}
	x.round.Nodes = append(x.round.Nodes, n)
}

func (x *table) pod(name, resource string, change func(*fleet.Pod)) {
	p := fleet.Pod{PendingPod: pod(name, map[string]int64{"nvidia.com/" + resource: 1})}
	if change != nil {
		change(&p)
	}
	x.round.Pods = append(x.round.Pods, p)
}

func (x *table) want(want map[string]string) fleet.Outcome {
	x.t.Helper()
	out := x.planner.Plan(x.round)
	got := map[string]string{}
	for uid, node := range out.Given {
		got[string(uid)[len("uid-"):]] = node
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		x.t.Errorf("given are %v, want %v; unmet %+v", got, want, out.Unmet)
	}
	return out
}

// What exists is used first, then what can be made beside others, then what needs another mode; what is idle elsewhere is spared.
func TestWherePodsGo(t *testing.T) {
	x := newTable(t)
	x.add("a-empty", [][]string{{}}, nil)
	x.add("b-divided", [][]string{{"1g.10gb@0 by x"}}, nil)
	x.add("c-idle", [][]string{{"3g.40gb@0", "1g.10gb@4 by x"}}, nil)
	x.pod("first", "mig-3g.40gb", nil)
	x.want(map[string]string{"first": "c-idle"})
	x.pod("second", "mig-3g.40gb", nil)
	x.want(map[string]string{"first": "c-idle", "second": "b-divided"})
	x.pod("third", "mig-3g.40gb", nil)
	x.want(map[string]string{"first": "c-idle", "second": "b-divided", "third": "a-empty"})
}

// Small pods fill the GPUs that are in use and leave the empty ones to large pods.
func TestSmallPodsArePacked(t *testing.T) {
	x := newTable(t)
	x.add("a", [][]string{{}, {}}, nil)
	x.add("b", [][]string{{"2g.20gb@0 by x"}, {}}, nil)
	want := map[string]string{}
	for i := range 5 {
		x.pod(fmt.Sprint("small-", i), "mig-1g.10gb", nil)
		want[fmt.Sprint("small-", i)] = "b"
	}
	x.want(want)
}

// The more important comes first, then the older; a pod stays where it is while it can be served there, whoever else would like to.
func TestWhoComesFirst(t *testing.T) {
	x := newTable(t)
	x.add("a", [][]string{{}}, nil)
	x.pod("young", "mig-7g.80gb", func(p *fleet.Pod) { p.Created = time.Unix(2000, 0) })
	x.pod("old", "mig-7g.80gb", nil)
	x.want(map[string]string{"old": "a"})
	x.round.Pods[0].Given = "a"
	x.want(map[string]string{"young": "a"})
	x.pod("important", "mig-7g.80gb", func(p *fleet.Pod) { p.Priority, p.Created = 1, time.Unix(3000, 0) })
	x.want(map[string]string{"important": "a"})
	x.round.Pods[2].Leaving = true
	x.want(map[string]string{"young": "a"})
	x.round.Pods = append(x.round.Pods, fleet.Pod{PendingPod: pod("bound", map[string]int64{"nvidia.com/mig-1g.10gb": 1}), Given: "a", Bound: true})
	x.want(map[string]string{"bound": "a"})
}

// A pod that is bound to a node and has no device yet keeps others from its place.
func TestArrivingPodsHaveTheirPlace(t *testing.T) {
	x := newTable(t)
	x.add("a", [][]string{{}}, func(r *fleet.Report, _ *fleet.Node) {
		r.Arriving = []fleet.DemandPod{{UID: "uid-x", Name: "x", Requests: map[string]int64{"nvidia.com/mig-4g.40gb": 1}}}
	})
	x.pod("four", "mig-4g.40gb", nil)
	x.pod("three", "mig-3g.40gb", nil)
	x.want(map[string]string{"three": "a"})
}

// Pods go where the scheduler lets them: selectors, affinity, taints, CPU, memory, and other resources than ours.
func TestRulesOfTheScheduler(t *testing.T) {
	requirement := func(op corev1.NodeSelectorOperator, values ...string) func(*fleet.Pod) {
		return func(p *fleet.Pod) {
			p.NodeAffinity = &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{
				{}, {MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "gen", Operator: op, Values: values}}},
			}}}
		}
	}
	for name, c := range map[string]struct {
		facts apiserver.NodeFacts
		pod   func(*fleet.Pod)
		cause fleet.Cause // empty: it is given
	}{
		"no rules":          {},
		"selector":          {apiserver.NodeFacts{Labels: map[string]string{"zone": "b"}}, func(p *fleet.Pod) { p.NodeSelector = map[string]string{"zone": "a"} }, fleet.CauseRules},
		"selector met":      {apiserver.NodeFacts{Labels: map[string]string{"zone": "a"}}, func(p *fleet.Pod) { p.NodeSelector = map[string]string{"zone": "a"} }, ""},
		"in":                {apiserver.NodeFacts{Labels: map[string]string{"gen": "8"}}, requirement(corev1.NodeSelectorOpIn, "8", "9"), ""},
		"not in":            {apiserver.NodeFacts{Labels: map[string]string{"gen": "8"}}, requirement(corev1.NodeSelectorOpNotIn, "8"), fleet.CauseRules},
		"not in, no label":  {apiserver.NodeFacts{}, requirement(corev1.NodeSelectorOpNotIn, "8"), ""},
		"exists":            {apiserver.NodeFacts{}, requirement(corev1.NodeSelectorOpExists), fleet.CauseRules},
		"does not exist":    {apiserver.NodeFacts{}, requirement(corev1.NodeSelectorOpDoesNotExist), ""},
		"greater":           {apiserver.NodeFacts{Labels: map[string]string{"gen": "8"}}, requirement(corev1.NodeSelectorOpGt, "7"), ""},
		"less":              {apiserver.NodeFacts{Labels: map[string]string{"gen": "8"}}, requirement(corev1.NodeSelectorOpLt, "7"), fleet.CauseRules},
		"daemon's own node": {apiserver.NodeFacts{}, fieldOf("other"), fleet.CauseRules},
		"daemon's node":     {apiserver.NodeFacts{}, fieldOf("a"), ""},
		"taint":             {apiserver.NodeFacts{Taints: []corev1.Taint{{Key: "gpu", Value: "yes", Effect: corev1.TaintEffectNoSchedule}}}, nil, fleet.CauseRules},
		"taint, preferred":  {apiserver.NodeFacts{Taints: []corev1.Taint{{Key: "gpu", Effect: corev1.TaintEffectPreferNoSchedule}}}, nil, ""},
		"tolerated": {apiserver.NodeFacts{Taints: []corev1.Taint{{Key: "gpu", Value: "yes", Effect: corev1.TaintEffectNoSchedule}}}, func(p *fleet.Pod) {
			p.Tolerations = []corev1.Toleration{{Key: "gpu", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}}
		}, ""},
		"tolerates another value": {apiserver.NodeFacts{Taints: []corev1.Taint{{Key: "gpu", Value: "yes", Effect: corev1.TaintEffectNoSchedule}}}, func(p *fleet.Pod) {
			p.Tolerations = []corev1.Toleration{{Key: "gpu", Value: "no"}}
		}, fleet.CauseRules},
		"tolerates all": {apiserver.NodeFacts{Taints: []corev1.Taint{{Key: "gpu", Effect: corev1.TaintEffectNoExecute}}}, func(p *fleet.Pod) {
			p.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
		}, ""},
		"CPU":            {apiserver.NodeFacts{}, func(p *fleet.Pod) { p.MilliCPU = 64_001 }, fleet.CauseSize},
		"memory":         {apiserver.NodeFacts{}, func(p *fleet.Pod) { p.MemoryBytes = 1<<40 + 1 }, fleet.CauseSize},
		"another device": {apiserver.NodeFacts{}, func(p *fleet.Pod) { p.Requests["rdma/hca"] = 1 }, fleet.CauseSize},
		"with a device":  {apiserver.NodeFacts{Allocatable: map[string]int64{"rdma/hca": 1}}, func(p *fleet.Pod) { p.Requests["rdma/hca"] = 1 }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			x := newTable(t)
			x.add("a", [][]string{{}}, func(_ *fleet.Report, n *fleet.Node) { n.Facts = &c.facts })
			x.pod("one", "mig-1g.10gb", c.pod)
			want := map[string]string{"one": "a"}
			if c.cause != "" {
				delete(want, "one")
			}
			if out := x.want(want); c.cause != "" && (len(out.Unmet) != 1 || out.Unmet[0].Cause != c.cause) {
				t.Errorf("%+v, want %s", out.Unmet, c.cause)
			}
		})
	}
}

// fieldOf is the affinity that DaemonSets give to their pods.
func fieldOf(node string) func(*fleet.Pod) {
	return func(p *fleet.Pod) {
		p.NodeAffinity = &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{
			{MatchFields: []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{node}}}},
		}}}
	}
}

// CPU is not given twice in one round.
func TestCPUIsGivenOnce(t *testing.T) {
	x := newTable(t)
	x.add("a", [][]string{{}}, nil)
	for i := range 3 {
		x.pod(strconv.Itoa(i), "mig-1g.10gb", func(p *fleet.Pod) { p.MilliCPU = 30_000 })
	}
	x.want(map[string]string{"0": "a", "1": "a"})
}

// GPUs that the policy keeps whole stay whole.
func TestGPUsAreKeptWhole(t *testing.T) {
	x := newTable(t)
	x.add("a", [][]string{{}, {}, {}}, func(r *fleet.Report, _ *fleet.Node) { r.Policy.KeepWhole = 2 })
	x.pod("a", "mig-7g.80gb", nil)
	x.pod("b", "mig-7g.80gb", nil)
	x.pod("c", "gpu", nil)
	x.want(map[string]string{"a": "a", "c": "a"})
}

// Where it is allowed, the fewest and least important pods go so that a more important one fits, and nothing else ever does.
func TestEvictions(t *testing.T) {
	evict := func(r *fleet.Report, _ *fleet.Node) { r.Evict = true }
	important := func(p *fleet.Pod) { p.Priority = 100 }
	for name, c := range map[string]struct {
		gpus     [][]string // the priority of a holder is the length of its name, less one
		change   func(*fleet.Report, *fleet.Node)
		resource string
		pod      func(*fleet.Pod)
		victims  []string
	}{
		"it is off":                  {[][]string{{"1g.10gb@0 by a", "2g.20gb@4 by b"}}, nil, "mig-3g.40gb", important, nil},
		"one is enough":              {[][]string{{"1g.10gb@0 by a", "1g.10gb@1 by b", "2g.20gb@4 by ccc"}}, evict, "mig-3g.40gb", important, []string{"ccc"}},
		"the least important":        {[][]string{{"2g.20gb@0 by bbb", "2g.20gb@4 by cc"}}, evict, "mig-3g.40gb", important, []string{"cc"}},
		"two are needed":             {[][]string{{"1g.10gb@0 by a", "2g.20gb@4 by b"}}, evict, "mig-7g.80gb", important, []string{"a", "b"}},
		"they are as important":      {[][]string{{"1g.10gb@0 by a", "2g.20gb@4 by b"}}, evict, "mig-3g.40gb", nil, nil},
		"the same resource":          {[][]string{{"3g.40gb@0 by a", "3g.40gb@4 by b"}}, evict, "mig-3g.40gb", important, nil},
		"a whole GPU is in the way":  {[][]string{{"whole by a"}}, evict, "mig-3g.40gb", important, []string{"a"}},
		"a whole GPU is asked for":   {[][]string{{"1g.10gb@0 by a", "2g.20gb@4 by b"}, {"1g.10gb@0 by c"}}, evict, "gpu", important, []string{"c"}},
		"nobody need go":             {[][]string{{"1g.10gb@0 by a"}}, evict, "mig-3g.40gb", important, nil},
		"the node waits for another": {[][]string{{"1g.10gb@0 by a", "2g.20gb@4 by b"}}, func(r *fleet.Report, n *fleet.Node) { r.Evict, n.Evicting = true, true }, "mig-3g.40gb", important, nil},
		"they went already":          {[][]string{{"1g.10gb@0 by a", "2g.20gb@4 by b"}}, evict, "mig-3g.40gb", func(p *fleet.Pod) { p.Priority, p.Evicted = 100, true }, nil},
		"an administrator's is there": {[][]string{{"1g.10gb@0 by a", "2g.20gb@4"}}, func(r *fleet.Report, _ *fleet.Node) {
			r.Evict = true
			r.GPUs[0].Instances[1].Pinned = true
		}, "mig-7g.80gb", important, nil},
	} {
		t.Run(name, func(t *testing.T) {
			x := newTable(t)
			x.round.MayEvict = true
			x.add("a", c.gpus, c.change)
			x.pod("one", c.resource, c.pod)
			var got []string
			for _, e := range x.planner.Plan(x.round).Evictions {
				for _, v := range e.Victims {
					got = append(got, v.Name)
				}
			}
			if slices.Sort(got); !slices.Equal(got, c.victims) {
				t.Errorf("%v go, want %v", got, c.victims)
			}
		})
	}
}

// Places that are promised are arranged anew when that lets one pod more in.
func TestPromisesAreArrangedAnew(t *testing.T) {
	x := newTable(t)
	x.add("a", [][]string{{}}, nil)
	// Given before: a planner that looks at one pod after the other puts each 1g where it costs least.
	for i := range 3 {
		x.pod(fmt.Sprint("small-", i), "mig-1g.10gb", func(p *fleet.Pod) { p.Given, p.Priority = "a", 1 })
	}
	x.pod("large", "mig-4g.40gb", nil)
	x.want(map[string]string{"large": "a", "small-0": "a", "small-1": "a", "small-2": "a"})
}
