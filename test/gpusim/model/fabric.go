package model

import "context"

// Fabric states.
const (
	fabricNotSupported = 0
	fabricNotStarted   = 1
	fabricInProgress   = 2
	fabricCompleted    = 3

	healthyMask = 2 | 2<<2 | 2<<4 | 2<<6 // bandwidth, route recovery, route, access timeout: none of them
)

// fabricInfo is the GPU's registration with the fabric manager: not started in MIG mode, a few seconds in progress after it.
func (n *Node) fabricInfo(g *gpu) FabricInfo {
	if !g.spec.fabric || n.shape.NVLink.Kind != "nvswitch" {
		return FabricInfo{State: fabricNotSupported}
	}
	switch {
	case g.mig:
		return FabricInfo{State: fabricNotStarted}
	case n.clock.Now().Sub(g.fabricFrom) < fabricTime:
		return FabricInfo{State: fabricInProgress}
	}
	info := FabricInfo{State: fabricCompleted, HealthMask: healthyMask, HealthSummary: 1}
	for _, down := range g.linksDown {
		if down {
			info.HealthMask, info.HealthSummary = info.HealthMask&^3|1, 3
		}
	}
	return info
}

func (c *Client) fabric(ctx context.Context, name string, d Device) (f FabricInfo, ret Return) {
	ret = c.gpu(ctx, name, d, func(g *gpu) Return {
		if g.spec.arch < archHopper {
			return NotSupported
		}
		f = c.node.fabricInfo(g)
		return Success
	})
	return f, ret
}

// DeviceGetGpuFabricInfo is for Hopper and later.
func (c *Client) DeviceGetGpuFabricInfo(ctx context.Context, d Device) (FabricInfo, Return) {
	return c.fabric(ctx, "nvmlDeviceGetGpuFabricInfo", d)
}

// DeviceGetGpuFabricInfoV adds the health mask (version 2) and its summary (3).
func (c *Client) DeviceGetGpuFabricInfoV(ctx context.Context, d Device, version int) (FabricInfo, Return) {
	if !c.hasStruct("GpuFabricInfo", version) {
		return FabricInfo{}, ArgumentVersionMismatch
	}
	return c.fabric(ctx, "nvmlDeviceGetGpuFabricInfoV", d)
}
