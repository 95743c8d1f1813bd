package plan

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

// result writes the plan down.
func (r *run) result() Plan {
	p := Plan{Cost: costOf(r.cost), Exact: r.exact, Grants: r.granted}
	urgency := map[string]int{}
	for i, d := range r.served {
		urgency[d.ID] = i
	}
	type batch struct {
		steps []Step
		first int
	}
	var batches []batch
	for i, s := range r.sites {
		l := Layout{GPU: s.UUID, Index: s.Index, MIG: s.on()}
		offers := r.offers(i)
		for _, h := range s.fixed {
			l.Slots = append(l.Slots, h.slot)
		}
		for j := range s.sp.slots {
			if s.set>>j&1 == 1 {
				l.Slots = append(l.Slots, s.sp.slots[j].slot)
			}
		}
		slices.SortStableFunc(l.Slots, byStart)
		p.GPUs = append(p.GPUs, l)
		p.Offers = append(p.Offers, offers...)
		b := batch{steps: r.steps(i), first: len(r.served)}
		for _, o := range offers {
			if n, ok := urgency[o.For]; ok {
				b.first = min(b.first, n)
			}
		}
		batches = append(batches, b)
	}
	slices.SortStableFunc(batches, func(a, b batch) int { return cmp.Compare(a.first, b.first) })
	for _, b := range batches {
		p.Steps = append(p.Steps, b.steps...)
	}
	r.fit = r.fits()
	p.Fits = r.fit
	for _, s := range r.sites {
		p.Unmet = append(p.Unmet, s.undeclared()...)
	}
	for _, d := range r.demands {
		if cause, refused := r.refused[d.ID]; refused {
			p.Unmet = append(p.Unmet, r.unmet(d, cause))
		}
	}
	return p
}

func byStart(a, b mig.Slot) int {
	p, q := a.Profile, b.Profile
	return cmp.Or(
		cmp.Compare(a.Placement.Start, b.Placement.Start), cmp.Compare(a.Placement.Size, b.Placement.Size), cmp.Compare(p.Slices, q.Slices),
		cmp.Compare(p.Compute, q.Compute), cmp.Compare(p.MemoryGB, q.MemoryGB), cmp.Compare(p.Attributes, q.Attributes),
	)
}

// offers are the devices of one site: claims, what is idle and usable, what is to be made, or the GPU as a whole.
func (r *run) offers(i int) (out []Offer) {
	s := r.sites[i]
	whole := gpu.Device{Kind: gpu.Whole, GPU: s.UUID}
	switch {
	case s.claimed:
		out = append(out, Offer{Device: whole, Claimed: true, Exists: !s.Mode.On})
	case s.whole:
		out = append(out, Offer{Device: whole, Exists: !s.Mode.On, For: r.given[gift{site: i}]})
	case s.rests():
		out = append(out, Offer{Device: whole, Exists: !s.Mode.On})
	}
	slot := func(m mig.Slot) gpu.Device { return gpu.Device{Kind: gpu.Slice, GPU: s.UUID, Slot: m} }
	var slots []Offer
	for _, h := range s.fixed {
		if h.claimed || h.usable {
			slots = append(slots, Offer{Device: slot(h.slot), Claimed: h.claimed, Exists: h.exists, For: r.given[gift{i, h.slot}]})
		}
	}
	for j := range s.sp.slots {
		if m := s.sp.slots[j].slot; s.set>>j&1 == 1 {
			slots = append(slots, Offer{Device: slot(m), Exists: s.exists>>j&1 == 1, For: r.given[gift{i, m}]})
		}
	}
	slices.SortStableFunc(slots, func(a, b Offer) int { return byStart(a.Device.Slot, b.Device.Slot) })
	return append(out, slots...)
}

// steps are those of one site, in order.
func (r *run) steps(i int) (out []Step) {
	s := r.sites[i]
	step := func(op Op, m mig.Slot, who, why string) {
		out = append(out, Step{Op: op, GPU: s.UUID, Index: s.Index, Slot: m, For: who, Why: why})
	}
	for _, m := range s.picked(s.exists &^ s.set) {
		why := "it makes room for demand"
		switch bit := s.sp.find(m); {
		case s.Role == Declared:
			why = "it is not declared"
		case s.fresh&bit == 0:
			why = "it was idle for long enough"
		}
		step(Destroy, m, "", why)
	}
	if on := s.on(); on != s.Mode.On {
		op, why := ModeOff, "the GPU rests as a whole"
		if who := r.given[gift{site: i}]; who != "" {
			why = "a whole GPU is asked for"
		}
		if on {
			op, why = ModeOn, "the GPU is to be divided"
		}
		out = append(out, Step{Op: op, GPU: s.UUID, Index: s.Index, Reset: s.Mode.Reset, For: r.given[gift{site: i}], Why: why})
	}
	if !s.on() {
		return out // nothing can be made, and why is told by what waits for it
	}
	for _, h := range s.fixed {
		if h.claimed && !h.exists && s.frozen == "" && !s.claimed && s.Role != Pinned {
			step(Create, h.slot, "", fmt.Sprintf("%s has it", h.by))
		}
	}
	for _, m := range s.picked(s.set &^ s.exists) {
		who := r.given[gift{i, m}]
		why := "a spare"
		switch {
		case who != "":
			why = r.name(who) + " waits for it"
		case s.Role == Declared:
			why = "it is declared"
		}
		step(Create, m, who, why)
	}
	return out
}

// picked lists the slots of a set by start.
func (s *site) picked(set uint64) (out []mig.Slot) {
	for j := range s.sp.slots {
		if set>>j&1 == 1 {
			out = append(out, s.sp.slots[j].slot)
		}
	}
	slices.SortStableFunc(out, byStart)
	return out
}

// name is how people know a demand.
func (r *run) name(id string) string {
	for _, d := range r.demands {
		if d.ID == id && d.Name != "" {
			return d.Name
		}
	}
	return id
}

// fits tells what there is room for, of every resource of the node.
func (r *run) fits() (out []Fit) {
	whole := Fit{}
	for _, s := range r.sites {
		if s.Role == Auto || s.Role == Whole || s.Role == Pinned && !s.Mode.On {
			whole.Empty++
		}
		if s.canWhole {
			whole.Now++
			if s.set == 0 && !s.whole {
				whole.After++
			}
		}
	}
	out = append(out, whole)
	at := map[mig.Profile]int{}
	for _, s := range r.sites {
		base, end := s.base, load{}
		if !s.whole {
			end = s.loadOf(s.set)
		}
		for j := range s.sp.profiles {
			profile := s.sp.profiles[j].Profile
			if _, seen := at[profile]; !seen {
				at[profile] = len(out)
				out = append(out, Fit{Resource: Resource{profile}})
			}
			f := &out[at[profile]]
			if s.Role == Whole || s.Role == Pinned && !s.Mode.On {
				continue
			}
			f.Empty += s.sp.most(load{}, s.sp.of[j])
			for _, l := range s.lent {
				if l.Profile == profile {
					f.Now++
				}
			}
			if !s.canSlice {
				continue
			}
			f.Now += s.sp.most(base, s.sp.of[j])
			if !s.whole {
				f.After += s.sp.most(end, s.sp.of[j])
			}
		}
	}
	slices.SortStableFunc(out[1:], func(a, b Fit) int {
		p, q := a.Resource.Profile, b.Resource.Profile
		return cmp.Or(cmp.Compare(q.Slices, p.Slices), cmp.Compare(q.MemoryGB, p.MemoryGB), cmp.Compare(p.Attributes, q.Attributes))
	})
	return out
}
