package fleet

import (
	"cmp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/gpulet/gpulet/apiserver"
	"github.com/gpulet/gpulet/partitioner/plan"
)

// Planner gives pods to nodes. It is pure but for a memory that only saves time; it is used by one goroutine at a time.
type Planner struct {
	memory       *memory
	vocabularies map[string]*vocabulary
	meanings     map[meaning][]part
	keys         map[*apiserver.PendingPod]string
}

// NewPlanner makes a Planner.
func NewPlanner() *Planner {
	return &Planner{memory: newMemory(), vocabularies: map[string]*vocabulary{}, meanings: map[meaning][]part{}, keys: map[*apiserver.PendingPod]string{}}
}

// meaning is a request in the words of some nodes.
type meaning struct {
	requests string
	*vocabulary
}

// Round is all that one round of planning looks at.
type Round struct {
	// Nodes are by name. Their order decides between nodes that are alike.
	Nodes []Node
	Pods  []Pod
	// MayEvict: pods may be evicted in this round, where the nodes let it.
	MayEvict bool
}

// Node is a node in a round.
type Node struct {
	Facts *apiserver.NodeFacts
	Site  *Site
	// Out is why nothing is given here now, as a cause; empty when something may.
	Out Cause
	// Keep: it is out, and keeps what it was given for a while.
	Keep bool
	// Evicting: it waits for pods that were evicted; no more are.
	Evicting bool
}

// Pod is a pod that waits.
type Pod struct {
	*apiserver.PendingPod
	// Given is the node that it was given to, and stays with while that can serve it.
	Given string
	// Leaving: the node that it was given to before may still serve it, so it is given to nobody.
	Leaving bool
	// Bound: it went from the list of those that wait, and the node's report does not have it yet. Its place is kept.
	Bound bool
	// Evicted: pods were evicted for it, so no others are.
	Evicted bool
}

// Outcome is what a round decides.
type Outcome struct {
	// Given is the node of each pod that has one, those that are Bound included.
	Given map[types.UID]string
	// Unmet are the pods that have none, in the order of service.
	Unmet []Unmet
	// Evictions are to be asked for.
	Evictions []Eviction
}

// round is one round in the making.
type round struct {
	*Planner
	in      Round
	benches []*bench // by node; nil for those that are out
	at      map[string]int
	rules   map[string]*rules
	asks    map[string]*ask
	out     Outcome
	tries   int // of the exact planner, for pods that found no place
	scratch []*cell
}

// ask is what pods request, with the price at each node as far as it is known.
type ask struct {
	key    string
	prices []price
	parts  map[*vocabulary][]part
}

type price struct {
	cost    cost
	version uint32 // of the bench, plus one; 0: unknown
	lacks   bool   // resources that are not gpulet's
}

// exactTries bounds what the exact planner of nodes is asked in one round, besides once for each pod that was given before.
const exactTries = 16

// Plan gives pods to nodes: those of higher priority first, among equals first those that were given already, then the oldest.
func (p *Planner) Plan(in Round) Outcome {
	r := &round{
		Planner: p, in: in, at: make(map[string]int, len(in.Nodes)), rules: map[string]*rules{}, asks: map[string]*ask{},
		out: Outcome{Given: map[types.UID]string{}}, tries: exactTries, benches: make([]*bench, len(in.Nodes)),
	}
	store := make([]bench, len(in.Nodes))
	for i, n := range in.Nodes {
		r.at[n.Facts.Name] = i
		if n.Site != nil {
			store[i] = bench{
				Site: n.Site, facts: n.Facts, name: n.Facts.Name, cells: n.Site.cells, kept: n.Site.kept,
				milliCPU: n.Site.milliCPU, memory: n.Site.memory, pods: n.Site.pods,
			}
			r.benches[i] = &store[i]
		}
	}
	known := make(map[types.UID]struct{}, len(in.Pods))
	for i := range in.Pods {
		known[in.Pods[i].UID] = struct{}{}
	}
	for _, b := range r.benches {
		if b != nil {
			r.arrive(b, known)
		}
	}
	pods := make([]*Pod, 0, len(in.Pods))
	for i := range in.Pods {
		pods = append(pods, &in.Pods[i])
	}
	slices.SortFunc(pods, func(a, b *Pod) int {
		return cmp.Or(-order(a.Bound, b.Bound), -cmp.Compare(a.Priority, b.Priority), -order(a.Given != "", b.Given != ""), a.Created.Compare(b.Created), strings.Compare(string(a.UID), string(b.UID)))
	})
	keys := make(map[*apiserver.PendingPod]string, len(pods))
	for _, pod := range pods {
		key, known := p.keys[pod.PendingPod]
		if !known {
			key = rulesKey(pod.PendingPod)
		}
		keys[pod.PendingPod] = key
	}
	p.keys = keys
	for _, pod := range pods {
		r.place(pod)
	}
	return r.out
}

// arrive keeps the places of pods that are bound to a node and have no devices yet. Their CPU and memory are not free any more.
func (r *round) arrive(b *bench, known map[types.UID]struct{}) {
	for i := range b.arriving {
		pod := &b.arriving[i]
		if _, listed := known[pod.UID]; listed {
			continue
		}
		if parts := r.parts(r.ask(pod), b.vocabulary, pod); parts != nil && !b.take(pod, parts, r.scratch) {
			b.exact(r.memory, pod, parts)
		}
	}
}

func order(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

func (r *round) place(pod *Pod) {
	if pod.Leaving {
		r.out.Unmet = append(r.out.Unmet, Unmet{Pod: pod.PendingPod, Cause: CauseLeaving})
		return
	}
	a := r.ask(pod)
	if pod.Given != "" && r.stay(pod, a) {
		r.out.Given[pod.UID] = pod.Given
		return
	}
	if pod.Bound {
		return
	}
	best, at := noWay, -1
	rule := r.rule(pod)
	for i, b := range r.benches {
		if b == nil || r.in.Nodes[i].Out != "" || !b.fits(pod) {
			continue
		}
		if c := r.price(a, i, pod); c < best && rule.allow(i, b.facts) {
			best, at = c, i
		}
	}
	if at >= 0 && r.benches[at].take(pod, r.parts(a, r.benches[at].vocabulary, pod), r.scratch) {
		r.out.Given[pod.UID] = r.benches[at].name
		return
	}
	r.unmet(pod, a, rule)
}

// stay keeps a pod at the node that it was given to, if that can still serve it.
func (r *round) stay(pod *Pod, a *ask) bool {
	i, known := r.at[pod.Given]
	if !known || r.benches[i] == nil {
		return false
	}
	b := r.benches[i]
	parts := r.parts(a, b.vocabulary, pod)
	if parts == nil {
		return pod.Bound
	}
	if n := &r.in.Nodes[i]; !pod.Bound && (n.Out != "" && !n.Keep || !b.fits(pod) || !b.others(pod) || !r.rule(pod).allow(i, b.facts)) {
		return false
	}
	return b.take(pod, parts, r.scratch) || b.exact(r.memory, pod, parts) || pod.Bound
}

// fits reports whether CPU, memory and the number of pods suffice.
func (b *bench) fits(pod *Pod) bool {
	return b.pods > 0 && pod.MilliCPU <= b.milliCPU && pod.MemoryBytes <= b.memory
}

func (r *round) rule(pod *Pod) *rules {
	key := r.keys[pod.PendingPod]
	u := r.rules[key]
	if u == nil {
		u = &rules{pod: pod.PendingPod, known: make([]uint8, len(r.benches))}
		r.rules[key] = u
	}
	return u
}

func (r *round) ask(pod *Pod) *ask {
	key := requestKey(pod.Requests)
	a := r.asks[key]
	if a == nil {
		a = &ask{key: key, prices: make([]price, len(r.benches)), parts: map[*vocabulary][]part{}}
		r.asks[key] = a
	}
	return a
}

func (r *round) price(a *ask, i int, pod *Pod) cost {
	b, p := r.benches[i], &a.prices[i]
	if p.version == b.version+1 {
		return p.cost
	}
	p.version, p.cost = b.version+1, noWay
	parts := r.parts(a, b.vocabulary, pod)
	if p.lacks = parts != nil && !b.others(pod); parts != nil && !p.lacks {
		if cap(r.scratch) < len(b.cells) {
			r.scratch = make([]*cell, 0, maxGPUs)
		}
		p.cost = b.price(parts, r.scratch)
	}
	return p.cost
}

// others reports whether the node has the resources that gpulet does not serve there; how many of them are free is the scheduler's matter.
func (b *bench) others(pod *Pod) bool {
	for name, n := range pod.Requests {
		if _, served := b.vocabulary.names[name]; !served && b.facts.Allocatable[name] < n {
			return false
		}
	}
	return true
}

// parts are what a request means at nodes of a vocabulary, the largest first; nil when they serve none of it.
func (p *Planner) parts(a *ask, v *vocabulary, pod *Pod) []part {
	if parts, known := a.parts[v]; known {
		return parts
	}
	key := meaning{a.key, v}
	if parts, known := p.meanings[key]; known {
		a.parts[v] = parts
		return parts
	}
	var asks []plan.Ask
	for name, n := range pod.Requests {
		if res, served := v.names[name]; served && n > 0 {
			asks = append(asks, plan.Ask{Resource: res, Count: int(min(n, maxEach+1))})
		}
	}
	slices.SortFunc(asks, func(a, b plan.Ask) int {
		p, q := a.Resource.Profile, b.Resource.Profile
		return cmp.Or(-order(a.Resource.Whole(), b.Resource.Whole()), cmp.Compare(q.Slices, p.Slices), cmp.Compare(q.MemoryGB, p.MemoryGB), strings.Compare(p.Attributes, q.Attributes))
	})
	var parts []part
	for _, x := range asks {
		parts = append(parts, part{p.memory.number(x.Resource), x.Count})
	}
	if len(p.meanings) > 10_000 {
		clear(p.meanings)
	}
	p.meanings[key], a.parts[v] = parts, parts
	return parts
}
