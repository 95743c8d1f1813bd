package attribute

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
)

// TestSharesSum: whoever holds what and whatever the driver tells of processes, shares and rest of an entity are what the
// entity uses, each is within that, and nobody gets a number without a process of its own while one of the processes that it
// could have is not known to be somebody else's.
func TestSharesSum(t *testing.T) {
	s := node(t)
	entities := []gpu.Entity{wholeGPU.Whole(), instance(7), instance(2)}
	rapid.Check(t, func(t *rapid.T) {
		use := map[gpu.Entity][2]float64{}
		for _, e := range entities {
			if rapid.IntRange(0, 9).Draw(t, "read") > 0 {
				use[e] = [2]float64{rapid.Float64Range(0, 1).Draw(t, "util"), float64(rapid.IntRange(0, 80_000).Draw(t, "MiB"))}
			}
		}
		holds := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) sample.Hold {
			return hold(
				rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "pod"), rapid.SampledFrom([]string{"one", "two"}).Draw(t, "container"),
				rapid.SampledFrom(entities).Draw(t, "entity"), rapid.SampledFrom([]sample.Sharing{sample.Exclusive, sample.TimeSlicing}).Draw(t, "sharing"),
			)
		}), 0, 6).Draw(t, "holds")
		owners := people{}
		procs := map[gpu.UUID][]gpu.ProcessUse{}
		for pid := range rapid.IntRange(0, 8).Draw(t, "processes") {
			e := rapid.SampledFrom(entities).Draw(t, "of")
			u := on(pid, rapid.Float64Range(0, 1.5).Draw(t, "SM"), uint64(rapid.IntRange(0, 50_000).Draw(t, "memory")))
			u.GPUInstance, u.MPS, u.Measured = e.Instance, rapid.Bool().Draw(t, "MPS"), rapid.Bool().Draw(t, "measured")
			procs[e.GPU] = append(procs[e.GPU], u)
			if who := rapid.SampledFrom([]string{"", "a", "a/one", "b/two", "c/one", "stranger"}).Draw(t, "owner"); who != "" {
				owners[pid] = who
			}
		}
		for _, uuid := range []gpu.UUID{wholeGPU, slicedGP} {
			if procs[uuid] == nil && rapid.Bool().Draw(t, "no processes") {
				procs[uuid] = []gpu.ProcessUse{}
			}
		}
		shares, rests := Shares(measured(s, holds, use), procs, owners)
		checkSums(t, use, shares, rests)
		checkZeros(t, holds, procs, owners, shares)
	})
}

func checkSums(t *rapid.T, use map[gpu.Entity][2]float64, shares []sample.Share, rests []sample.Rest) {
	sums := map[gpu.Entity][2]float64{}
	add := func(e gpu.Entity, p sample.Part) {
		of := use[e]
		if p.Utilization < 0 || p.Utilization > of[0]+1e-12 || p.MemoryBytes < 0 || p.MemoryBytes > of[1]*mib {
			t.Fatalf("%+v is not within %v", p, of)
		}
		if p.NoUtil != nil && p.Utilization != 0 || p.NoMB != nil && p.MemoryBytes != 0 {
			t.Fatalf("a number beside the reason why there is none: %+v", p)
		}
		sum := sums[e]
		sums[e] = [2]float64{sum[0] + p.Utilization, sum[1] + p.MemoryBytes/mib}
	}
	for _, s := range shares {
		add(s.Entity, s.Part)
	}
	for _, r := range rests {
		add(r.Entity, r.Part)
	}
	for e, of := range use {
		if sum := sums[e]; math.Abs(sum[0]-of[0]) > 1e-9 || math.Abs(sum[1]-of[1]) > 1e-9 {
			t.Fatalf("%+v: %v make up %v", e, sum, of)
		}
	}
}

func checkZeros(t *rapid.T, holds []sample.Hold, procs map[gpu.UUID][]gpu.ProcessUse, owners people, shares []sample.Share) {
	sharers := map[gpu.Entity]map[string]bool{}
	replicas := map[gpu.Entity]bool{}
	for _, h := range holds {
		if sharers[h.Entity] == nil {
			sharers[h.Entity] = map[string]bool{}
		}
		sharers[h.Entity][h.Pod+"/"+h.Container.Container] = true
		replicas[h.Entity] = replicas[h.Entity] || h.Sharing != sample.Exclusive
	}
	for _, s := range shares {
		if len(sharers[s.Entity]) == 1 && !replicas[s.Entity] {
			continue
		}
		mine, unknown := 0, 0
		for _, u := range procs[s.Entity.GPU] {
			if u.GPUInstance != s.Entity.Instance {
				continue
			}
			pod, _, known := owners.Container(u.PID)
			if !known {
				unknown++
			} else if pod == s.UID {
				mine++
			}
		}
		if mine == 0 && unknown > 0 && (s.NoUtil == nil || s.NoMB == nil) {
			t.Fatalf("%s has numbers beside %d unknown processes: %+v", fmt.Sprint(s.Container), unknown, s.Part)
		}
	}
}
