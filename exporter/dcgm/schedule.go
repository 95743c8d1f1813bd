package dcgm

import (
	"time"

	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/gpu"
)

// Periods of what does not change fast. Static fields are watched too, as the engine tells only what it watches.
const (
	processPeriod = 2 * time.Second
	slowPeriod    = 15 * time.Second
	staticPeriod  = time.Minute
)

// schedule says at which level and how often fields are measured: as the table of families does. Others are of the whole GPU and
// slow, but for those of the profiling module.
type schedule struct {
	fast  time.Duration
	table map[gpu.Field]family.Family
}

func newSchedule(fast time.Duration) schedule {
	s := schedule{fast: fast, table: map[gpu.Field]family.Family{}}
	for _, f := range family.Table() {
		s.table[f.Field] = f
	}
	return s
}

// period is how often DCGM shall measure a field. Profiling costs DCGM no call of the driver, so that it need not be slower.
func (s schedule) period(f gpu.Field) time.Duration {
	loop := family.Slow
	if known, ok := s.table[f]; ok {
		loop = known.Loop
	}
	switch {
	case loop == family.Fast || profiling(f):
		return s.fast
	case loop == family.Process:
		return max(processPeriod, s.fast)
	case loop == family.Static:
		return staticPeriod
	}
	return max(slowPeriod, s.fast)
}

// perInstance: each GPU instance has a value of its own. Asked of an instance, DCGM answers all other fields with those of the GPU,
// and does not say so. The last XID is asked of GPUs: gpulet counts those of instances itself.
func (s schedule) perInstance(f gpu.Field) bool {
	return s.table[f].Level != family.LevelGPU && !eventful(f)
}

// profiling: the field comes from DCGM's profiling module, with rules of its own about what can be measured together.
func profiling(f gpu.Field) bool { return f >= 1001 && f <= 1096 }

// listed: DCGM says which of these a GPU has. Of the cycle counters that came with 4.6 it need not; there trying tells.
func listed(f gpu.Field) bool { return profiling(f) && f < 1084 }

// eventful: DCGM keeps the time of the last event, and the value is true until the next.
func eventful(f gpu.Field) bool { return f == family.XIDErrors }
