package dcgm

import (
	"context"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

// What lies between GPUs.

// linksMax is DCGM_NVLINK_MAX_LINKS_PER_GPU.
const linksMax = 36

// each runs f for the GPUs with their devices.
func (s *Session) each(ctx context.Context, f func(x *entity, d model.Device)) {
	for _, x := range layout(s.e.cfg.Node) {
		if x.group != GPU {
			continue
		}
		if d, r := s.e.client.DeviceGetHandleByIndex(ctx, x.id); r == model.Success {
			f(x, d)
		}
	}
}

// topology gives the path to each other GPU: a bit for what PCIe has between the two, one for the count of links, and the links.
func topology(s *Session, ctx context.Context, in *reader, out *writer) Status {
	if code := s.e.usable(); code != OK {
		return code
	}
	id := in.u32()
	d, r := s.e.client.DeviceGetHandleByIndex(ctx, id)
	if r != model.Success {
		return BadParam
	}
	body, count := &writer{}, uint32(0)
	s.each(ctx, func(x *entity, peer model.Device) {
		if x.id == id {
			return
		}
		level, r := s.e.client.DeviceGetTopologyCommonAncestor(ctx, d, peer)
		if r != model.Success {
			return
		}
		path, links := uint64(1)<<(level/10), s.links(ctx, d, peer)
		n := 0
		for bits := links; bits > 0; bits &= bits - 1 {
			n++
		}
		if n > 0 {
			path |= 1 << (7 + n)
		}
		body.u32(x.id)
		body.u64(path, links)
		count++
	})
	out.u32(count)
	out.b = append(out.b, body.b...)
	return OK
}

// links are those from a GPU that lead to another, also through switches, as bits.
func (s *Session) links(ctx context.Context, from, to model.Device) (bits uint64) {
	c := s.e.client
	target, _ := c.DeviceGetPciInfo(ctx, to)
	for link := range uint32(linksMax) {
		up, r := c.DeviceGetNvLinkState(ctx, from, link)
		if r != model.Success || !up {
			continue
		}
		end, r := c.DeviceGetNvLinkRemotePciInfo(ctx, from, link)
		if r != model.Success {
			continue
		}
		const throughSwitch = 2
		there, _ := c.DeviceGetNvLinkState(ctx, to, link)
		if kind, _ := c.DeviceGetNvLinkRemoteDeviceType(ctx, from, link); end.BusID == target.BusID || kind == throughSwitch && there {
			bits |= 1 << link
		}
	}
	return bits
}

// linkStatus gives each GPU's links: 0 not there, 2 down, 3 up.
func linkStatus(s *Session, ctx context.Context, _ *reader, out *writer) Status {
	if code := s.e.usable(); code != OK {
		return code
	}
	body, count := &writer{}, uint32(0)
	s.each(ctx, func(x *entity, d model.Device) {
		count++
		body.u32(x.id)
		for link := range uint32(linksMax) {
			up, r := s.e.client.DeviceGetNvLinkState(ctx, d, link)
			switch {
			case r != model.Success:
				body.u32(0)
			case up:
				body.u32(3)
			default:
				body.u32(2)
			}
		}
	})
	out.u32(count)
	out.b = append(out.b, body.b...)
	return OK
}

// p2pStatus gives for each pair of GPUs whether links carry P2P, as nvmlGpuP2PStatus_t; a GPU and itself are OK.
func p2pStatus(s *Session, ctx context.Context, _ *reader, out *writer) Status {
	if code := s.e.usable(); code != OK {
		return code
	}
	var gpus []*entity
	var devices []model.Device
	s.each(ctx, func(x *entity, d model.Device) { gpus, devices = append(gpus, x), append(devices, d) })
	out.u32(uint32(len(gpus)))
	for i, x := range gpus {
		out.u32(x.id)
		for k := range gpus {
			status := uint32(0)
			if k != i {
				const overNVLink, unknown = 2, 6
				var r model.Return
				if status, r = s.e.client.DeviceGetP2PStatus(ctx, devices[i], devices[k], overNVLink); r != model.Success {
					status = unknown
				}
			}
			out.u32(status)
		}
	}
	return OK
}
