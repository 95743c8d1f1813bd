package dcgm

import (
	"fmt"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

// The fields that NVML gives, in the order of DCGM's numbers.

func identity() []Field {
	return []Field{
		text(1, "driver_version", func(p probe) (string, model.Return) { return p.c().SystemGetDriverVersion(p.ctx()) }).at(None),
		text(2, "nvml_version", func(p probe) (string, model.Return) { return p.c().SystemGetNVMLVersion(p.ctx()) }).at(None),
		integer(4, "device_count", func(p probe) (uint32, model.Return) { return p.c().DeviceGetCount(p.ctx()) }).at(None),
		integer(5, "cuda_driver_version", func(p probe) (int, model.Return) { return p.c().SystemGetCudaDriverVersion(p.ctx()) }).at(None),
		text(50, "name", func(p probe) (string, model.Return) {
			if p.entity.profile != "" {
				return p.entity.profile, model.Success
			}
			return p.c().DeviceGetName(p.ctx(), p.dev)
		}).at(Compute),
		text(51, "brand", func(p probe) (string, model.Return) {
			b, r := p.c().DeviceGetBrand(p.ctx(), p.dev)
			return map[uint32]string{2: "Tesla", 14: "NVIDIA"}[b], r
		}),
		integer(52, "nvml_index", func(p probe) (int, model.Return) { return p.entity.gpu, model.Success }),
		text(53, "serial_number", func(p probe) (string, model.Return) { return p.c().DeviceGetSerial(p.ctx(), p.dev) }),
		text(54, "uuid", func(p probe) (string, model.Return) {
			if p.entity.uuid == "" {
				return "", model.NotFound
			}
			return p.entity.uuid, model.Success
		}).at(Compute),
		integer(55, "minor_number", func(p probe) (uint32, model.Return) { return p.c().DeviceGetMinorNumber(p.ctx(), p.dev) }),
		text(56, "oem_inforom_version", func(p probe) (string, model.Return) { return p.c().DeviceGetInforomVersion(p.ctx(), p.dev, 0) }),
		text(57, "pci_busid", func(p probe) (string, model.Return) {
			i, r := p.c().DeviceGetPciInfo(p.ctx(), p.dev)
			return i.BusID, r
		}),
		integer(58, "pci_combined_id", func(p probe) (uint32, model.Return) {
			i, r := p.c().DeviceGetPciInfo(p.ctx(), p.dev)
			return i.PciDeviceID, r
		}),
		integer(63, "cuda_compute_capability", func(p probe) (int, model.Return) {
			major, minor, r := p.c().DeviceGetCudaComputeCapability(p.ctx(), p.dev)
			return major<<16 | minor, r
		}),
		integer(65, "compute_mode", func(p probe) (uint32, model.Return) { return p.c().DeviceGetComputeMode(p.ctx(), p.dev) }),
		flag(66, "persistence_mode", func(p probe) (bool, model.Return) { return p.c().DeviceGetPersistenceMode(p.ctx(), p.dev) }),
		integer(67, "mig_mode", func(p probe) (uint32, model.Return) {
			mode, _, r := p.c().DeviceGetMigMode(p.ctx(), p.dev)
			return mode, r
		}),
		integer(74, "cc_mode", func(p probe) (uint32, model.Return) {
			state, r := p.c().SystemGetConfComputeState(p.ctx())
			return state.CcFeature, r
		}),
		affinity(70), affinity(71), affinity(72), affinity(73),
		text(80, "ecc_inforom_version", func(p probe) (string, model.Return) { return p.c().DeviceGetInforomVersion(p.ctx(), p.dev, 1) }),
		text(81, "power_inforom_version", func(p probe) (string, model.Return) { return p.c().DeviceGetInforomVersion(p.ctx(), p.dev, 2) }),
		text(82, "inforom_image_version", func(p probe) (string, model.Return) { return p.c().DeviceGetInforomImageVersion(p.ctx(), p.dev) }),
		text(85, "vbios_version", func(p probe) (string, model.Return) { return p.c().DeviceGetVbiosVersion(p.ctx(), p.dev) }),
		bar1(90, "bar1_total", mebi, bar1Total), bar1(92, "bar1_used", mebi, bar1Used), bar1(93, "bar1_free", mebi, bar1Free),
		bar1(1600, "bar1_capacity_bytes", 1, bar1Total), bar1(1601, "bar1_used_bytes", 1, bar1Used), bar1(1602, "bar1_free_bytes", 1, bar1Free),
		flag(94, "gpm_support", func(p probe) (bool, model.Return) { return p.c().GpmQueryDeviceSupport(p.ctx(), p.dev) }),
	}
}

// affinity is a word of the CPUs that are near.
func affinity(id uint16) Field {
	return integer(id, fmt.Sprintf("cpu_affinity_%d", id-70), func(p probe) (uint64, model.Return) {
		words, r := p.c().DeviceGetCpuAffinity(p.ctx(), p.dev, 4)
		if r != model.Success || int(id-70) >= len(words) {
			return 0, r
		}
		return words[id-70], r
	})
}

func bar1Total(b model.Bar1Info) uint64 { return b.Total }
func bar1Used(b model.Bar1Info) uint64  { return b.Used }
func bar1Free(b model.Bar1Info) uint64  { return b.Free }

// bar1 is a size of the aperture in units of so many bytes.
func bar1(id uint16, tag string, unit uint64, pick func(model.Bar1Info) uint64) Field {
	return integer(id, tag, func(p probe) (uint64, model.Return) {
		d, r := p.mig()
		if r != model.Success {
			return 0, r
		}
		b, r := p.c().DeviceGetBAR1MemoryInfo(p.ctx(), d)
		return pick(b) / unit, r
	}).at(Compute)
}

func clock(id uint16, tag string, kind uint32, hertz int64, most bool) Field {
	return integer(id, tag, func(p probe) (int64, model.Return) {
		get := p.c().DeviceGetClockInfo
		if most {
			get = p.c().DeviceGetMaxClockInfo
		}
		v, r := get(p.ctx(), p.dev, kind)
		return int64(v) * hertz, r
	})
}

func clocksAndHeat() []Field {
	threshold := func(id uint16, tag string, which uint32) Field {
		return integer(id, tag, func(p probe) (uint32, model.Return) {
			return p.c().DeviceGetTemperatureThreshold(p.ctx(), p.dev, which)
		})
	}
	const sm, memory, video, mhz = 1, 2, 3, 1_000_000
	return []Field{
		clock(100, "sm_clock", sm, 1, false), clock(101, "memory_clock", memory, 1, false), clock(102, "video_clock", video, 1, false),
		clock(110, "app_sm_clock", sm, 1, true), clock(111, "app_mem_clock", memory, 1, true),
		integer(112, "clocks_event_reasons", func(p probe) (uint64, model.Return) {
			return p.c().DeviceGetCurrentClocksEventReasons(p.ctx(), p.dev)
		}),
		clock(113, "sm_max_clock", sm, 1, true), clock(114, "mem_max_clock", memory, 1, true), clock(115, "video_max_clock", video, 1, true),
		integer(140, "memory_temp", func(p probe) (int64, model.Return) { return p.fi(82, 0) }),
		integer(150, "gpu_temp", func(p probe) (int32, model.Return) { return p.c().DeviceGetTemperature(p.ctx(), p.dev, 0) }),
		threshold(151, "mem_max_op_temp", 2), threshold(152, "gpu_max_op_temp", 3),
		integer(153, "gpu_temp_limit", func(p probe) (int32, model.Return) { return p.c().DeviceGetMarginTemperature(p.ctx(), p.dev) }),
		threshold(158, "slowdown_temp", 1), threshold(159, "shutdown_temp", 0),
		integer(190, "pstate", func(p probe) (uint32, model.Return) { return p.c().DeviceGetPerformanceState(p.ctx(), p.dev) }),
		integer(191, "fan_speed", func(p probe) (uint32, model.Return) { return p.c().DeviceGetFanSpeed(p.ctx(), p.dev) }),
		double(1612, "fan_speed_ratio", func(p probe) (float64, model.Return) {
			v, r := p.c().DeviceGetFanSpeed(p.ctx(), p.dev)
			return float64(v) / 100, r
		}),
		clock(1603, "sm_clock_hertz", sm, mhz, false), clock(1604, "memory_clock_hertz", memory, mhz, false), clock(1605, "video_clock_hertz", video, mhz, false),
		clock(1606, "sm_app_clock_hertz", sm, mhz, true), clock(1607, "memory_app_clock_hertz", memory, mhz, true),
		clock(1608, "sm_max_clock_hertz", sm, mhz, true), clock(1609, "memory_max_clock_hertz", memory, mhz, true), clock(1610, "video_max_clock_hertz", video, mhz, true),
	}
}

func powers() []Field {
	watts := func(id uint16, tag string, f func(p probe) (uint32, model.Return)) Field {
		return double(id, tag, func(p probe) (float64, model.Return) {
			mw, r := f(p)
			return float64(mw) / 1000, r
		})
	}
	return []Field{
		watts(155, "power_usage", func(p probe) (uint32, model.Return) { return p.c().DeviceGetPowerUsage(p.ctx(), p.dev) }),
		integer(156, "total_energy_consumption", func(p probe) (uint64, model.Return) { return p.c().DeviceGetTotalEnergyConsumption(p.ctx(), p.dev) }),
		double(157, "power_usage_instant", func(p probe) (float64, model.Return) {
			mw, r := p.fi(186, 0)
			return float64(mw) / 1000, r
		}),
		watts(160, "power_management_limit", func(p probe) (uint32, model.Return) { return p.c().DeviceGetPowerManagementLimit(p.ctx(), p.dev) }),
		watts(161, "power_management_limit_min", func(p probe) (uint32, model.Return) {
			low, _, r := p.c().DeviceGetPowerManagementLimitConstraints(p.ctx(), p.dev)
			return low, r
		}),
		watts(162, "power_management_limit_max", func(p probe) (uint32, model.Return) {
			_, high, r := p.c().DeviceGetPowerManagementLimitConstraints(p.ctx(), p.dev)
			return high, r
		}),
		watts(163, "power_management_limit_default", func(p probe) (uint32, model.Return) {
			return p.c().DeviceGetPowerManagementDefaultLimit(p.ctx(), p.dev)
		}),
		watts(164, "enforced_power_limit", func(p probe) (uint32, model.Return) { return p.c().DeviceGetEnforcedPowerLimit(p.ctx(), p.dev) }),
		double(1611, "gpu_energy_joules_total", func(p probe) (float64, model.Return) {
			mj, r := p.c().DeviceGetTotalEnergyConsumption(p.ctx(), p.dev)
			return float64(mj) / 1000, r
		}),
	}
}
