package plan

import (
	"cmp"
	"slices"
	"strings"

	"github.com/gpulet/gpulet/gpu/mig"
)

// The reference: it knows nothing of sets and tables, looks at every layout of every GPU and at every combination of them.

// can reports whether another slot may be made beside others: by the rules of the hardware, one by one.
func can(g *mig.Geometry, have []mig.Slot, next mig.Slot) bool {
	info := func(p mig.Profile) mig.ProfileInfo {
		return g.Profiles[slices.IndexFunc(g.Profiles, func(i mig.ProfileInfo) bool { return i.Profile == p })]
	}
	var compute, dec, enc, jpeg, ofa, same int
	for _, s := range append(slices.Clone(have), next) {
		p := info(s.Profile)
		compute += p.Profile.Slices
		dec, enc, jpeg, ofa = dec+p.Engines.Decoders, enc+p.Engines.Encoders, jpeg+p.Engines.JPEG, ofa+p.Engines.OFA
		if s.Profile == next.Profile {
			same++
		}
	}
	for _, s := range have {
		if s.Placement.Overlaps(next.Placement) {
			return false
		}
	}
	if same > info(next.Profile).Max {
		return false
	}
	var most mig.Engines
	slots := 0
	for _, p := range g.Profiles {
		most.Decoders, most.Encoders = max(most.Decoders, p.Engines.Decoders), max(most.Encoders, p.Engines.Encoders)
		most.JPEG, most.OFA = max(most.JPEG, p.Engines.JPEG), max(most.OFA, p.Engines.OFA)
		slots = max(slots, p.Max*p.Profile.Slices)
	}
	return compute <= slots && dec <= most.Decoders && enc <= most.Encoders && jpeg <= most.JPEG && ofa <= most.OFA
}

func allSlots(g *mig.Geometry) (out []mig.Slot) {
	for _, p := range g.Profiles {
		for _, pl := range p.Placements {
			out = append(out, mig.Slot{Profile: p.Profile, Placement: pl})
		}
	}
	return out
}

// division is one way to divide a GPU, with its cost in the words of the plan.
type division struct {
	gives map[Resource]int
	cost  Cost
}

// divisions are all ways to divide a GPU, the reference's way.
func divisions(g *GPU, policy *Policy, wanted []Resource) (out []division) {
	var fixed, idle, fresh, lent []mig.Slot
	claimed := false
	for _, c := range g.Claims {
		if c.Whole {
			claimed = true
		} else {
			fixed = append(fixed, c.Slot)
		}
	}
	for _, in := range g.Instances {
		switch {
		case slices.Contains(fixed, in.Slot):
		case in.Held != "":
			fixed = append(fixed, in.Slot)
		case in.Pinned:
			fixed, lent = append(fixed, in.Slot), append(lent, in.Slot)
		default:
			idle = append(idle, in.Slot)
			if !in.Expired || g.Cooling {
				fresh = append(fresh, in.Slot)
			}
		}
	}
	if claimed {
		return []division{{}}
	}
	canWhole := g.Role != Sliced && len(fixed) == 0 && (!g.Mode.On || g.Mode.May)
	canSlice := g.Role != Whole && (g.Mode.On || g.Mode.May)
	var usable []mig.Slot
	for _, s := range allSlots(&g.Geometry) {
		if slices.Contains(idle, s) || canSlice && (policy.Allowed == nil || slices.Contains(policy.Allowed, s.Profile)) {
			usable = append(usable, s)
		}
	}
	flexible := func(have []mig.Slot) (worth int) {
		for _, s := range usable {
			if !slices.Contains(have, s) && can(&g.Geometry, have, s) {
				worth += s.Placement.Size
			}
		}
		return worth
	}
	best := flexible(fixed)
	if canWhole {
		best += max(g.Geometry.Axis, 1)
	}
	made := func(slots []mig.Slot) {
		d := division{gives: map[Resource]int{}}
		for _, s := range append(slices.Clone(slots), lent...) {
			d.gives[Resource{s.Profile}]++
		}
		for _, s := range fresh {
			if !slices.Contains(slots, s) {
				d.cost.Destroys++
			}
		}
		for _, s := range slots {
			if !slices.Contains(idle, s) {
				d.cost.Creates++
				if !slices.Contains(g.Offered, s) {
					d.cost.Moves++
				}
			}
		}
		if len(slots) > 0 && len(fixed) == 0 && !g.Mode.On {
			d.cost.Modes++
		}
		d.cost.Loss = best - flexible(append(slices.Clone(fixed), slots...))
		if len(slots) == 0 && canWhole {
			d.cost.Loss -= max(g.Geometry.Axis, 1)
		}
		if len(slots) > 0 && canWhole {
			d.cost.Loss += g.SplitCost
		}
		out = append(out, d)
	}
	var walk func(slots []mig.Slot, from int)
	walk = func(slots []mig.Slot, from int) {
		made(slots)
		for i := from; i < len(usable); i++ {
			if !slices.Contains(idle, usable[i]) && !slices.Contains(wanted, Resource{usable[i].Profile}) {
				continue // it would cost and serve nobody
			}
			if can(&g.Geometry, append(slices.Clone(fixed), slots...), usable[i]) {
				walk(append(slices.Clone(slots), usable[i]), i+1)
			}
		}
	}
	walk(nil, 0)
	if canWhole {
		d := division{gives: map[Resource]int{{}: 1}, cost: Cost{Destroys: len(fresh), Loss: best}}
		if g.Mode.On {
			d.cost.Modes++
		}
		out = append(out, d)
	}
	return out
}

// left stands for a GPU that is left whole.
func left() Resource { return Resource{mig.Profile{Slices: -1}} }

func compareCosts(a, b Cost) int {
	return cmp.Or(cmp.Compare(a.Destroys, b.Destroys), cmp.Compare(a.Modes, b.Modes), cmp.Compare(a.Creates, b.Creates), cmp.Compare(a.Moves, b.Moves), cmp.Compare(a.Loss, b.Loss))
}

// optimum is what the best combination serves, in the order of service ("1" or "0" for each demand), and what it costs.
func optimum(in *Input) (served string, cost Cost) {
	demands := slices.Clone(in.Demands)
	slices.SortFunc(demands, func(a, b Demand) int {
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(b.Age, a.Age), strings.Compare(a.ID, b.ID))
	})
	var wanted []Resource
	for _, d := range demands {
		for _, a := range d.Asks {
			wanted = append(wanted, a.Resource)
		}
	}
	keep, room := in.Policy.KeepWhole, 0
	var ways [][]division
	for i := range in.GPUs {
		g := &in.GPUs[i]
		ways = append(ways, divisions(g, &in.Policy, wanted))
		untouched := g.Role != Sliced && len(g.Claims) == 0 && (!g.Mode.On || g.Mode.May && !g.Cooling)
		for _, inst := range g.Instances {
			untouched = untouched && inst.Expired && !g.Cooling && inst.Held == "" && !inst.Pinned
		}
		if untouched {
			room++
		}
		for _, w := range ways[i] {
			if untouched && len(w.gives) == 0 || w.gives[Resource{}] > 0 {
				w.gives[left()] = 1
			}
		}
		for _, c := range g.Claims {
			if c.Whole {
				keep--
			}
		}
	}
	keep = max(min(keep, room), 0)
	first := true
	var combine func(i int, gives map[Resource]int, sum Cost)
	combine = func(i int, gives map[Resource]int, sum Cost) {
		if i == len(ways) {
			if gives[left()] < keep {
				return
			}
			rest := map[Resource]int{}
			for r, n := range gives {
				rest[r] = n
			}
			var bits []byte
			for _, d := range demands {
				ok := true
				for _, a := range d.Asks {
					ok = ok && rest[a.Resource] >= a.Count
				}
				if !ok {
					bits = append(bits, '0')
					continue
				}
				bits = append(bits, '1')
				for _, a := range d.Asks {
					rest[a.Resource] -= a.Count
				}
			}
			if c := strings.Compare(string(bits), served); first || c > 0 || c == 0 && compareCosts(sum, cost) < 0 {
				served, cost, first = string(bits), sum, false
			}
			return
		}
		for _, w := range ways[i] {
			next := map[Resource]int{}
			for r, n := range gives {
				next[r] = n
			}
			for r, n := range w.gives {
				next[r] += n
			}
			combine(i+1, next, Cost{
				sum.Destroys + w.cost.Destroys, sum.Modes + w.cost.Modes, sum.Creates + w.cost.Creates, sum.Moves + w.cost.Moves, sum.Loss + w.cost.Loss,
			})
		}
	}
	combine(0, map[Resource]int{}, Cost{})
	return served, cost
}
