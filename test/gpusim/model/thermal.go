package model

import (
	"context"
	"math"
)

// DeviceGetTemperature gives Celsius; sensor 0 is the core, the only one.
func (c *Client) DeviceGetTemperature(ctx context.Context, d Device, sensor uint32) (t int32, ret Return) {
	ret = c.gpu(ctx, "nvmlDeviceGetTemperature", d, func(g *gpu) Return {
		if sensor != 0 {
			return InvalidArgument
		}
		c.node.advance(g)
		core, _ := g.temperature()
		t = int32(math.Round(core))
		return Success
	})
	return t, ret
}

// DeviceGetTemperatureThreshold gives shutdown (0), slowdown (1), memory maximum (2) and GPU maximum (3).
func (c *Client) DeviceGetTemperatureThreshold(ctx context.Context, d Device, threshold uint32) (uint32, Return) {
	return c.value(ctx, "nvmlDeviceGetTemperatureThreshold", d, func(g *gpu) (uint32, Return) {
		switch threshold {
		case 0:
			return known(g.spec.shutdownC)
		case 1:
			return known(g.spec.slowdownC)
		case 2:
			return has(g.spec.memMaxC > 0, g.spec.memMaxC)
		case 3:
			return known(g.spec.gpuMaxC)
		}
		return has(threshold < 8, 0)
	})
}

// DeviceGetMarginTemperature gives what is left to the slowdown.
func (c *Client) DeviceGetMarginTemperature(ctx context.Context, d Device) (t int32, ret Return) {
	ret = c.gpu(ctx, "nvmlDeviceGetMarginTemperature", d, func(g *gpu) Return {
		if g.spec.arch < archHopper {
			return NotSupported
		}
		c.node.advance(g)
		core, _ := g.temperature()
		t = int32(g.spec.slowdownC) - int32(math.Round(core))
		return Success
	})
	return t, ret
}

// DeviceGetThermalSettings lists sensors; 15 asks for all.
func (c *Client) DeviceGetThermalSettings(ctx context.Context, d Device, sensor uint32) (out []ThermalSensor, ret Return) {
	ret = c.gpu(ctx, "nvmlDeviceGetThermalSettings", d, func(g *gpu) Return {
		if sensor != 0 && sensor != 15 {
			return InvalidArgument
		}
		c.node.advance(g)
		core, _ := g.temperature()
		out = []ThermalSensor{{Controller: 1, DefaultMaxTemp: 127, CurrentTemp: int32(math.Round(core)), Target: 1}}
		return Success
	})
	return out, ret
}

// DeviceGetNumFans counts fans; boards of servers have none.
func (c *Client) DeviceGetNumFans(ctx context.Context, d Device) (uint32, Return) {
	return c.value(ctx, "nvmlDeviceGetNumFans", d, func(g *gpu) (uint32, Return) { return known(g.spec.fans) })
}

// DeviceGetFanSpeed is NotSupported without a fan.
func (c *Client) DeviceGetFanSpeed(ctx context.Context, d Device) (uint32, Return) {
	return c.fan(ctx, "nvmlDeviceGetFanSpeed", d, 0)
}

// DeviceGetFanSpeedV2 asks one fan.
func (c *Client) DeviceGetFanSpeedV2(ctx context.Context, d Device, fan uint32) (uint32, Return) {
	return c.fan(ctx, "nvmlDeviceGetFanSpeed_v2", d, fan)
}

func (c *Client) fan(ctx context.Context, name string, d Device, fan uint32) (uint32, Return) {
	return c.value(ctx, name, d, func(g *gpu) (uint32, Return) {
		switch {
		case g.spec.fans == 0:
			return 0, NotSupported
		case fan >= g.spec.fans:
			return 0, InvalidArgument
		}
		c.node.advance(g)
		return known(30 + uint32(g.heat*40))
	})
}
