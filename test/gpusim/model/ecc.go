package model

import (
	"context"
	"fmt"
)

// countsAt says which locations count errors: SRAM and device memory on Ampere and later; L1, L2, device memory, registers,
// texture and CBU before.
func (g *gpu) countsAt(l EccLocation) bool {
	if g.spec.rowRemap {
		return l == EccDevice || l == EccSRAM || l == EccL2
	}
	return l <= EccTexture || l == EccCBU
}

func (g *gpu) eccTotal(uncorrected, aggregate bool) (sum uint64) {
	for _, v := range g.ecc[number(uncorrected)][number(aggregate)] {
		sum += v
	}
	return sum
}

// withECC runs f while ECC is on.
func (c *Client) withECC(ctx context.Context, name string, d Device, f func(t target) Return) Return {
	return c.device(ctx, name, d, func(t target) Return {
		if !t.g.eccOn {
			return NotSupported
		}
		return f(t)
	})
}

// DeviceGetTotalEccErrors sums all locations.
func (c *Client) DeviceGetTotalEccErrors(ctx context.Context, d Device, uncorrected, aggregate bool) (count uint64, ret Return) {
	ret = c.withECC(ctx, "nvmlDeviceGetTotalEccErrors", d, func(t target) Return {
		if t.ci != nil {
			return NotSupported
		}
		count = t.g.eccTotal(uncorrected, aggregate)
		return Success
	})
	return count, ret
}

// DeviceGetMemoryErrorCounter counts at one location. In MIG mode volatile counts are not there for the GPU; a MIG device has only
// volatile uncorrected ones that are not in DRAM.
func (c *Client) DeviceGetMemoryErrorCounter(ctx context.Context, d Device, uncorrected, aggregate bool, location EccLocation) (count uint64, ret Return) {
	ret = c.withECC(ctx, "nvmlDeviceGetMemoryErrorCounter", d, func(t target) Return {
		switch {
		case location >= eccLocations:
			return InvalidArgument
		case !t.g.countsAt(location):
			return NotSupported
		case t.ci != nil && (!uncorrected || aggregate || location == EccDevice):
			return NotSupported
		case t.ci == nil && t.g.mig && !aggregate:
			return NotSupported
		case t.ci == nil:
			count = t.g.ecc[number(uncorrected)][number(aggregate)][location]
		}
		return Success
	})
	return count, ret
}

// DeviceGetDetailedEccErrors is the old structure; zero for what is not counted.
func (c *Client) DeviceGetDetailedEccErrors(ctx context.Context, d Device, uncorrected, aggregate bool) (e EccCounts, ret Return) {
	ret = c.withECC(ctx, "nvmlDeviceGetDetailedEccErrors", d, func(t target) Return {
		if t.ci != nil {
			return NotSupported
		}
		v := t.g.ecc[number(uncorrected)][number(aggregate)]
		e = EccCounts{L1Cache: v[EccL1], L2Cache: v[EccL2], DeviceMemory: v[EccDevice], RegisterFile: v[EccRegister]}
		return Success
	})
	return e, ret
}

// DeviceClearEccErrorCounts clears volatile or aggregate counts.
func (c *Client) DeviceClearEccErrorCounts(ctx context.Context, d Device, aggregate bool) Return {
	return c.change(ctx, "nvmlDeviceClearEccErrorCounts", d, func(g *gpu) Return {
		if !g.eccOn {
			return NotSupported
		}
		for k := range g.ecc {
			g.ecc[k][number(aggregate)] = [eccLocations]uint64{}
		}
		return Success
	})
}

// DeviceGetSramEccErrorStatus is for Ampere and later.
func (c *Client) DeviceGetSramEccErrorStatus(ctx context.Context, d Device) (s SramEccErrorStatus, ret Return) {
	ret = c.gpu(ctx, "nvmlDeviceGetSramEccErrorStatus", d, func(g *gpu) Return {
		if !g.eccOn || !g.spec.rowRemap {
			return NotSupported
		}
		at := func(unc, agg int) uint64 { return g.ecc[unc][agg][EccSRAM] + g.ecc[unc][agg][EccL2] }
		s = SramEccErrorStatus{
			AggregateUncSecDed: at(1, 1), AggregateCor: at(0, 1), VolatileUncSecDed: at(1, 0), VolatileCor: at(0, 0),
			AggregateUncBucketL2: g.ecc[1][1][EccL2], AggregateUncBucketSm: g.ecc[1][1][EccSRAM], ThresholdExceeded: at(1, 1) > 10,
		}
		return Success
	})
	return s, ret
}

// DeviceGetRemappedRows is for Ampere and later; NotSupported in MIG mode with instances.
func (c *Client) DeviceGetRemappedRows(ctx context.Context, d Device) (r RemappedRows, ret Return) {
	ret = c.gpu(ctx, "nvmlDeviceGetRemappedRows", d, func(g *gpu) Return {
		if !g.spec.rowRemap || len(g.instances) > 0 {
			return NotSupported
		}
		r = g.rows
		return Success
	})
	return r, ret
}

// DeviceGetRowRemapperHistogram sorts the banks by what they have left.
func (c *Client) DeviceGetRowRemapperHistogram(ctx context.Context, d Device) (h RowRemapperHistogram, ret Return) {
	ret = c.gpu(ctx, "nvmlDeviceGetRowRemapperHistogram", d, func(g *gpu) Return {
		if !g.spec.rowRemap {
			return NotSupported
		}
		h = g.histogram()
		return Success
	})
	return h, ret
}

func (g *gpu) histogram() RowRemapperHistogram {
	used := min(g.rows.Correctable+g.rows.Uncorrectable, g.spec.banks)
	h := RowRemapperHistogram{Max: g.spec.banks - used, High: used}
	if g.rows.Failure && h.High > 0 {
		h.High, h.None = h.High-1, 1
	}
	return h
}

// SetRowRemap sets the state of row remapping. A pending remap ends with ResetGPU or Reboot, a failure only with ClearFaults.
func (n *Node) SetRowRemap(index int, r RemappedRows) error {
	return n.withGPU(index, func(g *gpu) error {
		if !g.spec.rowRemap {
			return fmt.Errorf("%s retires pages instead", g.spec.name)
		}
		g.rows = r
		return nil
	})
}

// RetirePages retires pages of a GPU without row remapping (before Ampere); they are pending until the next reset.
func (n *Node) RetirePages(index int, doubleBit bool, count int) error {
	return n.withGPU(index, func(g *gpu) error {
		if g.spec.rowRemap {
			return fmt.Errorf("%s remaps rows instead", g.spec.name)
		}
		for range count {
			g.retired[number(doubleBit)] = append(g.retired[number(doubleBit)], retiredPage{n.rng.Uint64N(g.spec.memoryMiB << 8), uint64(n.clock.Now().UnixMicro())})
		}
		g.retiredPending = true
		return nil
	})
}

// DeviceGetRetiredPages lists addresses by cause: 0 multiple single-bit errors, 1 a double-bit error.
func (c *Client) DeviceGetRetiredPages(ctx context.Context, d Device, cause uint32) ([]uint64, Return) {
	pages, _, ret := c.retiredPages(ctx, "nvmlDeviceGetRetiredPages", d, cause)
	return pages, ret
}

// DeviceGetRetiredPagesV2 adds when (microseconds).
func (c *Client) DeviceGetRetiredPagesV2(ctx context.Context, d Device, cause uint32) (addresses, times []uint64, ret Return) {
	return c.retiredPages(ctx, "nvmlDeviceGetRetiredPages_v2", d, cause)
}

func (c *Client) retiredPages(ctx context.Context, name string, d Device, cause uint32) (addresses, times []uint64, ret Return) {
	ret = c.gpu(ctx, name, d, func(g *gpu) Return {
		switch {
		case cause > 1:
			return InvalidArgument
		case g.spec.rowRemap:
			return NotSupported
		}
		for _, p := range g.retired[cause] {
			addresses, times = append(addresses, p.address), append(times, p.at)
		}
		return Success
	})
	return addresses, times, ret
}

// DeviceGetRetiredPagesPendingStatus tells whether some wait for a reset.
func (c *Client) DeviceGetRetiredPagesPendingStatus(ctx context.Context, d Device) (bool, Return) {
	return c.flag(ctx, "nvmlDeviceGetRetiredPagesPendingStatus", d, func(g *gpu) (bool, Return) {
		if g.spec.rowRemap {
			return false, NotSupported
		}
		return g.retiredPending, Success
	})
}

// DeviceGetRepairStatus tells that no channel or TPC repair is pending.
func (c *Client) DeviceGetRepairStatus(ctx context.Context, d Device) (r RepairStatus, ret Return) {
	return r, c.gpu(ctx, "nvmlDeviceGetRepairStatus", d, func(g *gpu) Return {
		if g.spec.arch < archBlackwell {
			return NotSupported
		}
		return Success
	})
}

// SetRecoveryAction sets what field 230 says, and raises the event where the driver has it: 0 none, 1 reset the GPU, 2 reboot the
// node, 3 drain P2P, 4 drain and reset.
func (n *Node) SetRecoveryAction(index int, action uint32) error {
	return n.withGPU(index, func(g *gpu) error {
		g.recovery = action
		n.emit(g, EventRecoveryAction, 0, NoInstance, NoInstance)
		return nil
	})
}
