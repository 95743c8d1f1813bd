package model

import "context"

func (c *Client) ciProfileInfo(ctx context.Context, name string, h GPUInstance, profile, engine uint32) (info ComputeInstanceProfileInfo, ret Return) {
	n := c.node
	ret = c.inGI(ctx, name, h, func(gi *gpuInstance) Return {
		end := n.branch.computeInstanceProfiles()
		if gi.g.spec.profileEnumEnd != 0 {
			end = ciEnumFive + 1 // the odd GPU's driver knows one more than the header
		}
		if profile >= end || engine != 0 {
			return InvalidArgument
		}
		for _, p := range gi.profile.ciProfiles() {
			if p.enum != profile {
				continue
			}
			e := gi.profile.eng
			info = ComputeInstanceProfileInfo{
				ID: p.id, SliceCount: p.slices, InstanceCount: uint32(len(p.starts)), MultiprocessorCount: p.sms,
				SharedCopyEngineCount: e.copy, SharedDecoderCount: e.dec, SharedEncoderCount: e.enc, SharedJpegCount: e.jpeg, SharedOfaCount: e.ofa,
				Name: "MIG " + p.name,
			}
			if gi.profile.gfx {
				info.Capabilities = 1
			}
			return Success
		}
		return NotSupported
	})
	return info, ret
}

// GpuInstanceGetComputeInstanceProfileInfo answers NotSupported for a profile that the instance has not, InvalidArgument past the last.
func (c *Client) GpuInstanceGetComputeInstanceProfileInfo(ctx context.Context, h GPUInstance, profile, engine uint32) (ComputeInstanceProfileInfo, Return) {
	return c.ciProfileInfo(ctx, "nvmlGpuInstanceGetComputeInstanceProfileInfo", h, profile, engine)
}

// GpuInstanceGetComputeInstanceProfileInfoV is the same for structure version 2 or 3.
func (c *Client) GpuInstanceGetComputeInstanceProfileInfoV(ctx context.Context, h GPUInstance, profile, engine uint32, version int) (ComputeInstanceProfileInfo, Return) {
	if !c.hasStruct("ComputeInstanceProfileInfo", version) {
		return ComputeInstanceProfileInfo{}, ArgumentVersionMismatch
	}
	return c.ciProfileInfo(ctx, "nvmlGpuInstanceGetComputeInstanceProfileInfoV", h, profile, engine)
}

// profileInGI runs f for an administrator with a profile that the instance has.
func (c *Client) profileInGI(ctx context.Context, name string, h GPUInstance, profileID uint32, f func(gi *gpuInstance, p ciProfile) Return) Return {
	return c.inGI(ctx, name, h, func(gi *gpuInstance) Return {
		if !c.admin() {
			return NoPermission
		}
		p, ok := gi.ciProfileByID(profileID)
		if !ok {
			return NotSupported
		}
		return f(gi, p)
	})
}

func (p ciProfile) placements() []Placement {
	out := make([]Placement, 0, len(p.starts))
	for _, s := range p.starts {
		out = append(out, Placement{Start: s, Size: p.slices})
	}
	return out
}

// GpuInstanceGetComputeInstanceRemainingCapacity counts what still fits.
func (c *Client) GpuInstanceGetComputeInstanceRemainingCapacity(ctx context.Context, h GPUInstance, profileID uint32) (count uint32, ret Return) {
	ret = c.profileInGI(ctx, "nvmlGpuInstanceGetComputeInstanceRemainingCapacity", h, profileID, func(gi *gpuInstance, p ciProfile) Return {
		for _, pl := range p.placements() { // they do not overlap each other
			if gi.ciFits(p, pl) {
				count++
			}
		}
		return Success
	})
	return count, ret
}

// GpuInstanceGetComputeInstancePossiblePlacements lists placements in compute slices of the instance.
func (c *Client) GpuInstanceGetComputeInstancePossiblePlacements(ctx context.Context, h GPUInstance, profileID uint32) (out []Placement, ret Return) {
	ret = c.profileInGI(ctx, "nvmlGpuInstanceGetComputeInstancePossiblePlacements", h, profileID, func(_ *gpuInstance, p ciProfile) Return {
		out = p.placements()
		return Success
	})
	return out, ret
}

func (c *Client) createCompute(ctx context.Context, name string, h GPUInstance, profileID uint32, want *Placement) (out ComputeInstance, ret Return) {
	ret = c.profileInGI(ctx, name, h, profileID, func(gi *gpuInstance, p ciProfile) Return {
		if want != nil {
			if !p.allows(*want) {
				return InvalidArgument
			}
			if !gi.ciFits(p, *want) {
				return InsufficientResources
			}
			out = c.node.createCI(gi, p, *want).handle
			return Success
		}
		for _, pl := range p.placements() { // compute slices fill from the start
			if gi.ciFits(p, pl) {
				out = c.node.createCI(gi, p, pl).handle
				return Success
			}
		}
		return InsufficientResources
	})
	return out, ret
}

// GpuInstanceCreateComputeInstance creates one at the first free place.
func (c *Client) GpuInstanceCreateComputeInstance(ctx context.Context, h GPUInstance, profileID uint32) (ComputeInstance, Return) {
	return c.createCompute(ctx, "nvmlGpuInstanceCreateComputeInstance", h, profileID, nil)
}

// GpuInstanceCreateComputeInstanceWithPlacement creates one there.
func (c *Client) GpuInstanceCreateComputeInstanceWithPlacement(ctx context.Context, h GPUInstance, profileID uint32, p Placement) (ComputeInstance, Return) {
	return c.createCompute(ctx, "nvmlGpuInstanceCreateComputeInstanceWithPlacement", h, profileID, &p)
}

// GpuInstanceGetComputeInstances lists those of one profile by id.
func (c *Client) GpuInstanceGetComputeInstances(ctx context.Context, h GPUInstance, profileID uint32) (out []ComputeInstance, ret Return) {
	ret = c.profileInGI(ctx, "nvmlGpuInstanceGetComputeInstances", h, profileID, func(gi *gpuInstance, p ciProfile) Return {
		for _, ci := range gi.cis {
			if ci.profile.id == p.id {
				out = append(out, ci.handle)
			}
		}
		return Success
	})
	return out, ret
}

// GpuInstanceGetComputeInstanceById finds one by its id in the instance.
func (c *Client) GpuInstanceGetComputeInstanceById(ctx context.Context, h GPUInstance, id uint32) (out ComputeInstance, ret Return) {
	ret = c.inGI(ctx, "nvmlGpuInstanceGetComputeInstanceById", h, func(gi *gpuInstance) Return {
		if !c.admin() {
			return NoPermission
		}
		for _, ci := range gi.cis {
			if ci.id == id {
				out = ci.handle
				return Success
			}
		}
		return NotFound
	})
	return out, ret
}

// ComputeInstanceGetInfo tells id, profile and placement; Device is the MIG device.
func (c *Client) ComputeInstanceGetInfo(ctx context.Context, h ComputeInstance) (info ComputeInstanceInfo, ret Return) {
	ret = c.inCI(ctx, "nvmlComputeInstanceGetInfo_v2", h, func(ci *computeInstance) Return {
		c.heldMig[ci] = true // its Device is a handle like any other
		info = ComputeInstanceInfo{Device: ci.device, GpuInstance: ci.gi.handle, ID: ci.id, ProfileID: ci.profile.id, Placement: ci.place}
		return Success
	})
	return info, ret
}

// ComputeInstanceDestroy answers InUse while processes run on it or a leaked handle holds it.
func (c *Client) ComputeInstanceDestroy(ctx context.Context, h ComputeInstance) Return {
	return c.inCI(ctx, "nvmlComputeInstanceDestroy", h, func(ci *computeInstance) Return {
		switch {
		case !c.admin():
			return NoPermission
		case c.node.busyCI(ci, c):
			return InUse
		}
		c.node.destroyCI(ci)
		return Success
	})
}
