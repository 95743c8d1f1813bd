package conformance

import (
	"fmt"

	nv "github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

// profileRows read the geometry: each profile by each structure, past the end too.
func profileRows() []row {
	var out []row
	for enum := range uint32(20) {
		out = append(out,
			row{fmt.Sprintf("profile %d", enum), "nvmlDeviceGetGpuInstanceProfileInfo", func(d nv.Device) (any, nv.Return) {
				p, ret := d.GetGpuInstanceProfileInfo(int(enum))
				return p, ret
			}, func(s side, d model.Device) (any, model.Return) {
				p, ret := s.client.DeviceGetGpuInstanceProfileInfo(s.ctx, d, enum)
				return []any{p.ID, p.IsP2pSupported, p.SliceCount, p.InstanceCount, p.MultiprocessorCount, p.CopyEngineCount, p.DecoderCount, p.EncoderCount, p.JpegCount, p.OfaCount, p.MemorySizeMB}, ret
			}},
			profileByVersion(enum, 2), profileByVersion(enum, 3),
			row{fmt.Sprintf("placements and capacity %d", enum), "nvmlDeviceGetGpuInstancePossiblePlacements_v2", func(d nv.Device) (any, nv.Return) {
				p, ret := d.GetGpuInstanceProfileInfo(int(enum))
				if ret != nv.SUCCESS {
					return nil, ret
				}
				places, ret := d.GetGpuInstancePossiblePlacements(&p)
				room, mode := d.GetGpuInstanceRemainingCapacity(&p)
				return []any{places, room, mode}, ret
			}, func(s side, d model.Device) (any, model.Return) {
				p, ret := s.client.DeviceGetGpuInstanceProfileInfo(s.ctx, d, enum)
				if ret != model.Success {
					return nil, ret
				}
				places, ret := s.client.DeviceGetGpuInstancePossiblePlacements(s.ctx, d, p.ID)
				room, mode := s.client.DeviceGetGpuInstanceRemainingCapacity(s.ctx, d, p.ID)
				return []any{places, room, mode}, ret
			}})
	}
	return out
}

func profileByVersion(enum uint32, version int) row {
	return row{fmt.Sprintf("profile %d by version %d", enum, version), "nvmlDeviceGetGpuInstanceProfileInfoV", func(d nv.Device) (any, nv.Return) {
		if version == 2 {
			p, ret := d.GetGpuInstanceProfileInfoV(int(enum)).V2()
			return []any{p.Id, p.SliceCount, p.InstanceCount, p.MemorySizeMB, p.Name, p.IsP2pSupported}, ret
		}
		p, ret := d.GetGpuInstanceProfileInfoV(int(enum)).V3()
		return []any{p.Id, p.SliceCount, p.InstanceCount, p.MemorySizeMB, p.Name, p.Capabilities}, ret
	}, func(s side, d model.Device) (any, model.Return) {
		p, ret := s.client.DeviceGetGpuInstanceProfileInfoV(s.ctx, d, enum, version)
		last := p.IsP2pSupported
		if version == 3 {
			last = p.Capabilities
		}
		return []any{p.ID, p.SliceCount, p.InstanceCount, p.MemorySizeMB, p.Name, last}, ret
	}}
}

// script changes a GPU in order: rows that share what they made. Both sides play it.
func script() []row {
	var (
		gi  nv.GpuInstance
		ci  nv.ComputeInstance
		gi2 model.GPUInstance
		ci2 model.ComputeInstance
	)
	three := nv.GpuInstanceProfileInfo{Id: 9, InstanceCount: 2}
	create := func(name string, start uint32) row {
		return row{name, "nvmlDeviceCreateGpuInstanceWithPlacement", func(d nv.Device) (any, nv.Return) {
			made, ret := d.CreateGpuInstanceWithPlacement(&three, &nv.GpuInstancePlacement{Start: start, Size: 4})
			if ret == nv.SUCCESS {
				gi = made
			}
			return nil, ret
		}, func(s side, d model.Device) (any, model.Return) {
			made, ret := s.client.DeviceCreateGpuInstanceWithPlacement(s.ctx, d, 9, model.Placement{Start: start, Size: 4})
			if ret == model.Success {
				gi2 = made
			}
			return nil, ret
		}}
	}
	mode := func(on int) row {
		return row{fmt.Sprintf("set mode %d", on), "nvmlDeviceSetMigMode", func(d nv.Device) (any, nv.Return) {
			activation, ret := d.SetMigMode(on)
			return activation, ret
		}, func(s side, d model.Device) (any, model.Return) {
			activation, ret := s.client.DeviceSetMigMode(s.ctx, d, uint32(on))
			return activation, ret
		}}
	}
	destroy := row{"destroy instance", "nvmlGpuInstanceDestroy", func(nv.Device) (any, nv.Return) { return nil, gi.Destroy() }, func(s side, _ model.Device) (any, model.Return) {
		return nil, s.client.GpuInstanceDestroy(s.ctx, gi2)
	}}
	destroyCompute := row{"destroy compute instance", "nvmlComputeInstanceDestroy", func(nv.Device) (any, nv.Return) { return nil, ci.Destroy() }, func(s side, _ model.Device) (any, model.Return) {
		return nil, s.client.ComputeInstanceDestroy(s.ctx, ci2)
	}}
	createCompute := row{"create compute instance", "nvmlGpuInstanceCreateComputeInstance", func(nv.Device) (any, nv.Return) {
		p, ret := gi.GetComputeInstanceProfileInfo(nv.COMPUTE_INSTANCE_PROFILE_3_SLICE, 0)
		if ret != nv.SUCCESS {
			return nil, ret
		}
		made, ret := gi.CreateComputeInstance(&p)
		if ret == nv.SUCCESS {
			ci = made
		}
		return p, ret
	}, func(s side, _ model.Device) (any, model.Return) {
		p, ret := s.client.GpuInstanceGetComputeInstanceProfileInfo(s.ctx, gi2, 2, 0)
		if ret != model.Success {
			return nil, ret
		}
		made, ret := s.client.GpuInstanceCreateComputeInstance(s.ctx, gi2, p.ID)
		if ret == model.Success {
			ci2 = made
		}
		return []any{p.ID, p.SliceCount, p.InstanceCount, p.MultiprocessorCount, p.SharedCopyEngineCount, p.SharedDecoderCount, p.SharedEncoderCount, p.SharedJpegCount, p.SharedOfaCount}, ret
	}}
	info := row{"what was made", "nvmlComputeInstanceGetInfo_v2", func(nv.Device) (any, nv.Return) {
		a, ret := gi.GetInfo()
		if ret != nv.SUCCESS {
			return nil, ret
		}
		b, ret := ci.GetInfo()
		if ret != nv.SUCCESS {
			return nil, ret
		}
		uuid, ret := b.Device.GetUUID()
		return []any{a.Id, a.ProfileId, a.Placement, b.Id, b.ProfileId, b.Placement, uuid}, ret
	}, func(s side, _ model.Device) (any, model.Return) {
		a, ret := s.client.GpuInstanceGetInfo(s.ctx, gi2)
		if ret != model.Success {
			return nil, ret
		}
		b, ret := s.client.ComputeInstanceGetInfo(s.ctx, ci2)
		if ret != model.Success {
			return nil, ret
		}
		uuid, ret := s.client.DeviceGetUUID(s.ctx, b.Device)
		return []any{a.ID, a.ProfileID, a.Placement, b.ID, b.ProfileID, b.Placement, uuid}, ret
	}}
	list := row{"instances", "nvmlDeviceGetGpuInstances", func(d nv.Device) (any, nv.Return) {
		all, ret := d.GetGpuInstances(&three)
		return len(all), ret
	}, func(s side, d model.Device) (any, model.Return) {
		all, ret := s.client.DeviceGetGpuInstances(s.ctx, d, 9)
		return len(all), ret
	}}
	byID := row{"no instance 13", "nvmlDeviceGetGpuInstanceById", func(d nv.Device) (any, nv.Return) { _, ret := d.GetGpuInstanceById(13); return nil, ret }, func(s side, d model.Device) (any, model.Return) {
		_, ret := s.client.DeviceGetGpuInstanceById(s.ctx, d, 13)
		return nil, ret
	}}
	return []row{
		create("mode is off", 0), list, byID, mode(9), mode(1), list, byID, create("first half", 0), create("taken", 0), create("bad start", 2), create("second half", 4),
		createCompute, createCompute, info, list, destroy, destroyCompute, destroyCompute, info, createCompute, info, mode(0), destroyCompute, destroy, destroy, info,
	}
}
