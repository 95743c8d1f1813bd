package dcgm

import (
	"context"
	"math"
	"slices"
	"time"
)

type handler func(s *Session, ctx context.Context, in *reader, out *writer) Status

// calls are the functions of libdcgm.so.4 that reach the engine, by name. Handles and versions of structures stay in the library.
func calls() map[string]handler {
	return map[string]handler{
		"dcgmHostengineVersionInfo":   version,
		"dcgmAttachDriver":            func(s *Session, ctx context.Context, _ *reader, _ *writer) Status { return s.e.attach(ctx) },
		"dcgmDetachDriver":            func(s *Session, ctx context.Context, _ *reader, _ *writer) Status { return s.e.detach(ctx) },
		"dcgmGetAllDevices":           ofGroup(func(*reader) Group { return GPU }),
		"dcgmGetAllSupportedDevices":  ofGroup(func(*reader) Group { return GPU }),
		"dcgmGetEntityGroupEntities":  ofGroup(func(in *reader) Group { return Group(in.u32()) }),
		"dcgmGetGpuStatus":            gpuStatus,
		"dcgmGetGpuInstanceHierarchy": hierarchy,
		"dcgmGetDeviceAttributes":     attributes,
		"dcgmGetDeviceTopology":       topology,
		"dcgmGetNvLinkLinkStatus":     linkStatus,
		"dcgmGetNvLinkP2PStatus":      p2pStatus,

		"dcgmProfGetSupportedMetricGroups": metricGroups,

		"dcgmGroupCreate":  groupCreate,
		"dcgmGroupDestroy": groupDestroy,
		"dcgmGroupAddDevice": func(s *Session, _ context.Context, in *reader, _ *writer) Status {
			return s.addEntity(in.u32(), pair{GPU, in.u32()})
		},
		"dcgmGroupAddEntity": func(s *Session, _ context.Context, in *reader, _ *writer) Status {
			return s.addEntity(in.u32(), pair{Group(in.u32()), in.u32()})
		},
		"dcgmGroupGetInfo":      groupInfo,
		"dcgmFieldGroupCreate":  fieldGroupCreate,
		"dcgmFieldGroupDestroy": fieldGroupDestroy,
		"dcgmWatchFields":       watchFields,
		"dcgmUnwatchFields":     unwatchFields,
		"dcgmUpdateAllFields":   updateAll,

		"dcgmGetLatestValuesForFields": latestOf(func(in *reader) []pair { return []pair{{GPU, in.u32()}} }),
		"dcgmEntityGetLatestValues":    latestOf(func(in *reader) []pair { return []pair{{Group(in.u32()), in.u32()}} }),
		"dcgmEntitiesGetLatestValues":  latestOf((*reader).pairs),
		"dcgmGetValuesSince_v2":        valuesSince,

		"dcgmHealthSet":         healthSet,
		"dcgmHealthGet":         healthGet,
		"dcgmHealthCheck":       healthCheck,
		"dcgmPolicyRegister_v2": policyRegister,
		"dcgmPolicyUnregister":  policyUnregister,
		"policy":                policyWait,
		"dcgmPolicySet":         accepted,
		"dcgmPolicyGet":         accepted,

		"dcgmIntrospectGetHostengineMemoryUsage":    accepted,
		"dcgmIntrospectGetHostengineCpuUtilization": accepted,
		"dcgmInjectFieldValue":                      inject,
	}
}

func accepted(*Session, context.Context, *reader, *writer) Status { return OK }

func version(s *Session, _ context.Context, _ *reader, out *writer) Status {
	out.text("version:" + s.e.cfg.Version + ";arch:x86_64;buildtype:Release;buildid:simulated")
	return OK
}

func ofGroup(which func(in *reader) Group) handler {
	return func(s *Session, _ context.Context, in *reader, out *writer) Status {
		g := which(in)
		if g == None || g >= groupsEnd {
			return BadParam
		}
		if code := s.e.usable(); code != OK {
			return code
		}
		var ids []uint32
		for _, x := range layout(s.e.cfg.Node) {
			if x.group == g {
				ids = append(ids, x.id)
			}
		}
		out.u32(uint32(len(ids)))
		out.u32(ids...)
		return OK
	}
}

// gpuStatus is 1 for a good GPU, 4 for one that is lost, 7 while detached, 0 for one that is not there.
func gpuStatus(s *Session, _ context.Context, in *reader, out *writer) Status {
	x := find(layout(s.e.cfg.Node), GPU, in.u32())
	status := uint32(1)
	switch {
	case x == nil:
		status = 0
	case s.e.usable() != OK:
		status = 7
	case x.lost:
		status = 4
	}
	out.u32(status)
	return OK
}

// hierarchy lists instances behind their parents.
func hierarchy(s *Session, _ context.Context, _ *reader, out *writer) Status {
	if code := s.e.usable(); code != OK {
		return code
	}
	all := slices.DeleteFunc(layout(s.e.cfg.Node), func(x *entity) bool { return x.parent == nil })
	out.u32(uint32(len(all)))
	for _, x := range all {
		out.u32(uint32(x.group), x.id, uint32(x.parent.group), x.parent.id)
		out.text(x.gpuUUID)
		out.u32(uint32(x.gpu), x.gi, x.ci, x.profileID, x.slices)
	}
	return OK
}

func watchFields(s *Session, _ context.Context, in *reader, _ *writer) Status {
	groupID, fieldsID := in.u32(), in.u32()
	period, age, count := time.Duration(in.u64())*time.Microsecond, seconds(math.Float64frombits(in.u64())), int(int32(in.u32()))
	if in.short || period <= 0 || age < 0 || count < 0 || age == 0 && count == 0 {
		return BadParam
	}
	return s.watch(groupID, fieldsID, watch{period: period, age: age, count: count})
}

func unwatchFields(s *Session, _ context.Context, in *reader, _ *writer) Status {
	groupID, fieldsID := in.u32(), in.u32()
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	s.drop(func(k watchKey) bool { return k == watchKey{s.id, groupID, fieldsID} })
	return OK
}

func updateAll(s *Session, ctx context.Context, in *reader, _ *writer) Status {
	if in.u32() == 0 {
		s.e.poke()
		return OK
	}
	if !s.e.update(ctx) {
		return GenericError
	}
	return OK
}

// latestOf answers for entities and fields; with the live flag the driver is asked and not what was sampled.
func latestOf(which func(in *reader) []pair) handler {
	return func(s *Session, ctx context.Context, in *reader, out *writer) Status {
		entities, fields := which(in), in.fields()
		live := in.u32()&1 != 0
		if in.short || len(entities) == 0 || len(fields) == 0 {
			return BadParam
		}
		if code := s.e.usable(); code != OK {
			return code
		}
		all := layout(s.e.cfg.Node)
		out.u32(uint32(len(entities) * len(fields)))
		for _, m := range entities {
			for _, id := range fields {
				out.value(m, id, s.latest(ctx, all, m, id, live))
			}
		}
		return OK
	}
}

func valuesSince(s *Session, _ context.Context, in *reader, out *writer) Status {
	groupID, fieldsID, after := in.u32(), in.u32(), int64(in.u64())
	members, ok := s.members(groupID)
	if !ok {
		return NotConfigured
	}
	s.e.mu.Lock()
	fg := s.fields[fieldsID]
	s.e.mu.Unlock()
	if fg == nil {
		return NoData
	}
	next, count, all, values := after, uint32(0), layout(s.e.cfg.Node), &writer{}
	for _, m := range members {
		for _, id := range fg.fields {
			f, _ := s.e.table.meta(id)
			x := find(all, m.group, m.id).owner(f)
			if x == nil {
				continue
			}
			for _, v := range s.since(x, id, after) {
				values.value(m, id, v)
				next = max(next, v.TS+1)
				count++
			}
		}
	}
	out.u64(uint64(next))
	out.u32(count)
	out.b = append(out.b, values.b...)
	return OK
}
