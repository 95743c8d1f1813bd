package plan

import (
	"math/bits"
	"slices"

	"github.com/gpulet/gpulet/gpu/mig"
)

// The units of a cost in one number, the most important first: destroys, mode changes, creations, moves, loss of flexibility.
// A node has no more than 64 GPUs of 7 instances or so, which is what the fields have room for.
const (
	costLoss   int64 = 1
	costMove         = costLoss << 27
	costCreate       = costMove << 9
	costMode         = costCreate << 9
	costKill         = costMode << 7
)

// costOf takes the number apart.
func costOf(n int64) Cost {
	return Cost{
		Destroys: int(n / costKill), Modes: int(n / costMode & 0x7f), Creates: int(n / costCreate & 0x1ff),
		Moves: int(n / costMove & 0x1ff), Loss: int(n & (costMove - 1)),
	}
}

// option is one way to divide a GPU.
type option struct {
	gives vec
	made  vec // of gives, or beyond it: what does not exist yet
	cost  int64
	set   uint64
	whole bool
}

// cost is what a set costs here; loss counts from the most flexible state.
func (s *site) cost(p packed, whole bool) int64 {
	best := s.tb.free + s.wholeWorth()
	flex := p.flex
	switch {
	case whole:
		flex = 0
	case p.set == 0:
		flex += s.wholeWorth()
	}
	cost := int64(bits.OnesCount64(s.fresh&^p.set)) * costKill
	if slicing := p.set != 0 && !s.touched; whole && s.Mode.On || slicing && !s.Mode.On {
		cost += costMode
	}
	made := p.set &^ s.exists
	loss := int64(best - flex)
	if p.set != 0 && s.canWhole {
		loss += int64(max(s.SplitCost, 0))
	}
	return cost + int64(bits.OnesCount64(made))*costCreate + int64(bits.OnesCount64(made&^s.offered))*costMove + min(loss, costMove>>6)
}

// wholeWorth is what it is worth that a GPU can be given as a whole.
func (s *site) wholeWorth() int32 {
	if !s.canWhole {
		return 0
	}
	return int32(max(s.sp.axis, 1))
}

// kinds are the resources of a plan, each with its field in a vec.
type kinds []Resource

func (k kinds) of(r Resource) int { return slices.Index(k, r) }

// kept is the kind of GPUs that are left whole for the policy: a GPU at rest gives one, and so does one that is given whole.
func kept() Resource { return Resource{mig.Profile{Attributes: "kept whole"}} }

// given counts what a set and what is lent here serve.
func (s *site) given(k kinds, set uint64) (v vec) {
	for i, r := range k {
		n := 0
		for _, l := range s.lent {
			if !r.Whole() && l.Profile == r.Profile {
				n++
			}
		}
		for rest := set; rest != 0 && !r.Whole(); rest &= rest - 1 {
			if s.sp.slots[bits.TrailingZeros64(rest)].slot.Profile == r.Profile {
				n++
			}
		}
		v.set(i, n)
	}
	return v
}

// demanded are the slots of the kinds.
func (s *site) demanded(k kinds) (set uint64) {
	for i := range s.sp.slots {
		if k.of(Resource{s.sp.slots[i].slot.Profile}) >= 0 {
			set |= 1 << i
		}
	}
	return set
}

// options lists the ways to divide a GPU that differ in what they give, each the cheapest of its kind; what gives less and costs
// more is left out. No more than limit is counted as given.
func (s *site) options(k kinds, limit vec) []option {
	if s.Role == Declared && s.canSlice {
		set := s.declared()
		return []option{{gives: s.given(k, set).capped(limit), set: set}}
	}
	var all []option
	at := map[vec]int{}
	add := func(o option) {
		if i, seen := at[o.gives]; !seen {
			at[o.gives] = len(all)
			all = append(all, o)
		} else if o.cost < all[i].cost {
			all[i] = o
		}
	}
	usable := s.exists
	if s.canSlice {
		usable |= s.demanded(k) & s.allowed
	}
	usable &^= s.barred()
	lent := s.given(k, 0)
	left := k.of(kept())
	gives := make([]vec, len(s.sp.slots))
	for i := range gives {
		if f := k.of(Resource{s.sp.slots[i].slot.Profile}); f >= 0 {
			gives[i].set(f, 1)
		}
	}
	for _, p := range s.tb.layouts {
		if p.set&^usable != 0 {
			continue
		}
		v, made := lent, vec{}
		for rest := p.set &^ s.exists; rest != 0; rest &= rest - 1 {
			made = made.plus(gives[bits.TrailingZeros64(rest)])
		}
		for rest := p.set & s.exists; rest != 0; rest &= rest - 1 {
			v = v.plus(gives[bits.TrailingZeros64(rest)])
		}
		if p.set == 0 && s.spared && left >= 0 {
			made.set(left, 1)
		}
		add(option{gives: v.plus(made).capped(limit), made: made, cost: s.cost(p, false), set: p.set})
	}
	if f := k.of(Resource{}); s.canWhole && s.kept == nil && (f >= 0 || left >= 0) {
		var v vec
		if f >= 0 {
			v.set(f, 1)
		}
		if left >= 0 {
			v.set(left, 1)
		}
		add(option{gives: v.capped(limit), made: v, cost: s.cost(packed{}, true), whole: true})
	}
	return thin(all)
}

// thin leaves out options that give no more than another one and cost no less. The order of the rest stays.
func thin(all []option) []option {
	var out []option
	for i, o := range all {
		worse := false
		for j, b := range all {
			if i != j && b.gives.covers(o.gives) && b.cost <= o.cost && (b.cost < o.cost || b.gives != o.gives || j < i) {
				worse = true
				break
			}
		}
		if !worse {
			out = append(out, o)
		}
	}
	return out
}
