package model

import (
	"context"
	"math"
	"slices"
	"time"
)

// samplePeriod is the distance of the driver's utilisation samples, and keptSamples how many it keeps.
const (
	samplePeriod = time.Second / 6
	keptSamples  = 100
	// processSamples is how many of each process the driver hands out at most.
	processSamples = 6
)

// unlessMIG runs f for a GPU that is not in MIG mode: utilisation is not there in MIG mode.
func (c *Client) unlessMIG(ctx context.Context, name string, d Device, f func(g *gpu) Return) Return {
	return c.gpu(ctx, name, d, func(g *gpu) Return {
		if g.mig {
			return NotSupported
		}
		return f(g)
	})
}

// DeviceGetUtilizationRates gives percent; NotSupported in MIG mode.
func (c *Client) DeviceGetUtilizationRates(ctx context.Context, d Device) (u Utilization, ret Return) {
	ret = c.unlessMIG(ctx, "nvmlDeviceGetUtilizationRates", d, func(g *gpu) Return {
		a := c.node.now(g)
		u = Utilization{GPU: percent(a[actGraphics]), Memory: percent(a[actDRAM])}
		return Success
	})
	return u, ret
}

func percent(v float64) uint32 { return uint32(math.Round(math.Max(0, math.Min(100, v)))) }

func (c *Client) engine(ctx context.Context, name string, d Device, there func(e engines) bool, act int) (util, periodUsec uint32, ret Return) {
	ret = c.unlessMIG(ctx, name, d, func(g *gpu) Return {
		if !there(g.spec.engines) {
			return NotSupported
		}
		if act >= 0 {
			util = percent(c.node.now(g)[act])
		}
		periodUsec = uint32(samplePeriod.Microseconds())
		return Success
	})
	return util, periodUsec, ret
}

// DeviceGetEncoderUtilization gives percent and the sampling period in microseconds. GPUs without encoder answer 0, as NVML does.
func (c *Client) DeviceGetEncoderUtilization(ctx context.Context, d Device) (util, periodUsec uint32, ret Return) {
	return c.engine(ctx, "nvmlDeviceGetEncoderUtilization", d, func(engines) bool { return true }, actEncoder)
}

// DeviceGetDecoderUtilization gives percent and the sampling period.
func (c *Client) DeviceGetDecoderUtilization(ctx context.Context, d Device) (util, periodUsec uint32, ret Return) {
	return c.engine(ctx, "nvmlDeviceGetDecoderUtilization", d, func(e engines) bool { return e.dec > 0 }, actDecoder)
}

// DeviceGetJpgUtilization gives percent and the sampling period.
func (c *Client) DeviceGetJpgUtilization(ctx context.Context, d Device) (util, periodUsec uint32, ret Return) {
	return c.engine(ctx, "nvmlDeviceGetJpgUtilization", d, func(e engines) bool { return e.jpeg > 0 }, -1)
}

// DeviceGetOfaUtilization gives percent and the sampling period.
func (c *Client) DeviceGetOfaUtilization(ctx context.Context, d Device) (util, periodUsec uint32, ret Return) {
	return c.engine(ctx, "nvmlDeviceGetOfaUtilization", d, func(e engines) bool { return e.ofa > 0 }, -1)
}

// DeviceGetEncoderCapacity is 100 percent where there is an encoder.
func (c *Client) DeviceGetEncoderCapacity(ctx context.Context, d Device, kind uint32) (uint32, Return) {
	return c.value(ctx, "nvmlDeviceGetEncoderCapacity", d, func(g *gpu) (uint32, Return) { return has(g.spec.engines.enc > 0 && kind < 3, 100) })
}

// DeviceGetEncoderStats gives sessions, frames per second and latency: none.
func (c *Client) DeviceGetEncoderStats(ctx context.Context, d Device) (sessions, fps, latency uint32, ret Return) {
	return 0, 0, 0, c.gpu(ctx, "nvmlDeviceGetEncoderStats", d, func(*gpu) Return { return Success })
}

// DeviceGetFBCStats gives frame buffer capture sessions: none.
func (c *Client) DeviceGetFBCStats(ctx context.Context, d Device) (sessions, fps, latency uint32, ret Return) {
	return 0, 0, 0, c.gpu(ctx, "nvmlDeviceGetFBCStats", d, func(*gpu) Return { return Success })
}

// DeviceGetSamples gives the driver's buffer of samples after a time (microseconds): 0 power, 1 GPU, 2 memory, 3 encoder, 4 decoder
// utilisation, 5 SM clock, 6 memory clock. Samples are computed from the loads that run now. NotFound without any.
func (c *Client) DeviceGetSamples(ctx context.Context, d Device, kind uint32, since uint64) (out []Sample, ret Return) {
	ret = c.gpu(ctx, "nvmlDeviceGetSamples", d, func(g *gpu) Return {
		n := c.node
		n.advance(g)
		if kind > 6 || g.mig && kind >= 1 && kind <= 4 {
			return NotSupported
		}
		last := n.clock.Now().Truncate(samplePeriod)
		for i := keptSamples - 1; i >= 0; i-- {
			t := last.Add(-time.Duration(i) * samplePeriod)
			if at := uint64(t.UnixMicro()); at > since && !t.Before(n.loadedAt) {
				out = append(out, Sample{TimeStamp: at, Value: n.sample(g, kind, t)})
			}
		}
		if len(out) == 0 {
			return NotFound
		}
		return Success
	})
	return out, ret
}

func (n *Node) sample(g *gpu, kind uint32, t time.Time) uint32 {
	a := g.activity(t)
	switch kind {
	case 0:
		return uint32(a[actWatts] * 1000)
	case 1:
		return percent(a[actGraphics])
	case 2:
		return percent(a[actDRAM])
	case 3:
		return percent(a[actEncoder])
	case 4:
		return percent(a[actDecoder])
	}
	sm, mem, _ := n.clocks(g)
	if kind == 6 {
		return mem
	}
	return sm
}

// DeviceGetViolationStatus gives the time that a policy (0 power, 1 thermal, ...) held the clocks down.
func (c *Client) DeviceGetViolationStatus(ctx context.Context, d Device, policy uint32) (v ViolationTime, ret Return) {
	ret = c.gpu(ctx, "nvmlDeviceGetViolationStatus", d, func(g *gpu) Return {
		if policy > 5 && policy != 10 && policy != 11 {
			return InvalidArgument
		}
		v.ReferenceTime = uint64(c.node.clock.Now().UnixMicro())
		v.ViolationTime = c.node.violation(g, policy)
		return Success
	})
	return v, ret
}

// violation is nanoseconds of one policy; only the power limit ever holds a simulated GPU down.
func (n *Node) violation(g *gpu, policy uint32) uint64 {
	n.advance(g)
	if policy == 0 || policy >= 10 {
		return uint64(g.meter.sum[actPowerCap] * 1e9)
	}
	return 0
}

func (c *Client) perProcess(ctx context.Context, name string, d Device, since uint64) (out []ProcessUtilization, ret Return) {
	ret = c.unlessMIG(ctx, name, d, func(g *gpu) Return {
		now := c.node.clock.Now()
		c.node.advance(g)
		for i := processSamples - 1; i >= 0; i-- {
			t := now.Truncate(samplePeriod).Add(-time.Duration(i) * samplePeriod)
			for _, p := range g.procs {
				// The newest sample is there at once, older ones only of what ran then.
				if uint64(t.UnixMicro()) <= since || i > 0 && t.Before(p.started) {
					continue
				}
				a := g.processActivity(p, t)
				u := ProcessUtilization{
					PID: uint32(p.PID), TimeStamp: uint64(t.UnixMicro()), SmUtil: percent(a[actSM]), MemUtil: percent(a[actDRAM]),
					EncUtil: percent(a[actEncoder]), DecUtil: percent(a[actDecoder]),
				}
				if u.SmUtil+u.MemUtil+u.EncUtil+u.DecUtil > 0 {
					out = append(out, u)
				}
			}
		}
		if len(out) == 0 {
			return NotFound
		}
		return Success
	})
	return out, ret
}

// DeviceGetProcessUtilization gives the samples of each process that did something, newer than since (microseconds), oldest first; NotFound without any,
// NotSupported in MIG mode.
func (c *Client) DeviceGetProcessUtilization(ctx context.Context, d Device, since uint64) ([]ProcessUtilization, Return) {
	return c.perProcess(ctx, "nvmlDeviceGetProcessUtilization", d, since)
}

// DeviceGetProcessesUtilizationInfo is the same with JPEG and OFA.
func (c *Client) DeviceGetProcessesUtilizationInfo(ctx context.Context, d Device, since uint64) ([]ProcessUtilization, Return) {
	return c.perProcess(ctx, "nvmlDeviceGetProcessesUtilizationInfo", d, since)
}

// DeviceGetAccountingMode is off by default and always off in MIG mode.
func (c *Client) DeviceGetAccountingMode(ctx context.Context, d Device) (bool, Return) {
	return c.flag(ctx, "nvmlDeviceGetAccountingMode", d, func(g *gpu) (bool, Return) { return g.accounting, Success })
}

// DeviceSetAccountingMode starts or ends it; ending forgets everything.
func (c *Client) DeviceSetAccountingMode(ctx context.Context, d Device, on bool) Return {
	return c.change(ctx, "nvmlDeviceSetAccountingMode", d, func(g *gpu) Return {
		if g.mig {
			return NotSupported
		}
		g.accounting = on
		if !on {
			g.accounts = nil
		}
		return Success
	})
}

// DeviceGetAccountingPids lists the processes that accounting knows, oldest first.
func (c *Client) DeviceGetAccountingPids(ctx context.Context, d Device) (out []uint32, ret Return) {
	ret = c.gpu(ctx, "nvmlDeviceGetAccountingPids", d, func(g *gpu) Return {
		if !g.accounting {
			return NotSupported
		}
		for _, a := range g.accounts {
			out = append(out, uint32(a.pid))
		}
		return Success
	})
	return out, ret
}

// DeviceGetAccountingStats tells what a process used; NotFound for one that it does not know.
func (c *Client) DeviceGetAccountingStats(ctx context.Context, d Device, pid uint32) (s AccountingStats, ret Return) {
	ret = c.gpu(ctx, "nvmlDeviceGetAccountingStats", d, func(g *gpu) Return {
		if !g.accounting {
			return NotSupported
		}
		c.node.advance(g)
		now := c.node.clock.Now()
		for _, a := range slices.Backward(g.accounts) { // the newest of that PID
			if a.pid != int(pid) {
				continue
			}
			for _, p := range g.procs {
				if p.account == a {
					p.settle(now)
				}
			}
			life := math.Max(a.ended.Sub(a.started).Seconds(), 1e-9)
			s = AccountingStats{
				GpuUtilization: percent(a.sm / life * 100), MemoryUtilization: percent(a.mem / life * 100), MaxMemoryUsage: a.maxMemory,
				StartTime: uint64(a.started.UnixMicro()), IsRunning: a.running,
			}
			if !a.running {
				s.Time = uint64(a.ended.Sub(a.started).Milliseconds())
			}
			return Success
		}
		return NotFound
	})
	return s, ret
}

// DeviceGetAccountingBufferSize is how many processes it remembers.
func (c *Client) DeviceGetAccountingBufferSize(ctx context.Context, d Device) (uint32, Return) {
	return c.value(ctx, "nvmlDeviceGetAccountingBufferSize", d, func(*gpu) (uint32, Return) { return known(accountsMax) })
}

// DeviceClearAccountingPids forgets processes that have ended.
func (c *Client) DeviceClearAccountingPids(ctx context.Context, d Device) Return {
	return c.change(ctx, "nvmlDeviceClearAccountingPids", d, func(g *gpu) Return {
		if g.mig {
			return NotSupported
		}
		g.accounts = slices.DeleteFunc(g.accounts, func(a *account) bool { return !a.running })
		return Success
	})
}
