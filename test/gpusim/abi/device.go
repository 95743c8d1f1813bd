package abi

import (
	"math"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

func bits(f float64) uint64 { return math.Float64bits(f) }

// memory is memory, ECC, retired pages and remapped rows, and the modes.
func memory() map[string]Handler {
	return map[string]Handler{
		"nvmlDeviceGetMemoryInfo": one(client.DeviceGetMemoryInfo),
		"nvmlDeviceGetMemoryInfo_v2": func(k *Call) ret {
			if k.version(1, 0, 40) == 0 {
				return k.mismatch()
			}
			m, r := k.Client.DeviceGetMemoryInfoV2(k.ctx, k.device(0))
			if r == model.Success {
				k.put(1, raw{}.u32(k.u32(1), 0).u64(m.Total, m.Reserved, m.Free, m.Used))
			}
			return r
		},
		"nvmlDeviceGetBAR1MemoryInfo":  one(client.DeviceGetBAR1MemoryInfo),
		"nvmlDeviceGetPersistenceMode": one(client.DeviceGetPersistenceMode),
		"nvmlDeviceSetPersistenceMode": flag(client.DeviceSetPersistenceMode),
		"nvmlDeviceGetComputeMode":     one(client.DeviceGetComputeMode),
		"nvmlDeviceSetComputeMode":     set(client.DeviceSetComputeMode),
		"nvmlDeviceGetEccMode":         two(client.DeviceGetEccMode),
		"nvmlDeviceGetDefaultEccMode":  one(client.DeviceGetDefaultEccMode),
		"nvmlDeviceSetEccMode":         flag(client.DeviceSetEccMode),
		"nvmlDeviceClearEccErrorCounts": func(k *Call) ret {
			return k.Client.DeviceClearEccErrorCounts(k.ctx, k.device(0), k.u32(1) == 1)
		},
		"nvmlDeviceGetTotalEccErrors": func(k *Call) ret {
			n, r := k.Client.DeviceGetTotalEccErrors(k.ctx, k.device(0), k.u32(1) == 1, k.u32(2) == 1)
			k.put(3, n)
			return r
		},
		"nvmlDeviceGetMemoryErrorCounter": func(k *Call) ret {
			n, r := k.Client.DeviceGetMemoryErrorCounter(k.ctx, k.device(0), k.u32(1) == 1, k.u32(2) == 1, model.EccLocation(k.u32(3)))
			k.put(4, n)
			return r
		},
		"nvmlDeviceGetDetailedEccErrors": func(k *Call) ret {
			e, r := k.Client.DeviceGetDetailedEccErrors(k.ctx, k.device(0), k.u32(1) == 1, k.u32(2) == 1)
			k.put(3, e)
			return r
		},
		"nvmlDeviceGetSramEccErrorStatus": versioned(104, client.DeviceGetSramEccErrorStatus, func(s model.SramEccErrorStatus) raw {
			return raw{}.u32(0).u64(s.AggregateUncParity, s.AggregateUncSecDed, s.AggregateCor, s.VolatileUncParity, s.VolatileUncSecDed, s.VolatileCor,
				s.AggregateUncBucketL2, s.AggregateUncBucketSm, s.AggregateUncBucketPcie, s.AggregateUncBucketMcu, s.AggregateUncBucketOther).u32(bit(s.ThresholdExceeded), 0)
		}),
		"nvmlDeviceGetRemappedRows": func(k *Call) ret {
			rows, r := k.Client.DeviceGetRemappedRows(k.ctx, k.device(0))
			if r == model.Success {
				k.put(1, rows.Correctable)
				k.put(2, rows.Uncorrectable)
				k.put(3, rows.Pending)
				k.put(4, rows.Failure)
			}
			return r
		},
		"nvmlDeviceGetRowRemapperHistogram":      one(client.DeviceGetRowRemapperHistogram),
		"nvmlDeviceGetRetiredPagesPendingStatus": one(client.DeviceGetRetiredPagesPendingStatus),
		"nvmlDeviceGetRetiredPages": func(k *Call) ret {
			pages, r := k.Client.DeviceGetRetiredPages(k.ctx, k.device(0), k.u32(1))
			return list(k, pages, r, 2, 3)
		},
		"nvmlDeviceGetRetiredPages_v2": func(k *Call) ret {
			pages, times, r := k.Client.DeviceGetRetiredPagesV2(k.ctx, k.device(0), k.u32(1))
			if r = list(k, pages, r, 2, 3); r != model.Success {
				return r
			}
			return write(k, times, 4)
		},
		"nvmlDeviceGetRepairStatus": versioned(12, client.DeviceGetRepairStatus, func(s model.RepairStatus) raw {
			return raw{}.u32(bit(s.ChannelRepairPending), bit(s.TpcRepairPending))
		}),
	}
}

// clocks are clocks, performance states and PCIe.
func clocks() map[string]Handler {
	reasons, supported := one(client.DeviceGetCurrentClocksEventReasons), one(client.DeviceGetSupportedClocksEventReasons)
	state := one(client.DeviceGetPerformanceState)
	affinity := func(f func(k *Call, words uint32) ([]uint64, ret)) Handler {
		return func(k *Call) ret {
			words := k.u32(1)
			if words > 1<<16 {
				return k.invalid()
			}
			bits, r := f(k, words)
			if r != model.Success {
				return r
			}
			return write(k, bits, 2)
		}
	}
	return map[string]Handler{
		"nvmlDeviceGetClockInfo":                by(client.DeviceGetClockInfo),
		"nvmlDeviceGetMaxClockInfo":             by(client.DeviceGetMaxClockInfo),
		"nvmlDeviceGetClock":                    by2(client.DeviceGetClock),
		"nvmlDeviceGetMaxCustomerBoostClock":    by(client.DeviceGetMaxCustomerBoostClock),
		"nvmlDeviceGetApplicationsClock":        by(client.DeviceGetApplicationsClock),
		"nvmlDeviceGetDefaultApplicationsClock": by(client.DeviceGetDefaultApplicationsClock),
		"nvmlDeviceGetSupportedMemoryClocks":    listOf(client.DeviceGetSupportedMemoryClocks),
		"nvmlDeviceGetSupportedGraphicsClocks": func(k *Call) ret {
			items, r := k.Client.DeviceGetSupportedGraphicsClocks(k.ctx, k.device(0), k.u32(1))
			return list(k, items, r, 2, 3)
		},
		"nvmlDeviceGetCurrentClocksEventReasons":      reasons,
		"nvmlDeviceGetCurrentClocksThrottleReasons":   reasons,
		"nvmlDeviceGetSupportedClocksEventReasons":    supported,
		"nvmlDeviceGetSupportedClocksThrottleReasons": supported,
		"nvmlDeviceGetPerformanceState":               state,
		"nvmlDeviceGetPowerState":                     state,
		"nvmlDeviceGetSupportedPerformanceStates": func(k *Call) ret {
			items, r := k.Client.DeviceGetSupportedPerformanceStates(k.ctx, k.device(0))
			room := min(int(k.u32(2)), k.arg(1).Cap) / 4
			switch {
			case r != model.Success:
				return r
			case room < len(items):
				return model.InsufficientSize
			}
			for len(items) < room {
				items = append(items, 32) // NVML_PSTATE_UNKNOWN
			}
			return write(k, items, 1)
		},
		"nvmlDeviceGetMaxPcieLinkGeneration":    one(client.DeviceGetMaxPcieLinkGeneration),
		"nvmlDeviceGetGpuMaxPcieLinkGeneration": one(client.DeviceGetGpuMaxPcieLinkGeneration),
		"nvmlDeviceGetMaxPcieLinkWidth":         one(client.DeviceGetMaxPcieLinkWidth),
		"nvmlDeviceGetCurrPcieLinkGeneration":   one(client.DeviceGetCurrPcieLinkGeneration),
		"nvmlDeviceGetCurrPcieLinkWidth":        one(client.DeviceGetCurrPcieLinkWidth),
		"nvmlDeviceGetPcieThroughput":           by(client.DeviceGetPcieThroughput),
		"nvmlDeviceGetPcieReplayCounter":        one(client.DeviceGetPcieReplayCounter),
		"nvmlDeviceGetPcieLinkMaxSpeed":         one(client.DeviceGetPcieLinkMaxSpeed),
		"nvmlDeviceGetPcieSpeed":                one(client.DeviceGetPcieSpeed),
		"nvmlDeviceGetCpuAffinity": affinity(func(k *Call, words uint32) ([]uint64, ret) {
			return k.Client.DeviceGetCpuAffinity(k.ctx, k.device(0), words)
		}),
		"nvmlDeviceGetCpuAffinityWithinScope": affinity(func(k *Call, words uint32) ([]uint64, ret) {
			return k.Client.DeviceGetCpuAffinityWithinScope(k.ctx, k.device(0), words, k.u32(3))
		}),
		"nvmlDeviceGetMemoryAffinity": affinity(func(k *Call, words uint32) ([]uint64, ret) {
			return k.Client.DeviceGetMemoryAffinity(k.ctx, k.device(0), words, k.u32(3))
		}),
	}
}
