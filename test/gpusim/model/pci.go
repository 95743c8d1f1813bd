package model

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

func sysfsAddress(domain, bus, device uint32) string {
	return fmt.Sprintf("%04x:%02x:%02x.0", domain, bus, device)
}

// parsePCI reads [domain:]bus:device[.function], hexadecimal.
func parsePCI(s string) (address [3]uint32, ok bool) {
	s, function, dotted := strings.Cut(strings.TrimSpace(s), ".")
	if dotted && function != "0" {
		return address, false
	}
	parts := strings.Split(s, ":")
	if len(parts) < 2 || len(parts) > 3 {
		return address, false
	}
	for i := range parts {
		v, err := strconv.ParseUint(parts[len(parts)-1-i], 16, 32)
		if err != nil {
			return address, false
		}
		address[2-i] = uint32(v)
	}
	return address, address[1] <= 0xFF && address[2] <= 0x1F
}

func samePCI(s string, p PciInfo) bool {
	a, ok := parsePCI(s)
	return ok && a == [3]uint32{p.Domain, p.Bus, p.Device}
}

func pciInfo(a [3]uint32, device, subsystem, class, subclass uint32) PciInfo {
	return PciInfo{
		BusIDLegacy: fmt.Sprintf("%04X:%02X:%02X.0", a[0], a[1], a[2]), BusID: fmt.Sprintf("%08X:%02X:%02X.0", a[0], a[1], a[2]),
		Domain: a[0], Bus: a[1], Device: a[2], PciDeviceID: device, PciSubSystemID: subsystem, BaseClass: class, SubClass: subclass,
	}
}

// DeviceGetMaxPcieLinkGeneration gives what GPU and system can do.
func (c *Client) DeviceGetMaxPcieLinkGeneration(ctx context.Context, d Device) (uint32, Return) {
	return c.value(ctx, "nvmlDeviceGetMaxPcieLinkGeneration", d, func(g *gpu) (uint32, Return) { return known(g.spec.pcieGen) })
}

// DeviceGetGpuMaxPcieLinkGeneration gives what the GPU can do.
func (c *Client) DeviceGetGpuMaxPcieLinkGeneration(ctx context.Context, d Device) (uint32, Return) {
	return c.value(ctx, "nvmlDeviceGetGpuMaxPcieLinkGeneration", d, func(g *gpu) (uint32, Return) { return known(g.spec.pcieGen) })
}

// DeviceGetMaxPcieLinkWidth gives lanes.
func (c *Client) DeviceGetMaxPcieLinkWidth(ctx context.Context, d Device) (uint32, Return) {
	return c.value(ctx, "nvmlDeviceGetMaxPcieLinkWidth", d, func(g *gpu) (uint32, Return) { return known(g.spec.pcieWidth) })
}

// DeviceGetCurrPcieLinkGeneration is 1 while a GPU with an idle state sleeps.
func (c *Client) DeviceGetCurrPcieLinkGeneration(ctx context.Context, d Device) (uint32, Return) {
	return c.value(ctx, "nvmlDeviceGetCurrPcieLinkGeneration", d, func(g *gpu) (uint32, Return) { return known(c.node.pcieGen(g)) })
}

func (n *Node) pcieGen(g *gpu) uint32 {
	if g.spec.idlePState > 0 && len(g.procs) == 0 && n.now(g)[actSM] < 0.5 {
		return 1
	}
	return g.spec.pcieGen
}

// DeviceGetCurrPcieLinkWidth gives lanes.
func (c *Client) DeviceGetCurrPcieLinkWidth(ctx context.Context, d Device) (uint32, Return) {
	return c.value(ctx, "nvmlDeviceGetCurrPcieLinkWidth", d, func(g *gpu) (uint32, Return) { return known(g.spec.pcieWidth) })
}

// DeviceGetPcieThroughput gives KB/s sent (0) or received (1).
func (c *Client) DeviceGetPcieThroughput(ctx context.Context, d Device, counter uint32) (uint32, Return) {
	return c.value(ctx, "nvmlDeviceGetPcieThroughput", d, func(g *gpu) (uint32, Return) {
		if counter > 1 {
			return 0, InvalidArgument
		}
		return known(uint32(c.node.now(g)[actPCIeTx+int(counter)] / 1000))
	})
}

// DeviceGetPcieReplayCounter counts replays since the driver was loaded.
func (c *Client) DeviceGetPcieReplayCounter(ctx context.Context, d Device) (uint32, Return) {
	return c.value(ctx, "nvmlDeviceGetPcieReplayCounter", d, func(g *gpu) (uint32, Return) { return known(g.replays) })
}

func pcieMbps(gen uint32) uint32 { return map[uint32]uint32{1: 2500, 3: 8000, 4: 16000, 5: 32000}[gen] }

// DeviceGetPcieLinkMaxSpeed gives NVML_PCIE_LINK_MAX_SPEED_*: 1 is 2.5 GT/s, each step doubles, from generation 3 on.
func (c *Client) DeviceGetPcieLinkMaxSpeed(ctx context.Context, d Device) (uint32, Return) {
	return c.value(ctx, "nvmlDeviceGetPcieLinkMaxSpeed", d, func(g *gpu) (uint32, Return) { return known(g.spec.pcieGen) })
}

// DeviceGetPcieSpeed gives MT/s per lane.
func (c *Client) DeviceGetPcieSpeed(ctx context.Context, d Device) (uint32, Return) {
	return c.value(ctx, "nvmlDeviceGetPcieSpeed", d, func(g *gpu) (uint32, Return) { return known(pcieMbps(c.node.pcieGen(g))) })
}

// DeviceGetCpuAffinity gives a bit per CPU near the GPU, in words of 64.
func (c *Client) DeviceGetCpuAffinity(ctx context.Context, d Device, words uint32) ([]uint64, Return) {
	return c.affinity(ctx, "nvmlDeviceGetCpuAffinity", d, words, func(g *gpu) (from, to int) { return c.node.cpuRange(g.numa) })
}

// DeviceGetCpuAffinityWithinScope does the same for a NUMA node (0) or a socket (1).
func (c *Client) DeviceGetCpuAffinityWithinScope(ctx context.Context, d Device, words, scope uint32) ([]uint64, Return) {
	if scope > 1 {
		return nil, InvalidArgument
	}
	return c.affinity(ctx, "nvmlDeviceGetCpuAffinityWithinScope", d, words, func(g *gpu) (from, to int) { return c.node.cpuRange(g.numa) })
}

// DeviceGetMemoryAffinity gives a bit per NUMA node.
func (c *Client) DeviceGetMemoryAffinity(ctx context.Context, d Device, words, scope uint32) ([]uint64, Return) {
	if scope > 1 {
		return nil, InvalidArgument
	}
	return c.affinity(ctx, "nvmlDeviceGetMemoryAffinity", d, words, func(g *gpu) (from, to int) { return g.numa, g.numa + 1 })
}

func (c *Client) affinity(ctx context.Context, name string, d Device, words uint32, f func(g *gpu) (from, to int)) (out []uint64, ret Return) {
	ret = c.gpu(ctx, name, d, func(g *gpu) Return {
		if words == 0 {
			return InvalidArgument
		}
		out = make([]uint64, words)
		from, to := f(g)
		for i := max(from, 0); i < to && i/64 < len(out); i++ {
			out[i/64] |= 1 << (i % 64)
		}
		return Success
	})
	return out, ret
}

// cpuRange gives the CPUs of a NUMA node: [from, to).
func (n *Node) cpuRange(numa int) (from, to int) {
	per := n.shape.CPUs / n.shape.NUMANodes
	if numa < 0 {
		return 0, n.shape.CPUs
	}
	return numa * per, (numa + 1) * per
}
