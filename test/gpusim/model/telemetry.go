package model

import (
	"context"
	"math"
)

// now is the GPU's activity at this moment.
func (n *Node) now(g *gpu) activity {
	n.advance(g)
	return g.activity(n.clock.Now())
}

// clocks at this moment, MHz.
func (n *Node) clocks(g *gpu) (sm, mem, video uint32) {
	a := n.now(g)
	sm, mem = g.spec.maxMHz, g.spec.memMHz
	if a[actSM] < 0.5 && len(g.procs) == 0 {
		sm = g.spec.idleMHz
		if g.spec.idlePState > 0 {
			mem = 405
		}
	} else if a[actPowerCap] > 0 {
		sm = max(g.spec.idleMHz, uint32(float64(sm)*math.Sqrt(float64(g.limitMW)/1000/float64(g.spec.limitW))))
	}
	return sm, mem, sm * 9 / 10
}

// Clock types of nvmlClockType_t.
const (
	clockGraphics = iota
	clockSM
	clockMemory
	clockVideo
	clockCount
)

func (c *Client) clock(ctx context.Context, name string, d Device, kind uint32, f func(g *gpu) (sm, mem, video uint32)) (uint32, Return) {
	return c.value(ctx, name, d, func(g *gpu) (uint32, Return) {
		sm, mem, video := f(g)
		switch kind {
		case clockGraphics, clockSM:
			return known(sm)
		case clockMemory:
			return known(mem)
		case clockVideo:
			return known(video)
		}
		return 0, InvalidArgument
	})
}

func maxClocks(g *gpu) (sm, mem, video uint32) {
	return g.spec.maxMHz, g.spec.memMHz, g.spec.maxMHz * 9 / 10
}

// DeviceGetClockInfo gives the current clock in MHz.
func (c *Client) DeviceGetClockInfo(ctx context.Context, d Device, clock uint32) (uint32, Return) {
	return c.clock(ctx, "nvmlDeviceGetClockInfo", d, clock, c.node.clocks)
}

// DeviceGetMaxClockInfo gives the highest clock in MHz.
func (c *Client) DeviceGetMaxClockInfo(ctx context.Context, d Device, clock uint32) (uint32, Return) {
	return c.clock(ctx, "nvmlDeviceGetMaxClockInfo", d, clock, maxClocks)
}

// DeviceGetClock gives the current (0), application target (1), application default (2) or customer boost maximum (3) clock.
func (c *Client) DeviceGetClock(ctx context.Context, d Device, clock, id uint32) (uint32, Return) {
	switch id {
	case 0:
		return c.clock(ctx, "nvmlDeviceGetClock", d, clock, c.node.clocks)
	case 1, 2, 3:
		return c.clock(ctx, "nvmlDeviceGetClock", d, clock, maxClocks)
	}
	return 0, InvalidArgument
}

// DeviceGetMaxCustomerBoostClock gives the highest clock.
func (c *Client) DeviceGetMaxCustomerBoostClock(ctx context.Context, d Device, clock uint32) (uint32, Return) {
	return c.clock(ctx, "nvmlDeviceGetMaxCustomerBoostClock", d, clock, maxClocks)
}

// DeviceGetApplicationsClock gives the target clock.
func (c *Client) DeviceGetApplicationsClock(ctx context.Context, d Device, clock uint32) (uint32, Return) {
	return c.clock(ctx, "nvmlDeviceGetApplicationsClock", d, clock, maxClocks)
}

// DeviceGetDefaultApplicationsClock gives the default target clock.
func (c *Client) DeviceGetDefaultApplicationsClock(ctx context.Context, d Device, clock uint32) (uint32, Return) {
	return c.clock(ctx, "nvmlDeviceGetDefaultApplicationsClock", d, clock, maxClocks)
}

// DeviceGetSupportedMemoryClocks lists MHz, highest first.
func (c *Client) DeviceGetSupportedMemoryClocks(ctx context.Context, d Device) (out []uint32, ret Return) {
	ret = c.gpu(ctx, "nvmlDeviceGetSupportedMemoryClocks", d, func(g *gpu) Return { out = []uint32{g.spec.memMHz}; return Success })
	return out, ret
}

// DeviceGetSupportedGraphicsClocks lists MHz in steps of 15, highest first; NotFound for a memory clock that there is not.
func (c *Client) DeviceGetSupportedGraphicsClocks(ctx context.Context, d Device, memoryMHz uint32) (out []uint32, ret Return) {
	ret = c.gpu(ctx, "nvmlDeviceGetSupportedGraphicsClocks", d, func(g *gpu) Return {
		if memoryMHz != g.spec.memMHz {
			return NotFound
		}
		for f := g.spec.maxMHz; f >= g.spec.idleMHz; f -= 15 {
			out = append(out, f)
		}
		return Success
	})
	return out, ret
}

// Clock event reasons.
const (
	reasonIdle     = 0x1
	reasonPowerCap = 0x4
	reasonsAll     = 0x1EF
)

// DeviceGetCurrentClocksEventReasons says why clocks are not at their highest.
func (c *Client) DeviceGetCurrentClocksEventReasons(ctx context.Context, d Device) (mask uint64, ret Return) {
	ret = c.gpu(ctx, "nvmlDeviceGetCurrentClocksThrottleReasons", d, func(g *gpu) Return {
		a := c.node.now(g)
		if a[actSM] < 0.5 && len(g.procs) == 0 {
			mask |= reasonIdle
		}
		if a[actPowerCap] > 0 {
			mask |= reasonPowerCap
		}
		return Success
	})
	return mask, ret
}

// DeviceGetSupportedClocksEventReasons gives the reasons that can be.
func (c *Client) DeviceGetSupportedClocksEventReasons(ctx context.Context, d Device) (mask uint64, ret Return) {
	ret = c.gpu(ctx, "nvmlDeviceGetSupportedClocksThrottleReasons", d, func(*gpu) Return { mask = reasonsAll; return Success })
	return mask, ret
}

// DeviceGetPerformanceState gives P0 at work and the model's idle state otherwise.
func (c *Client) DeviceGetPerformanceState(ctx context.Context, d Device) (uint32, Return) {
	return c.value(ctx, "nvmlDeviceGetPerformanceState", d, func(g *gpu) (uint32, Return) {
		if c.node.now(g)[actSM] < 0.5 && len(g.procs) == 0 {
			return known(g.spec.idlePState)
		}
		return known(0)
	})
}

// DeviceGetSupportedPerformanceStates lists them.
func (c *Client) DeviceGetSupportedPerformanceStates(ctx context.Context, d Device) (out []uint32, ret Return) {
	ret = c.gpu(ctx, "nvmlDeviceGetSupportedPerformanceStates", d, func(g *gpu) Return {
		out = []uint32{0}
		if g.spec.idlePState > 0 {
			out = append(out, g.spec.idlePState)
		}
		return Success
	})
	return out, ret
}

// DeviceGetPowerUsage gives milliwatts.
func (c *Client) DeviceGetPowerUsage(ctx context.Context, d Device) (uint32, Return) {
	return c.value(ctx, "nvmlDeviceGetPowerUsage", d, func(g *gpu) (uint32, Return) { return known(uint32(c.node.now(g)[actWatts] * 1000)) })
}

// DeviceGetPowerManagementMode is on.
func (c *Client) DeviceGetPowerManagementMode(ctx context.Context, d Device) (bool, Return) {
	return c.flag(ctx, "nvmlDeviceGetPowerManagementMode", d, func(*gpu) (bool, Return) { return true, Success })
}

// DeviceGetPowerManagementLimit gives milliwatts.
func (c *Client) DeviceGetPowerManagementLimit(ctx context.Context, d Device) (uint32, Return) {
	return c.value(ctx, "nvmlDeviceGetPowerManagementLimit", d, func(g *gpu) (uint32, Return) { return known(g.limitMW) })
}

// DeviceGetPowerManagementLimitConstraints gives milliwatts.
func (c *Client) DeviceGetPowerManagementLimitConstraints(ctx context.Context, d Device) (low, high uint32, ret Return) {
	ret = c.gpu(ctx, "nvmlDeviceGetPowerManagementLimitConstraints", d, func(g *gpu) Return {
		low, high = g.spec.minLimitW*1000, g.spec.limitW*1000
		return Success
	})
	return low, high, ret
}

// DeviceGetPowerManagementDefaultLimit gives milliwatts.
func (c *Client) DeviceGetPowerManagementDefaultLimit(ctx context.Context, d Device) (uint32, Return) {
	return c.value(ctx, "nvmlDeviceGetPowerManagementDefaultLimit", d, func(g *gpu) (uint32, Return) { return known(g.spec.limitW * 1000) })
}

// DeviceGetEnforcedPowerLimit gives milliwatts.
func (c *Client) DeviceGetEnforcedPowerLimit(ctx context.Context, d Device) (uint32, Return) {
	return c.value(ctx, "nvmlDeviceGetEnforcedPowerLimit", d, func(g *gpu) (uint32, Return) { return known(g.limitMW) })
}

// DeviceSetPowerManagementLimit sets it until the driver is unloaded.
func (c *Client) DeviceSetPowerManagementLimit(ctx context.Context, d Device, milliwatts uint32) Return {
	return c.change(ctx, "nvmlDeviceSetPowerManagementLimit", d, func(g *gpu) Return {
		if milliwatts < g.spec.minLimitW*1000 || milliwatts > g.spec.limitW*1000 {
			return InvalidArgument
		}
		c.node.advance(g)
		g.limitMW = milliwatts
		return Success
	})
}

// DeviceGetPowerSource is AC.
func (c *Client) DeviceGetPowerSource(ctx context.Context, d Device) (uint32, Return) {
	return c.value(ctx, "nvmlDeviceGetPowerSource", d, func(*gpu) (uint32, Return) { return known(0) })
}

// DeviceGetTotalEnergyConsumption gives millijoules since the driver was loaded (Volta and later).
func (c *Client) DeviceGetTotalEnergyConsumption(ctx context.Context, d Device) (mj uint64, ret Return) {
	ret = c.gpu(ctx, "nvmlDeviceGetTotalEnergyConsumption", d, func(g *gpu) Return {
		mj = c.node.energy(g)
		return Success
	})
	return mj, ret
}

func (n *Node) energy(g *gpu) uint64 {
	n.advance(g)
	return uint64(g.meter.sum[actWatts] * 1000)
}
