package plan

import (
	"math/bits"

	"github.com/gpulet/gpulet/gpu/mig"
)

// reservation keeps the place that a demand could have soonest free of new pods, so that it need not wait for ever
// while smaller ones come and go.
type reservation struct {
	slot mig.Slot // zero: the whole GPU
	by   string
	bar  uint64 // slots that are not used
}

// reserve bars the place of an aged demand that was refused, if what was accepted before can still be served. A plan does it once,
// for a demand of one resource.
func (r *run) reserve(d *Demand, a *acceptance, limit vec) (*acceptance, bool) {
	if !d.Aged || len(d.Asks) != 1 {
		return a, false
	}
	for _, c := range r.candidates(d.Asks[0].Resource) {
		s := r.sites[c.site]
		s.kept = &reservation{slot: c.slot, by: r.name(d.ID), bar: c.bar}
		b := newAcceptance(r.options(limit), r.sizes, a.least, a.steps)
		if b.can(atLeast(a.taken, a.least)) {
			b.taken, b.exact = a.taken, a.exact && b.exact
			return b, true
		}
		s.kept = nil
	}
	return a, false
}

// candidate is a place that could be kept.
type candidate struct {
	unit
	bar  uint64
	held int // memory slices that are not free yet
}

// candidates are the places of a resource, those with least in the way first.
func (r *run) candidates(res Resource) (out []candidate) {
	add := func(c candidate) {
		at := len(out)
		for at > 0 && out[at-1].held > c.held {
			at--
		}
		out = append(out[:at], append([]candidate{c}, out[at:]...)...)
	}
	for i, s := range r.sites {
		if s.frozen != "" || s.claimed || s.Role != Auto && s.Role != Sliced {
			continue
		}
		if res.Whole() {
			if s.Role == Auto && (!s.Mode.On || s.Mode.May) {
				add(candidate{unit{site: i}, ^uint64(0), bits.OnesCount64(s.base.axis)})
			}
			continue
		}
		for j := range s.sp.slots {
			p := &s.sp.slots[j]
			if s.canSlice && p.slot.Profile == res.Profile && s.allowed>>j&1 == 1 && s.base.set>>j&1 == 0 {
				add(candidate{unit{site: i, slot: p.slot}, p.against, bits.OnesCount64(s.base.axis & p.axis)})
			}
		}
	}
	return out
}
