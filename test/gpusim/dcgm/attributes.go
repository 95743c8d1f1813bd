package dcgm

import (
	"context"
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
