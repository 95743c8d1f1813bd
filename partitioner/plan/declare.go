package plan

import (
	"fmt"
	"math/bits"

	"github.com/gpulet/gpulet/gpu/mig"
)

// declared is the set that comes nearest to what is declared: the most instances, of these the most compute slices, then the cheapest.
func (s *site) declared() (set uint64) {
	most, least := -1, int64(0)
	wanted := s.wanted()
	for _, p := range s.tb.layouts {
		if s.exceeds(p.set, wanted) {
			continue
		}
		n := bits.OnesCount64(p.set) << 16
		for rest := p.set; rest != 0; rest &= rest - 1 {
			n += s.sp.slots[bits.TrailingZeros64(rest)].slot.Profile.Slices
		}
		if c := s.cost(p, false); n > most || n == most && c < least {
			set, most, least = p.set, n, c
		}
	}
	return set
}

// wanted counts what is declared and not there as a fixed point, by profile of the space.
func (s *site) wanted() []int {
	out := make([]int, len(s.sp.profiles))
	for i := range out {
		for _, c := range s.Declared {
			if c.Profile == s.sp.profiles[i].Profile {
				out[i] += c.Count
			}
		}
		for _, h := range s.fixed {
			if h.slot.Profile == s.sp.profiles[i].Profile {
				out[i]--
			}
		}
	}
	return out
}

func (s *site) exceeds(set uint64, wanted []int) bool {
	for i, n := range wanted {
		if bits.OnesCount64(set&s.sp.of[i]) > max(n, 0) {
			return true
		}
	}
	return false
}

// undeclared tells what is missing of a declaration.
func (s *site) undeclared() (out []Unmet) {
	if s.Role != Declared {
		return nil
	}
	wanted := s.wanted()
	others := map[mig.Slot]string{}
	for _, m := range s.picked(s.set) {
		others[m] = "the declared " + m.Profile.String()
	}
	for _, c := range merge(s.Declared) {
		missing := c.Count
		for _, h := range s.fixed {
			if h.slot.Profile == c.Profile {
				missing--
			}
		}
		known := false
		for i := range s.sp.profiles {
			if s.sp.profiles[i].Profile == c.Profile {
				known = true
				missing = wanted[i] - bits.OnesCount64(s.set&s.sp.of[i])
			}
		}
		if missing <= 0 {
			continue
		}
		u := Unmet{GPU: s.UUID, Resource: Resource{c.Profile}}
		obstacle := s.obstacle(u.Resource, others, true)
		u.Cause = obstacle.cause
		if !known {
			u.Cause, obstacle.text = CauseUnknown, "has no such profile"
		}
		u.Reason = fmt.Sprintf("%d of %d declared %s are missing: GPU %d %s", missing, c.Count, c.Profile, s.Index, obstacle.text)
		out = append(out, u)
	}
	return out
}

// merge adds up counts of one profile, in the order of the first.
func merge(counts []Count) (out []Count) {
	at := map[mig.Profile]int{}
	for _, c := range counts {
		if i, seen := at[c.Profile]; seen {
			out[i].Count += c.Count
			continue
		}
		at[c.Profile] = len(out)
		out = append(out, c)
	}
	return out
}
