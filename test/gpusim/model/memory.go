package model

import "context"

const mebi = uint64(1) << 20

// used is what processes hold on a GPU or in one of its GPU instances.
func (g *gpu) used(gi *gpuInstance) (bytes uint64) {
	for _, p := range g.procs {
		if gi == nil || p.gi == gi {
			bytes += p.Memory
		}
	}
	return bytes
}

// memory of a GPU, or of a GPU instance (which its compute instances share).
func (g *gpu) memory(gi *gpuInstance) MemoryInfo {
	m := MemoryInfo{Total: g.spec.memoryMiB * mebi, Reserved: g.spec.reservedMiB * mebi, Used: g.used(gi)}
	if gi != nil {
		m.Total, m.Reserved = gi.profile.memMiB*mebi, 6*mebi
	}
	if m.Used+m.Reserved < m.Total {
		m.Free = m.Total - m.Used - m.Reserved
	}
	return m
}

func (g *gpu) free(gi *gpuInstance) uint64 { return g.memory(gi).Free }

func (c *Client) memoryInfo(ctx context.Context, name string, d Device) (m MemoryInfo, ret Return) {
	ret = c.device(ctx, name, d, func(t target) Return {
		switch {
		case t.ci != nil:
			m = t.g.memory(t.ci.gi)
		case t.g.mig && !c.admin():
			return NoPermission // the sum over instances is for administrators
		default:
			m = t.g.memory(nil)
		}
		return Success
	})
	return m, ret
}

// DeviceGetMemoryInfo is version 1: Used contains Reserved.
func (c *Client) DeviceGetMemoryInfo(ctx context.Context, d Device) (MemoryInfo, Return) {
	m, ret := c.memoryInfo(ctx, "nvmlDeviceGetMemoryInfo", d)
	m.Used, m.Reserved = m.Used+m.Reserved, 0
	return m, ret
}

// DeviceGetMemoryInfoV2 is version 2: Used is without Reserved.
func (c *Client) DeviceGetMemoryInfoV2(ctx context.Context, d Device) (MemoryInfo, Return) {
	return c.memoryInfo(ctx, "nvmlDeviceGetMemoryInfo_v2", d)
}

// DeviceGetBAR1MemoryInfo gives the aperture; a MIG device's is its share by memory slices.
func (c *Client) DeviceGetBAR1MemoryInfo(ctx context.Context, d Device) (b Bar1Info, ret Return) {
	ret = c.device(ctx, "nvmlDeviceGetBAR1MemoryInfo", d, func(t target) Return {
		if t.ci == nil && t.g.mig && !c.admin() {
			return NoPermission
		}
		b.Total = t.g.spec.bar1MiB * mebi
		procs := uint64(len(t.g.procs))
		if t.ci != nil {
			b.Total = b.Total / uint64(t.g.spec.axis) * uint64(t.ci.gi.profile.size)
			procs = 0
			for _, p := range t.g.procs {
				if p.gi == t.ci.gi {
					procs++
				}
			}
		}
		b.Used = min(b.Total, (1+2*procs)*mebi)
		b.Free = b.Total - b.Used
		return Success
	})
	return b, ret
}

func (c *Client) flag(ctx context.Context, name string, d Device, f func(g *gpu) (bool, Return)) (on bool, ret Return) {
	ret = c.gpu(ctx, name, d, func(g *gpu) (r Return) {
		on, r = f(g)
		return r
	})
	return on, ret
}

// change runs f for an administrator.
func (c *Client) change(ctx context.Context, name string, d Device, f func(g *gpu) Return) Return {
	return c.gpu(ctx, name, d, func(g *gpu) Return {
		if !c.admin() {
			return NoPermission
		}
		return f(g)
	})
}

// DeviceGetPersistenceMode tells it.
func (c *Client) DeviceGetPersistenceMode(ctx context.Context, d Device) (bool, Return) {
	return c.flag(ctx, "nvmlDeviceGetPersistenceMode", d, func(g *gpu) (bool, Return) { return g.persistence, Success })
}

// DeviceSetPersistenceMode sets it until the driver is unloaded.
func (c *Client) DeviceSetPersistenceMode(ctx context.Context, d Device, on bool) Return {
	return c.change(ctx, "nvmlDeviceSetPersistenceMode", d, func(g *gpu) Return { g.persistence = on; return Success })
}

// DeviceGetComputeMode gives 0 default, 2 prohibited, 3 exclusive process. On a GPU in MIG mode only MIG devices have one.
func (c *Client) DeviceGetComputeMode(ctx context.Context, d Device) (mode uint32, ret Return) {
	ret = c.device(ctx, "nvmlDeviceGetComputeMode", d, func(t target) Return {
		switch {
		case t.ci != nil:
			mode = t.ci.computeMode
		case t.g.mig:
			return NotSupported
		default:
			mode = t.g.computeMode
		}
		return Success
	})
	return mode, ret
}

// DeviceSetComputeMode sets it; 1 (exclusive thread) is gone.
func (c *Client) DeviceSetComputeMode(ctx context.Context, d Device, mode uint32) Return {
	return c.device(ctx, "nvmlDeviceSetComputeMode", d, func(t target) Return {
		switch {
		case !c.admin():
			return NoPermission
		case mode > 3:
			return InvalidArgument
		case mode == 1 || t.ci == nil && t.g.mig:
			return NotSupported
		case t.ci != nil:
			t.ci.computeMode = mode
		default:
			t.g.computeMode = mode
		}
		return Success
	})
}

// DeviceGetEccMode gives the current and the pending mode.
func (c *Client) DeviceGetEccMode(ctx context.Context, d Device) (current, pending bool, ret Return) {
	ret = c.gpu(ctx, "nvmlDeviceGetEccMode", d, func(g *gpu) Return {
		if !g.spec.ecc {
			return NotSupported
		}
		current, pending = g.eccOn, g.eccPending
		return Success
	})
	return current, pending, ret
}

// DeviceGetDefaultEccMode is on where there is ECC.
func (c *Client) DeviceGetDefaultEccMode(ctx context.Context, d Device) (bool, Return) {
	return c.flag(ctx, "nvmlDeviceGetDefaultEccMode", d, func(g *gpu) (bool, Return) {
		if !g.spec.ecc {
			return false, NotSupported
		}
		return true, Success
	})
}

// DeviceSetEccMode takes effect at the next reset.
func (c *Client) DeviceSetEccMode(ctx context.Context, d Device, on bool) Return {
	return c.change(ctx, "nvmlDeviceSetEccMode", d, func(g *gpu) Return {
		if !g.spec.ecc {
			return NotSupported
		}
		g.eccPending = on
		return Success
	})
}
