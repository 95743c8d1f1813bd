package nvml

import (
	"errors"
	"slices"
	"time"

	nv "github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/gpulet/gpulet/gpu"
)

// How often the lists of processes are read while nothing hints at a change. Processes come and go with memory: when that is
// another than before, the lists are read sooner, and so they are when a process that is not in them did something.
const (
	listEvery   = 30 * time.Second
	listInMIG   = 10 * time.Second // where the driver does not tell who does something
	listAtMost  = 4 * time.Second  // when memory is another
	memoryKnown = 5 * time.Second  // how long a reading of the memory tells that nothing changed
)

// use is what Use knows from before.
type use struct {
	listed     time.Time // when the lists were read; zero: they are to be read
	processes  []gpu.ProcessUse
	used       map[uint32]float64 // memory by instance
	usedAt     time.Time
	changed    bool   // memory is another than when the lists were read
	since      uint64 // newest sample seen, microseconds
	averager   averager
	unmeasured bool // the driver does not measure processes
	unlisted   map[string]bool
}

// memory notes a reading.
func (u *use) memory(instance uint32, used float64, at time.Time) {
	if u.used == nil {
		u.used = map[uint32]float64{}
	}
	if before, ok := u.used[instance]; !ok || before != used {
		u.changed = true
	}
	u.used[instance], u.usedAt = used, at
}

// forget is for another layout.
func (u *use) forget() { *u = use{since: u.since, averager: u.averager} }

// due reports whether the lists are to be read.
func (u *use) due(now time.Time, mig bool) bool {
	age, every := now.Sub(u.listed), listEvery
	if mig || u.unmeasured {
		every = listInMIG
	}
	return u.listed.IsZero() || age < 0 || age >= every || u.changed && age >= listAtMost || now.Sub(u.usedAt) > memoryKnown
}

// Use lists the processes, with what each did since the last call. Where the GPU is idle it calls nothing.
func (t *telemetry) Use() ([]gpu.ProcessUse, error) {
	if err := t.follow(gpu.Ask{}); err != nil {
		return nil, err
	}
	u, now := &t.use, t.now()
	fresh := u.due(now, t.seen.mig)
	if fresh {
		if err := t.list(now); err != nil {
			return nil, err
		}
	}
	if t.seen.mig || len(u.processes) == 0 {
		u.since = 0
		return slices.Clone(u.processes), nil
	}
	did, measured, err := t.activity(now)
	if err != nil {
		return nil, err
	}
	if !fresh && slices.ContainsFunc(did, func(m mean) bool { return !u.knows(m.pid) }) {
		if err := t.list(now); err != nil {
			return nil, err
		}
	}
	return u.with(did, measured), nil
}

func (u *use) knows(pid uint32) bool {
	return slices.ContainsFunc(u.processes, func(p gpu.ProcessUse) bool { return p.PID == int(pid) })
}

// with adds what the processes did to their list, and those that did something and are gone.
func (u *use) with(did []mean, measured bool) []gpu.ProcessUse {
	out := slices.Clone(u.processes)
	for _, m := range did {
		if !u.knows(m.pid) {
			out = append(out, gpu.ProcessUse{Holder: gpu.Holder{PID: int(m.pid), GPUInstance: gpu.NoInstance, ComputeInstance: gpu.NoInstance}})
		}
	}
	if !measured {
		return out
	}
	for i := range out {
		p := &out[i]
		p.Measured = !p.MPS
		for _, m := range did {
			if p.Measured && int(m.pid) == p.PID {
				p.SM, p.Memory = m.sm, m.memory
			}
		}
	}
	return out
}

// list reads the lists of processes. Those of graphics and MPS the driver may not have.
func (t *telemetry) list(now time.Time) error {
	u := &t.use
	var c crowd
	for _, kind := range []string{computeProcesses, mpsProcesses, graphicsProcesses} {
		if u.unlisted[kind] {
			continue
		}
		infos, err := t.v.running(kind)
		if err != nil && (kind == computeProcesses || whole(err)) {
			return err
		}
		if err != nil && lasting(absence(err).Code) {
			if u.unlisted == nil {
				u.unlisted = map[string]bool{}
			}
			u.unlisted[kind] = true
		}
		c.add(kind, infos)
	}
	u.processes, u.listed, u.changed = c.all, now, false
	return nil
}

// activity reads what processes did since the last call, or that it cannot be told. Nobody did anything: an empty list.
func (t *telemetry) activity(now time.Time) (did []mean, measured bool, err error) {
	u := &t.use
	if u.unmeasured {
		return nil, false, nil
	}
	micro := uint64(now.UnixMicro())
	if u.since == 0 || u.since > micro {
		u.since = micro - uint64(time.Second.Microseconds())
	}
	var samples []nv.ProcessUtilizationSample
	err = t.v.d.call("nvmlDeviceGetProcessUtilization", func() (ret nv.Return) {
		samples, ret = t.v.h.GetProcessUtilization(u.since)
		return ret
	})
	switch {
	case errors.Is(err, gpu.ErrNotFound): // nobody was active
		u.since = max(u.since, micro-uint64(samplePeriod.Microseconds()))
		return nil, true, nil
	case whole(err):
		return nil, false, err
	case err != nil:
		u.unmeasured = lasting(absence(err).Code)
		return nil, false, nil
	}
	out, newest := u.averager.means(samples, u.since)
	u.since = max(newest, u.since)
	return out, true, nil
}
