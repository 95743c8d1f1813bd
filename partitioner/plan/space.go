package plan

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"

	"github.com/gpulet/gpulet/gpu/mig"
)

// maxSlots is how many placements, and how many memory slices, a geometry may have.
const maxSlots = 64

// room counts what instances share out beside memory slices: compute slices and four media engines, one byte each.
type room uint64

func roomOf(compute int, e mig.Engines) (r room) {
	for i, n := range [...]int{compute, e.Decoders, e.Encoders, e.JPEG, e.OFA} {
		r |= room(min(max(n, 0), maxCount)) << (8 * i)
	}
	return r
}

// space is a geometry as bits: slot i is bit i of a set.
type space struct {
	axis     int
	profiles []mig.ProfileInfo // the largest first
	slots    []place           // by profile, each from the highest start down
	of       []uint64          // the slots of each profile
	total    room
	name     []byte // tells it from other geometries
	problem  string // why nothing can be planned
}

// place is a slot of a space.
type place struct {
	slot    mig.Slot
	profile int
	axis    uint64 // the memory slices
	room    room
	against uint64 // the slots that cannot exist beside it
}

// axisOf gives the memory slices of a placement as bits.
func axisOf(p mig.Placement) uint64 {
	if p.Start < 0 || p.Size < 1 || p.Start >= maxSlots {
		return 0
	}
	return (1<<min(p.Size, maxSlots) - 1) << p.Start
}

// spaceOf reads a geometry. The totals that instances share out are those of the largest instances: the driver does not tell them otherwise.
func spaceOf(g *mig.Geometry, apart [][2]mig.Profile) *space {
	s := &space{axis: g.Axis, profiles: slices.Clone(g.Profiles)}
	slices.SortFunc(s.profiles, func(a, b mig.ProfileInfo) int {
		return cmp.Or(cmp.Compare(width(&b), width(&a)), cmp.Compare(b.Profile.Slices, a.Profile.Slices),
			cmp.Compare(a.Profile.String(), b.Profile.String()), cmp.Compare(a.ID, b.ID))
	})
	compute, engines := 0, mig.Engines{}
	for i := range s.profiles {
		p := &s.profiles[i]
		p.Max = min(max(p.Max, 1), maxCount)
		compute = max(compute, p.Profile.Slices*p.Max)
		engines.Decoders, engines.Encoders = max(engines.Decoders, p.Engines.Decoders), max(engines.Encoders, p.Engines.Encoders)
		engines.JPEG, engines.OFA = max(engines.JPEG, p.Engines.JPEG), max(engines.OFA, p.Engines.OFA)
		places := slices.DeleteFunc(slices.Clone(p.Placements), func(pl mig.Placement) bool {
			return pl.Start < 0 || pl.Size < 1 || pl.Start+pl.Size > g.Axis
		})
		slices.SortFunc(places, func(a, b mig.Placement) int {
			return cmp.Or(cmp.Compare(b.Start, a.Start), cmp.Compare(b.Size, a.Size))
		})
		of := uint64(0)
		for _, pl := range slices.Compact(places) {
			of |= 1 << (len(s.slots) & 63)
			s.slots = append(s.slots, place{
				slot: mig.Slot{Profile: p.Profile, Placement: pl}, profile: i, axis: axisOf(pl), room: roomOf(p.Profile.Slices, p.Engines),
			})
		}
		s.of = append(s.of, of)
	}
	s.total = roomOf(compute, engines)
	if len(s.slots) > maxSlots || g.Axis > maxSlots {
		s.problem = fmt.Sprintf("its geometry has %d placements on %d memory slices, and a plan looks at no more than %d", len(s.slots), g.Axis, maxSlots)
		s.profiles, s.slots, s.of = nil, nil, nil
	}
	for i := range s.slots {
		for j := range s.slots {
			a, b := &s.slots[i], &s.slots[j]
			if i != j && (a.axis&b.axis != 0 || isApart(apart, a.slot.Profile, b.slot.Profile)) {
				a.against |= 1 << j
			}
		}
	}
	s.name = s.key(nil)
	return s
}

func width(p *mig.ProfileInfo) (size int) {
	for _, pl := range p.Placements {
		size = max(size, pl.Size)
	}
	return size
}

func isApart(apart [][2]mig.Profile, p, q mig.Profile) bool {
	return slices.Contains(apart, [2]mig.Profile{p, q}) || slices.Contains(apart, [2]mig.Profile{q, p})
}

// find is the slot's bit, 0 when the space does not have it.
func (s *space) find(slot mig.Slot) uint64 {
	for i := range s.slots {
		if s.slots[i].slot == slot {
			return 1 << i
		}
	}
	return 0
}

// load is what is taken of a GPU: by slots of its space, and by what its space does not know.
type load struct {
	set   uint64
	axis  uint64
	room  room
	apart uint64 // slots that what is there refuses
}

func (l load) with(s *space, i int) load {
	p := &s.slots[i]
	return load{set: l.set | 1<<i, axis: l.axis | p.axis, room: l.room + p.room, apart: l.apart | p.against}
}

// fits reports whether slot i can exist beside a load.
func (s *space) fits(l load, i int) bool {
	p := &s.slots[i]
	return l.axis&p.axis == 0 && l.apart>>i&1 == 0 && ((s.total|fields)-(l.room+p.room))&fields == fields &&
		bits.OnesCount64(l.set&s.of[p.profile]) < s.profiles[p.profile].Max
}

// most is how many of the slots, all of one profile, fit beside a load and each other.
func (s *space) most(l load, among uint64) (n int) {
	for among != 0 {
		i := bits.TrailingZeros64(among)
		among &^= 1 << i
		if !s.fits(l, i) {
			continue
		}
		if s.slots[i].against&among == 0 { // it stands in no other's way
			n, l = n+1, l.with(s, i)
			continue
		}
		return n + max(1+s.most(l.with(s, i), among), s.most(l, among))
	}
	return n
}

// key names a geometry, for memory.
func (s *space) key(b []byte) []byte {
	b = binary.AppendVarint(b, int64(s.total))
	for i := range s.slots {
		p := &s.slots[i]
		info := &s.profiles[p.profile]
		for _, n := range [...]int{
			info.Profile.Compute, info.Profile.Slices, info.Profile.MemoryGB, info.Max, p.slot.Placement.Start, p.slot.Placement.Size, len(info.Profile.Attributes),
		} {
			b = binary.AppendVarint(b, int64(n))
		}
		b = append(b, info.Profile.Attributes...)
		b = binary.AppendUvarint(b, uint64(p.room))
		b = binary.AppendUvarint(b, p.against)
	}
	return b
}
