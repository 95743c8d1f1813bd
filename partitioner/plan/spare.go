package plan

// maxSpares bounds how many spares a node has.
const maxSpares = 16

// spares are the policy's, one by one, each as what it needs.
func (r *run) spares() (out []vec) {
	for _, c := range merge(r.policy.Spares) {
		k := r.kinds.of(Resource{c.Profile})
		for n := 0; n < c.Count && k >= 0 && len(out) < maxSpares; n++ {
			var v vec
			v.set(k, 1)
			out = append(out, v)
		}
	}
	return out
}

// addSpares adds to the cheapest way the spares that cost no idle instance: all of them, or else those that can be had one by one.
func (r *run) addSpares(all [][]option, a *acceptance, w way) way {
	list := r.spares()
	if len(list) == 0 {
		return w
	}
	try := func(w way, more ...vec) (way, bool) {
		pods := w.wants
		for _, v := range more {
			pods = pods.plus(v)
		}
		if !a.can(atLeast(pods, a.least)) {
			return w, false
		}
		next := r.cheapest(all, a, pods)
		return next, next.cost/costKill == w.cost/costKill
	}
	if next, ok := try(w, list...); ok {
		return next
	}
	for _, v := range list {
		if next, ok := try(w, v); ok {
			w = next
		}
	}
	return w
}
