package nvml

import (
	"math"
	"slices"
	"time"

	nv "github.com/NVIDIA/go-nvml/pkg/nvml"
)

// samplePeriod is about how far the driver's samples of processes are apart.
const samplePeriod = time.Second / 6

// mean is what a process did in an interval: parts of 0 to 1.
type mean struct {
	pid        uint32
	sm, memory float64
}

// averager turns samples into means.
type averager struct {
	// reach is the most samples of a process that the driver ever went back for: its buffer may be shorter than the interval.
	reach float64
}

// sum is what the samples of one process add up to.
type sum struct {
	sm, memory float64
	at         []uint64
}

// means averages samples over the time from since (microseconds) to the newest one. The driver has a sample of a process only for
// periods in which it was active: in the others it did nothing. Where there is but one sample of each, it stands for the interval.
// Drivers fill what is left of their buffer with zeros, and some tell nonsense above 100.
func (a *averager) means(samples []nv.ProcessUtilizationSample, since uint64) (out []mean, newest uint64) {
	sums := map[uint32]*sum{}
	for _, s := range samples {
		if s.Pid == 0 || s.TimeStamp <= since || s.SmUtil > 100 || s.MemUtil > 100 {
			continue
		}
		p := sums[s.Pid]
		if p == nil {
			p = &sum{}
			sums[s.Pid] = p
			out = append(out, mean{pid: s.Pid})
		}
		p.sm += float64(s.SmUtil) / 100
		p.memory += float64(s.MemUtil) / 100
		p.at = append(p.at, s.TimeStamp)
		newest = max(newest, s.TimeStamp)
	}
	periods := 1.0
	if period := distance(sums); period > 0 {
		for _, p := range sums {
			a.reach = max(a.reach, math.Round(float64(newest-p.at[0])/period)+1)
		}
		periods = min(math.Round(float64(newest-since)/period), a.reach)
	}
	for i := range out {
		p := sums[out[i].pid]
		n := max(periods, float64(len(p.at)))
		out[i].sm, out[i].memory = p.sm/n, p.memory/n
	}
	return out, newest
}

// distance is how far samples of one process are apart at least, in microseconds; 0 when no process has two. It sorts them.
func distance(sums map[uint32]*sum) float64 {
	least := uint64(math.MaxUint64)
	for _, p := range sums {
		slices.Sort(p.at)
		for i := 1; i < len(p.at); i++ {
			if gap := p.at[i] - p.at[i-1]; gap >= uint64(samplePeriod.Microseconds())/4 {
				least = min(least, gap)
			}
		}
	}
	if least == math.MaxUint64 {
		return 0
	}
	return float64(least)
}
