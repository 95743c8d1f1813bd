package plan

import (
	"cmp"
	"slices"
)

// choice is one option index for each site.
type choice []int

// acceptance finds which demands can be served together, in order.
type acceptance struct {
	options [][]option // by site
	limits  []vec      // what sites i and after could give at most, each kind for itself
	sizes   [][]int64  // measures of a kind's size
	rooms   [][]int64  // by measure: what sites i and after could give at most
	taken   vec        // what was accepted
	least   vec        // what is to be kept in any case
	witness choice     // a way to give it
	sum     vec        // what the witness gives
	refused []vec      // what is known to be too much
	steps   int        // that the search for one demand may take
	exact   bool
}

func newAcceptance(options [][]option, sizes [][]int64, least vec, steps int) *acceptance {
	a := &acceptance{sizes: sizes, least: least, steps: steps, witness: make(choice, len(options)), exact: true}
	for _, o := range options {
		a.options = append(a.options, fullest(o, sizes))
	}
	options = a.options
	a.limits, a.rooms = suffixes(options, sizes)
	a.sum = a.total(a.witness)
	return a
}

// fullest are the options that no other one outdoes in what it gives, those that give most first.
func fullest(options []option, sizes [][]int64) (out []option) {
	for i, o := range options {
		worse := false
		for j, b := range options {
			worse = worse || i != j && b.gives.covers(o.gives) && (b.gives != o.gives || j < i)
		}
		if !worse {
			out = append(out, o)
		}
	}
	slices.SortStableFunc(out, func(a, b option) int {
		return cmp.Compare(b.gives.dot(sizes[0]), a.gives.dot(sizes[0]))
	})
	return out
}

// suffixes are the bounds of sites i and after: by kind, and by each measure of size.
func suffixes(options [][]option, sizes [][]int64) (limits []vec, rooms [][]int64) {
	limits = make([]vec, len(options)+1)
	rooms = make([][]int64, len(sizes))
	for m := range sizes {
		rooms[m] = make([]int64, len(options)+1)
	}
	for g := len(options) - 1; g >= 0; g-- {
		var most vec
		for _, o := range options[g] {
			most = atLeast(most, o.gives)
		}
		limits[g] = limits[g+1].plus(most)
		for m := range sizes {
			best := int64(0)
			for _, o := range options[g] {
				best = max(best, o.gives.dot(sizes[m]))
			}
			rooms[m][g] = rooms[m][g+1] + best
		}
	}
	return limits, rooms
}

func (a *acceptance) total(c choice) (v vec) {
	for g, o := range c {
		v = v.plus(a.options[g][o].gives)
	}
	return v
}

// accept takes a demand if it can be served with all that was accepted before.
func (a *acceptance) accept(needs vec) bool {
	want := a.taken.plus(needs)
	if !a.can(atLeast(want, a.least)) {
		return false
	}
	a.taken = want
	return true
}

// atLeast is the larger of the two in each field.
func atLeast(v, w vec) vec { return v.plus(w.minus(v)) }

// can reports whether so much can be given at once, and keeps a witness.
func (a *acceptance) can(want vec) bool {
	if a.sum.covers(want) {
		return true
	}
	if a.hopeless(0, want) {
		return false
	}
	for _, r := range a.refused {
		if want.covers(r) {
			return false
		}
	}
	if a.nudge(want) {
		return true
	}
	s := search{acceptance: a, dead: map[state]bool{}, left: a.steps, path: make(choice, len(a.options))}
	if s.walk(0, want) {
		a.witness = s.path
		a.sum = a.total(a.witness)
		return true
	}
	if s.left <= 0 {
		a.exact = false
	}
	a.refused = append(a.refused, want)
	return false
}

// hopeless reports that sites g and after cannot give it, by bounds alone.
func (a *acceptance) hopeless(g int, want vec) bool {
	if !a.limits[g].covers(want) {
		return true
	}
	for m, size := range a.sizes {
		if want.dot(size) > a.rooms[m][g] {
			return true
		}
	}
	return false
}

// nudge changes the option of one site of the witness.
func (a *acceptance) nudge(want vec) bool {
	for g := range a.options {
		var others vec
		for h, o := range a.witness {
			if h != g {
				others = others.plus(a.options[h][o].gives)
			}
		}
		for i, o := range a.options[g] {
			if o.gives.plus(others).covers(want) {
				a.witness[g], a.sum = i, o.gives.plus(others)
				return true
			}
		}
	}
	return false
}

// search looks for a way through all sites, and remembers where there was none.
type search struct {
	*acceptance
	dead map[state]bool
	left int
	path choice
}

type state struct {
	site int
	rest vec
}

func (s *search) walk(g int, rest vec) bool {
	if rest == (vec{}) {
		return true // the sites behind keep option 0
	}
	s.left--
	if g == len(s.options) || s.left <= 0 || s.hopeless(g, rest) || s.dead[state{g, rest}] {
		return false
	}
	for i, o := range s.options[g] {
		s.path[g] = i
		if s.walk(g+1, rest.minus(o.gives)) {
			return true
		}
	}
	s.path[g] = 0
	s.dead[state{g, rest}] = true
	return false
}
