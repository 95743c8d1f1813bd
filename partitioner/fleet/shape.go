package fleet

import (
	"math/bits"
	"slices"

	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/partitioner/plan"
)

// maxSlots is how many placements a geometry may have to be planned: package plan's bound.
const maxSlots = 64

// room counts what instances share out beside memory slices, one byte each: compute slices and four media engines.
type room uint64

const guards room = 0x8080808080808080

func roomOf(compute int, e mig.Engines) (r room) {
	for i, n := range [...]int{compute, e.Decoders, e.Encoders, e.JPEG, e.OFA} {
		r |= room(min(max(n, 0), 127)) << (8 * i)
	}
	return r
}

// shape is a geometry as bits: which slots there are and what excludes what. It says the same as package plan about what can exist
// together; the rules are mig.md's, and a test holds them against plan's.
type shape struct {
	axis  int
	slots []place // the largest profiles first, each from the highest start down
	of    map[mig.Profile]uint64
	max   map[mig.Profile]int
	total room
}

type place struct {
	slot mig.Slot
	axis uint64
	room room
	// against are the slots that cannot exist beside it, alike those of its profile; most is how many of these may exist.
	against, alike uint64
	most           int
}

func axisOf(p mig.Placement) uint64 {
	if p.Start < 0 || p.Size < 1 || p.Start >= maxSlots {
		return 0
	}
	return (1<<min(p.Size, maxSlots) - 1) << p.Start
}

// shapeOf reads a geometry; ok is false where it is too large to be planned.
func shapeOf(g *mig.Geometry, apart [][2]mig.Profile) (s *shape, ok bool) {
	s = &shape{axis: g.Axis, of: map[mig.Profile]uint64{}, max: map[mig.Profile]int{}}
	compute, engines := 0, mig.Engines{}
	for i := range g.Profiles {
		p := &g.Profiles[i]
		if _, twice := s.max[p.Profile]; twice {
			return s, false
		}
		s.max[p.Profile] = min(max(p.Max, 1), 127)
		compute = max(compute, p.Profile.Slices*s.max[p.Profile])
		engines.Decoders, engines.Encoders = max(engines.Decoders, p.Engines.Decoders), max(engines.Encoders, p.Engines.Encoders)
		engines.JPEG, engines.OFA = max(engines.JPEG, p.Engines.JPEG), max(engines.OFA, p.Engines.OFA)
		for _, pl := range p.Placements {
			if pl.Start >= 0 && pl.Size > 0 && pl.Start+pl.Size <= g.Axis {
				s.slots = append(s.slots, place{slot: mig.Slot{Profile: p.Profile, Placement: pl}, axis: axisOf(pl), room: roomOf(p.Profile.Slices, p.Engines)})
			}
		}
	}
	s.total = roomOf(compute, engines)
	slices.SortStableFunc(s.slots, func(a, b place) int {
		if n := b.slot.Placement.Size - a.slot.Placement.Size; n != 0 {
			return n
		}
		if n := b.slot.Profile.Slices - a.slot.Profile.Slices; n != 0 {
			return n
		}
		return b.slot.Placement.Start - a.slot.Placement.Start
	})
	s.slots = slices.CompactFunc(s.slots, func(a, b place) bool { return a.slot == b.slot })
	if len(s.slots) > maxSlots || g.Axis > maxSlots {
		return &shape{axis: g.Axis}, false
	}
	for i := range s.slots {
		s.of[s.slots[i].slot.Profile] |= 1 << i
	}
	for i := range s.slots {
		a := &s.slots[i]
		a.alike, a.most = s.of[a.slot.Profile], s.max[a.slot.Profile]
		for j := range s.slots {
			b := &s.slots[j]
			if i != j && (a.axis&b.axis != 0 || slices.Contains(apart, [2]mig.Profile{a.slot.Profile, b.slot.Profile}) ||
				slices.Contains(apart, [2]mig.Profile{b.slot.Profile, a.slot.Profile})) {
				a.against |= 1 << j
			}
		}
	}
	return s, true
}

// find is the number of a slot, -1 when the shape does not have it.
func (s *shape) find(slot mig.Slot) int {
	return slices.IndexFunc(s.slots, func(p place) bool { return p.slot == slot })
}

// load is what is taken of a GPU.
type load struct {
	set, axis, apart uint64
	room             room
}

func (l load) with(s *shape, i int) load {
	p := &s.slots[i]
	return load{set: l.set | 1<<i, axis: l.axis | p.axis, apart: l.apart | p.against, room: l.room + p.room}
}

// fits reports whether slot i can exist beside a load.
func (s *shape) fits(l load, i int) bool {
	p := &s.slots[i]
	return l.set>>i&1 == 0 && l.axis&p.axis == 0 && l.apart>>i&1 == 0 && ((s.total|guards)-(l.room+p.room))&guards == guards &&
		bits.OnesCount64(l.set&p.alike) < p.most
}

// ground is what GPUs of one shape under one policy share.
type ground struct {
	*shape
	allowed uint64
	worth   []int32
}

// worths is the policy's idea of flexibility, as package plan counts it.
func worths(s *shape, policy *plan.Policy) []int32 {
	out := make([]int32, len(s.slots))
	for i := range s.slots {
		weight := 1
		for _, w := range policy.Weights {
			if w.Profile == s.slots[i].slot.Profile {
				weight = min(max(w.Count, 0), 1000)
			}
		}
		out[i] = int32(weight * s.slots[i].slot.Placement.Size)
	}
	return out
}
