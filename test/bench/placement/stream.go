package main

import (
	"cmp"
	"math/rand/v2"
	"slices"

	"github.com/gpulet/gpulet/gpu/mig"
)

// pod comes at a time, is turned away unless there is room at once, and runs for a while. Times are in any unit.
type pod struct {
	at, runs float64
	profile  mig.ProfileInfo
	count    int // devices, all or none
}

// workload is a stream of pods for one node.
type workload struct {
	gpus int
	pods []pod
	ttl  float64 // how long an idle instance is kept
}

// poisson draws n pods that ask for so much of a node's memory slices on average; running times are exponential with mean 1, of which idle instances live a twentieth.
// The mix: 35 % 1g, 5 % 1g with double memory, 25 % 2g, 20 % 3g, 8 % 4g, 7 % 7g.
func poisson(seed uint64, g mig.Geometry, gpus int, load float64, n int) workload {
	share := map[[2]int]int{{1, 1}: 35, {1, 2}: 5, {2, 2}: 25, {3, 4}: 20, {4, 4}: 8, {7, 8}: 7}
	var kinds []mig.ProfileInfo
	size := 0
	for _, p := range g.Profiles {
		if p.Profile.Attributes != "" {
			continue
		}
		for range share[[2]int{p.Profile.Slices, p.Placements[0].Size}] {
			kinds = append(kinds, p)
			size += p.Placements[0].Size
		}
	}
	r := rand.New(rand.NewPCG(seed, 9)) //nolint:gosec // the same numbers each time
	rate, now := load*float64(gpus*g.Axis*len(kinds))/float64(size), 0.0
	w := workload{gpus: gpus, ttl: 0.05}
	for range n {
		now += r.ExpFloat64() / rate
		w.pods = append(w.pods, pod{now, r.ExpFloat64(), kinds[r.IntN(len(kinds))], 1})
	}
	return w
}

// place is where a device is.
type place struct {
	gpu  int
	slot mig.Slot
}

// node is the GPUs of a stream. Instances stay for a while when their pod ends, and go earlier when they are in the way.
type node struct {
	geometry mig.Geometry
	claims   []claim
	idle     []idle
	count    map[mig.Profile]int // of arrivals so far
	destroys int
}

type claim struct {
	place
	ends float64
}

type idle struct {
	place
	since float64
}

// policy chooses the places of a pod's devices; none when there is no room.
type policy func(n *node, p pod) []place

// result is what became of a stream.
type result struct{ pods, accepted, destroys int }

func (r result) plus(o result) result {
	return result{r.pods + o.pods, r.accepted + o.accepted, r.destroys + o.destroys}
}

// play runs a stream. It panics when a policy takes room that is not there: that would be a mistake of this program.
func play(g mig.Geometry, w workload, choose func(gpus int) policy) result {
	n := &node{geometry: g, count: map[mig.Profile]int{}}
	decide := choose(w.gpus)
	r := result{pods: len(w.pods)}
	for _, p := range w.pods {
		n.advance(p.at, w.ttl)
		n.count[p.profile.Profile]++
		places := decide(n, p)
		if len(places) < p.count {
			continue
		}
		r.accepted++
		for _, at := range places {
			n.take(at, p.at+p.runs)
		}
	}
	r.destroys = n.destroys
	return r
}

// advance ends pods, and idle instances that are too old.
func (n *node) advance(now, ttl float64) {
	n.claims = slices.DeleteFunc(n.claims, func(c claim) bool {
		if c.ends <= now {
			n.idle = append(n.idle, idle{c.place, c.ends})
		}
		return c.ends <= now
	})
	n.idle = slices.DeleteFunc(n.idle, func(i idle) bool { return now-i.since > ttl })
	slices.SortFunc(n.idle, func(a, b idle) int {
		return cmp.Or(cmp.Compare(a.gpu, b.gpu), cmp.Compare(a.slot.Placement.Start, b.slot.Placement.Start))
	})
}

// take gives a place to a pod. What is idle and cannot be beside it is destroyed.
func (n *node) take(at place, ends float64) {
	if !n.free(at.gpu, at.slot) {
		panic("there is no room at " + at.slot.String())
	}
	n.claims = append(n.claims, claim{at, ends})
	var stay []idle
	have := n.claimed(at.gpu)
	for _, i := range n.idle {
		switch {
		case i.gpu != at.gpu:
			stay = append(stay, i)
		case i.slot == at.slot:
		case fits(n.geometry, have, i.slot):
			have, stay = append(have, i.slot), append(stay, i)
		default:
			n.destroys++
		}
	}
	n.idle = stay
}

func (n *node) claimed(gpu int) (out []mig.Slot) {
	for _, c := range n.claims {
		if c.gpu == gpu {
			out = append(out, c.slot)
		}
	}
	return out
}

// free reports whether a slot can be had beside the claims of its GPU.
func (n *node) free(gpu int, s mig.Slot) bool { return fits(n.geometry, n.claimed(gpu), s) }

// fits reports whether a slot of a base profile can be beside others: no memory slice twice, and no more compute slices than the
// largest profile has.
func fits(g mig.Geometry, have []mig.Slot, s mig.Slot) bool {
	compute, most := s.Profile.Slices, 0
	for _, p := range g.Profiles {
		most = max(most, p.Profile.Slices)
	}
	for _, h := range have {
		if h.Placement.Overlaps(s.Placement) {
			return false
		}
		compute += h.Profile.Slices
	}
	return compute <= most
}
