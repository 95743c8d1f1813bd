package main

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/gpulet/gpulet/gpu/mig"
)

// dense is when the trace becomes dense, and day a day, in seconds.
const (
	dense = 9.8e6
	day   = 86400
)

// traced reads the GPU pods of cluster-trace-gpu-v2023. The trace has no MIG requests. The mapping: a share of one GPU becomes the
// smallest base profile, by memory slices, with at least that share of the compute slices; whole GPUs become so many of the largest
// profile. Pods of more GPUs than a node has are left out, and so are the few of the time before the trace is dense. Running times
// are cut at a day: what runs for months leaves a small node nothing to decide.
func traced(dir string, g mig.Geometry, gpus int) (out []pod, err error) {
	f, err := os.Open(filepath.Join(dir, "openb_pod_list_default.csv"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read the trace: %w", err)
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	for line, row := range rows[1:] {
		var v [4]float64
		for i, name := range []string{"num_gpu", "gpu_milli", "creation_time", "deletion_time"} {
			if v[i], err = strconv.ParseFloat(row[column[name]], 64); err != nil {
				return nil, fmt.Errorf("read the trace: line %d, %s: %w", line+2, name, err)
			}
		}
		if v[0] < 1 || int(v[0]) > gpus || v[3] <= v[2] || v[2] < dense {
			continue
		}
		share := 1.0
		if v[0] == 1 {
			share = v[1] / 1000
		}
		out = append(out, pod{at: v[2] - dense, runs: min(v[3]-v[2], day), profile: smallest(g, share), count: int(v[0])})
	}
	slices.SortStableFunc(out, func(a, b pod) int { return cmp.Compare(a.at, b.at) })
	return out, nil
}

// smallest is the smallest base profile with a share of the compute slices.
func smallest(g mig.Geometry, share float64) (best mig.ProfileInfo) {
	most := 0
	for _, p := range g.Profiles {
		most = max(most, p.Profile.Slices)
	}
	need := int(math.Ceil(share*float64(most) - 1e-9))
	for _, p := range g.Profiles {
		if p.Profile.Attributes != "" || p.Profile.Slices < need {
			continue
		}
		size := func(x mig.ProfileInfo) int { return x.Placements[0].Size*100 + x.Profile.Slices }
		if best.Max == 0 || size(p) < size(best) {
			best = p
		}
	}
	return best
}

// deal deals the pods of a trace to nodes by chance. Arrivals are moved together, all by one factor, so that each node is asked for
// the given load of its memory slices while pods come; running times stay.
func deal(pods []pod, g mig.Geometry, gpus, nodes int, load float64, seed uint64) []workload {
	last, work := pods[len(pods)-1].at, 0.0
	for _, p := range pods {
		work += float64(p.count*p.profile.Placements[0].Size) * p.runs
	}
	factor := work / (load * last * float64(nodes*gpus*g.Axis))
	out := make([]workload, nodes)
	r := rand.New(rand.NewPCG(seed, 10)) //nolint:gosec // the same numbers each time
	for _, p := range pods {
		w := &out[r.IntN(nodes)]
		p.at *= factor
		w.gpus, w.ttl, w.pods = gpus, 60, append(w.pods, p) // an agent's idleTTL
	}
	return out
}
