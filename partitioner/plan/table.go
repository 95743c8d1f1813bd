package plan

import "encoding/binary"

// table holds every layout of a GPU beside its fixed points, the partial ones and the empty one too.
type table struct {
	layouts []packed
	// free is the flexibility of the empty layout.
	free int32
}

// packed is a layout: the slots beside the fixed points, and the flexibility that it leaves.
type packed struct {
	set  uint64
	flex int32
}

// makeTable lists the layouts of the usable slots beside a load. Flexibility is the worth of all placements that could still be taken.
func makeTable(s *space, fixed load, usable uint64, worth []int32) *table {
	t := &table{}
	t.walk(s, fixed, fixed.set, usable, 0, worth)
	t.free = t.layouts[0].flex
	return t
}

func (t *table) walk(s *space, l load, fixed, usable uint64, from int, worth []int32) {
	flex, can := int32(0), uint64(0)
	for i := range s.slots {
		if usable>>i&1 == 1 && s.fits(l, i) {
			can |= 1 << i
			flex += worth[i]
		}
	}
	t.layouts = append(t.layouts, packed{set: l.set &^ fixed, flex: flex})
	for i := from; i < len(s.slots); i++ {
		if can>>i&1 == 1 {
			t.walk(s, l.with(s, i), fixed, usable, i+1, worth)
		}
	}
}

// worths gives each slot's worth: its size, times the policy's weight of its profile.
func worths(s *space, policy *Policy) []int32 {
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

// maxTables bounds the memory of tables; beyond it everything is forgotten.
const maxTables = 512

// table finds the table in memory, or makes it.
func (p *Planner) table(s *space, fixed load, usable uint64, worth []int32) *table {
	key := append(make([]byte, 0, 1024), s.name...)
	for _, n := range [...]uint64{fixed.set, fixed.axis, uint64(fixed.room), fixed.apart, usable} {
		key = binary.AppendUvarint(key, n)
	}
	for _, w := range worth {
		key = binary.AppendUvarint(key, uint64(w))
	}
	p.mu.Lock()
	t := p.tables[string(key)]
	p.mu.Unlock()
	if t != nil {
		return t
	}
	t = makeTable(s, fixed, usable, worth)
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.tables) >= maxTables {
		clear(p.tables)
	}
	if seen := p.tables[string(key)]; seen != nil {
		return seen // of another plan that was made at the same time: options are shared by the table's identity
	}
	p.tables[string(key)] = t
	return t
}
