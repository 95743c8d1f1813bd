package direct

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/test/gpusim/model"
)

// enumEnd bounds the loops over profile enums.
const enumEnd = 64

// Geometry reads the profiles by their enum.
func (v *device) Geometry() (mig.Geometry, []gpu.Gap, error) {
	if _, err := v.mode(); absent(err) {
		return mig.Geometry{}, nil, nil
	} else if err != nil {
		return mig.Geometry{}, nil, err
	}
	g := gapList{}
	var memory uint64
	g.add("memory size", v.d.call("nvmlDeviceGetMemoryInfo", func(ctx context.Context, c *model.Client) model.Return {
		m, ret := c.DeviceGetMemoryInfo(ctx, v.h)
		memory = m.Total
		return ret
	}))
	var raw []mig.RawProfile
	for enum := 0; enum < enumEnd && g.fatal == nil; enum++ {
		p, err := v.profile(enum)
		if errors.Is(err, gpu.ErrEnd) {
			break
		}
		if errors.Is(err, gpu.ErrNotSupported) || !g.add(fmt.Sprintf("MIG profile with enum %d", enum), err) {
			continue
		}
		g.add(fmt.Sprintf("placements of MIG profile %d", p.ID), v.d.call("nvmlDeviceGetGpuInstancePossiblePlacements_v2", func(ctx context.Context, c *model.Client) model.Return {
			places, ret := c.DeviceGetGpuInstancePossiblePlacements(ctx, v.h, p.ID)
			for _, pl := range places {
				p.Placements = append(p.Placements, placement(pl))
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
	return geometry, g.gaps, nil
}

func placement(p model.Placement) mig.Placement {
	return mig.Placement{Start: int(p.Start), Size: int(p.Size)}
}

// profile asks with the structure that has a name, and without where the driver does not know it.
func (v *device) profile(enum int) (mig.RawProfile, error) {
	var p model.GpuInstanceProfileInfo
	err := v.d.call("nvmlDeviceGetGpuInstanceProfileInfoV", func(ctx context.Context, c *model.Client) (ret model.Return) {
		p, ret = c.DeviceGetGpuInstanceProfileInfoV(ctx, v.h, uint32(enum), 2)
		return ret
	})
	if err != nil && !errors.Is(err, gpu.ErrEnd) && !whole(err) {
		err = v.d.call("nvmlDeviceGetGpuInstanceProfileInfo", func(ctx context.Context, c *model.Client) (ret model.Return) {
			p, ret = c.DeviceGetGpuInstanceProfileInfo(ctx, v.h, uint32(enum))
			p.Name = "" // that structure has none
			return ret
		})
	}
	return mig.RawProfile{
		Enum: enum, ID: p.ID, Name: p.Name, Slices: int(p.SliceCount), Instances: int(p.InstanceCount),
		Multiprocessors: int(p.MultiprocessorCount), MemoryMiB: p.MemorySizeMB,
		Engines: mig.Engines{Decoders: int(p.DecoderCount), Encoders: int(p.EncoderCount), JPEG: int(p.JpegCount), OFA: int(p.OfaCount)},
	}, err
}

func (v *device) mode() (state gpu.MIGState, err error) {
	err = v.d.call("nvmlDeviceGetMigMode", func(ctx context.Context, c *model.Client) model.Return {
		current, pending, ret := c.DeviceGetMigMode(ctx, v.h)
		state = gpu.MIGState{Capable: ret == model.Success, Enabled: current == 1, Pending: pending == 1}
		return ret
	})
	return state, err
}

// Layout reads the mode and the instances, by profile.
func (v *device) Layout(geometry mig.Geometry) (l gpu.Layout, gaps []gpu.Gap, err error) {
	l.MIG, err = v.mode()
	switch {
	case absent(err):
		return gpu.Layout{}, nil, nil
	case err != nil:
		return l, nil, err
	case !l.MIG.Enabled:
		return l, nil, nil
	}
	g := gapList{}
	for _, p := range geometry.Profiles {
		var handles []model.GPUInstance
		err := v.d.call("nvmlDeviceGetGpuInstances", func(ctx context.Context, c *model.Client) (ret model.Return) {
			handles, ret = c.DeviceGetGpuInstances(ctx, v.h, p.ID)
			return ret
		})
		before := len(g.gaps)
		if g.add("instances of "+p.Profile.String(), err) {
			for _, h := range handles {
				if in, ok := v.instance(&g, h, p); ok {
					l.Instances = append(l.Instances, in)
				}
			}
		} else if !unread(err) {
			before = len(g.gaps) // another time it will not be read either
		}
		if g.fatal != nil {
			return l, nil, g.fatal
		}
		if len(g.gaps) > before {
			l.Unread = append(l.Unread, p.Profile)
		}
	}
	slices.SortFunc(l.Instances, func(a, b gpu.Instance) int {
		return cmp.Or(cmp.Compare(a.Slot.Placement.Start, b.Slot.Placement.Start), cmp.Compare(a.ID, b.ID))
	})
	return l, g.gaps, nil
}

func (v *device) instance(g *gapList, h model.GPUInstance, p mig.ProfileInfo) (in gpu.Instance, ok bool) {
	info, err := v.info(h)
	if gone(err) || !g.add("a GPU instance of "+p.Profile.String(), err) {
		return in, false
	}
	in.ID, in.Slot = info.ID, mig.Slot{Profile: p.Profile, Placement: placement(info.Placement)}
	profiles, err := v.computeProfiles(h)
	g.add("compute profiles of "+p.Profile.String(), err)
	for _, cp := range profiles {
		handles, err := v.computes(h, cp)
		g.add("compute instances of "+in.Slot.String(), err)
		for _, ch := range handles {
			ci, err := v.compute(ch, p, cp)
			if !gone(err) && g.add("a compute instance of "+p.Profile.String(), err) {
				in.Compute = append(in.Compute, ci)
			}
		}
	}
	slices.SortFunc(in.Compute, func(a, b gpu.ComputeInstance) int {
		return cmp.Or(cmp.Compare(a.Placement.Start, b.Placement.Start), cmp.Compare(a.ID, b.ID))
	})
	return in, true
}

func (v *device) info(h model.GPUInstance) (info model.GpuInstanceInfo, err error) {
	err = v.d.call("nvmlGpuInstanceGetInfo", func(ctx context.Context, c *model.Client) (ret model.Return) {
		info, ret = c.GpuInstanceGetInfo(ctx, h)
		return ret
	})
	return info, err
}

// computeProfiles lists what an instance can be filled with.
func (v *device) computeProfiles(h model.GPUInstance) (out []model.ComputeInstanceProfileInfo, err error) {
	for enum := range uint32(enumEnd) {
		var info model.ComputeInstanceProfileInfo
		err := v.d.call("nvmlGpuInstanceGetComputeInstanceProfileInfo", func(ctx context.Context, c *model.Client) (ret model.Return) {
			info, ret = c.GpuInstanceGetComputeInstanceProfileInfo(ctx, h, enum, 0)
			return ret
		})
		switch {
		case errors.Is(err, gpu.ErrEnd):
			return out, nil
		case errors.Is(err, gpu.ErrNotSupported):
		case err != nil:
			return out, err
		case !slices.ContainsFunc(out, func(o model.ComputeInstanceProfileInfo) bool { return o.ID == info.ID }):
			out = append(out, info)
		}
	}
	return out, nil
}

func (v *device) computes(h model.GPUInstance, p model.ComputeInstanceProfileInfo) (out []model.ComputeInstance, err error) {
	err = v.d.call("nvmlGpuInstanceGetComputeInstances", func(ctx context.Context, c *model.Client) (ret model.Return) {
		out, ret = c.GpuInstanceGetComputeInstances(ctx, h, p.ID)
		return ret
	})
	return out, err
}

func (v *device) compute(h model.ComputeInstance, p mig.ProfileInfo, cp model.ComputeInstanceProfileInfo) (gpu.ComputeInstance, error) {
	ci := gpu.ComputeInstance{Profile: p.Profile, MemoryBytes: p.MemoryBytes}
	ci.Profile.Compute = int(cp.SliceCount)
	var handle model.Device
	err := v.d.call("nvmlComputeInstanceGetInfo_v2", func(ctx context.Context, c *model.Client) model.Return {
		i, ret := c.ComputeInstanceGetInfo(ctx, h)
		ci.ID, handle, ci.Placement = i.ID, i.Device, placement(i.Placement)
		return ret
	})
	if err == nil {
		err = v.d.call("nvmlDeviceGetUUID", func(ctx context.Context, c *model.Client) model.Return {
			s, ret := c.DeviceGetUUID(ctx, handle)
			ci.UUID = gpu.UUID(s)
			return ret
		})
	}
	return ci, err
}
