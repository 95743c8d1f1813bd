package model

import (
	"context"
	"fmt"
	"strings"
)

// text is a call that gives one string of a GPU.
func (c *Client) text(ctx context.Context, name string, d Device, f func(g *gpu) (string, Return)) (out string, ret Return) {
	ret = c.gpu(ctx, name, d, func(g *gpu) (r Return) {
		out, r = f(g)
		return r
	})
	return out, ret
}

// value is a call that gives one number of a GPU.
func (c *Client) value(ctx context.Context, name string, d Device, f func(g *gpu) (uint32, Return)) (out uint32, ret Return) {
	ret = c.gpu(ctx, name, d, func(g *gpu) (r Return) {
		out, r = f(g)
		return r
	})
	return out, ret
}

func known(v uint32) (uint32, Return) { return v, Success }

func has(ok bool, v uint32) (uint32, Return) {
	if !ok {
		return 0, NotSupported
	}
	return v, Success
}

// SystemGetDriverVersion gives the version of the loaded driver.
func (c *Client) SystemGetDriverVersion(ctx context.Context) (v string, ret Return) {
	ret = c.global(ctx, "nvmlSystemGetDriverVersion", func() Return { v = c.node.driver; return Success })
	return v, ret
}

// SystemGetNVMLVersion gives the library's version, for instance 12.550.54.15.
func (c *Client) SystemGetNVMLVersion(ctx context.Context) (v string, ret Return) {
	ret = c.global(ctx, "nvmlSystemGetNVMLVersion", func() Return {
		v = fmt.Sprintf("%d.%s", c.node.cuda()/1000, c.node.driver)
		return Success
	})
	return v, ret
}

// SystemGetCudaDriverVersion gives major*1000 + minor*10.
func (c *Client) SystemGetCudaDriverVersion(ctx context.Context) (v int, ret Return) {
	ret = c.global(ctx, "nvmlSystemGetCudaDriverVersion_v2", func() Return { v = c.node.cuda(); return Success })
	return v, ret
}

func (n *Node) cuda() int {
	var major, minor int
	if n.branch == BranchOf(n.shape.Driver) && n.shape.Cuda != "" {
		if _, err := fmt.Sscanf(n.shape.Cuda, "%d.%d", &major, &minor); err == nil {
			return major*1000 + minor*10
		}
	}
	return n.branch.cuda()
}

// SystemGetDriverBranch gives the branch's name, for instance r580_00.
func (c *Client) SystemGetDriverBranch(ctx context.Context) (v string, ret Return) {
	ret = c.global(ctx, "nvmlSystemGetDriverBranch", func() Return { v = fmt.Sprintf("r%d_00", c.node.branch); return Success })
	return v, ret
}

// SystemGetTopologyGpuSet lists the GPUs near a CPU.
func (c *Client) SystemGetTopologyGpuSet(ctx context.Context, cpu uint32) (out []Device, ret Return) {
	ret = c.global(ctx, "nvmlSystemGetTopologyGpuSet", func() Return {
		if int(cpu) >= c.node.shape.CPUs {
			return InvalidArgument
		}
		for _, g := range c.node.visible() {
			if from, to := c.node.cpuRange(g.numa); int(cpu) >= from && int(cpu) < to {
				out = append(out, g.handle)
			}
		}
		return Success
	})
	return out, ret
}

// SystemGetConfComputeState says that confidential computing is off.
func (c *Client) SystemGetConfComputeState(ctx context.Context) (s ConfComputeSettings, ret Return) {
	return s, c.global(ctx, "nvmlSystemGetConfComputeState", func() Return { return Success })
}

// SystemGetConfComputeSettings says the same in the later structure.
func (c *Client) SystemGetConfComputeSettings(ctx context.Context) (s ConfComputeSettings, ret Return) {
	return s, c.global(ctx, "nvmlSystemGetConfComputeSettings", func() Return { return Success })
}

// SystemGetConfComputeCapabilities says that CPU and GPUs have none.
func (c *Client) SystemGetConfComputeCapabilities(ctx context.Context) (cpu, gpus uint32, ret Return) {
	return 0, 0, c.global(ctx, "nvmlSystemGetConfComputeCapabilities", func() Return { return Success })
}

// DeviceGetCount counts the GPUs, lost ones too.
func (c *Client) DeviceGetCount(ctx context.Context) (count uint32, ret Return) {
	ret = c.global(ctx, "nvmlDeviceGetCount_v2", func() Return { count = uint32(len(c.node.visible())); return Success })
	return count, ret
}

// take gives a GPU's handle to the client; GPUIsLost for a lost one.
func (c *Client) take(g *gpu) (Device, Return) {
	if g.lost {
		return 0, GPUIsLost
	}
	c.held[g] = true
	return g.handle, Success
}

func (c *Client) lookup(ctx context.Context, name string, f func() (Device, Return)) (d Device, ret Return) {
	ret = c.do(ctx, name, scope{driver: true}, func([]*gpu) (r Return) {
		d, r = f()
		return r
	})
	return d, ret
}

// DeviceGetHandleByIndex goes by PCI order.
func (c *Client) DeviceGetHandleByIndex(ctx context.Context, index uint32) (Device, Return) {
	return c.lookup(ctx, "nvmlDeviceGetHandleByIndex_v2", func() (Device, Return) {
		gpus := c.node.visible()
		if int(index) >= len(gpus) {
			return 0, InvalidArgument
		}
		return c.take(gpus[index])
	})
}

// DeviceGetHandleByUUID finds a GPU or a MIG device.
func (c *Client) DeviceGetHandleByUUID(ctx context.Context, uuid string) (Device, Return) {
	return c.lookup(ctx, "nvmlDeviceGetHandleByUUID", func() (Device, Return) {
		if !strings.HasPrefix(uuid, "GPU-") && !strings.HasPrefix(uuid, "MIG-") {
			return 0, InvalidArgument
		}
		lost := false
		for _, g := range c.node.visible() {
			if g.uuid == uuid {
				return c.take(g)
			}
			lost = lost || g.lost
			for _, ci := range g.compute() {
				if ci.uuid == uuid && !g.lost {
					c.heldMig[ci] = true
					return ci.device, Success
				}
			}
		}
		if lost {
			return 0, GPUIsLost // it may be the one that cannot be asked
		}
		return 0, NotFound
	})
}

// DeviceGetHandleByPciBusId takes [domain:]bus:device[.function], any case, any width of the domain.
func (c *Client) DeviceGetHandleByPciBusId(ctx context.Context, busID string) (Device, Return) {
	return c.lookup(ctx, "nvmlDeviceGetHandleByPciBusId_v2", func() (Device, Return) {
		if _, ok := parsePCI(busID); !ok {
			return 0, InvalidArgument
		}
		for _, g := range c.node.visible() {
			if samePCI(busID, g.pci) {
				return c.take(g)
			}
		}
		return 0, NotFound
	})
}

// DeviceGetHandleBySerial finds a GPU by its board's serial number.
func (c *Client) DeviceGetHandleBySerial(ctx context.Context, serial string) (Device, Return) {
	return c.lookup(ctx, "nvmlDeviceGetHandleBySerial", func() (Device, Return) {
		for _, g := range c.node.visible() {
			if g.serial == serial {
				return c.take(g)
			}
		}
		return 0, NotFound
	})
}

// DeviceGetName gives the product, for a MIG device with its profile: "NVIDIA A100-SXM4-80GB MIG 1g.10gb".
func (c *Client) DeviceGetName(ctx context.Context, d Device) (name string, ret Return) {
	ret = c.device(ctx, "nvmlDeviceGetName", d, func(t target) Return {
		name = t.g.spec.name
		if t.ci != nil {
			name += " MIG " + t.ci.profile.name
		}
		return Success
	})
	return name, ret
}

// DeviceGetUUID gives GPU-... or MIG-...
func (c *Client) DeviceGetUUID(ctx context.Context, d Device) (uuid string, ret Return) {
	ret = c.device(ctx, "nvmlDeviceGetUUID", d, func(t target) Return {
		uuid = t.g.uuid
		if t.ci != nil {
			uuid = t.ci.uuid
		}
		return Success
	})
	return uuid, ret
}

// DeviceGetIndex gives the GPU's index, for a MIG device the one under its GPU.
func (c *Client) DeviceGetIndex(ctx context.Context, d Device) (index uint32, ret Return) {
	ret = c.device(ctx, "nvmlDeviceGetIndex", d, func(t target) Return {
		index = uint32(c.node.index(t.g))
		if t.ci != nil {
			index = t.ci.index
		}
		return Success
	})
	return index, ret
}

// DeviceGetAttributes describes a MIG device; NotSupported for a GPU.
func (c *Client) DeviceGetAttributes(ctx context.Context, d Device) (a DeviceAttributes, ret Return) {
	ret = c.device(ctx, "nvmlDeviceGetAttributes_v2", d, func(t target) Return {
		if t.ci == nil {
			return NotSupported
		}
		gi := t.ci.gi.profile
		a = DeviceAttributes{
			MultiprocessorCount: t.ci.profile.sms, SharedCopyEngineCount: gi.eng.copy, SharedDecoderCount: gi.eng.dec, SharedEncoderCount: gi.eng.enc,
			SharedJpegCount: gi.eng.jpeg, SharedOfaCount: gi.eng.ofa, GpuInstanceSliceCount: gi.slices, ComputeInstanceSliceCount: t.ci.profile.slices,
			MemorySizeMB: gi.memMiB,
		}
		return Success
	})
	return a, ret
}
