package nvml

import (
	"math"
	"testing"

	nv "github.com/NVIDIA/go-nvml/pkg/nvml"
	"pgregory.net/rapid"
)

// every gives samples of a process in some of the periods after a start.
func every(pid, sm uint32, start uint64, periods ...int) (out []nv.ProcessUtilizationSample) {
	for _, p := range periods {
		out = append(out, nv.ProcessUtilizationSample{Pid: pid, SmUtil: sm, MemUtil: sm / 2, TimeStamp: start + uint64(p)*166_667})
	}
	return out
}

func TestMeans(t *testing.T) {
	const start = 1_000_000_000_000
	all := []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	join := func(s ...[]nv.ProcessUtilizationSample) (out []nv.ProcessUtilizationSample) {
		for _, x := range s {
			out = append(out, x...)
		}
		return out
	}
	for name, c := range map[string]struct {
		samples []nv.ProcessUtilizationSample
		want    map[uint32]float64
	}{
		"nobody":                    {nil, map[uint32]float64{}},
		"always active":             {every(1, 60, start, all...), map[uint32]float64{1: 0.6}},
		"half of the time":          {join(every(1, 60, start, all...), every(2, 40, start, 1, 3, 5, 8, 10, 12)), map[uint32]float64{1: 0.6, 2: 0.2}},
		"once, beside another":      {join(every(1, 60, start, all...), every(2, 60, start, 7)), map[uint32]float64{1: 0.6, 2: 0.05}},
		"one sample of each":        {join(every(1, 60, start, 11), every(2, 20, start+100, 11)), map[uint32]float64{1: 0.6, 2: 0.2}},
		"a buffer that is short":    {join(every(1, 60, start, 9, 10, 11, 12), every(2, 20, start, 10, 12)), map[uint32]float64{1: 0.6, 2: 0.1}},
		"zeros, nonsense and old":   {join(every(0, 0, start, 1, 2), every(3, 101, start, 3), every(4, 50, start-10_000_000, 1), every(1, 60, start, all...)), map[uint32]float64{1: 0.6}},
		"in no order":               {join(every(1, 60, start, 12, 11, 1, 2), every(1, 60, start, 3, 10, 9, 4, 5, 8, 7, 6)), map[uint32]float64{1: 0.6}},
		"the driver's clock jitter": {join(every(1, 60, start+40, all...), every(2, 60, start-30, all...)), map[uint32]float64{1: 0.6, 2: 0.6}},
	} {
		t.Run(name, func(t *testing.T) {
			var a averager
			got, newest := a.means(c.samples, start)
			if len(got) != len(c.want) || len(got) > 0 && newest <= start {
				t.Errorf("%+v, newest %d", got, newest)
			}
			for _, m := range got {
				if math.Abs(m.sm-c.want[m.pid]) > 0.001 || math.Abs(m.memory-m.sm/2) > 0.001 {
					t.Errorf("%+v, want %v", m, c.want[m.pid])
				}
			}
		})
	}
}

// Whatever the driver tells, a process did something between nothing and everything.
func TestMeansAreParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a averager
		for range 3 {
			samples := rapid.SliceOf(rapid.Custom(func(t *rapid.T) nv.ProcessUtilizationSample {
				return nv.ProcessUtilizationSample{
					Pid: rapid.Uint32Range(0, 3).Draw(t, "pid"), SmUtil: rapid.Uint32Range(0, 120).Draw(t, "sm"),
					MemUtil: rapid.Uint32().Draw(t, "memory"), TimeStamp: rapid.Uint64Range(0, 4_000_000).Draw(t, "at"),
				}
			})).Draw(t, "samples")
			got, newest := a.means(samples, 1_000_000)
			seen := map[uint32]bool{}
			for _, m := range got {
				if seen[m.pid] || m.pid == 0 || !(m.sm >= 0 && m.sm <= 1) || !(m.memory >= 0 && m.memory <= 1) || newest <= 1_000_000 {
					t.Fatalf("%+v, newest %d", got, newest)
				}
				seen[m.pid] = true
			}
		}
	})
}
