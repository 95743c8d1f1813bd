package exporter

import (
	"fmt"
	"time"

	"github.com/gpulet/gpulet/exporter/attribute"
	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
)

// publish ends a round.
func (s *sampler) publish(now time.Time) {
	if s.plan == nil {
		return
	}
	clear(s.waiting)
	s.grace.Stop()
	if s.rethink { // only now, when what NVML has is known: each change makes DCGM begin anew
		s.want(s.wants())
	}
	s.show(now)
}

// show makes a set of all that is known, and hands it out.
func (s *sampler) show(now time.Time) {
	set := &sample.Set{
		At: now, Generation: s.generation, Snapshot: s.snapshot, Holds: s.holds,
		Values: make(map[gpu.Entity]map[gpu.Field]sample.Value, len(s.entities)), Windows: make(map[gpu.Entity]sample.Windows, len(s.entities)),
		Down: s.downs(now),
	}
	if s.cfg.XIDs != nil {
		set.XIDs = s.cfg.XIDs.Counts()
	}
	uses := s.uses(now)
	if marked := attribute.Mark(s.holds, uses); !equal(marked, s.holds) {
		s.holds = marked
		s.generation++
		set.Generation, set.Holds = s.generation, marked
	}
	codes := lastCodes(set.XIDs)
	v, unknown := s.view(), [3]float64{-1, -1, -1}
	for id, e := range s.entities {
		why, down := set.Down[id.GPU]
		n, d := e.age(s.plan, now, s.silent(id.GPU, why))
		s.nvml.stale += n
		s.dcgm.stale += d
		set.Values[id] = e.show(v, lastXID(id, codes, why))
		m := measures(set, id)
		if m != unknown {
			e.ring.add(now, m)
		}
		if w, known := e.ring.windows(now); known && (!down || m != unknown) {
			set.Windows[id] = w
		}
	}
	set.Shares, set.Rests = s.parts.shares(set, uses)
	set.Ledger = s.parts.account(now, set)
	set.Sources = s.sources(set)
	s.set.Store(set)
}

// downs are the GPUs that do not answer, with the reason.
func (s *sampler) downs(now time.Time) map[gpu.UUID]string {
	out := map[gpu.UUID]string{}
	for id, u := range s.units {
		why := u.failed
		if u.busy && now.Sub(u.since) >= s.plan.hang() {
			why = fmt.Sprintf("a measurement has not returned since %s UTC", u.since.UTC().Format("15:04:05"))
		}
		if why != "" {
			if g := s.snapshot.GPU(id); g != nil && g.Health.State != gpu.Healthy && g.Health.Reason != "" {
				why = g.Health.Reason // the inventory knows better why
			}
			out[id] = why
		}
		switch {
		case why != "" && u.down == "":
			s.cfg.Log.Warn("a GPU is not measured", "gpu", id, "reason", why)
		case why == "" && u.down != "":
			s.cfg.Log.Info("a GPU is measured again", "gpu", id)
		}
		u.down = why
	}
	return out
}

// uses are the processes of the GPUs on which containers share something, as far as they are known.
func (s *sampler) uses(now time.Time) map[gpu.UUID][]gpu.ProcessUse {
	out := map[gpu.UUID][]gpu.ProcessUse{}
	for id := range s.shared {
		if u := s.units[id]; u != nil && !u.used.IsZero() && now.Sub(u.used) <= s.plan.limit(family.Process, now) {
			out[id] = u.uses
		}
	}
	return out
}

// silent is the absence of what a GPU that does not answer has; nil without a reason why it does not.
func (s *sampler) silent(id gpu.UUID, why string) *gpu.Absence {
	if why == "" {
		return nil
	}
	if u := s.units[id]; u != nil && u.busy {
		return &gpu.Absence{Code: gpu.NoAnswer, Text: why}
	}
	return &gpu.Absence{Code: gpu.Lost, Text: why}
}

// lastCodes are the newest XIDs by GPU. The row with the code 0 is a total.
func lastCodes(xids []sample.XID) map[gpu.UUID]sample.XID {
	out := map[gpu.UUID]sample.XID{}
	for _, x := range xids {
		if last, ok := out[x.GPU]; x.Code != 0 && x.Count > 0 && (!ok || x.Last.After(last.Last)) {
			out[x.GPU] = x
		}
	}
	return out
}

// reasons are the absences that the sampler itself gives. Each is one value, so that nothing is made anew each second.
type reasons struct{ unread, noNVML *gpu.Absence }

func newReasons() reasons {
	return reasons{
		unread: &gpu.Absence{Code: gpu.NoData, Text: "it was not read yet"},
		noNVML: &gpu.Absence{Code: gpu.NoSource, Text: "NVML does not tell it"},
	}
}

// lastXID is the field XIDErrors: 0 before the first error, as dcgm-exporter has it. Errors are counted for a GPU as a whole, whichever
// of its instances they hit. Of a GPU that is down, for this reason, gpu_xid_errors_total tells.
func lastXID(id gpu.Entity, codes map[gpu.UUID]sample.XID, down string) sample.Value {
	if down != "" {
		return sample.Value{Absent: &gpu.Absence{Code: gpu.Lost, Text: down}}
	}
	x := codes[id.GPU]
	return sample.Value{V: float64(x.Code), At: x.Last, Source: nvmlSource}
}

// sources tells how each source does.
func (s *sampler) sources(set *sample.Set) []sample.Source {
	nvml := s.nvml.source(nvmlSource)
	switch {
	case len(s.units) > 0 && len(set.Down) == len(s.units):
		nvml.Reason = "no GPU answers; the first: " + set.Down[s.snapshot.GPUs[0].UUID]
	case s.nvml.last.IsZero():
		nvml.Reason = "nothing was read yet"
	}
	out := []sample.Source{nvml, s.dcgmSource(), s.podresources()}
	if kmsg, ok := s.cfg.XIDs.(interface{ Source() sample.Source }); ok {
		out = append(out, kmsg.Source())
	}
	return out
}

func (s *sampler) dcgmSource() sample.Source {
	out := s.dcgm.source(dcgmSource)
	switch {
	case s.cfg.Engine == nil:
		out.Unused, out.Reason = true, "DCGM cannot be used here"
	case s.plan.settings.Source == NVML:
		out.Unused, out.Reason = true, "the configuration says NVML"
	case len(s.wanted) == 0:
		out.Unused, out.Reason = true, "NVML has everything that is asked for"
	case s.batch == nil:
		out.Reason = "it was not asked yet"
	default:
		out.Restarts = s.batch.State.Restarts
		if !s.batch.State.Up {
			out.Reason = s.engine.Text
			if s.batch.State.Reason != "" {
				out.Reason = s.batch.State.Reason
			}
		}
	}
	return out
}

func (s *sampler) podresources() sample.Source {
	out := s.assigned.source(podresourcesSource)
	out.Latency = sample.Histogram{}
	switch a := s.input.Assigned; {
	case a == nil:
		out.Unused, out.Reason = true, "podresources is not asked"
	case a.Absent:
		out.Unused, out.Reason = true, a.Reason
	case !a.Synced:
		out.Reason = a.Reason
	}
	return out
}
