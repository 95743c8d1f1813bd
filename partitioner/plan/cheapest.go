package plan

import (
	"cmp"
	"math"
	"slices"
)

// cheapest finds the cheapest way to give what is wanted; where that is too much work, the best way that it met.
// It looks at GPUs with few options first. Of equal ways it takes one that leaves the last GPUs alone.
func (r *run) cheapest(all [][]option, a *acceptance, wants vec) way {
	want := atLeast(wants, a.least)
	options := make([][]option, len(all))
	for i := range all {
		if j := slices.IndexFunc(all[:i], func(o []option) bool { return same(o, all[i]) }); j >= 0 {
			options[i] = options[j]
			continue
		}
		capped := slices.Clone(all[i])
		for j := range capped {
			capped[j].gives = capped[j].gives.capped(want)
		}
		options[i] = thin(capped)
	}
	w := way{wants: wants, picked: make([]option, len(all))}
	for i := range all { // the witness is a way, if a dear one
		gives := a.options[i][a.witness[i]].gives.capped(want)
		cheapest := int64(math.MaxInt64)
		for _, o := range options[i] {
			if o.gives.covers(gives) && o.cost < cheapest {
				w.picked[i], cheapest = o, o.cost
			}
		}
		w.cost += cheapest
	}
	order := turns(options)
	stock, sorted := make([]vec, len(all)), make([][]option, len(all))
	for at, i := range order {
		site := r.sites[i]
		sorted[at] = options[i]
		if stock[at] = site.given(r.kinds, site.exists); site.Role == Declared {
			stock[at] = options[i][0].gives
		}
	}
	for _, width := range r.effort.widths {
		s := newSolver(sorted, stock, r.kinds, r.sizes, r.scratch)
		picks, cost, found := s.solve(want, width, w.cost)
		if found {
			w.cost = cost
			for at, i := range order {
				w.picked[i] = sorted[at][picks[at]]
			}
		}
		if !s.cut {
			w.exact = found
			return w
		}
		sorted = s.affordable(w.cost)
	}
	return w
}

// turns is the order in which sites have their turn: those with few options first, those with the same options together, and
// the last of these first, but for those at the end: there the solver gives first what is due.
func turns(options [][]option) []int {
	order, alike := make([]int, len(options)), make([]int, len(options))
	for i := range options {
		order[i] = len(options) - 1 - i
		alike[i] = slices.IndexFunc(options[:i+1], func(o []option) bool { return same(o, options[i]) })
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(len(options[a]), len(options[b])), cmp.Compare(alike[b], alike[a]))
	})
	for i, at := range order {
		if alike[at] == alike[order[len(order)-1]] {
			slices.Reverse(order[i:])
			break
		}
	}
	return order
}
