package plan

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/gpulet/gpulet/gpu/mig"
)

// obstacle is why a GPU does not give a resource, to be read behind "GPU 3 ".
type obstacle struct {
	cause Cause
	text  string
}

// unmet tells why a demand waits, by the first resource that is short.
func (r *run) unmet(d *Demand, cause Cause) Unmet {
	u := Unmet{ID: d.ID, Cause: cause}
	if cause == CauseLimit {
		u.Reason = fmt.Sprintf("one plan looks at no more than %d resources and %d devices of each: this comes later", maxKinds, maxCount)
		return u
	}
	u.Resource = r.short(d)
	asked := 0
	for _, a := range d.Asks {
		if a.Resource == u.Resource {
			asked += a.Count
		}
	}
	u.Cause, u.Reason = r.reason(u.Resource, asked)
	return u
}

// reason is why so many devices of a resource cannot be had: the same for all demands of them.
func (r *run) reason(res Resource, asked int) (Cause, string) {
	key := Ask{res, asked}
	if u, known := r.reasons[key]; known {
		return u.Cause, u.Reason
	}
	u := Unmet{Resource: res}
	what, none := u.Resource.Profile.String(), "no GPU of this node has this profile"
	if u.Resource.Whole() {
		what, none = "a whole GPU", "there is no GPU"
	}
	var parts []string
	u.Cause = CauseUnknown
	rank := []Cause{CauseUnknown, CauseOut, CausePolicy, CauseMode, CauseHeld, CausePromised}
	for i, s := range r.sites {
		if !u.Resource.Whole() && !s.has(u.Resource.Profile) {
			continue
		}
		o := s.obstacle(u.Resource, r.promised(i), false)
		parts = append(parts, fmt.Sprintf("GPU %d %s", s.Index, o.text))
		if slices.Index(rank, o.cause) > slices.Index(rank, u.Cause) {
			u.Cause = o.cause
		}
	}
	switch {
	case len(parts) == 0:
		u.Reason = fmt.Sprintf("%s fits on no GPU here: %s", what, none)
	case asked > 1:
		u.Reason = fmt.Sprintf("%d of %s do not fit here together: %s", asked, what, strings.Join(parts, "; "))
	default:
		u.Reason = fmt.Sprintf("%s fits on no GPU here: %s", what, strings.Join(parts, "; "))
	}
	r.reasons[key] = u
	return u.Cause, u.Reason
}

// short is the first resource of a demand of which what is left over is too little, the first of all when that is none.
func (r *run) short(d *Demand) (out Resource) {
	for i, a := range d.Asks {
		if i == 0 {
			out = a.Resource
		}
		left := len(r.units(a.Resource))
		for _, f := range r.fit {
			if f.Resource == a.Resource {
				left += f.After
			}
		}
		if left < a.Count {
			return a.Resource
		}
	}
	return out
}

func (s *site) has(p mig.Profile) bool {
	return slices.ContainsFunc(s.sp.profiles, func(i mig.ProfileInfo) bool { return i.Profile == p })
}

// promised are the slots of a site that were granted, with the name of who gets them; the zero slot is the whole GPU.
func (r *run) promised(i int) map[mig.Slot]string {
	out := map[mig.Slot]string{}
	s := r.sites[i]
	for _, m := range append(s.picked(s.set), s.lent...) {
		if id, given := r.given[gift{i, m}]; given {
			out[m] = fallback(r.name(id), "the spares")
		}
	}
	if id, given := r.given[gift{site: i}]; given {
		out[mig.Slot{}] = r.name(id)
	}
	return out
}

// obstacle tells why a site gives no more of a resource.
func (s *site) obstacle(res Resource, promised map[mig.Slot]string, forDeclared bool) obstacle {
	if s.claimed {
		return obstacle{CauseHeld, "is held as a whole by " + fallback(s.wholeBy, "a pod")}
	}
	if who, ok := promised[mig.Slot{}]; ok {
		return obstacle{CausePromised, "is promised as a whole to " + who}
	}
	if s.frozen != "" {
		return obstacle{CauseOut, "takes nothing new: " + s.frozen}
	}
	if res.Whole() {
		return s.noWhole(promised)
	}
	allowed, slots := uint64(0), uint64(0)
	for i := range s.sp.slots {
		if s.sp.slots[i].slot.Profile == res.Profile {
			slots |= 1 << i
			allowed |= s.allowed & (1 << i)
		}
	}
	switch {
	case s.Role == Whole:
		return obstacle{CausePolicy, "is configured to stay whole"}
	case s.Role == Pinned:
		return obstacle{CausePolicy, "is configured to be left as it is"}
	case s.Role == Declared && !forDeclared:
		return obstacle{CausePolicy, "has a declared layout, whose instances of the profile are all taken"}
	case !s.Mode.On && !s.Mode.May:
		return obstacle{CauseMode, "is not in MIG mode: " + fallback(s.Mode.Why, "it cannot be switched now")}
	case slots != 0 && allowed == 0:
		return obstacle{CausePolicy, "may not be divided so: the profile is not allowed"}
	}
	return s.crowded(slots, promised)
}

// crowded tells who is where an instance of the slots would have to be.
func (s *site) crowded(slots uint64, promised map[mig.Slot]string) obstacle {
	reach := uint64(0)
	for rest := slots; rest != 0; rest &= rest - 1 {
		reach |= s.sp.slots[bits.TrailingZeros64(rest)].axis
	}
	type run struct {
		at   mig.Placement
		text string
	}
	var runs []run
	cause := CauseHeld
	for _, h := range s.fixed {
		by := "held by " + fallback(h.by, "a pod")
		if who, ok := promised[h.slot]; ok {
			by, cause = "promised to "+who, CausePromised
		}
		if axisOf(h.slot.Placement)&reach != 0 {
			runs = append(runs, run{h.slot.Placement, by})
		}
	}
	for _, m := range s.picked(s.set) {
		if who, ok := promised[m]; ok && axisOf(m.Placement)&reach != 0 {
			runs = append(runs, run{m.Placement, "promised to " + who})
			cause = CausePromised
		}
	}
	if k := s.kept; k != nil {
		place := k.slot.Placement
		if place == (mig.Placement{}) {
			place.Size = s.sp.axis
		}
		runs = append(runs, run{place, "kept free for " + k.by + ", which waits for long"})
		cause = CausePromised
	}
	if len(runs) == 0 {
		if s.canWhole {
			return obstacle{CausePolicy, "is left whole"}
		}
		return obstacle{CauseHeld, "has not enough room for all of them"}
	}
	slices.SortStableFunc(runs, func(a, b run) int { return a.at.Start - b.at.Start })
	var parts []string
	for _, u := range runs {
		where := fmt.Sprintf("slot %d is ", u.at.Start)
		if u.at.Size > 1 {
			where = fmt.Sprintf("slots %d-%d are ", u.at.Start, u.at.Start+u.at.Size-1)
		}
		parts = append(parts, where+u.text)
	}
	text := strings.Join(parts, ", ")
	if s.sp.most(s.loadOf(s.set), slots) == 0 {
		l := s.loadOf(s.set)
		for rest := slots &^ s.barred(); rest != 0; rest &= rest - 1 {
			if s.sp.slots[bits.TrailingZeros64(rest)].axis&l.axis == 0 {
				return obstacle{cause, text + ", and the compute slices, media engines or instances that are left are too few"}
			}
		}
	}
	return obstacle{cause, text}
}

// noWhole tells why a site cannot be given as a whole.
func (s *site) noWhole(promised map[mig.Slot]string) obstacle {
	switch {
	case s.Role == Sliced || s.Role == Declared:
		return obstacle{CausePolicy, fmt.Sprintf("is configured as %s", s.Role)}
	case len(s.fixed) > 0 || len(promised) > 0:
		return s.crowded(^uint64(0)>>(64-len(s.sp.slots)), promised)
	case s.Mode.On && !s.Mode.May:
		return obstacle{CauseMode, "is in MIG mode: " + fallback(s.Mode.Why, "it cannot be switched now")}
	case s.Role == Pinned:
		return obstacle{CausePolicy, "is configured to be left as it is"}
	}
	return obstacle{CausePolicy, "is divided"}
}

func fallback(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
