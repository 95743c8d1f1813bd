package plan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

// mix is the share of each resource in synthetic demand, of a hundred: those of an eight-slot GPU, by slices and memory slices.
func mix(g mig.Geometry, whole int) (out []Resource) {
	share := map[[2]int]int{{1, 1}: 35, {1, 2}: 5, {2, 2}: 25, {3, 4}: 20, {4, 4}: 8, {7, 8}: 7 - whole}
	for _, p := range g.Profiles {
		if p.Profile.Attributes != "" {
			continue
		}
		for range share[[2]int{p.Profile.Slices, p.Placements[0].Size}] {
			out = append(out, Resource{p.Profile})
		}
	}
	for range whole {
		out = append(out, Resource{})
	}
	return out
}

// busy is a node of eight H100 with random claims and idle instances, and pending pods.
func busy(r *rand.Rand, g mig.Geometry, gpus, pods int) (in Input) {
	kinds := mix(g, 2)
	slots := allSlots(&g)
	load := r.Float64()
	for i := range gpus {
		x := GPU{UUID: gpu.UUID(fmt.Sprintf("GPU-%02d", i)), Index: i, Geometry: g, Mode: Mode{May: true}}
		var have []mig.Slot
		for range r.IntN(8) {
			s := slots[r.IntN(len(slots))]
			if r.Float64() > load || !can(&g, have, s) {
				continue
			}
			have = append(have, s)
			x.Mode.On = true
			x.Instances = append(x.Instances, Instance{Slot: s, Expired: r.IntN(3) == 0})
			if r.IntN(3) > 0 {
				x.Claims = append(x.Claims, Claim{Slot: s, Holder: "pod a/b"})
			}
		}
		in.GPUs = append(in.GPUs, x)
	}
	for i := range pods {
		in.Demands = append(in.Demands, Demand{ID: fmt.Sprintf("%04d", i), Asks: []Ask{{kinds[r.IntN(len(kinds))], 1}}, Age: int64(pods - i)})
	}
	return in
}

// BenchmarkPlan makes plans for random nodes; the budget for 8 GPUs and 20 pods is 5 ms at the 99th percentile.
func BenchmarkPlan(b *testing.B) {
	for _, c := range []struct {
		card       string
		gpus, pods int
	}{{"H100", 8, 20}, {"H100", 8, 100}, {"RTX PRO 6000", 8, 20}, {"H100", 16, 40}, {"H100", 16, 200}} {
		b.Run(fmt.Sprintf("%s/%dGPUs/%dpods", c.card, c.gpus, c.pods), func(b *testing.B) {
			g := newCard(b, c.card).geometry
			r := rand.New(rand.NewPCG(1, 2))
			var took []time.Duration
			p := New()
			inexact := 0
			for b.Loop() {
				in := busy(r, g, c.gpus, c.pods)
				start := time.Now()
				if !p.Plan(in).Exact {
					inexact++
				}
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2])/1e6, "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100])/1e6, "p99-ms")
			b.ReportMetric(float64(took[len(took)-1])/1e6, "max-ms")
			b.ReportMetric(100*float64(inexact)/float64(len(took)), "%inexact")
		})
	}
}
