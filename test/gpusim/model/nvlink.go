package model

import (
	"context"
	"fmt"
)

// Topology levels, P2P states and NVLink device types, with NVML's numbers.
const (
	topologyInternal = 0
	topologySingle   = 10
	topologyNode     = 40
	topologySystem   = 50

	p2pOK               = 0
	p2pGPUNotSupported  = 2
	p2pTopology         = 3
	p2pNotSupported     = 5
	p2pNVLink           = 2
	linkDeviceGPU       = 0
	linkDeviceSwitch    = 2
	switchesInBaseboard = 6
)

// hybridMesh is the DGX-1 with V100: who is joined by how many links.
func hybridMesh() [8][8]int {
	return [8][8]int{
		{0, 1, 1, 2, 2, 0, 0, 0},
		{1, 0, 2, 1, 0, 2, 0, 0},
		{1, 2, 0, 2, 0, 0, 1, 0},
		{2, 1, 2, 0, 0, 0, 0, 1},
		{2, 0, 0, 0, 0, 1, 1, 2},
		{0, 2, 0, 0, 1, 0, 2, 1},
		{0, 0, 1, 0, 1, 2, 0, 2},
		{0, 0, 0, 1, 2, 1, 2, 0},
	}
}

// peer gives the GPU at the other end of a link, or sw for an NVSwitch; ok is false for a link that leads nowhere.
func (n *Node) peer(g *gpu, link uint32) (other *gpu, sw int, ok bool) {
	if link >= g.spec.nvlinks {
		return nil, 0, false
	}
	switch n.shape.NVLink.Kind {
	case "nvswitch":
		return nil, int(link) % switchesInBaseboard, true
	case "pairs":
		if i := g.slot ^ 1; i < len(n.gpus) && n.gpus[i].spec.model == g.spec.model {
			return n.gpus[i], 0, true
		}
	case "hybrid-mesh":
		row := hybridMesh()[g.slot]
		for i, left := range row {
			if int(link) < left && i < len(n.gpus) {
				return n.gpus[i], 0, true
			}
			link -= min(link, uint32(left))
		}
	}
	return nil, 0, false
}

// linkUp says whether a link works: MIG mode switches them off.
func (g *gpu) linkUp(link uint32) bool {
	return link < g.spec.nvlinks && !g.mig && !g.linksDown[link]
}

// activeLinks counts links that work, as far as the GPU knows.
func (g *gpu) activeLinks() (count uint32) {
	for l := range g.spec.nvlinks {
		if g.linkUp(l) {
			count++
		}
	}
	return count
}

// links counts working links between two GPUs; through switches all of the lesser one's.
func (n *Node) links(a, b *gpu) (count uint32) {
	if n.shape.NVLink.Kind == "nvswitch" {
		return min(a.activeLinks(), b.activeLinks())
	}
	for l := range a.spec.nvlinks {
		if other, _, ok := n.peer(a, l); ok && other == b && a.linkUp(l) && !b.mig {
			count++
		}
	}
	return count
}

// link runs f for a link that the GPU has.
func (c *Client) link(ctx context.Context, name string, d Device, link uint32, f func(g *gpu) Return) Return {
	return c.gpu(ctx, name, d, func(g *gpu) Return {
		switch {
		case g.spec.nvlinks == 0 || c.node.shape.NVLink.Kind == "none":
			return NotSupported
		case link >= g.spec.nvlinks:
			return InvalidArgument
		}
		return f(g)
	})
}

// DeviceGetNvLinkState tells whether the link is active.
func (c *Client) DeviceGetNvLinkState(ctx context.Context, d Device, link uint32) (up bool, ret Return) {
	ret = c.link(ctx, "nvmlDeviceGetNvLinkState", d, link, func(g *gpu) Return {
		_, _, ok := c.node.peer(g, link)
		up = ok && g.linkUp(link)
		return Success
	})
	return up, ret
}

// DeviceGetNvLinkVersion gives NVML_NVLINK_VERSION_*: 2 is 2.0, 4 is 3.0, 6 is 4.0, 7 is 5.0.
func (c *Client) DeviceGetNvLinkVersion(ctx context.Context, d Device, link uint32) (version uint32, ret Return) {
	ret = c.link(ctx, "nvmlDeviceGetNvLinkVersion", d, link, func(g *gpu) Return { version = g.linkVersion(); return Success })
	return version, ret
}

func (g *gpu) linkVersion() uint32 {
	return map[uint32]uint32{2: 2, 3: 4, 4: 6, 5: 7}[g.spec.nvlinkVersion]
}

// DeviceGetNvLinkCapability answers P2P (0), system memory (1), P2P atomics (2), system memory atomics (3), SLI (4), valid (5).
func (c *Client) DeviceGetNvLinkCapability(ctx context.Context, d Device, link, capability uint32) (v uint32, ret Return) {
	ret = c.link(ctx, "nvmlDeviceGetNvLinkCapability", d, link, func(g *gpu) Return {
		if capability > 5 {
			return InvalidArgument
		}
		v = number(capability == 0 || capability == 2 || capability == 5)
		return Success
	})
	return v, ret
}

// remote gives the PCI address at the other end.
func (n *Node) remote(g *gpu, link uint32) (p PciInfo, kind uint32, ret Return) {
	other, sw, ok := n.peer(g, link)
	switch {
	case !ok || !g.linkUp(link):
		return p, 0, NotSupported
	case other != nil:
		return other.pci, linkDeviceGPU, Success
	}
	return pciInfo([3]uint32{0, 0xC4 + uint32(sw), 0}, 0x1AF110DE, 0, 6, 0x80), linkDeviceSwitch, Success
}

// DeviceGetNvLinkRemotePciInfo gives the address at the other end; NotSupported for a link that is down.
func (c *Client) DeviceGetNvLinkRemotePciInfo(ctx context.Context, d Device, link uint32) (p PciInfo, ret Return) {
	ret = c.link(ctx, "nvmlDeviceGetNvLinkRemotePciInfo_v2", d, link, func(g *gpu) (r Return) {
		p, _, r = c.node.remote(g, link)
		return r
	})
	return p, ret
}

// DeviceGetNvLinkRemoteDeviceType gives 0 for a GPU and 2 for an NVSwitch.
func (c *Client) DeviceGetNvLinkRemoteDeviceType(ctx context.Context, d Device, link uint32) (kind uint32, ret Return) {
	ret = c.link(ctx, "nvmlDeviceGetNvLinkRemoteDeviceType", d, link, func(g *gpu) (r Return) {
		_, kind, r = c.node.remote(g, link)
		return r
	})
	return kind, ret
}

// DeviceGetNvLinkErrorCounter gives replay (0), recovery (1), CRC flit (2), CRC data (3) or ECC data (4) errors.
func (c *Client) DeviceGetNvLinkErrorCounter(ctx context.Context, d Device, link, counter uint32) (v uint64, ret Return) {
	ret = c.link(ctx, "nvmlDeviceGetNvLinkErrorCounter", d, link, func(g *gpu) Return {
		if counter > 4 {
			return InvalidArgument
		}
		v = g.linkErrors[[2]uint32{link, counter}]
		return Success
	})
	return v, ret
}

// DeviceResetNvLinkErrorCounters clears them.
func (c *Client) DeviceResetNvLinkErrorCounters(ctx context.Context, d Device, link uint32) Return {
	return c.link(ctx, "nvmlDeviceResetNvLinkErrorCounters", d, link, func(g *gpu) Return {
		if !c.admin() {
			return NoPermission
		}
		for k := range uint32(5) {
			delete(g.linkErrors, [2]uint32{link, k})
		}
		return Success
	})
}

// SetNvLinkDown takes a link down, at both ends, or up.
func (n *Node) SetNvLinkDown(index int, link uint32, down bool) error {
	return n.withGPU(index, func(g *gpu) error {
		if link >= g.spec.nvlinks {
			return fmt.Errorf("%s has %d links", g.spec.name, g.spec.nvlinks)
		}
		n.advance(g)
		g.linksDown[link] = down
		return nil
	})
}

// InjectNvLinkErrors adds to a link's counter, as DeviceGetNvLinkErrorCounter numbers them.
func (n *Node) InjectNvLinkErrors(index int, link, counter uint32, count uint64) error {
	return n.withGPU(index, func(g *gpu) error {
		if link >= g.spec.nvlinks || counter > 4 {
			return fmt.Errorf("%s has no counter %d of link %d", g.spec.name, counter, link)
		}
		g.linkErrors[[2]uint32{link, counter}] += count
		return nil
	})
}

func (n *Node) ancestor(a, b *gpu) uint32 {
	switch {
	case a == b:
		return topologyInternal
	case n.shape.GPUsPerSwitch > 0 && a.swtch == b.swtch:
		return topologySingle
	case a.numa == b.numa:
		return topologyNode
	}
	return topologySystem
}

// DeviceGetTopologyCommonAncestor gives the level at which two GPUs meet.
func (c *Client) DeviceGetTopologyCommonAncestor(ctx context.Context, d1, d2 Device) (level uint32, ret Return) {
	ret = c.pair(ctx, "nvmlDeviceGetTopologyCommonAncestor", d1, d2, func(a, b *gpu) Return { level = c.node.ancestor(a, b); return Success })
	return level, ret
}

// DeviceGetTopologyNearestGpus lists the GPUs that meet at exactly that level.
func (c *Client) DeviceGetTopologyNearestGpus(ctx context.Context, d Device, level uint32) (out []Device, ret Return) {
	ret = c.gpu(ctx, "nvmlDeviceGetTopologyNearestGpus", d, func(g *gpu) Return {
		for _, o := range c.node.visible() {
			if o != g && c.node.ancestor(g, o) == level {
				out = append(out, o.handle)
			}
		}
		return Success
	})
	return out, ret
}

// DeviceGetP2PStatus answers read (0), write (1), NVLink (2), atomics (3) and PCI (4); MIG mode ends all P2P.
func (c *Client) DeviceGetP2PStatus(ctx context.Context, d1, d2 Device, capability uint32) (status uint32, ret Return) {
	ret = c.pair(ctx, "nvmlDeviceGetP2PStatus", d1, d2, func(a, b *gpu) Return {
		linked := a != b && c.node.links(a, b) > 0
		near := c.node.ancestor(a, b) < topologySystem
		switch {
		case a == b || capability > 4:
			return InvalidArgument
		case a.mig || b.mig:
			status = p2pGPUNotSupported
		case capability == p2pNVLink:
			status = choice(linked, p2pOK, p2pNotSupported)
		case capability == 3:
			status = choice(linked, p2pOK, p2pNotSupported)
		case capability == 4:
			status = choice(near, p2pOK, p2pTopology)
		default:
			status = choice(linked || near, p2pOK, p2pTopology)
		}
		return Success
	})
	return status, ret
}

func choice(ok bool, yes, no uint32) uint32 {
	if ok {
		return yes
	}
	return no
}
