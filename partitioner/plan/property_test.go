package plan

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

// draw makes a node: GPUs of one geometry in any state, claims and instances that can exist together, and demand.
func draw(t *rapid.T, geometry mig.Geometry, gpus, demands int) Input {
	var in Input
	profiles := []Resource{{}}
	for _, p := range geometry.Profiles {
		profiles = append(profiles, Resource{p.Profile})
	}
	slots := allSlots(&geometry)
	for i := range gpus {
		g := GPU{
			UUID: gpu.UUID(fmt.Sprintf("GPU-%02d", i)), Index: i, Geometry: geometry, Role: rapid.SampledFrom([]Role{Auto, Auto, Auto, Sliced, Whole}).Draw(t, "role"),
			Mode: Mode{On: rapid.Bool().Draw(t, "on"), May: rapid.IntRange(0, 3).Draw(t, "may") > 0, Why: "of the test"}, Cooling: rapid.IntRange(0, 4).Draw(t, "cooling") == 0,
			SplitCost: rapid.IntRange(0, 2).Draw(t, "split"),
		}
		var have []mig.Slot
		for range rapid.IntRange(0, 4).Draw(t, "slots") {
			s := rapid.SampledFrom(slots).Draw(t, "slot")
			if !can(&geometry, have, s) {
				continue
			}
			have = append(have, s)
			switch rapid.IntRange(0, 6).Draw(t, "what") {
			case 0, 1:
				g.Claims = append(g.Claims, Claim{Slot: s, Holder: "pod a/b"})
				if !rapid.Bool().Draw(t, "gone") {
					g.Instances = append(g.Instances, Instance{Slot: s})
				}
			case 2:
				g.Instances = append(g.Instances, Instance{Slot: s, Held: "process 7"})
			case 3:
				g.Instances = append(g.Instances, Instance{Slot: s, Pinned: true})
			case 4:
				g.Offered = append(g.Offered, s)
			default:
				g.Instances = append(g.Instances, Instance{Slot: s, Expired: rapid.Bool().Draw(t, "expired")})
			}
		}
		if len(g.Instances) > 0 {
			g.Mode.On = true
		}
		if len(g.Instances) == 0 && len(g.Claims) == 0 && rapid.IntRange(0, 5).Draw(t, "claimed") == 0 {
			g.Claims, g.Mode.On = []Claim{{Whole: true, Holder: "pod c/d"}}, false
		}
		in.GPUs = append(in.GPUs, g)
	}
	for i := range rapid.IntRange(0, demands).Draw(t, "demands") {
		d := Demand{ID: fmt.Sprintf("%02d", i), Priority: rapid.IntRange(0, 1).Draw(t, "priority"), Age: int64(rapid.IntRange(0, 2).Draw(t, "age"))}
		for range rapid.SampledFrom([]int{1, 1, 1, 2}).Draw(t, "asks") {
			r := rapid.SampledFrom(profiles).Draw(t, "resource")
			if !slices.ContainsFunc(d.Asks, func(a Ask) bool { return a.Resource == r }) {
				d.Asks = append(d.Asks, Ask{r, rapid.SampledFrom([]int{1, 1, 1, 2}).Draw(t, "count")})
			}
		}
		in.Demands = append(in.Demands, d)
	}
	in.Policy.KeepWhole = rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(t, "keep")
	if rapid.IntRange(0, 3).Draw(t, "restricted") == 0 {
		in.Policy.Allowed = []mig.Profile{}
		for _, p := range geometry.Profiles {
			if rapid.Bool().Draw(t, "allowed") {
				in.Policy.Allowed = append(in.Policy.Allowed, p.Profile)
			}
		}
	}
	return in
}

// some keeps a few profiles of a geometry, so that the reference has time for all combinations.
func some(t *rapid.T, g mig.Geometry) mig.Geometry {
	g.Profiles = rapid.Permutation(g.Profiles).Draw(t, "profiles")
	n := 0
	for i, p := range g.Profiles {
		if n += len(p.Placements); n > 14 {
			g.Profiles = g.Profiles[:i]
			break
		}
	}
	return g
}

// What the search leaves out cannot be better: on larger nodes it finds what a search that follows every way finds.
func TestNothingBetterIsLeftOut(t *testing.T) {
	h100, rtx := newCard(t, "H100").geometry, newCard(t, "RTX PRO 6000").geometry
	rapid.Check(t, func(t *rapid.T) {
		in := draw(t, rapid.SampledFrom([]mig.Geometry{h100, rtx}).Draw(t, "card"), 5, 10)
		p := New()
		r := &run{policy: &in.Policy, effort: usualEffort(), given: map[gift]string{}, refused: map[string]Cause{}, exact: true, scratch: &scratch{}}
		r.read(p, &in)
		r.order(in.Demands)
		r.choose()
		var want, limit vec
		for _, d := range r.demands {
			v, _ := r.needs(d)
			limit = limit.plus(v)
			if slices.Contains(r.served, d) {
				want = want.plus(v)
			}
		}
		want, limit = atLeast(want, r.least), atLeast(limit, r.least)
		best := map[vec]int64{{}: 0} // by what was given so far, up to what is wanted
		for _, options := range r.options(limit) {
			next := map[vec]int64{}
			for v, cost := range best {
				for _, o := range options {
					sum, c := v.plus(o.gives).capped(want), cost+o.cost
					if old, seen := next[sum]; !seen || c < old {
						next[sum] = c
					}
				}
			}
			best = next
		}
		if cost, possible := best[want]; !possible || cost != r.cost || !r.exact {
			t.Fatalf("%+v (exact %v), and %+v can be had (%v)", costOf(r.cost), r.exact, costOf(cost), possible)
		}
		for _, d := range r.demands { // in order: each that is refused does not fit beside those before it that are served
			v, _ := r.needs(d)
			if _, refused := r.refused[d.ID]; !refused {
				continue
			}
			for _, e := range r.served {
				if slices.Index(r.demands, e) < slices.Index(r.demands, d) {
					n, _ := r.needs(e)
					v = v.plus(n)
				}
			}
			if v = atLeast(v, r.least); reachable(r.options(limit), v) {
				t.Fatalf("%s waits and could be served", d.ID)
			}
		}
	})
}

func reachable(sites [][]option, want vec) bool {
	states := map[vec]bool{want: true}
	for _, options := range sites {
		next := map[vec]bool{}
		for v := range states {
			for _, o := range options {
				next[v.minus(o.gives)] = true
			}
		}
		states = next
	}
	return states[vec{}]
}

func shuffled(in Input, seed uint64) Input {
	r := rand.New(rand.NewPCG(seed, 1))
	mix := func(n int, swap func(i, j int)) { r.Shuffle(n, swap) }
	in.GPUs, in.Demands = slices.Clone(in.GPUs), slices.Clone(in.Demands)
	mix(len(in.GPUs), func(i, j int) { in.GPUs[i], in.GPUs[j] = in.GPUs[j], in.GPUs[i] })
	mix(len(in.Demands), func(i, j int) { in.Demands[i], in.Demands[j] = in.Demands[j], in.Demands[i] })
	for k := range in.GPUs {
		g := &in.GPUs[k]
		g.Claims, g.Instances, g.Offered, g.Geometry.Profiles = slices.Clone(g.Claims), slices.Clone(g.Instances), slices.Clone(g.Offered), slices.Clone(g.Geometry.Profiles)
		mix(len(g.Claims), func(i, j int) { g.Claims[i], g.Claims[j] = g.Claims[j], g.Claims[i] })
		mix(len(g.Instances), func(i, j int) { g.Instances[i], g.Instances[j] = g.Instances[j], g.Instances[i] })
		mix(len(g.Offered), func(i, j int) { g.Offered[i], g.Offered[j] = g.Offered[j], g.Offered[i] })
		ps := g.Geometry.Profiles
		mix(len(ps), func(i, j int) { ps[i], ps[j] = ps[j], ps[i] })
	}
	return in
}

// No plan for two GPUs is worse than the best of all that there are, and the order of the input does not matter.
func TestOptimum(t *testing.T) {
	geometries := map[string]mig.Geometry{}
	for name := range cards() {
		geometries[name] = newCard(t, name).geometry
	}
	planner := New()
	rapid.Check(t, func(t *rapid.T) {
		geometry := some(t, geometries[rapid.SampledFrom([]string{"A30", "A100-80", "H100", "RTX PRO 6000"}).Draw(t, "card")])
		in := draw(t, geometry, 2, 5)
		p := planner.Plan(in)
		served, cost := optimum(&in)
		if got := servedBits(&in, &p); got != served || p.Cost != cost || !p.Exact {
			t.Fatalf("serves %q at %+v (exact %v), want %q at %+v", got, p.Cost, p.Exact, served, cost)
		}
		check(t, &in, &p)
		if again := New().Plan(shuffled(in, rapid.Uint64().Draw(t, "seed"))); !reflect.DeepEqual(p, again) {
			t.Fatalf("another order of the input gives another plan:\n%+v\n%+v", p, again)
		}
	})
}

// servedBits is "1" for each demand that is served, in the order of service.
func servedBits(in *Input, p *Plan) string {
	var bits []byte
	order := slices.Clone(in.Demands)
	slices.SortStableFunc(order, func(a, b Demand) int {
		switch {
		case a.Priority != b.Priority:
			return b.Priority - a.Priority
		case a.Age != b.Age:
			return int(b.Age - a.Age)
		case a.ID < b.ID:
			return -1
		}
		return 1
	})
	for _, d := range order {
		if slices.ContainsFunc(p.Grants, func(g Grant) bool { return g.ID == d.ID }) {
			bits = append(bits, '1')
		} else {
			bits = append(bits, '0')
		}
	}
	return string(bits)
}
