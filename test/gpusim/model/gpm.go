package model

import (
	"context"
	"math"
)

// gpmSample is one client's sample: the sums at a moment.
type gpmSample struct {
	taken bool
	g     *gpu
	gi    *gpuInstance
	meter meter
	hz    float64 // SM cycles in a second
}

// GpmQueryDeviceSupport says whether the GPU has GPM (Hopper and later).
func (c *Client) GpmQueryDeviceSupport(ctx context.Context, d Device) (ok bool, ret Return) {
	ret = c.device(ctx, "nvmlGpmQueryDeviceSupport", d, func(t target) Return {
		ok = t.g.spec.gpm
		return Success
	})
	return ok, ret
}

// GpmSampleAlloc makes an empty sample.
func (c *Client) GpmSampleAlloc(ctx context.Context) (s GpmSample, ret Return) {
	ret = c.global(ctx, "nvmlGpmSampleAlloc", func() Return {
		s = GpmSample(c.node.newHandle())
		c.samples[s] = &gpmSample{}
		return Success
	})
	return s, ret
}

// GpmSampleFree frees it.
func (c *Client) GpmSampleFree(ctx context.Context, s GpmSample) Return {
	return c.global(ctx, "nvmlGpmSampleFree", func() Return {
		if c.samples[s] == nil {
			return InvalidArgument
		}
		delete(c.samples, s)
		return Success
	})
}

// GpmSampleGet takes a sample of a GPU or, by MIG device, of its compute instance. A sample holds its GPU until it is freed.
func (c *Client) GpmSampleGet(ctx context.Context, d Device, s GpmSample) Return {
	return c.device(ctx, "nvmlGpmSampleGet", d, func(t target) Return {
		sample := c.samples[s]
		switch {
		case sample == nil:
			return InvalidArgument
		case !t.g.spec.gpm:
			return NotSupported
		}
		c.node.advance(t.g)
		*sample = gpmSample{taken: true, g: t.g, meter: t.g.meter, hz: t.g.cycleHz(t.g.spec.sms)}
		if t.ci != nil {
			sample.gi, sample.meter, sample.hz = t.ci.gi, t.ci.meter, t.g.cycleHz(t.ci.profile.sms)
		}
		return Success
	})
}

// GpmMigSampleGet takes a sample of a GPU instance by its id; NotFound without it.
func (c *Client) GpmMigSampleGet(ctx context.Context, d Device, giID uint32, s GpmSample) Return {
	return c.gpu(ctx, "nvmlGpmMigSampleGet", d, func(g *gpu) Return {
		sample := c.samples[s]
		switch {
		case sample == nil:
			return InvalidArgument
		case !g.spec.gpm || !g.mig:
			return NotSupported
		}
		for _, gi := range g.instances {
			if gi.id == giID {
				c.node.advance(g)
				*sample = gpmSample{taken: true, g: g, gi: gi, meter: gi.meter, hz: g.cycleHz(gi.profile.sms)}
				return Success
			}
		}
		return NotFound
	})
}

// GpmMetricsGet computes metrics between two samples of the same GPU or instance. Each metric has its own code.
func (c *Client) GpmMetricsGet(ctx context.Context, first, second GpmSample, metrics []GpmMetric) (out []GpmMetric, ret Return) {
	ret = c.global(ctx, "nvmlGpmMetricsGet", func() Return {
		a, b := c.samples[first], c.samples[second]
		if a == nil || b == nil || !a.taken || !b.taken || a.g != b.g || a.gi != b.gi {
			return InvalidArgument
		}
		seconds := b.meter.sum[actSeconds] - a.meter.sum[actSeconds]
		if seconds == 0 {
			return InvalidArgument
		}
		var rate activity
		for i := range rate {
			rate[i] = (b.meter.sum[i] - a.meter.sum[i]) / seconds
		}
		out = make([]GpmMetric, len(metrics))
		for i, m := range metrics {
			if m.ID >= gpmRaw && m.ID <= gpmRawEnd && c.node.branch >= 570 {
				out[i] = a.g.raw(m.ID, b)
			} else {
				out[i] = a.g.metric(m.ID, rate, a.gi)
			}
		}
		return Success
	})
	return out, ret
}

// The metrics that count since the driver was loaded.
const (
	gpmRaw    = 248
	gpmRawEnd = 260
)

// raw is one of them at the second sample: cycles of all SMs, or bytes.
func (g *gpu) raw(id uint32, s *gpmSample) GpmMetric {
	acts := [...]int{actSeconds, actSM, actTensor, -1, actTensor, -1, -1, actPCIeTx, actPCIeRx, actInteger, actFP64, actFP32, actFP16}
	m := GpmMetric{ID: id, ShortName: "Cycles", LongName: "SM Cycles", Unit: "cycles"}
	act := acts[id-gpmRaw]
	switch {
	case act < 0: // units that no load of the simulation uses
	case act == actSeconds:
		m.Value = s.meter.sum[act] * s.hz
	case act == actPCIeTx || act == actPCIeRx:
		m.ShortName, m.LongName, m.Unit, m.Value = "PCIe", "PCIe Traffic", "B", s.meter.sum[act]
		if s.gi != nil {
			m.Return, m.Value = NotSupported, math.NaN()
		}
	default:
		m.Value = s.meter.sum[act] / 100 * s.hz
	}
	return m
}

// metric computes one GPM metric; NotSupported for those that the GPU or an instance has not.
func (g *gpu) metric(id uint32, rate activity, gi *gpuInstance) GpmMetric {
	const mib = 1 << 20
	m := GpmMetric{ID: id, Unit: "%"}
	unit := map[uint32]struct {
		act  int
		name string
	}{
		1: {actGraphics, "Graphics Util"}, 2: {actSM, "SM Util"}, 3: {actOccupancy, "SM Occupancy"}, 4: {actInteger, "Integer Util"},
		5: {actTensor, "Any Tensor Util"}, 7: {actTensor, "HMMA Tensor Util"}, 10: {actDRAM, "DRAM BW Util"},
		11: {actFP64, "FP64 Util"}, 12: {actFP32, "FP32 Util"}, 13: {actFP16, "FP16 Util"},
	}
	if u, ok := unit[id]; ok {
		m.Value, m.ShortName, m.LongName = rate[u.act], u.name, u.name
		return m
	}
	engines := g.spec.engines
	if gi != nil {
		engines = gi.profile.eng
	}
	zero := func(ok bool, name string) GpmMetric {
		m.ShortName, m.LongName = name, name
		if !ok {
			m.Return = NotSupported
		}
		return m
	}
	perSecond := func(act int, part float64, name string) GpmMetric {
		m.Unit, m.ShortName, m.LongName, m.Value = "MiB/s", name, name, rate[act]/mib*part
		return m
	}
	links := float64(max(g.activeLinks(), 1))
	switch {
	case id == 6 || id == 8 || id == 9:
		return zero(true, "Tensor Util")
	case id == 20 && gi == nil:
		return perSecond(actPCIeTx, 1, "PCIe TX")
	case id == 21 && gi == nil:
		return perSecond(actPCIeRx, 1, "PCIe RX")
	case id >= 30 && id <= 37:
		m.Value = rate[actDecoder]
		return zero(id-30 < engines.dec, "NVDEC Util")
	case id >= 40 && id <= 47:
		return zero(id-40 < engines.jpeg, "NVJPG Util")
	case id >= 50 && id <= 51:
		return zero(id-50 < engines.ofa, "NVOFA Util")
	case id == 60 && gi == nil && g.spec.nvlinks > 0:
		return perSecond(actNVLinkRx, 1, "NVLink RX")
	case id == 61 && gi == nil && g.spec.nvlinks > 0:
		return perSecond(actNVLinkTx, 1, "NVLink TX")
	case id >= 62 && id <= 97 && gi == nil && (id-62)/2 < g.spec.nvlinks:
		act := actNVLinkRx + int(id%2)*(actNVLinkTx-actNVLinkRx)
		part := 1 / links
		if !g.linkUp((id - 62) / 2) {
			part = 0
		}
		return perSecond(act, part, "NVLink")
	}
	m.Return, m.Value = NotSupported, math.NaN()
	return m
}

// GpmQueryIfStreamingEnabled tells the stream state.
func (c *Client) GpmQueryIfStreamingEnabled(ctx context.Context, d Device) (on bool, ret Return) {
	ret = c.gpu(ctx, "nvmlGpmQueryIfStreamingEnabled", d, func(g *gpu) Return {
		if !g.spec.gpm {
			return NotSupported
		}
		on = g.gpmStream
		return Success
	})
	return on, ret
}

// GpmSetStreamingEnabled sets it.
func (c *Client) GpmSetStreamingEnabled(ctx context.Context, d Device, on bool) Return {
	return c.gpu(ctx, "nvmlGpmSetStreamingEnabled", d, func(g *gpu) Return {
		switch {
		case !g.spec.gpm:
			return NotSupported
		case !c.admin():
			return NoPermission
		}
		g.gpmStream = on
		return Success
	})
}
