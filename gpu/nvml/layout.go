package nvml

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	nv "github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

// enumEnd bounds the loops over profile enums, should a driver never say that there are no more.
const enumEnd = 64

// Geometry reads the profiles by their enum: NOT_SUPPORTED is a profile that this GPU lacks, INVALID_ARGUMENT the end.
func (v *device) Geometry() (mig.Geometry, []gpu.Gap, error) {
	g := gapList{}
	if _, err := v.mode(); errors.Is(err, gpu.ErrNotSupported) || errors.Is(err, gpu.ErrMissing) {
		return mig.Geometry{}, nil, nil // no MIG
	} else if err != nil {
		return mig.Geometry{}, nil, err
	}
	var memory uint64
	g.add("memory size", v.d.call("nvmlDeviceGetMemoryInfo", func() nv.Return {
		m, ret := v.h.GetMemoryInfo()
		memory = m.Total
		return ret
	}))
	var raw []mig.RawProfile
	for enum := 0; enum < enumEnd && g.fatal == nil; enum++ {
		p, err := v.profile(enum)
		if errors.Is(err, gpu.ErrEnd) {
			break
		}
		if errors.Is(err, gpu.ErrNotSupported) {
			continue
		}
		if !g.add(fmt.Sprintf("MIG profile with enum %d", enum), err) {
			continue
		}
		info := nv.GpuInstanceProfileInfo{Id: p.ID}
		g.add(fmt.Sprintf("placements of MIG profile %d", p.ID), v.d.call(v.d.newest("nvmlDeviceGetGpuInstancePossiblePlacements"), func() nv.Return {
			places, ret := v.h.GetGpuInstancePossiblePlacements(&info)
			for _, pl := range places {
				p.Placements = append(p.Placements, mig.Placement{Start: int(pl.Start), Size: int(pl.Size)})
			}
			return ret
		}))
		raw = append(raw, p)
	}
	if g.fatal != nil {
		return mig.Geometry{}, nil, g.fatal
	}
	geometry, problems := mig.Assemble(raw, memory)
	for _, p := range problems {
		g.gaps = append(g.gaps, gpu.Gap{Feature: "MIG geometry", Reason: p})
	}
	v.geometry.Store(&geometry)
	return geometry, g.gaps, nil
}

// profile asks with the structure that has a name, and without where the driver does not know it.
func (v *device) profile(enum int) (mig.RawProfile, error) {
	raw := mig.RawProfile{Enum: enum}
	err := v.d.call("nvmlDeviceGetGpuInstanceProfileInfoV", func() nv.Return {
		p, ret := v.h.GetGpuInstanceProfileInfoV(enum).V2()
		raw.ID, raw.Name, raw.Slices, raw.Instances = p.Id, trimName(p.Name[:]), int(p.SliceCount), int(p.InstanceCount)
		raw.Multiprocessors, raw.MemoryMiB = int(p.MultiprocessorCount), p.MemorySizeMB
		raw.Engines = mig.Engines{Decoders: int(p.DecoderCount), Encoders: int(p.EncoderCount), JPEG: int(p.JpegCount), OFA: int(p.OfaCount)}
		return ret
	})
	if err == nil || errors.Is(err, gpu.ErrEnd) || whole(err) {
		return raw, err
	}
	err = v.d.call("nvmlDeviceGetGpuInstanceProfileInfo", func() nv.Return {
		p, ret := v.h.GetGpuInstanceProfileInfo(enum)
		raw.ID, raw.Name, raw.Slices, raw.Instances = p.Id, "", int(p.SliceCount), int(p.InstanceCount)
		raw.Multiprocessors, raw.MemoryMiB = int(p.MultiprocessorCount), p.MemorySizeMB
		raw.Engines = mig.Engines{Decoders: int(p.DecoderCount), Encoders: int(p.EncoderCount), JPEG: int(p.JpegCount), OFA: int(p.OfaCount)}
		return ret
	})
	return raw, err
}

// mode reads the MIG mode; an error that is not whole means that there is none.
func (v *device) mode() (state gpu.MIGState, err error) {
	err = v.d.call("nvmlDeviceGetMigMode", func() nv.Return {
		current, pending, ret := v.h.GetMigMode()
		state = gpu.MIGState{Capable: ret == nv.SUCCESS, Enabled: current == nv.DEVICE_MIG_ENABLE, Pending: pending == nv.DEVICE_MIG_ENABLE}
		return ret
	})
	return state, err
}

// Layout reads the mode and the instances, by profile: a GPU instance without a compute instance is in no other list.
func (v *device) Layout(geometry mig.Geometry) (gpu.Layout, []gpu.Gap, error) {
	l, gaps, err := v.layout(geometry)
	if err == nil && len(l.Unread) == 0 {
		v.saw(l)
	}
	return l, gaps, err
}

func (v *device) layout(geometry mig.Geometry) (gpu.Layout, []gpu.Gap, error) {
	var l gpu.Layout
	g := gapList{}
	state, err := v.mode()
	l.MIG = state
	switch {
	case errors.Is(err, gpu.ErrNotSupported), errors.Is(err, gpu.ErrMissing):
		l.MIG = gpu.MIGState{}
		return l, nil, nil
	case err != nil: // no gap: a GPU whose mode is not known must not pass for a whole one
		return l, nil, err
	case !l.MIG.Enabled:
		return l, nil, nil
	}
	for _, p := range geometry.Profiles {
		var handles []nv.GpuInstance
		// The count of the buffer is ours: some drivers tell too few.
		info := nv.GpuInstanceProfileInfo{Id: p.ID, InstanceCount: uint32(max(p.Max, len(p.Placements), 8))}
		err := v.d.call("nvmlDeviceGetGpuInstances", func() (ret nv.Return) {
			handles, ret = v.h.GetGpuInstances(&info)
			return ret
		})
		ok := g.add("instances of "+p.Profile.String(), err)
		if g.fatal != nil {
			return l, nil, g.fatal
		}
		if !ok {
			if unread(err) {
				l.Unread = append(l.Unread, p.Profile)
			}
			continue
		}
		before := len(g.gaps)
		for _, h := range handles {
			if in, ok := v.instance(&g, h, p); ok {
				l.Instances = append(l.Instances, in)
			}
			if g.fatal != nil {
				return l, nil, g.fatal
			}
		}
		if len(g.gaps) > before {
			l.Unread = append(l.Unread, p.Profile)
		}
	}
	slices.SortFunc(l.Instances, func(a, b gpu.Instance) int {
		return cmp.Or(cmp.Compare(a.Slot.Placement.Start, b.Slot.Placement.Start), cmp.Compare(a.ID, b.ID))
	})
	return l, g.gaps, g.fatal
}

func (v *device) instance(g *gapList, h nv.GpuInstance, p mig.ProfileInfo) (gpu.Instance, bool) {
	var in gpu.Instance
	err := v.d.call("nvmlGpuInstanceGetInfo", func() nv.Return {
		i, ret := h.GetInfo()
		in.ID = i.Id
		in.Slot = mig.Slot{Profile: p.Profile, Placement: mig.Placement{Start: int(i.Placement.Start), Size: int(i.Placement.Size)}}
		return ret
	})
	if errors.Is(err, gpu.ErrEnd) || errors.Is(err, gpu.ErrNotFound) {
		return in, false // destroyed between the two calls
	}
	if !g.add("a GPU instance of "+p.Profile.String(), err) {
		return in, false
	}
	for _, cp := range v.computeProfiles(g, h, p) {
		var handles []nv.ComputeInstance
		ok := g.add("compute instances of "+in.Slot.String(), v.d.call("nvmlGpuInstanceGetComputeInstances", func() (ret nv.Return) {
			handles, ret = h.GetComputeInstances(&cp)
			return ret
		}))
		if !ok {
			continue
		}
		for _, ch := range handles {
			if ci, ok := v.compute(g, ch, p, cp); ok {
				in.Compute = append(in.Compute, ci)
			}
		}
	}
	slices.SortFunc(in.Compute, func(a, b gpu.ComputeInstance) int {
		return cmp.Or(cmp.Compare(a.Placement.Start, b.Placement.Start), cmp.Compare(a.ID, b.ID))
	})
	return in, true
}

// computeProfiles reads the compute-instance profiles of a GPU-instance profile once.
func (v *device) computeProfiles(g *gapList, h nv.GpuInstance, p mig.ProfileInfo) []nv.ComputeInstanceProfileInfo {
	if found, ok := v.cis[p.ID]; ok {
		return found
	}
	before := len(g.gaps)
	out := v.listComputeProfiles(g, h, p)
	if len(g.gaps) == before && g.fatal == nil { // otherwise they are asked again at the next time
		v.cis[p.ID] = out
	}
	return out
}

// listComputeProfiles asks the driver for them. They differ in their ids; the first of a size is the plain one.
func (v *device) listComputeProfiles(g *gapList, h nv.GpuInstance, p mig.ProfileInfo) []nv.ComputeInstanceProfileInfo {
	var out []nv.ComputeInstanceProfileInfo
	for enum := range enumEnd {
		var info nv.ComputeInstanceProfileInfo
		err := v.d.call("nvmlGpuInstanceGetComputeInstanceProfileInfo", func() (ret nv.Return) {
			info, ret = h.GetComputeInstanceProfileInfo(enum, nv.COMPUTE_INSTANCE_ENGINE_PROFILE_SHARED)
			return ret
		})
		if errors.Is(err, gpu.ErrEnd) {
			break
		}
		if errors.Is(err, gpu.ErrNotSupported) {
			continue
		}
		if !g.add("compute profiles of "+p.Profile.String(), err) {
			return out
		}
		info.InstanceCount = max(info.InstanceCount, 8)
		if !slices.ContainsFunc(out, func(o nv.ComputeInstanceProfileInfo) bool { return o.Id == info.Id }) {
			out = append(out, info)
		}
	}
	return out
}

func (v *device) compute(g *gapList, h nv.ComputeInstance, p mig.ProfileInfo, cp nv.ComputeInstanceProfileInfo) (gpu.ComputeInstance, bool) {
	ci, err := v.computeInfo(h, p, cp)
	if errors.Is(err, gpu.ErrEnd) || errors.Is(err, gpu.ErrNotFound) {
		return ci, false // destroyed between the calls
	}
	return ci, g.add("a compute instance of "+p.Profile.String(), err)
}

// computeInfo reads a compute instance. Its MIG device is named by the instance itself: no walk over all of them is needed.
func (v *device) computeInfo(h nv.ComputeInstance, p mig.ProfileInfo, cp nv.ComputeInstanceProfileInfo) (gpu.ComputeInstance, error) {
	ci := gpu.ComputeInstance{Profile: p.Profile, MemoryBytes: p.MemoryBytes}
	ci.Profile.Compute = int(cp.SliceCount)
	var handle nv.Device
	err := v.d.call(v.d.newest("nvmlComputeInstanceGetInfo"), func() nv.Return {
		i, ret := h.GetInfo()
		ci.ID, handle = i.Id, i.Device
		ci.Placement = mig.Placement{Start: int(i.Placement.Start), Size: int(i.Placement.Size)}
		return ret
	})
	if err == nil {
		err = v.d.call("nvmlDeviceGetUUID", func() nv.Return {
			s, ret := handle.GetUUID()
			ci.UUID = gpu.UUID(s)
			return ret
		})
	}
	return ci, err
}
