package main

import (
	"cmp"
	"math"
	"slices"

	"github.com/gpulet/gpulet/gpu/mig"
)

// bound is a number of pods that no plan can exceed, not even one that knows the future and may move and divide pods: at no time
// they take more memory slices or compute slices than there are. With a price for each slice at each time, the pods that are worth
// their price and the price of all slices together bound the number (Lagrangian duality); prices are sought by subgradient steps.
func bound(g mig.Geometry, w workload, rounds int) float64 {
	memory := g.Axis * w.gpus
	compute := 0
	for _, p := range g.Profiles {
		compute = max(compute, p.Profile.Slices*w.gpus)
	}
	type edge struct {
		at    float64
		pod   int
		start bool
	}
	var edges []edge
	for i, p := range w.pods {
		edges = append(edges, edge{p.at, i, true}, edge{p.at + p.runs, i, false})
	}
	slices.SortFunc(edges, func(a, b edge) int {
		switch c := cmp.Compare(a.at, b.at); {
		case c != 0 || a.start == b.start:
			return c
		case a.start: // who ends makes room for who comes at that time
			return 1
		}
		return -1
	})
	// A moment is between an arrival and the next edge: loads are highest at these alone.
	from, to := make([]int, len(w.pods)), make([]int, len(w.pods))
	moments := 0
	for _, e := range edges {
		if e.start {
			from[e.pod] = moments
			moments++
		} else {
			to[e.pod] = moments
		}
	}
	prices := [2][]float64{make([]float64, moments), make([]float64, moments)}
	room := [2]float64{float64(memory), float64(compute)}
	sizes := make([][2]float64, len(w.pods))
	for i, p := range w.pods {
		sizes[i] = [2]float64{float64(p.count * p.profile.Placements[0].Size), float64(p.count * p.profile.Profile.Slices)}
	}
	best := float64(len(w.pods))
	sum, load := make([]float64, moments+1), make([]float64, moments+1)
	for round := range rounds {
		gain := make([]float64, len(w.pods))
		for i := range gain {
			gain[i] = 1
		}
		value := 0.0
		for r := range prices {
			for t, price := range prices[r] {
				sum[t+1] = sum[t] + price
				value += price * room[r]
			}
			for i := range w.pods {
				gain[i] -= sizes[i][r] * (sum[to[i]] - sum[from[i]])
			}
		}
		for _, x := range gain {
			value += max(x, 0)
		}
		best = min(best, value)
		step := 0.05 / room[0] / math.Sqrt(float64(round+1))
		for r := range prices {
			clear(load)
			for i := range w.pods {
				if gain[i] > 0 {
					load[from[i]] += sizes[i][r]
					load[to[i]] -= sizes[i][r]
				}
			}
			now := 0.0
			for t := range moments {
				now += load[t]
				prices[r][t] = max(0, prices[r][t]+step*(now-room[r])/room[r])
			}
		}
	}
	return best
}
