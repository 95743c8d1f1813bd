package plan

import (
	"cmp"
	"slices"
)

// node is a state of the search: what is still to be given by the sites that come, and what it cost until here.
type node struct {
	rest vec
	cost int64
	sure int64 // cost, and the least that the rest still costs
	from int32
	pick int32
}

// scratch is the memory of a search, to be used again.
type scratch struct {
	levels [][]node
	index  index
}

// solver finds the cheapest way to give exactly what was accepted.
type solver struct {
	options [][]option // by site
	limits  []vec
	sizes   [][]int64
	rooms   [][]int64
	bound   *bound
	*scratch
	alike int   // sites from here on have the same options
	order []int // the kinds, the largest first
	cut   bool  // states were left out
}

func newSolver(options [][]option, stock []vec, kinds kinds, sizes [][]int64, memory *scratch) *solver {
	s := &solver{options: options, sizes: sizes, scratch: memory}
	for len(s.levels) <= len(options) {
		s.levels = append(s.levels, nil)
	}
	s.limits, s.rooms = suffixes(options, sizes)
	s.bound = newBound(options, stock, kinds, sizes)
	for s.alike = max(len(options)-1, 0); s.alike > 0 && same(options[s.alike-1], options[len(options)-1]); s.alike-- {
	}
	for k := range kinds {
		s.order = append(s.order, k)
	}
	slices.SortStableFunc(s.order, func(a, b int) int { return cmp.Compare(sizes[0][b], sizes[0][a]) })
	return s
}

// same reports whether two sites share their options.
func same(a, b []option) bool { return len(a) == len(b) && len(a) > 0 && &a[0] == &b[0] }

// due is the largest kind that is still to be given, when all sites from g on are alike: one of them has to give it, and it may as
// well be the next. -1 when any option may come next.
func (s *solver) due(g int, rest vec) int {
	if g >= s.alike {
		for _, k := range s.order {
			if rest.at(k) > 0 {
				return k
			}
		}
	}
	return -1
}

// solve searches site by site, keeping the cheapest way to each state. Ways that would cost more than most are not followed.
func (s *solver) solve(want vec, width int, most int64) (choice, int64, bool) {
	s.cut = false
	s.levels[0] = append(s.levels[0][:0], node{rest: want, from: -1})
	for g, options := range s.options {
		s.index.reset()
		next := s.levels[g+1][:0]
		for from, n := range s.levels[g] {
			due := s.due(g, n.rest)
			for pick := range options {
				o := &options[pick]
				cost := n.cost + o.cost
				if cost > most || due >= 0 && o.gives.at(due) == 0 {
					continue
				}
				rest := n.rest.minus(o.gives)
				slot := s.index.find(rest, next)
				if at := s.index.at[slot]; at >= 0 {
					if n := &next[at]; cost < n.cost {
						n.sure -= n.cost - cost
						n.cost, n.from, n.pick = cost, int32(from), int32(pick)
					}
					continue
				}
				sure := cost + s.bound.least(g+1, rest, most-cost)
				if sure > most || s.hopeless(g+1, rest) {
					continue
				}
				s.index.put(slot, len(next))
				next = append(next, node{rest: rest, cost: cost, sure: sure, from: int32(from), pick: int32(pick)})
				if s.index.full(len(next)) {
					s.index.grow(next)
				}
			}
		}
		if len(next) > width {
			s.cut = true
			slices.SortStableFunc(next, func(a, b node) int { return cmp.Compare(a.sure, b.sure) })
			next = next[:width]
		}
		s.levels[g+1] = next
	}
	last := s.levels[len(s.options)]
	at := slices.IndexFunc(last, func(n node) bool { return n.rest == vec{} })
	if at < 0 {
		return nil, 0, false
	}
	out := make(choice, len(s.options))
	cost := last[at].cost
	for g := len(s.options); g > 0; g-- {
		n := s.levels[g][at]
		out[g-1], at = int(n.pick), int(n.from)
	}
	return out, cost, true
}

// affordable are the options that can be part of a way that costs no more than most.
func (s *solver) affordable(most int64) [][]option {
	out := make([][]option, len(s.options))
	for g, options := range s.options {
		if g > 0 && same(options, s.options[g-1]) {
			out[g] = out[g-1]
			continue
		}
		others := s.bound.base[0] - (s.bound.base[g] - s.bound.base[g+1])
		for _, o := range options {
			if o.cost+others <= most {
				out[g] = append(out[g], o)
			}
		}
	}
	return out
}

func (s *solver) hopeless(g int, rest vec) bool {
	if !s.limits[g].covers(rest) {
		return true
	}
	for m, size := range s.sizes {
		if rest.dot(size) > s.rooms[m][g] {
			return true
		}
	}
	return false
}

// index finds the node of a state: a hash table of positions, -1 where there is none.
type index struct {
	at []int32
}

func (x *index) reset() {
	if x.at == nil {
		x.at = make([]int32, 1<<10)
	}
	for i := range x.at {
		x.at[i] = -1
	}
}

// find is where the state is, or belongs.
func (x *index) find(v vec, nodes []node) int {
	h := (v[0]*0x9E3779B97F4A7C15 ^ v[1]*0xC2B2AE3D27D4EB4F)
	h ^= h >> 29
	h *= 0xBF58476D1CE4E5B9
	i := int(h>>32) & (len(x.at) - 1)
	for x.at[i] >= 0 && nodes[x.at[i]].rest != v {
		i = (i + 1) & (len(x.at) - 1)
	}
	return i
}

func (x *index) put(slot, at int) { x.at[slot] = int32(at) }

func (x *index) full(n int) bool { return n*2 > len(x.at) }

func (x *index) grow(nodes []node) {
	x.at = make([]int32, 2*len(x.at))
	for i := range x.at {
		x.at[i] = -1
	}
	for i := range nodes {
		x.at[x.find(nodes[i].rest, nodes)] = int32(i)
	}
}
