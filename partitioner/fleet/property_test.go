package fleet_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"github.com/gpulet/gpulet/apiserver"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/partitioner/fleet"
	"github.com/gpulet/gpulet/partitioner/fleet/fleettest"
	"github.com/gpulet/gpulet/partitioner/plan"
)

// geometries are those of the simulated models.
func geometries(t testing.TB) (out []mig.Geometry) {
	t.Helper()
	for _, shape := range []string{"a30x4", "dgx-a100", "hgx-h100", "rtx6000x4"} {
		g, err := fleettest.Geometry(shape)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, g)
	}
	return out
}

// site makes a node of a round of a report, and facts that let everything in.
func site(t interface{ Fatal(...any) }, p *fleet.Planner, r *fleet.Report) fleet.Node {
	data, err := fleet.EncodeReport(r)
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.Read(&apiserver.Document{Name: r.Node, Data: data})
	if err != nil {
		t.Fatal(err)
	}
	return fleet.Node{Facts: &apiserver.NodeFacts{Name: r.Node, Ready: true, MilliCPU: 96_000, MemoryBytes: 1 << 40, Pods: 110}, Site: s}
}

func pod(name string, requests map[string]int64) *apiserver.PendingPod {
	return &apiserver.PendingPod{
		UID: types.UID("uid-" + name), Namespace: "team", Name: name, Created: time.Unix(1000, 0), Unschedulable: true, Requests: requests,
	}
}

// report draws a node in any state that agents may tell, contradictions included.
func report(t *rapid.T, all []mig.Geometry, name string) *fleet.Report {
	g := all[rapid.IntRange(0, len(all)-1).Draw(t, "geometry")]
	r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
	out := fleettest.Node(r, name, g, rapid.IntRange(1, 4).Draw(t, "gpus"), rapid.Float64Range(0, 1).Draw(t, "load"))
	slots := fleettest.Slots(g)
	for i := range out.GPUs {
		x := &out.GPUs[i].GPU
		x.Role = plan.Role(rapid.IntRange(0, 4).Draw(t, "role") * rapid.IntRange(0, 1).Draw(t, "odd"))
		x.Mode.May = rapid.IntRange(0, 3).Draw(t, "may") > 0
		x.Cooling = rapid.IntRange(0, 3).Draw(t, "cooling") == 0
		if rapid.IntRange(0, 9).Draw(t, "out") == 0 {
			x.Out = "it is cordoned"
		}
		if rapid.IntRange(0, 9).Draw(t, "foreign") == 0 {
			for j := range x.Instances {
				x.Instances[j].Pinned = true
			}
		}
		if rapid.IntRange(0, 9).Draw(t, "wrong") == 0 {
			x.Instances = append(x.Instances, plan.Instance{Slot: slots[r.IntN(len(slots))], Held: rapid.SampledFrom([]string{"", "python"}).Draw(t, "held")})
		}
		if x.Role == plan.Declared {
			for range r.IntN(3) {
				x.Declared = append(x.Declared, plan.Count{Profile: g.Profiles[r.IntN(len(g.Profiles))].Profile, Count: 1 + r.IntN(3)})
			}
		}
		if rapid.IntRange(0, 9).Draw(t, "apart") == 0 {
			x.Apart = [][2]mig.Profile{{g.Profiles[r.IntN(len(g.Profiles))].Profile, g.Profiles[r.IntN(len(g.Profiles))].Profile}}
		}
	}
	out.Policy.KeepWhole = rapid.IntRange(0, 3).Draw(t, "keep") * rapid.IntRange(0, 1).Draw(t, "keeps")
	if rapid.IntRange(0, 3).Draw(t, "limited") == 0 {
		out.Policy.Allowed = []mig.Profile{}
		for _, p := range g.Profiles {
			if r.IntN(2) == 0 {
				out.Policy.Allowed = append(out.Policy.Allowed, p.Profile)
			}
		}
	}
	if rapid.IntRange(0, 3).Draw(t, "spares") == 0 {
		out.Policy.Spares = []plan.Count{{Profile: g.Profiles[r.IntN(len(g.Profiles))].Profile, Count: 1 + r.IntN(3)}}
	}
	return out
}

// A pod that is given to a node is served there: the planner of the cluster claims no room that the node's own planner does not have.
func TestWhatIsGivenFits(t *testing.T) {
	all := geometries(t)
	exact, planner := plan.New(), fleet.NewPlanner()
	given, refused := 0, 0
	check(t, func(t *rapid.T) {
		reports := map[string]*fleet.Report{}
		var in fleet.Round
		for i := range rapid.IntRange(1, 3).Draw(t, "nodes") {
			r := report(t, all, fmt.Sprint("node-", i))
			reports[r.Node] = r
			in.Nodes = append(in.Nodes, site(t, planner, r))
		}
		for i := range rapid.IntRange(1, 12).Draw(t, "pods") {
			g := all[rapid.IntRange(0, len(all)-1).Draw(t, "of")]
			requests := map[string]int64{}
			for range rapid.SampledFrom([]int{1, 1, 1, 2}).Draw(t, "asks") {
				requests[drawResource(t, g)] = rapid.SampledFrom([]int64{1, 1, 1, 2, 3}).Draw(t, "count")
			}
			p := pod(fmt.Sprint("pod-", i), requests)
			p.Priority = rapid.Int32Range(0, 2).Draw(t, "priority")
			p.Created = time.Unix(int64(rapid.IntRange(1, 100).Draw(t, "created")), 0)
			x := fleet.Pod{PendingPod: p}
			if rapid.IntRange(0, 3).Draw(t, "sticky") == 0 {
				x.Given = fmt.Sprint("node-", rapid.IntRange(0, 3).Draw(t, "at"))
			}
			in.Pods = append(in.Pods, x)
		}
		out := planner.Plan(in)
		if again := fleet.NewPlanner(); !sameGiven(out.Given, again.Plan(reread(t, again, in, reports)).Given) {
			t.Fatalf("another planner decides differently")
		}
		for name, r := range reports {
			ni := plan.Input{Policy: r.Policy}
			for i := range r.GPUs {
				ni.GPUs = append(ni.GPUs, r.GPUs[i].GPU)
			}
			for _, p := range in.Pods {
				if out.Given[p.UID] != name {
					continue
				}
				d := plan.Demand{ID: string(p.UID), Priority: int(p.Priority), Age: -p.Created.Unix()}
				for res, n := range p.Requests {
					if text, ok := r.Resources[res]; ok {
						profile, _ := mig.ParseProfile(text)
						d.Asks = append(d.Asks, plan.Ask{Resource: plan.Resource{Profile: profile}, Count: int(n)})
					} else {
						t.Fatalf("%s asks for %s, which %s does not have", p.Name, res, name)
					}
				}
				ni.Demands = append(ni.Demands, d)
			}
			np := exact.Plan(ni)
			given += len(ni.Demands)
			if len(np.Grants) != len(ni.Demands) {
				t.Fatalf("%s was given %d pods and serves %d: %+v\nGPUs %+v\npolicy %+v", name, len(ni.Demands), len(np.Grants), np.Unmet, r.GPUs, r.Policy)
			}
		}
		for _, u := range out.Unmet {
			for name, r := range reports {
				ni := plan.Input{Policy: r.Policy}
				for i := range r.GPUs {
					ni.GPUs = append(ni.GPUs, r.GPUs[i].GPU)
				}
				alone := !slices.ContainsFunc(in.Pods, func(p fleet.Pod) bool { return out.Given[p.UID] == name })
				d := plan.Demand{ID: "x"}
				for res, n := range u.Pod.Requests {
					profile, _ := mig.ParseProfile(r.Resources[res])
					d.Asks = append(d.Asks, plan.Ask{Resource: plan.Resource{Profile: profile}, Count: int(n)})
					_, ok := r.Resources[res]
					alone = alone && ok
				}
				ni.Demands = []plan.Demand{d}
				if alone && len(exact.Plan(ni).Grants) == 1 {
					refused++
				}
			}
		}
	})
	t.Logf("%d pods given; %d were refused that a node could have served alone", given, refused)
	if given == 0 {
		t.Error("nothing was given")
	}
}

// A pod stays with its node as long as that can serve it with all others that it was given.
func TestWhatWasGivenStays(t *testing.T) {
	all := geometries(t)
	exact, planner := plan.New(), fleet.NewPlanner()
	kept := 0
	check(t, func(t *rapid.T) {
		r := report(t, all, "node-a")
		in := fleet.Round{Nodes: []fleet.Node{site(t, planner, r)}}
		ni := plan.Input{Policy: r.Policy}
		for i := range r.GPUs {
			ni.GPUs = append(ni.GPUs, r.GPUs[i].GPU)
		}
		for i := range rapid.IntRange(1, 12).Draw(t, "pods") {
			res := drawResource(t, r.Geometries[0])
			p := pod(fmt.Sprint("pod-", i), map[string]int64{res: 1})
			profile, _ := mig.ParseProfile(r.Resources[res])
			ni.Demands = append(ni.Demands, plan.Demand{ID: string(p.UID), Asks: []plan.Ask{{Resource: plan.Resource{Profile: profile}, Count: 1}}})
			in.Pods = append(in.Pods, fleet.Pod{PendingPod: p, Given: "node-a"})
		}
		if len(exact.Plan(ni).Grants) < len(ni.Demands) {
			t.Skip("the node cannot serve all of them")
		}
		kept++
		if out := planner.Plan(in); len(out.Given) != len(in.Pods) {
			t.Fatalf("of %d pods %d stay: %+v", len(in.Pods), len(out.Given), out.Unmet)
		}
	})
	t.Logf("%d nodes", kept)
}

// check is rapid.Check a few times over: what it looks for is rare.
func check(t *testing.T, f func(*rapid.T)) {
	for range 8 {
		rapid.Check(t, f)
	}
}

// drawResource is a resource of GPUs of a geometry, base profiles more often.
func drawResource(t *rapid.T, g mig.Geometry) string {
	if rapid.IntRange(0, 2).Draw(t, "any") == 0 {
		return fleettest.Resource(g.Profiles[rapid.IntRange(0, len(g.Profiles)-1).Draw(t, "profile")].Profile)
	}
	mix := fleettest.Mix(g)
	return fleettest.Resource(mix[rapid.IntRange(0, len(mix)-1).Draw(t, "profile")])
}

func sameGiven(a, b map[types.UID]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

// reread gives a round to another planner, its pods in another order.
func reread(t *rapid.T, p *fleet.Planner, in fleet.Round, reports map[string]*fleet.Report) (out fleet.Round) {
	for _, n := range in.Nodes {
		out.Nodes = append(out.Nodes, site(t, p, reports[n.Facts.Name]))
	}
	out.Pods = slices.Clone(in.Pods)
	slices.Reverse(out.Pods)
	return out
}
