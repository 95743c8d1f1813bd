package exporter

import (
	"time"

	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
)

// ringSeconds is how much is remembered: the longest window, and the second that is under way.
const ringSeconds = 61

// ring has the maxima of each of the last seconds, however often a second is measured.
type ring [ringSeconds]second

// second is one second since 1970 with its maxima: utilization, power, memory. A negative one is not known.
type second struct {
	unix int64
	max  [3]float64
}

func (r *ring) add(now time.Time, values [3]float64) {
	unix := now.Unix()
	s := &r[unix%ringSeconds]
	if s.unix != unix {
		*s = second{unix: unix, max: values}
		return
	}
	for i, v := range values {
		s.max[i] = max(s.max[i], v)
	}
}

// windows are the maxima of the last 15 and 60 s; false when nothing is known.
func (r *ring) windows(now time.Time) (w sample.Windows, known bool) {
	out := [2][3]float64{{-1, -1, -1}, {-1, -1, -1}}
	unix := now.Unix()
	for i := range r {
		age := unix - r[i].unix
		for j, length := range [...]int64{15, 60} {
			if age < 0 || age >= length {
				continue
			}
			for k, v := range r[i].max {
				out[j][k] = max(out[j][k], v)
				known = known || v >= 0
			}
		}
	}
	for j := range out {
		w.Utilization[j], w.Power[j], w.Memory[j] = out[j][0], out[j][1], out[j][2]
	}
	return w, known
}

// measures are the values of a set that windows are kept of.
func measures(set *sample.Set, e gpu.Entity) (out [3]float64) {
	value := func(v float64, absent *gpu.Absence) float64 {
		if absent != nil {
			return -1
		}
		return v
	}
	out[0] = value(set.Utilization(e))
	out[1] = -1
	for _, f := range [...]gpu.Field{family.PowerInstant, family.PowerUsage} {
		if v, ok := set.Values[e][f]; ok && v.Absent == nil {
			out[1] = v.V
			break
		}
	}
	out[2] = value(set.MemoryUsed(e))
	return out
}
