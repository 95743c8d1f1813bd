package main

import (
	"maps"
	"slices"
	"strconv"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/partitioner/plan"
)

// named is a policy with its name.
type named struct {
	name   string
	choose func(gpus int) policy
}

// policies are the planner, and the rules that it is measured against.
func policies() []named {
	return []named{
		{"plan", planned},
		{"first-fit", byRule(func(int) int { return 0 }, false)},
		{"best-fit", byRule(func(used int) int { return -used }, true)},
		{"spread", byRule(func(used int) int { return used }, false)},
	}
}

// byRule is a policy of the usual kind: what is idle first; then GPUs in the order of a score of their claimed memory slices, and
// their placements from one end. A pod of several devices takes them one after the other.
func byRule(score func(used int) int, high bool) func(int) policy {
	return func(gpus int) policy {
		return func(n *node, p pod) (out []place) {
			trial := &node{geometry: n.geometry, claims: slices.Clone(n.claims), idle: slices.Clone(n.idle)}
			for range p.count {
				at, ok := trial.one(gpus, p.profile, score, high)
				if !ok {
					return nil
				}
				out = append(out, at)
				trial.take(at, 0)
			}
			return out
		}
	}
}

// one is the place of one device by a rule.
func (n *node) one(gpus int, p mig.ProfileInfo, score func(used int) int, high bool) (place, bool) {
	used := make([]int, gpus)
	for _, c := range n.claims {
		used[c.gpu] += c.slot.Placement.Size
	}
	order := make([]int, gpus)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return score(used[a]) - score(used[b]) })
	for _, i := range order {
		for _, x := range n.idle {
			if x.gpu == i && x.slot.Profile == p.Profile {
				return x.place, true
			}
		}
	}
	places := slices.Clone(p.Placements)
	if high {
		slices.Reverse(places)
	}
	for _, i := range order {
		for _, at := range places {
			if s := (mig.Slot{Profile: p.Profile, Placement: at}); n.free(i, s) {
				return place{i, s}, true
			}
		}
	}
	return place{}, false
}

// planned is the planner, which knows what was asked for so far: as an agent does it weighs profiles by their share of the pods
// that came, in steps of a twentieth.
func planned(gpus int) policy {
	planner := plan.New()
	return func(n *node, p pod) (out []place) {
		in := plan.Input{Demands: []plan.Demand{{ID: "x", Asks: []plan.Ask{{Resource: plan.Resource{Profile: p.profile.Profile}, Count: p.count}}}}}
		in.Policy.Weights = n.weights()
		for i := range gpus {
			g := plan.GPU{UUID: gpu.UUID(strconv.Itoa(i)), Index: i, Geometry: n.geometry, Mode: plan.Mode{On: true}, Role: plan.Sliced}
			for _, c := range n.claims {
				if c.gpu == i {
					g.Claims = append(g.Claims, plan.Claim{Slot: c.slot})
					g.Instances = append(g.Instances, plan.Instance{Slot: c.slot})
				}
			}
			for _, x := range n.idle {
				if x.gpu == i {
					g.Instances = append(g.Instances, plan.Instance{Slot: x.slot})
				}
			}
			in.GPUs = append(in.GPUs, g)
		}
		made := planner.Plan(in)
		for _, grant := range made.Grants {
			for _, d := range grant.Devices {
				i, _ := strconv.Atoi(string(d.GPU))
				out = append(out, place{i, d.Slot})
			}
		}
		return out
	}
}

// weights are the shares of what came so far.
func (n *node) weights() (out []plan.Count) {
	all := 0
	for c := range maps.Values(n.count) {
		all += c
	}
	for _, p := range n.geometry.Profiles {
		if share := (20*n.count[p.Profile] + all/2) / max(all, 1); share > 0 {
			out = append(out, plan.Count{Profile: p.Profile, Count: share})
		}
	}
	return out
}
