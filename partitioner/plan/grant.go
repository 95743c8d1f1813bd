package plan

import (
	"math/bits"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

// unit is a device that can be granted.
type unit struct {
	site   int
	slot   mig.Slot // zero: the whole GPU
	exists bool
}

func (u unit) gift() gift {
	return gift{u.site, u.slot}
}

// units lists what the chosen layouts give of a resource and nobody was granted: what exists first, then by GPU and start.
func (r *run) units(res Resource) []unit {
	var there, made []unit
	add := func(u unit) {
		if _, taken := r.given[u.gift()]; taken {
			return
		}
		if u.exists {
			there = append(there, u)
		} else {
			made = append(made, u)
		}
	}
	for i, s := range r.sites {
		if res.Whole() {
			if s.whole {
				add(unit{site: i, exists: !s.Mode.On})
			}
			continue
		}
		for _, l := range s.lent {
			if l.Profile == res.Profile {
				add(unit{i, l, true})
			}
		}
		for rest := s.set; rest != 0; {
			j := 63 - bits.LeadingZeros64(rest) // slots go from high starts to low ones
			rest &^= 1 << j
			if slot := s.sp.slots[j].slot; slot.Profile == res.Profile {
				add(unit{i, slot, s.exists>>j&1 == 1})
			}
		}
	}
	return append(there, made...)
}

// grant gives each demand that is served its devices, in order, and takes back what nobody needs.
func (r *run) grant() {
	for _, d := range r.served {
		g := Grant{ID: d.ID}
		for _, a := range d.Asks {
			for _, u := range r.units(a.Resource)[:max(a.Count, 0)] {
				r.given[u.gift()] = d.ID
				g.Devices = append(g.Devices, r.device(u))
			}
		}
		r.granted = append(r.granted, g)
	}
	for i, s := range r.sites {
		if _, given := r.given[gift{site: i}]; s.whole && !given {
			s.whole = false
		}
		if s.Role == Declared {
			continue
		}
		for rest := s.set &^ s.exists; rest != 0; rest &= rest - 1 {
			j := bits.TrailingZeros64(rest)
			if _, given := r.given[gift{i, s.sp.slots[j].slot}]; !given {
				s.set &^= 1 << j // only where the search was cut short
			}
		}
	}
}

func (r *run) device(u unit) gpu.Device {
	d := gpu.Device{Kind: gpu.Whole, GPU: r.sites[u.site].UUID}
	if u.slot != (mig.Slot{}) {
		d.Kind, d.Slot = gpu.Slice, u.slot
	}
	return d
}

// spare adds the warm spares where they cost least: what exists already, then without a change of mode, then with the least loss.
func (r *run) spare() {
	for _, c := range merge(r.policy.Spares) {
		for have := len(r.units(Resource{c.Profile})); have < c.Count; have++ {
			site, slot, least := -1, 0, int64(0)
			for i, s := range r.sites {
				if s.Role != Auto && s.Role != Sliced || s.frozen != "" || s.claimed || s.whole || s.set == 0 && r.reserved(s) {
					continue
				}
				l := s.loadOf(s.set)
				for j := range s.sp.slots {
					exists := s.exists>>j&1 == 1
					if s.sp.slots[j].slot.Profile != c.Profile || !s.sp.fits(l, j) || !exists && (s.Cooling || !s.canSlice || s.allowed>>j&1 == 0) {
						continue
					}
					set := s.set | 1<<j
					cost := s.cost(packed{set: set, flex: s.flexOf(set)}, false) - s.cost(packed{set: s.set, flex: s.flexOf(s.set)}, false)
					if site < 0 || cost < least {
						site, slot, least = i, j, cost
					}
				}
			}
			if site < 0 {
				break
			}
			r.sites[site].set |= 1 << slot
		}
	}
}

// reserved reports whether a GPU at rest must stay whole for the policy's count.
func (r *run) reserved(s *site) bool {
	if !s.canWhole || r.policy.KeepWhole == 0 {
		return false
	}
	whole := 0
	for _, o := range r.sites {
		if o.claimed || o.whole || o.canWhole && o.set == 0 {
			whole++
		}
	}
	return whole <= r.policy.KeepWhole
}

// flexOf looks a set up.
func (s *site) flexOf(set uint64) int32 {
	l := s.loadOf(set)
	flex := int32(0)
	for i := range s.sp.slots {
		usable := s.exists
		if s.canSlice {
			usable |= s.allowed
		}
		if usable>>i&1 == 1 && s.sp.fits(l, i) {
			flex += s.worth[i]
		}
	}
	return flex
}
