package conformance

import (
	"testing"

	nv "github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// One call through go-nvml, the library and the daemon's socket.
func BenchmarkCall(b *testing.B) {
	n := sim.New(b, sim.Options{Shape: "dgx-a100"})
	lib := nv.New(nv.WithLibraryPath(n.Library()))
	if ret := lib.Init(); ret != nv.SUCCESS {
		b.Fatal(ret)
	}
	d, ret := lib.DeviceGetHandleByIndex(0)
	if ret != nv.SUCCESS {
		b.Fatal(ret)
	}
	for b.Loop() {
		if _, ret := d.GetPowerUsage(); ret != nv.SUCCESS {
			b.Fatal(ret)
		}
	}
}
