package plan

import (
	"fmt"
	"math/bits"
	"slices"

	"github.com/gpulet/gpulet/gpu/mig"
)

// site is one GPU in a plan: what is fixed there, what may change, and in the end what was chosen.
type site struct {
	*GPU
	sp    *space
	tb    *table
	worth []int32

	fixed    []hold // by start
	base     load   // the fixed points
	touched  bool   // something is fixed, or the GPU is claimed as a whole
	wholeBy  string // who has the whole GPU
	claimed  bool   // as a whole
	frozen   string // why nothing is made, destroyed or given here; empty when it may
	exists   uint64 // instances that are not fixed
	fresh    uint64 // those of them that did not expire
	offered  uint64
	allowed  uint64 // slots that policy lets be made
	canSlice bool
	canWhole bool
	spared   bool       // it could be left whole for the policy: nothing would have to go
	lent     []mig.Slot // fixed instances that are idle and may be used
	kept     *reservation

	set   uint64 // the chosen slots beside the fixed ones
	whole bool   // chosen for a demand of a whole GPU
}

// hold is a fixed slot.
type hold struct {
	slot    mig.Slot
	by      string
	claimed bool
	exists  bool
	usable  bool // idle: it can serve a demand
}

// newSite reads a GPU.
func newSite(g *GPU, sp *space, policy *Policy) *site {
	s := &site{GPU: g, sp: sp, worth: worths(sp, policy), frozen: g.Out}
	if sp.problem != "" && s.frozen == "" {
		s.frozen = sp.problem
	}
	s.holds()
	s.touched = len(s.fixed) > 0 || s.claimed
	free := s.Role != Pinned && s.frozen == "" && !s.claimed
	s.canSlice = free && s.Role != Whole && len(sp.slots) > 0 && (s.Mode.On || s.Mode.May)
	s.canWhole = free && (s.Role == Auto || s.Role == Whole) && !s.touched && (!s.Mode.On || s.Mode.May)
	if s.Role == Pinned {
		s.canWhole = s.frozen == "" && !s.touched && !s.Mode.On && s.exists == 0
	}
	for i := range sp.slots {
		if policy.Allowed == nil || s.Role == Declared || slices.Contains(policy.Allowed, sp.slots[i].slot.Profile) {
			s.allowed |= 1 << i
		}
	}
	for _, o := range g.Offered {
		s.offered |= sp.find(o)
	}
	return s
}

// holds finds the fixed points. What contradicts what this plan knows of the hardware makes all that exists one.
func (s *site) holds() {
	for _, c := range s.Claims {
		if c.Whole {
			s.claimed, s.wholeBy = true, c.Holder
			continue
		}
		i := slices.IndexFunc(s.fixed, func(h hold) bool { return h.slot == c.Slot })
		if i < 0 {
			s.fixed = append(s.fixed, hold{slot: c.Slot, by: c.Holder, claimed: true})
		} else if c.Holder != "" && s.fixed[i].by != c.Holder {
			s.fixed[i].by += " and " + c.Holder
		}
	}
	var loose []Instance
	for _, in := range s.Instances {
		i := slices.IndexFunc(s.fixed, func(h hold) bool { return h.slot == in.Slot })
		switch {
		case i >= 0:
			s.fixed[i].exists = true
		case in.Held != "":
			s.fixed = append(s.fixed, hold{slot: in.Slot, by: in.Held, exists: true})
		case in.Pinned || s.Role == Pinned || s.frozen != "" || s.claimed || s.sp.find(in.Slot) == 0:
			s.pin(in)
		default:
			loose = append(loose, in)
		}
	}
	sound := s.take()
	together := s.base
	for _, in := range loose {
		i := bits.TrailingZeros64(s.sp.find(in.Slot))
		if together.set>>i&1 == 0 && s.sp.fits(together, i) {
			together = together.with(s.sp, i)
			continue
		}
		sound = false
	}
	for _, in := range loose {
		if !sound {
			s.pin(in)
			continue
		}
		s.exists |= s.sp.find(in.Slot)
		if !in.Expired || s.Cooling {
			s.fresh |= s.sp.find(in.Slot)
		}
	}
	if !sound {
		s.take()
		if s.frozen == "" {
			s.frozen = "what exists there does not fit what the driver says can exist"
		}
	}
	slices.SortFunc(s.fixed, func(a, b hold) int { return byStart(a.slot, b.slot) })
	for i := range s.fixed {
		for j := range s.fixed {
			if i != j && s.fixed[i].slot.Placement.Overlaps(s.fixed[j].slot.Placement) {
				s.fixed[i].usable = false
			}
		}
		if s.fixed[i].usable = s.fixed[i].usable && axisOf(s.fixed[i].slot.Placement) != 0; s.fixed[i].usable {
			s.lent = append(s.lent, s.fixed[i].slot)
		}
	}
}

func (s *site) pin(in Instance) {
	s.fixed = append(s.fixed, hold{slot: in.Slot, by: fmt.Sprintf("the instance %s, which is left alone", in.Slot), exists: true, usable: s.frozen == "" && !s.claimed})
}

// take adds up the fixed points; false when they could not exist beside each other.
func (s *site) take() (sound bool) {
	s.base, sound = load{}, true
	for _, h := range s.fixed {
		if bit := s.sp.find(h.slot); bit != 0 {
			i := bits.TrailingZeros64(bit)
			if sound = sound && s.sp.fits(s.base, i); sound {
				s.base = s.base.with(s.sp, i)
			}
			continue
		}
		axis := axisOf(h.slot.Placement)
		sound = sound && axis != 0 && s.base.axis&axis == 0
		s.base.axis |= axis
	}
	return sound
}

// loadOf is the load of the fixed points with a set of slots.
func (s *site) loadOf(set uint64) load {
	l := s.base
	for rest := set; rest != 0; rest &= rest - 1 {
		l = l.with(s.sp, bits.TrailingZeros64(rest))
	}
	return l
}

// barred are the slots that a reservation keeps free.
func (s *site) barred() uint64 {
	if s.kept == nil {
		return 0
	}
	return s.kept.bar
}

// on reports whether the GPU is in MIG mode when the plan is done.
func (s *site) on() bool {
	switch {
	case s.frozen != "" || s.claimed || s.Role == Pinned:
		return s.Mode.On
	case s.whole:
		return s.Mode.On && !s.canWhole
	case s.touched || s.set != 0 || s.Role == Sliced || s.Role == Declared:
		return s.Mode.On || s.Mode.May && len(s.sp.slots) > 0
	case s.Cooling:
		return s.Mode.On
	}
	return s.Mode.On && !s.canWhole
}

// rests reports whether the GPU is whole for nobody in particular.
func (s *site) rests() bool { return s.canWhole && s.set == 0 && !s.whole && !s.on() }
