package fleet

import (
	"cmp"
	"slices"
	"strings"

	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/partitioner/plan"
)

// Eviction is the way to make room for a pod on a node: Victims are to go.
type Eviction struct {
	Node    string
	Victims []Holder
	For     *Pod
	// Resource is what it waits for, for people: "3g.40gb".
	Resource string
}

// The bounds of the search for pods to evict: nodes and sets of pods that are looked at for one pod that waits, and pods that wait
// in one round.
const (
	evictNodes  = 50
	evictChecks = 10
	evictPods   = 4
)

// evict finds the fewest pods, of these the least important, whose end lets a pod in.
func (r *round) evict(pod *Pod, a *ask, rule *rules) {
	if len(r.out.Evictions) >= evictPods {
		return
	}
	var all []ending
	nodes := 0
	for i, b := range r.benches {
		if b == nil || !b.evict || r.in.Nodes[i].Evicting || r.obstacle(pod, a, rule, i) != CauseHeld {
			continue
		}
		if slices.ContainsFunc(r.out.Evictions, func(e Eviction) bool { return e.Node == b.name }) {
			continue
		}
		if nodes++; nodes > evictNodes {
			break
		}
		all = append(all, r.endings(pod, b)...)
	}
	slices.SortStableFunc(all, func(x, y ending) int {
		return cmp.Or(cmp.Compare(len(x.victims), len(y.victims)), cmp.Compare(x.highest, y.highest))
	})
	for _, e := range all[:min(len(all), evictChecks)] {
		if e.opens(r.memory, pod) {
			r.out.Evictions = append(r.out.Evictions, Eviction{Node: e.bench.name, Victims: e.victims, For: pod, Resource: e.resource})
			return
		}
	}
}

// ending is a set of pods of a node that are in the way of a pod.
type ending struct {
	bench    *bench
	report   *Report
	victims  []Holder
	names    []string // as claims have them
	highest  int32
	resource string
}

// endings are the sets of pods each of which alone is in the way at one place, for a pod that asks for one device. Where pods with
// the same resource are in the way it is the scheduler that knows, and it preempts them itself.
func (r *round) endings(pod *Pod, b *bench) (out []ending) {
	report, err := DecodeReport(b.doc.Data)
	if err != nil {
		return nil
	}
	asks := demandOf(b.vocabulary, pod).Asks
	if len(asks) != 1 || asks[0].Count != 1 {
		return nil
	}
	want := asks[0].Resource
	for i := range report.GPUs {
		g := &report.GPUs[i].GPU
		if want.Whole() {
			out = appendEnding(out, pod, ending{bench: b, report: report, resource: "a whole GPU"}, g, func(plan.Claim) bool { return true }, want)
			continue
		}
		for j := range g.Geometry.Profiles {
			p := &g.Geometry.Profiles[j]
			if p.Profile != want.Profile {
				continue
			}
			for _, at := range p.Placements {
				in := func(c plan.Claim) bool { return c.Whole || c.Slot.Placement.Overlaps(at) }
				out = appendEnding(out, pod, ending{bench: b, report: report, resource: want.Profile.String()}, g, in, want)
			}
		}
	}
	return out
}

// appendEnding adds the pods whose claims are in the way on a GPU, if all of them are known, less important, and hold something else.
func appendEnding(out []ending, pod *Pod, e ending, g *plan.GPU, inTheWay func(plan.Claim) bool, want plan.Resource) []ending {
	for _, c := range g.Claims {
		if !inTheWay(c) || slices.Contains(e.names, c.Holder) {
			continue
		}
		h, known := e.report.Holders[c.Holder]
		if !known || h.UID == "" || h.Priority >= pod.Priority || c.Whole && want.Whole() || !c.Whole && c.Slot.Profile == want.Profile && want.Profile != (mig.Profile{}) {
			return out
		}
		if len(e.victims) == 0 || h.Priority > e.highest {
			e.highest = h.Priority
		}
		e.victims, e.names = append(e.victims, h), append(e.names, c.Holder)
	}
	if len(e.victims) == 0 {
		return out
	}
	slices.SortFunc(e.victims, func(a, b Holder) int { return strings.Compare(a.UID, b.UID) })
	return append(out, e)
}

// opens asks the planner of nodes whether the pod, and all that the node was given, is served once they are gone.
func (e *ending) opens(m *memory, pod *Pod) bool {
	in := plan.Input{Policy: e.report.Policy}
	for i := range e.report.GPUs {
		g := e.report.GPUs[i].GPU
		g.Claims = slices.DeleteFunc(slices.Clone(g.Claims), func(c plan.Claim) bool { return slices.Contains(e.names, c.Holder) })
		in.GPUs = append(in.GPUs, g)
	}
	for _, q := range append(slices.Clone(e.bench.given), pod) {
		in.Demands = append(in.Demands, demandOf(e.bench.vocabulary, q))
	}
	return len(m.planner.Plan(in).Grants) == len(in.Demands)
}
