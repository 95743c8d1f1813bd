package model

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// fabricTime is how long a GPU takes to register with the fabric after MIG mode went off.
const fabricTime = 3 * time.Second

// holders names who keeps the GPU from changing its mode. c's own device handle does not count: it needs one to ask.
func (n *Node) holders(g *gpu, c *Client) []string {
	var out []string
	for o := range n.clients {
		who := fmt.Sprintf("client %d (%s)", o.caller.PID, o.caller.Name)
		for _, s := range o.sets {
			if s.masks[g] != 0 {
				out = append(out, who+": event set")
			}
		}
		for _, s := range o.samples {
			if s.g == g {
				out = append(out, who+": GPM sample")
			}
		}
		if o != c && o.held[g] {
			out = append(out, who+": device handle")
		}
	}
	if g.leaks > 0 {
		out = append(out, "unknown: leaked handle")
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// DeviceSetMigMode asks for a mode; activation is what nvmlDeviceSetMigMode returns beside its own code. On Ampere the mode
// activates at once when nothing holds the GPU and otherwise stays pending until a reset: InUse with processes or instances on
// it, ResetRequired with clients that hold it or under passthrough. On Hopper and later it changes at once or, InUse, not at all.
func (c *Client) DeviceSetMigMode(ctx context.Context, d Device, mode uint32) (activation, ret Return) {
	n := c.node
	activation = Unknown
	ret = c.migGPU(ctx, "nvmlDeviceSetMigMode", d, true, func(g *gpu) Return {
		if mode > 1 {
			return InvalidArgument
		}
		on := mode == 1
		activation = Success
		if on == g.mig {
			if g.migPending != on { // takes a pending change back
				g.migPending = on
				n.bump()
			}
			return Success
		}
		switch {
		case len(g.procs) > 0 || len(g.instances) > 0:
			activation = InUse
		case len(n.holders(g, c)) == 0 && (g.spec.modeImmediate || !n.shape.Passthrough):
			n.setMode(g, on)
			return Success
		case g.spec.modeImmediate:
			activation = InUse
		default:
			activation = ResetRequired
		}
		if !g.spec.modeImmediate {
			g.migPending = on
			n.bump()
		}
		return Success
	})
	return activation, ret
}

// setMode changes the mode of an idle GPU.
func (n *Node) setMode(g *gpu, on bool) {
	n.advance(g)
	g.mig, g.migPending = on, on
	if !on {
		g.fabricFrom = n.clock.Now()
	}
	g.accounting = g.accounting && !on
	n.migChanged(g)
}

// DeviceGetMigMode tells the current and the pending mode.
func (c *Client) DeviceGetMigMode(ctx context.Context, d Device) (current, pending uint32, ret Return) {
	ret = c.migGPU(ctx, "nvmlDeviceGetMigMode", d, false, func(g *gpu) Return {
		current, pending = number(g.mig), number(g.migPending)
		return Success
	})
	return current, pending, ret
}

func number(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// DeviceGetMaxMigDeviceCount is 0 where MIG is off or not there.
func (c *Client) DeviceGetMaxMigDeviceCount(ctx context.Context, d Device) (count uint32, ret Return) {
	ret = c.gpu(ctx, "nvmlDeviceGetMaxMigDeviceCount", d, func(g *gpu) Return {
		count = g.maxMigDevices()
		return Success
	})
	return count, ret
}

func (g *gpu) maxMigDevices() uint32 {
	if !g.mig {
		return 0
	}
	return g.spec.slices
}

// DeviceIsMigDeviceHandle tells a MIG device from a GPU.
func (c *Client) DeviceIsMigDeviceHandle(ctx context.Context, d Device) (is bool, ret Return) {
	ret = c.device(ctx, "nvmlDeviceIsMigDeviceHandle", d, func(t target) Return {
		is = t.ci != nil
		return Success
	})
	return is, ret
}

// DeviceGetMigDeviceHandleByIndex finds a MIG device. Indices stay with the device while it lives, so there can be gaps: NotFound.
func (c *Client) DeviceGetMigDeviceHandleByIndex(ctx context.Context, d Device, index uint32) (out Device, ret Return) {
	ret = c.migGPU(ctx, "nvmlDeviceGetMigDeviceHandleByIndex", d, false, func(g *gpu) Return {
		if index >= g.maxMigDevices() {
			return InvalidArgument
		}
		for _, ci := range g.compute() {
			if ci.index == index {
				c.heldMig[ci] = true
				out = ci.device
				return Success
			}
		}
		return NotFound
	})
	return out, ret
}

// DeviceGetDeviceHandleFromMigDeviceHandle gives the GPU of a MIG device; InvalidArgument for a GPU.
func (c *Client) DeviceGetDeviceHandleFromMigDeviceHandle(ctx context.Context, d Device) (out Device, ret Return) {
	ret = c.migDevice(ctx, "nvmlDeviceGetDeviceHandleFromMigDeviceHandle", d, func(ci *computeInstance) {
		c.held[ci.gi.g] = true
		out = ci.gi.g.handle
	})
	return out, ret
}

// DeviceGetGpuInstanceId gives a MIG device's GPU instance id.
func (c *Client) DeviceGetGpuInstanceId(ctx context.Context, d Device) (id uint32, ret Return) {
	ret = c.migDevice(ctx, "nvmlDeviceGetGpuInstanceId", d, func(ci *computeInstance) { id = ci.gi.id })
	return id, ret
}

// DeviceGetComputeInstanceId gives a MIG device's compute instance id.
func (c *Client) DeviceGetComputeInstanceId(ctx context.Context, d Device) (id uint32, ret Return) {
	ret = c.migDevice(ctx, "nvmlDeviceGetComputeInstanceId", d, func(ci *computeInstance) { id = ci.id })
	return id, ret
}

func (c *Client) migDevice(ctx context.Context, name string, d Device, f func(ci *computeInstance)) Return {
	return c.device(ctx, name, d, func(t target) Return {
		if t.ci == nil {
			return InvalidArgument
		}
		f(t.ci)
		return Success
	})
}
