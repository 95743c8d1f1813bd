package fleet

import (
	"maps"
	"math"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/gpulet/gpulet/apiserver"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/partitioner/plan"
)

// Site is what a planner keeps of a node's report. It is made by Planner.Read and immutable.
type Site struct {
	doc        *apiserver.Document
	cells      []*cell
	vocabulary *vocabulary
	// keep is how many GPUs are to stay whole, kept how many are.
	keep, kept   int
	off          string
	evict        bool
	demand       uint64
	milliCPU     int64
	memory, pods int64
	holders      map[string]struct{} // UIDs of the pods that hold devices
	arriving     []Pod
}

// Holds reports whether a pod holds a device there.
func (s *Site) Holds(uid string) bool {
	_, held := s.holders[uid]
	return held
}

// Demand is the generation of the demand that the node takes into account.
func (s *Site) Demand() uint64 { return s.demand }

// vocabulary is what resource names mean on a node; nodes share it.
type vocabulary struct{ names map[string]plan.Resource }

// Read makes what is kept of a report.
func (p *Planner) Read(doc *apiserver.Document) (*Site, error) {
	r, err := DecodeReport(doc.Data)
	if err != nil {
		return nil, err
	}
	s := &Site{
		doc: doc, off: r.Off, evict: r.Evict, demand: r.Demand, milliCPU: r.FreeMilliCPU, memory: r.FreeMemoryBytes, pods: r.FreePods,
		vocabulary: p.vocabulary(r.Resources), keep: r.Policy.KeepWhole,
	}
	for i := range r.GPUs {
		g := &r.GPUs[i].GPU
		c := p.memory.cell(p.memory.stateOf(g, &r.Policy))
		s.cells = append(s.cells, c)
		s.kept += c.keeps()
		for _, claim := range g.Claims {
			if claim.Whole {
				s.keep--
				break
			}
		}
	}
	s.keep = max(min(s.keep, s.kept), 0)
	if len(r.Holders) > 0 {
		s.holders = make(map[string]struct{}, len(r.Holders))
		for _, h := range r.Holders {
			s.holders[h.UID] = struct{}{}
		}
	}
	for _, d := range r.Arriving {
		s.arriving = append(s.arriving, Pod{Bound: true, Given: r.Node, PendingPod: &apiserver.PendingPod{
			UID: types.UID(d.UID), Namespace: d.Namespace, Name: d.Name, Priority: math.MaxInt32, Requests: d.Requests,
		}})
	}
	return s, nil
}

// Arrives reports whether a pod is bound there and has no devices yet.
func (s *Site) Arrives(uid string) bool {
	return slices.ContainsFunc(s.arriving, func(p Pod) bool { return string(p.UID) == uid })
}

// vocabulary finds the one with the same meanings, or makes it.
func (p *Planner) vocabulary(resources map[string]string) *vocabulary {
	var key strings.Builder
	for _, name := range slices.Sorted(maps.Keys(resources)) {
		key.WriteString(name + "=" + resources[name] + ";")
	}
	if v := p.vocabularies[key.String()]; v != nil {
		return v
	}
	v := &vocabulary{names: map[string]plan.Resource{}}
	for name, profile := range resources {
		if profile == "" {
			v.names[name] = plan.Resource{}
		} else if parsed, err := mig.ParseProfile(profile); err == nil {
			v.names[name] = plan.Resource{Profile: parsed}
		}
	}
	if len(p.vocabularies) > 1000 {
		clear(p.vocabularies)
		clear(p.meanings)
	}
	p.vocabularies[key.String()] = v
	return v
}

// bench is a node while a round gives pods to it.
type bench struct {
	*Site
	facts        *apiserver.NodeFacts
	name         string
	cells        []*cell
	kept         int // GPUs that are whole, or were given as a whole
	milliCPU     int64
	memory, pods int64
	given        []*Pod
	kinds        map[int]int // devices given, by number of the resource
	version      uint32
}

// maxKinds and maxEach bound what one node is asked for at once: less than one plan looks at.
const maxKinds, maxEach = 12, 100

// part is a number of devices of one resource.
type part struct{ resource, count int }

// cheapest is the GPU that gives one more device at the least cost, -1 for none.
func (b *bench) cheapest(cells []*cell, kept, resource int) (at int, best cost) {
	at, best = -1, noWay
	for i, c := range cells {
		if a := c.give(resource); a.cost < best && (b.keep == 0 || kept-c.keeps()+a.next.keeps() >= b.keep) {
			at, best = i, a.cost
		}
	}
	return at, best
}

// room reports whether a plan of the node would look at so many devices.
func (b *bench) room(parts []part) bool {
	fresh := 0
	for _, p := range parts {
		if b.kinds[p.resource]+p.count > maxEach {
			return false
		}
		if b.kinds[p.resource] == 0 {
			fresh++
		}
	}
	return len(b.kinds)+fresh <= maxKinds
}

// serve finds places for all that a pod asks for, one device after the other. The result is in scratch.
func (b *bench) serve(parts []part, scratch []*cell) (total cost, kept int, cells []*cell) {
	scratch = append(scratch[:0], b.cells...)
	cells, kept = scratch, b.kept
	if !b.room(parts) {
		return noWay, 0, nil
	}
	for _, p := range parts {
		for range p.count {
			at, best := b.cheapest(cells, kept, p.resource)
			if at < 0 {
				return noWay, 0, nil
			}
			next := cells[at].give(p.resource).next
			kept += next.keeps() - cells[at].keeps()
			total += best
			cells[at] = next
		}
	}
	return total, kept, cells
}

// price orders nodes: by the cost of serving, then those with the fewest GPUs untouched first.
func (b *bench) price(parts []part, scratch []*cell) cost {
	total := noWay
	if len(parts) == 1 && parts[0].count == 1 {
		if b.room(parts) {
			_, total = b.cheapest(b.cells, b.kept, parts[0].resource)
		}
	} else {
		total, _, _ = b.serve(parts, scratch)
	}
	if total == noWay {
		return noWay
	}
	untouched := 0
	for _, c := range b.cells {
		if !c.touched {
			untouched++
		}
	}
	return min(total, noWay>>7)<<6 | cost(min(untouched, 63))
}

// take gives a pod its place.
func (b *bench) take(pod *Pod, parts []part, scratch []*cell) bool {
	total, kept, cells := b.serve(parts, scratch)
	if total == noWay {
		return false
	}
	b.settle(pod, parts, slices.Clone(cells), kept)
	return true
}

func (b *bench) settle(pod *Pod, parts []part, cells []*cell, kept int) {
	b.cells, b.kept = cells, kept
	if b.kinds == nil {
		b.kinds = map[int]int{}
	}
	for _, p := range parts {
		b.kinds[p.resource] += p.count
	}
	b.milliCPU -= pod.MilliCPU
	b.memory -= pod.MemoryBytes
	b.pods--
	b.given = append(b.given, pod)
	b.version++
}

// exact asks the planner of nodes whether all that was given here and one pod more can be served, and takes its word for the places.
func (b *bench) exact(m *memory, pod *Pod, parts []part) bool {
	r, err := DecodeReport(b.doc.Data)
	if err != nil {
		return false
	}
	in := plan.Input{Policy: r.Policy}
	at := map[gpu.UUID]int{}
	for i := range r.GPUs {
		in.GPUs = append(in.GPUs, r.GPUs[i].GPU)
		at[r.GPUs[i].UUID] = i
	}
	for _, q := range append(slices.Clone(b.given), pod) {
		in.Demands = append(in.Demands, demandOf(b.vocabulary, q))
	}
	p := m.planner.Plan(in)
	if len(p.Grants) < len(in.Demands) {
		return false
	}
	states := make([]state, len(b.Site.cells))
	for i, c := range b.Site.cells {
		states[i] = c.state
	}
	for _, g := range p.Grants {
		for _, d := range g.Devices {
			s := &states[at[d.GPU]]
			if d.Kind == gpu.Whole {
				*s = s.taken()
				continue
			}
			i := s.find(d.Slot)
			switch {
			case i < 0:
				return false
			case s.lent>>i&1 == 1 || s.due>>i&1 == 1:
				s.lent &^= 1 << i
				s.due &^= 1 << i
			default:
				*s = s.with(i)
			}
		}
	}
	cells := make([]*cell, len(states))
	kept := 0
	for i, s := range states {
		cells[i] = m.cell(s)
		kept += cells[i].keeps()
	}
	b.settle(pod, parts, cells, kept)
	return true
}

// demandOf is a pod as a node's planner sees it.
func demandOf(v *vocabulary, p *Pod) plan.Demand {
	d := plan.Demand{ID: string(p.UID), Name: "pod " + p.Namespace + "/" + p.Name, Priority: int(p.Priority), Age: -p.Created.Unix()}
	for _, name := range slices.Sorted(maps.Keys(p.Requests)) {
		if r, known := v.names[name]; known && p.Requests[name] > 0 {
			d.Asks = append(d.Asks, plan.Ask{Resource: r, Count: int(p.Requests[name])})
		}
	}
	return d
}
