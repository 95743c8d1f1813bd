package plan

import (
	"cmp"
	"math"
	"slices"
)

// widest bounds how many states of one site the exact search keeps, quick how many the first look does.
const (
	quick  = 24
	widest = 100_000
)

// node is a state of the search: what is still to be given by the sites that come, and what it cost until here.
type node struct {
	rest vec
	cost int64
	from int32
	pick int32
}

// solver finds the cheapest way to give exactly what was accepted.
type solver struct {
	options [][]option // by site, none of which costs less than 0
	limits  []vec
	sizes   [][]int64
	rooms   [][]int64
	bounds  [][]int64 // by site: the least that one device of each kind costs from there on
	levels  [][]node
	index   index
	cut     bool // states were left out
}

func newSolver(options [][]option, sizes [][]int64, k int) *solver {
	s := &solver{options: options, sizes: sizes, levels: make([][]node, len(options)+1)}
	s.limits, s.rooms = suffixes(options, sizes)
	s.bound(k)
	return s
}

// bound makes prices that no option undercuts: any way to give v from site g on costs at least the dot of v with them.
// A device that no later site has in stock costs a creation; beyond that, the best price by size that any option has.
func (s *solver) bound(k int) {
	s.bounds = make([][]int64, len(s.options)+1)
	s.bounds[len(s.options)] = make([]int64, k)
	made := make([]int64, k)
	for i := range made {
		made[i] = costCreate
	}
	size := s.sizes[0]
	for g := len(s.options) - 1; g >= 0; g-- {
		for _, o := range s.options[g] {
			if o.cost < costCreate { // what it gives is there
				for i := range made {
					if o.gives.at(i) > 0 {
						made[i] = 0
					}
				}
			}
		}
		price := int64(math.MaxInt64)
		for _, later := range s.options[g:] {
			for _, o := range later {
				if n := o.gives.dot(size); n > 0 {
					price = min(price, max(o.cost-o.gives.dot(made), 0)/n)
				}
			}
		}
		s.bounds[g] = make([]int64, k)
		for i := range s.bounds[g] {
			if price != math.MaxInt64 {
				s.bounds[g][i] = made[i] + price*size[i]
			}
		}
	}
}

// solve searches site by site, keeping the cheapest way to each state. Ways that would cost more than most are not followed.
func (s *solver) solve(want vec, width int, most int64) (choice, int64, bool) {
	s.cut = false
	s.levels[0] = append(s.levels[0][:0], node{rest: want, from: -1})
	for g, options := range s.options {
		s.index.reset()
		next := s.levels[g+1][:0]
		for from, n := range s.levels[g] {
			for pick, o := range options {
				cost := n.cost + o.cost
				if cost > most {
					continue
				}
				rest := n.rest.minus(o.gives)
				slot := s.index.find(rest, next)
				if at := s.index.at[slot]; at >= 0 {
					if cost < next[at].cost {
						next[at].cost, next[at].from, next[at].pick = cost, int32(from), int32(pick)
					}
					continue
				}
				if cost+rest.dot(s.bounds[g+1]) > most || s.hopeless(g+1, rest) {
					continue
				}
				s.index.put(slot, len(next))
				next = append(next, node{rest: rest, cost: cost, from: int32(from), pick: int32(pick)})
				if s.index.full(len(next)) {
					s.index.grow(next)
				}
			}
		}
		if len(next) > width {
			s.cut = true
			slices.SortStableFunc(next, func(a, b node) int {
				return cmp.Compare(a.cost+a.rest.dot(s.bounds[g+1]), b.cost+b.rest.dot(s.bounds[g+1]))
			})
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
