package dcgm

import (
	"context"
	"fmt"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

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
