package expose_test

import (
	"slices"
	"sync/atomic"
	"testing"

	"github.com/gpulet/gpulet/exporter/expose"
	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/exporter/sample"
)

// While the driver is unloaded, what goes on being told is told under the same labels: no series begins anew. Another driver
// that is loaded then is named.
func TestDriverUnloaded(t *testing.T) {
	o := options(selected(family.GPUTemp))
	o.DriverLabel = true
	var now atomic.Pointer[sample.Set]
	g := expose.New(now.Load, func() expose.Options { return o })
	load := func(generation uint64, version string) (out []string) {
		set := newSet(o.Fields, a100(0))
		set.Generation, set.Snapshot.Driver.Version = generation, version
		now.Store(set)
		families := gather(t, g)
		return append(series(t, families, "DCGM_FI_DEV_GPU_TEMP"), series(t, families, "gpu_info")...)
	}
	first := load(1, "550.54.15")
	if got := load(2, ""); len(got) != 2 || !slices.Equal(got, first) {
		t.Errorf("without a driver: %v\nbefore: %v", got, first)
	}
	if got := load(3, "570.86.10"); len(got) != 2 || slices.Contains(got, first[0]) || slices.Contains(got, first[1]) {
		t.Errorf("with another driver: %v", got)
	}
}
