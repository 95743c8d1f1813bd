package attribute

import (
	"testing"

	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
)

// BenchmarkShares divides one GPU among ten pods with two processes each, as the sampler does every 2 s.
func BenchmarkShares(b *testing.B) {
	e := wholeGPU.Whole()
	var holds []sample.Hold
	owners, procs := people{}, map[gpu.UUID][]gpu.ProcessUse{}
	for i := range 20 {
		pod := string(rune('a' + i/2))
		if i%2 == 0 {
			holds = append(holds, hold(pod, "main", e, sample.TimeSlicing))
		}
		owners[i] = pod
		procs[wholeGPU] = append(procs[wholeGPU], on(i, 0.04, 1000))
	}
	set := measured(node(b), holds, map[gpu.Entity][2]float64{e: {0.9, 21_000}})
	b.ReportAllocs()
	for b.Loop() {
		Shares(set, procs, owners)
	}
}
