package partitioner

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/kubelet"
	"github.com/gpulet/gpulet/partitioner/plan"
)

const (
	// linger is how long a demand lives that the planner leaves out: its word may be on the way.
	linger = 5 * time.Second
	// boundPriority is that of a pod that is bound to this node: nothing comes before it.
	boundPriority = 1 << 40
)

// want is a pod that waits, as the loop remembers it.
type want struct {
	Demand
	first, last time.Time // when it was heard of
	since       time.Time // when it began to wait
	bound       bool
}

// demand is what waits for this node, in a stable order.
func (p *Partitioner) demand(f *facts) (out []plan.Demand) {
	p.hear(f)
	p.hearBound(f)
	for id, w := range p.wants {
		if p.over(f, w) {
			delete(p.wants, id)
			delete(p.told, id)
			continue
		}
		d := w.Demand.Demand
		if d.Asks = rest(d.Asks, f, kubelet.UID(id)); len(d.Asks) == 0 {
			delete(p.wants, id)
			continue
		}
		d.Age = int64(p.begun.Sub(w.since) / time.Second)
		if f.settings.AgedAfter > 0 {
			old := w.since.Add(f.settings.AgedAfter)
			f.at(old)
			d.Aged = d.Aged || !f.now.Before(old)
		}
		if w.bound {
			d.Priority = boundPriority
		}
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b plan.Demand) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// hear takes what the planner of the cluster says.
func (p *Partitioner) hear(f *facts) {
	if f.demands == nil || !f.settings.OnDemand {
		return
	}
	for _, d := range f.demands.Pods {
		if d.ID != "" {
			p.note(f, d, false)
		}
	}
}

// hearBound takes pods that are bound to this node and were not admitted yet: what they ask for must not go elsewhere.
func (p *Partitioner) hearBound(f *facts) {
	if f.pods == nil {
		return
	}
	for uid, pod := range f.pods.ByUID {
		if pod.Admitted || pod.Ended || pod.Deleting {
			continue
		}
		if asks := asksOf(pod, f.resources); len(asks) > 0 {
			d := Demand{Demand: plan.Demand{ID: string(uid), Asks: asks}, Namespace: pod.Namespace, Pod: pod.Name}
			p.note(f, d, true)
		}
	}
}

func (p *Partitioner) note(f *facts, d Demand, bound bool) {
	w := p.wants[d.ID]
	if w == nil {
		if len(rest(d.Asks, f, kubelet.UID(d.ID))) == 0 || settled(f, d.ID) {
			return
		}
		w = &want{first: f.now, since: f.now.Add(-time.Duration(d.Age) * time.Second)}
		p.wants[d.ID] = w
		p.asked.add(d.Asks, f.now)
	}
	if !w.bound || bound {
		w.Demand = d
	}
	w.last, w.bound = f.now, w.bound || bound
	w.Name = cmp.Or(d.Name, "pod "+d.Namespace+"/"+d.Pod)
}

// settled reports whether a pod of this node waits no more.
func settled(f *facts, id string) bool {
	if f.pods == nil {
		return false
	}
	pod, here := f.pods.ByUID[kubelet.UID(id)]
	return here && (pod.Ended || pod.Deleting || pod.Admitted)
}

// over reports whether a demand has ended: its pod waits no more, or it was left out for long enough.
func (p *Partitioner) over(f *facts, w *want) bool {
	if settled(f, w.ID) {
		return true
	}
	if w.last.Equal(f.now) {
		return false
	}
	end := w.last.Add(linger)
	f.at(end)
	return !f.now.Before(end)
}

// rest is what a pod asks for without what it has.
func rest(asks []plan.Ask, f *facts, pod kubelet.UID) (out []plan.Ask) {
	has := map[plan.Resource]int{}
	seen := map[gpu.Device]bool{}
	for _, c := range f.claimed {
		if c.pod == pod && pod != "" && !seen[c.device] {
			seen[c.device] = true
			has[resourceOf(c.device)]++
		}
	}
	for _, a := range asks {
		less := min(a.Count, has[a.Resource])
		has[a.Resource] -= less
		if a.Count -= less; a.Count > 0 {
			out = append(out, a)
		}
	}
	return out
}

func resourceOf(d gpu.Device) plan.Resource {
	if d.Kind == gpu.Whole {
		return plan.Resource{}
	}
	return plan.Resource{Profile: d.Slot.Profile}
}

// asksOf is what a pod asks for at once: init containers give back before the others start, sidecars stay.
func asksOf(pod kubelet.Pod, resources map[string]mig.Profile) (out []plan.Ask) {
	most, stay := map[string]int64{}, map[string]int64{}
	for _, c := range pod.Containers {
		for name, n := range c.Requests {
			if _, ours := resources[name]; !ours {
				continue
			}
			if c.Init && !c.Sidecar {
				most[name] = max(most[name], stay[name]+n)
				continue
			}
			stay[name] += n
		}
	}
	for name, n := range stay {
		most[name] = max(most[name], n)
	}
	for _, name := range slices.Sorted(maps.Keys(most)) {
		if most[name] > 0 {
			out = append(out, plan.Ask{Resource: plan.Resource{Profile: resources[name]}, Count: int(most[name])})
		}
	}
	return out
}
