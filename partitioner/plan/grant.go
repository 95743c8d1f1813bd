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
	r.spare()
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

// spare keeps what is left over of the spares' profiles, as many as the policy says; nobody's name is the empty one.
func (r *run) spare() {
	for _, c := range merge(r.policy.Spares) {
		left := c.Count
		for _, u := range r.units(Resource{c.Profile}) {
			if left > 0 {
				r.given[u.gift()] = ""
				left--
			}
		}
	}
}
