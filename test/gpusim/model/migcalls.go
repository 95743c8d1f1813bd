package model

import "context"

// migGPU runs f on a GPU that can do MIG; admin says that the call is for administrators.
func (c *Client) migGPU(ctx context.Context, name string, d Device, admin bool, f func(g *gpu) Return) Return {
	return c.device(ctx, name, d, func(t target) Return {
		switch {
		case t.ci != nil:
			return InvalidArgument
		case t.g.spec.axis == 0:
			return NotSupported
		case admin && !c.admin():
			return NoPermission
		}
		return f(t.g)
	})
}

func (n *Node) profileInfo(p *giProfile) GpuInstanceProfileInfo {
	info := GpuInstanceProfileInfo{
		ID: p.id, SliceCount: p.slices, InstanceCount: p.instanceCount(), MultiprocessorCount: p.sms,
		CopyEngineCount: p.eng.copy, DecoderCount: p.eng.dec, EncoderCount: p.eng.enc, JpegCount: p.eng.jpeg, OfaCount: p.eng.ofa,
		MemorySizeMB: p.memMiB, Name: "MIG " + p.name,
	}
	if p.p2p {
		info.IsP2pSupported, info.Capabilities = 1, 1
	}
	if p.gfx {
		info.Capabilities |= 2
	}
	return info
}

func (c *Client) giProfileInfo(ctx context.Context, name string, d Device, profile uint32) (info GpuInstanceProfileInfo, ret Return) {
	n := c.node
	ret = c.migGPU(ctx, name, d, false, func(g *gpu) Return {
		if profile >= n.profileEnumEnd(g) {
			return InvalidArgument
		}
		for i := range g.spec.profiles {
			if p := &g.spec.profiles[i]; p.enum == profile && n.shows(g, p) {
				info = n.profileInfo(p)
				return Success
			}
		}
		return NotSupported
	})
	return info, ret
}

// DeviceGetGpuInstanceProfileInfo answers with MIG mode on or off; NotSupported for a profile that the GPU has not,
// InvalidArgument past the driver's last.
func (c *Client) DeviceGetGpuInstanceProfileInfo(ctx context.Context, d Device, profile uint32) (GpuInstanceProfileInfo, Return) {
	return c.giProfileInfo(ctx, "nvmlDeviceGetGpuInstanceProfileInfo", d, profile)
}

// DeviceGetGpuInstanceProfileInfoV is the same for structure version 2 or 3.
func (c *Client) DeviceGetGpuInstanceProfileInfoV(ctx context.Context, d Device, profile uint32, version int) (GpuInstanceProfileInfo, Return) {
	if !c.hasStruct("GpuInstanceProfileInfo", version) {
		return GpuInstanceProfileInfo{}, ArgumentVersionMismatch
	}
	return c.giProfileInfo(ctx, "nvmlDeviceGetGpuInstanceProfileInfoV", d, profile)
}

// DeviceGetGpuInstanceProfileInfoByIdV looks up by profile id.
func (c *Client) DeviceGetGpuInstanceProfileInfoByIdV(ctx context.Context, d Device, profileID uint32, version int) (info GpuInstanceProfileInfo, ret Return) {
	if !c.hasStruct("GpuInstanceProfileInfo", version) {
		return info, ArgumentVersionMismatch
	}
	ret = c.migGPU(ctx, "nvmlDeviceGetGpuInstanceProfileInfoByIdV", d, false, func(g *gpu) Return {
		p := c.node.profileByID(g, profileID)
		if p == nil {
			return NotSupported
		}
		info = c.node.profileInfo(p)
		return Success
	})
	return info, ret
}

func (c *Client) hasStruct(name string, version int) bool {
	c.node.mu.Lock()
	defer c.node.mu.Unlock()
	return c.node.branch.HasStruct(name, version)
}

// DeviceGetGpuInstancePossiblePlacements answers with MIG mode on or off, whatever is occupied.
func (c *Client) DeviceGetGpuInstancePossiblePlacements(ctx context.Context, d Device, profileID uint32) (out []Placement, ret Return) {
	ret = c.migGPU(ctx, "nvmlDeviceGetGpuInstancePossiblePlacements_v2", d, true, func(g *gpu) Return {
		p := c.node.profileByID(g, profileID)
		if p == nil {
			return NotSupported
		}
		out = p.placements()
		return Success
	})
	return out, ret
}

// DeviceGetGpuInstanceRemainingCapacity counts what still fits; NotSupported with MIG off.
func (c *Client) DeviceGetGpuInstanceRemainingCapacity(ctx context.Context, d Device, profileID uint32) (count uint32, ret Return) {
	ret = c.migGPU(ctx, "nvmlDeviceGetGpuInstanceRemainingCapacity", d, true, func(g *gpu) Return {
		p := c.node.profileByID(g, profileID)
		if p == nil || !g.mig {
			return NotSupported
		}
		count = c.node.room(g, p)
		return Success
	})
	return count, ret
}

func (c *Client) create(ctx context.Context, name string, d Device, profileID uint32, want *Placement) (h GPUInstance, ret Return) {
	n := c.node
	ret = c.migGPU(ctx, name, d, true, func(g *gpu) Return {
		if !g.mig {
			return NotSupported
		}
		p := n.profileByID(g, profileID)
		if p == nil || want != nil && !p.allows(*want) {
			return InvalidArgument
		}
		var pl Placement
		var ok bool
		if want != nil {
			pl, ok = *want, n.fits(g, p, *want)
		} else {
			pl, ok = n.choose(g, p)
		}
		if !ok {
			return InsufficientResources
		}
		h = n.createGI(g, p, pl).handle
		return Success
	})
	return h, ret
}

// DeviceCreateGpuInstance lets the driver choose the placement, which is the highest start that is free.
func (c *Client) DeviceCreateGpuInstance(ctx context.Context, d Device, profileID uint32) (GPUInstance, Return) {
	return c.create(ctx, "nvmlDeviceCreateGpuInstance", d, profileID, nil)
}

// DeviceCreateGpuInstanceWithPlacement creates it there.
func (c *Client) DeviceCreateGpuInstanceWithPlacement(ctx context.Context, d Device, profileID uint32, p Placement) (GPUInstance, Return) {
	return c.create(ctx, "nvmlDeviceCreateGpuInstanceWithPlacement", d, profileID, &p)
}

// DeviceGetGpuInstances lists the instances of one profile by id.
func (c *Client) DeviceGetGpuInstances(ctx context.Context, d Device, profileID uint32) (out []GPUInstance, ret Return) {
	ret = c.migGPU(ctx, "nvmlDeviceGetGpuInstances", d, true, func(g *gpu) Return {
		if !g.mig {
			return NotSupported
		}
		if c.node.profileByID(g, profileID) == nil {
			return InvalidArgument
		}
		for _, gi := range g.instances {
			if gi.profile.id == profileID {
				out = append(out, gi.handle)
			}
		}
		return Success
	})
	return out, ret
}

// DeviceGetGpuInstanceById finds an instance by its id on the GPU.
func (c *Client) DeviceGetGpuInstanceById(ctx context.Context, d Device, id uint32) (h GPUInstance, ret Return) {
	ret = c.migGPU(ctx, "nvmlDeviceGetGpuInstanceById", d, true, func(g *gpu) Return {
		if !g.mig {
			return NotSupported
		}
		for _, gi := range g.instances {
			if gi.id == id {
				h = gi.handle
				return Success
			}
		}
		return NotFound
	})
	return h, ret
}

// GpuInstanceGetInfo tells an instance's id, profile and placement.
func (c *Client) GpuInstanceGetInfo(ctx context.Context, h GPUInstance) (info GpuInstanceInfo, ret Return) {
	ret = c.inGI(ctx, "nvmlGpuInstanceGetInfo", h, func(gi *gpuInstance) Return {
		info = GpuInstanceInfo{Device: gi.g.handle, ID: gi.id, ProfileID: gi.profile.id, Placement: gi.place}
		return Success
	})
	return info, ret
}

// GpuInstanceDestroy answers InUse while compute instances or leaked handles are left.
func (c *Client) GpuInstanceDestroy(ctx context.Context, h GPUInstance) Return {
	return c.inGI(ctx, "nvmlGpuInstanceDestroy", h, func(gi *gpuInstance) Return {
		switch {
		case !c.admin():
			return NoPermission
		case c.node.busyGI(gi, c):
			return InUse
		}
		c.node.destroyGI(gi)
		return Success
	})
}
