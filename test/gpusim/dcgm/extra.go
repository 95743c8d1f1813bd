package dcgm

import (
	"context"
	"fmt"
	"math"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

// attributes are what dcgmDeviceAttributes_v3 holds: the values of these fields, in the order of the library.
func attributes(s *Session, ctx context.Context, in *reader, out *writer) Status {
	if code := s.e.usable(); code != OK {
		return code
	}
	x := find(layout(s.e.cfg.Node), GPU, in.u32())
	if x == nil {
		return BadParam
	}
	read := func(id uint16) Value {
		f, _ := s.e.table.meta(id)
		v, _, _ := s.e.read(ctx, f, x.owner(f), model.Sums{}, false)
		return v
	}
	for _, id := range []uint16{158, 159, 160, 163, 164, 161, 162, 90, 250, 252, 251, 66, 67, 58} {
		v := read(id)
		switch {
		case v.Type == Double && v.Float < blankDouble:
			out.u32(uint32(math.Round(v.Float)))
		case v.Type == Int && v.Int < blankInt:
			out.u32(uint32(v.Int))
		default:
			out.u32(0x7ffffff2)
		}
	}
	for _, id := range []uint16{51, 50, 57, 53, 54, 85, 82, 1} {
		out.text(read(id).Text)
	}
	return OK
}

func metricGroups(s *Session, ctx context.Context, in *reader, out *writer) Status {
	d, r := s.e.client.DeviceGetHandleByIndex(ctx, in.u32())
	if r != model.Success {
		return BadParam
	}
	gpm, _ := s.e.client.GpmQueryDeviceSupport(ctx, d)
	groups := MetricGroups(gpm)
	out.u32(uint32(len(groups)))
	major := 0
	for i, fields := range groups {
		if i != 1 {
			major++
		}
		out.u32(uint32(major-1), uint32(i), uint32(len(fields)))
		for _, id := range fields {
			out.u32(uint32(id))
		}
	}
	return OK
}

func healthSet(s *Session, _ context.Context, in *reader, _ *writer) Status {
	id, systems := in.u32(), in.u32()
	if _, ok := s.members(id); !ok {
		return NotConfigured
	}
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	s.health[id] = systems
	return OK
}

func healthGet(s *Session, _ context.Context, in *reader, out *writer) Status {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	out.u32(s.health[in.u32()])
	return OK
}

// The systems and codes of the incidents that are simulated.
const (
	systemMemory = 0x10
	systemDriver = 0x200

	errorVolatileDBE   = 4   // DCGM_FR_VOLATILE_DBE_DETECTED
	errorRowRemap      = 80  // DCGM_FR_ROW_REMAP_FAILURE
	errorPendingRemap  = 85  // DCGM_FR_PENDING_ROW_REMAP
	errorFallenOffBus  = 120 // DCGM_FR_FALLEN_OFF_BUS
	healthWarn, failed = 10, 20
)

// healthCheck looks for lost GPUs, uncorrected errors and row remaps of the systems that were set.
func healthCheck(s *Session, ctx context.Context, in *reader, out *writer) Status {
	id := in.u32()
	members, ok := s.members(id)
	if !ok {
		return NotConfigured
	}
	s.e.mu.Lock()
	systems := s.health[id]
	s.e.mu.Unlock()
	body, count, worst := &writer{}, uint32(0), uint32(0)
	report := func(m pair, system, health, code uint32, format string, args ...any) {
		if systems&system == 0 {
			return
		}
		body.u32(system, health, code, uint32(m.group), m.id)
		body.text(fmt.Sprintf(format, args...))
		count, worst = count+1, max(worst, health)
	}
	all := layout(s.e.cfg.Node)
	for _, m := range members {
		x := find(all, m.group, m.id)
		if x == nil || x.group != GPU {
			continue
		}
		if x.lost {
			report(m, systemDriver, failed, errorFallenOffBus, "GPU %d has fallen off the bus", x.id)
			continue
		}
		value := func(field uint16) int64 {
			f, _ := s.e.table.meta(field)
			v, _, _ := s.e.read(ctx, f, x, model.Sums{}, false)
			if v.Int >= blankInt {
				return 0
			}
			return v.Int
		}
		if n := value(311); n > 0 {
			report(m, systemMemory, failed, errorVolatileDBE, "Detected %d volatile double-bit ECC error(s) in GPU %d.", n, x.id)
		}
		if value(395) > 0 {
			report(m, systemMemory, failed, errorRowRemap, "GPU %d had uncorrectable memory errors and row remapping failed.", x.id)
		}
		if value(396) > 0 {
			report(m, systemMemory, healthWarn, errorPendingRemap, "GPU %d has a pending row remapping.", x.id)
		}
	}
	out.u32(worst, count)
	out.b = append(out.b, body.b...)
	return OK
}

const policyXID = 0x40

// policyRegister makes XIDs of a group be told; other conditions are accepted and never happen.
func policyRegister(s *Session, _ context.Context, in *reader, _ *writer) Status {
	id, conditions := in.u32(), in.u32()
	if _, ok := s.members(id); !ok {
		return NotConfigured
	}
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	s.policy[id] |= conditions
	return OK
}

func policyUnregister(s *Session, _ context.Context, in *reader, _ *writer) Status {
	id, conditions := in.u32(), in.u32()
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	if s.policy[id] &^= conditions; s.policy[id] == 0 {
		delete(s.policy, id)
	}
	return OK
}

// tell queues an XID for the session if it registered for any. The caller holds mu.
func (s *Session) tell(x model.XID) {
	for _, conditions := range s.policy {
		if conditions&policyXID == 0 {
			continue
		}
		s.pending = append(s.pending, x)
		select {
		case s.told <- struct{}{}:
		default:
		}
		return
	}
}

// policyWait blocks until an XID: GPU, code, time, then the groups that registered.
func policyWait(s *Session, ctx context.Context, _ *reader, out *writer) Status {
	for {
		s.e.mu.Lock()
		if len(s.pending) > 0 {
			x := s.pending[0]
			s.pending = s.pending[1:]
			s.e.mu.Unlock()
			gpu, err := s.e.cfg.Node.GPUIndex(x.GPU)
			if err != nil {
				continue
			}
			out.u32(uint32(gpu), uint32(x.Code))
			out.u64(uint64(x.At.UnixMicro()))
			var groups []uint32
			s.e.mu.Lock()
			for id, conditions := range s.policy {
				if conditions&policyXID != 0 {
					groups = append(groups, id)
				}
			}
			s.e.mu.Unlock()
			ours := &writer{}
			n := uint32(0)
			for _, id := range groups {
				members, _ := s.members(id)
				for _, m := range members {
					if m == (pair{GPU, uint32(gpu)}) {
						ours.u32(id)
						n++
						break
					}
				}
			}
			out.u32(n)
			out.b = append(out.b, ours.b...)
			return OK
		}
		s.e.mu.Unlock()
		select {
		case <-s.told:
		case <-ctx.Done():
			return GenericError
		}
	}
}

// inject puts a value of a GPU into the engine's memory as if it had been sampled.
func inject(s *Session, _ context.Context, in *reader, _ *writer) Status {
	gpu, id, kind, status := in.u32(), uint16(in.u32()), byte(in.u32()), Status(in.u32())
	ts, bits := int64(in.u64()), in.u64()
	f, ok := s.e.table.meta(id)
	x := find(layout(s.e.cfg.Node), GPU, gpu)
	switch {
	case in.short || x == nil || f.Type != kind:
		return BadParam
	case !ok:
		return UnknownField
	}
	v := Value{Type: kind, Status: status, TS: ts, Int: int64(bits), Float: math.Float64frombits(bits)}
	now := s.e.cfg.Node.Now()
	if v.TS == 0 {
		v.TS = now.UnixMicro()
	}
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	key := x.owner(f).key(id)
	if s.e.series[key] == nil {
		s.e.series[key] = &series{field: f, entity: x.owner(f), watches: map[watchKey]watch{{session: s.id}: {period: 24 * 3600 * 1e9}}, next: now.Add(24 * 3600 * 1e9)}
	}
	s.e.series[key].add(v, now)
	return OK
}
