package plan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

// A node under a stream of pods: each comes at a random time, runs for a random time if there is room at once, and is turned away
// otherwise. Instances stay for a while when their pod ends, and go earlier when they are in the way.

type arrival struct {
	at, runs float64
	profile  mig.Profile
}

// poisson draws arrivals that ask for so much of a node's memory slices on average, in the shares of mix.
func poisson(seed uint64, g mig.Geometry, gpus int, load float64, n int) (out []arrival) {
	r := rand.New(rand.NewPCG(seed, 9))
	shares := mix(g, 0)
	mean := 0.0
	for _, s := range shares {
		for _, p := range g.Profiles {
			if p.Profile == s.Profile {
				mean += float64(p.Placements[0].Size) / float64(len(shares))
			}
		}
	}
	rate, now := load*float64(gpus*g.Axis)/mean, 0.0
	for range n {
		now += r.ExpFloat64() / rate
		out = append(out, arrival{now, r.ExpFloat64(), shares[r.IntN(len(shares))].Profile})
	}
	return out
}

// stage is the node of a stream.
type stage struct {
	geometry mig.Geometry
	claims   [][]mig.Slot
	ends     [][]float64 // of each claim
	idle     [][]mig.Slot
	since    map[gift]float64 // when an idle instance became idle
	destroys int
}

// idleTTL is how long an idle instance is kept, in mean running times of a pod.
const idleTTL = 0.05

// policy chooses a place for a pod: the GPU, the slot, and whether there is one.
type policy func(s *stage, p mig.Profile) (int, mig.Slot, bool)

// stream plays arrivals and tells the share that was accepted, and the instances that were destroyed for each 1,000 pods.
func stream(g mig.Geometry, gpus int, list []arrival, choose policy) (accepted, destroys float64) {
	s := &stage{geometry: g, claims: make([][]mig.Slot, gpus), ends: make([][]float64, gpus), idle: make([][]mig.Slot, gpus), since: map[gift]float64{}}
	served := 0
	for _, a := range list {
		for i := range s.claims {
			for j := len(s.claims[i]) - 1; j >= 0; j-- {
				if s.ends[i][j] <= a.at {
					s.idle[i] = append(s.idle[i], s.claims[i][j])
					s.since[gift{i, s.claims[i][j]}] = s.ends[i][j]
					s.claims[i], s.ends[i] = slices.Delete(s.claims[i], j, j+1), slices.Delete(s.ends[i], j, j+1)
				}
			}
		}
		for i := range s.idle {
			s.idle[i] = slices.DeleteFunc(s.idle[i], func(x mig.Slot) bool { return a.at-s.since[gift{i, x}] > idleTTL })
		}
		i, slot, ok := choose(s, a.profile)
		if !ok {
			continue
		}
		served++
		have := slices.Clone(s.claims[i])
		s.claims[i], s.ends[i] = append(s.claims[i], slot), append(s.ends[i], a.at+a.runs)
		var stay []mig.Slot
		have = append(have, slot)
		for _, x := range s.idle[i] {
			switch {
			case x == slot:
			case can(&g, have, x):
				have, stay = append(have, x), append(stay, x)
			default:
				s.destroys++
			}
		}
		s.idle[i] = stay
	}
	return float64(served) / float64(len(list)), 1000 * float64(s.destroys) / float64(len(list))
}

// byRule is a policy of the usual kind: what is idle first; then GPUs in the order of a score, their placements from one end.
func byRule(score func(used int) int, high bool) policy {
	return func(s *stage, p mig.Profile) (int, mig.Slot, bool) {
		order := make([]int, len(s.claims))
		for i := range order {
			order[i] = i
		}
		used := func(i int) (n int) {
			for _, c := range s.claims[i] {
				n += c.Placement.Size
			}
			return n
		}
		slices.SortStableFunc(order, func(a, b int) int { return score(used(a)) - score(used(b)) })
		for _, i := range order {
			for _, x := range s.idle[i] {
				if x.Profile == p {
					return i, x, true
				}
			}
		}
		for _, i := range order {
			slots := allSlots(&s.geometry)
			if high {
				slices.Reverse(slots)
			}
			for _, x := range slots {
				if x.Profile == p && can(&s.geometry, s.claims[i], x) {
					return i, x, true
				}
			}
		}
		return 0, mig.Slot{}, false
	}
}

// planned is this package as a policy.
func planned(weights []Count) policy {
	planner := New()
	return func(s *stage, p mig.Profile) (int, mig.Slot, bool) {
		in := Input{Demands: []Demand{{ID: "x", Asks: []Ask{{Resource{p}, 1}}}}, Policy: Policy{Weights: weights}}
		for i := range s.claims {
			g := GPU{UUID: gpu.UUID(strconv.Itoa(i)), Index: i, Geometry: s.geometry, Mode: Mode{On: true}}
			for _, c := range s.claims[i] {
				g.Claims = append(g.Claims, Claim{Slot: c})
				g.Instances = append(g.Instances, Instance{Slot: c})
			}
			for _, x := range s.idle[i] {
				g.Instances = append(g.Instances, Instance{Slot: x})
			}
			in.GPUs = append(in.GPUs, g)
		}
		out := planner.Plan(in)
		if len(out.Grants) == 0 {
			return 0, mig.Slot{}, false
		}
		d := out.Grants[0].Devices[0]
		return slices.IndexFunc(in.GPUs, func(g GPU) bool { return g.UUID == d.GPU }), d.Slot, true
	}
}

// policies are the planner and what it is measured against.
func policies(g mig.Geometry) []struct {
	name   string
	choose policy
} {
	var weights []Count
	for _, p := range g.Profiles {
		n := 0
		for _, m := range mix(g, 0) {
			if m.Profile == p.Profile {
				n++
			}
		}
		weights = append(weights, Count{p.Profile, n})
	}
	return []struct {
		name   string
		choose policy
	}{
		{"plan", planned(nil)},
		{"plan-with-observed-demand", planned(weights)},
		{"first-fit", byRule(func(int) int { return 0 }, false)},
		{"best-fit", byRule(func(used int) int { return -used }, true)},
		{"spread", byRule(func(used int) int { return used }, false)},
	}
}

// BenchmarkAcceptance compares the planner with rules of the usual kind on eight H100, by the share of pods that find room at
// once and the idle instances destroyed for each 1,000 pods.
func BenchmarkAcceptance(b *testing.B) {
	g := newCard(b, "H100").geometry
	for _, load := range []float64{0.7, 0.9, 1.1} {
		for _, p := range policies(g) {
			b.Run(fmt.Sprintf("load-%.1f/%s", load, p.name), func(b *testing.B) {
				for b.Loop() {
					sum, destroyed := 0.0, 0.0
					for seed := range uint64(5) {
						accepted, destroys := stream(g, 8, poisson(seed, g, 8, load, 4000), p.choose)
						sum, destroyed = sum+accepted/5, destroyed+destroys/5
					}
					b.ReportMetric(100*sum, "%accepted")
					b.ReportMetric(destroyed, "destroys/1000pods")
				}
			})
		}
	}
}

// At every load at least as many pods find room as with the best of the usual rules, and fewer instances are destroyed.
func TestNoWorseThanRules(t *testing.T) {
	g := newCard(t, "H100").geometry
	for _, load := range []float64{0.7, 0.9, 1.1} {
		accepted, destroyed := map[string]float64{}, map[string]float64{}
		list := poisson(1, g, 8, load, 2000)
		for _, p := range policies(g)[1:] {
			accepted[p.name], destroyed[p.name] = stream(g, 8, list, p.choose)
		}
		for _, rule := range []string{"first-fit", "best-fit", "spread"} {
			if accepted["plan-with-observed-demand"] < accepted[rule] || destroyed["plan-with-observed-demand"] > destroyed[rule] {
				t.Errorf("load %.1f: %.4f accepted and %.1f destroyed, %s %.4f and %.1f", load,
					accepted["plan-with-observed-demand"], destroyed["plan-with-observed-demand"], rule, accepted[rule], destroyed[rule])
			}
		}
	}
}
