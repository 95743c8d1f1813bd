package dcgm

import (
	"time"

	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/gpu"
)

// Periods of what does not change fast. Static fields are watched too, as the engine tells only what it watches.
const (
	slowPeriod   = 15 * time.Second
	staticPeriod = time.Minute
)

// period is how often DCGM shall measure a field.
func period(f gpu.Field, fast time.Duration) time.Duration {
	switch {
	case f < 100:
		return staticPeriod
	case profiling(f), f >= 100 && f <= 112, f >= 140 && f <= 157, f >= 200 && f <= 207, f == family.XIDErrors, f >= 250 && f <= 254, f == 449:
		return fast
	}
	return max(slowPeriod, fast)
}

// perInstance: each GPU instance has a value of its own. Asked of an instance, DCGM answers all other fields with those of the GPU,
// and does not say so. PCIe and NVLink (1009 to 1012) are of the whole GPU.
func perInstance(f gpu.Field) bool {
	switch {
	case f >= 1009 && f <= 1012:
		return false
	case f >= 1001 && f <= 1016, f >= 250 && f <= 254:
		return true
	}
	return false
}

// profiling: the field comes from DCGM's profiling module, with rules of its own about what can be measured together.
func profiling(f gpu.Field) bool { return f >= 1001 && f <= 1096 }

// eventful: DCGM keeps the time of the last event, and the value is true until the next.
func eventful(f gpu.Field) bool { return f == family.XIDErrors }
