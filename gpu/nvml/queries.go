package nvml

import (
	"maps"

	nv "github.com/NVIDIA/go-nvml/pkg/nvml"
)

// answer is what a query gives: numbers, or a text.
type answer struct {
	n    [5]float64
	text string
	// worded: it is a text.
	worded bool
	// lacks marks the numbers that this form of the call does not have.
	lacks [5]bool
}

// ask is a call of the library that measures something: the function's name, and the call of a handle.
type ask struct {
	symbol string
	call   func(h nv.Device) (answer, nv.Return)
}

// queries lists the calls by the names that sources have for them.
func (d *Driver) queries() map[string]ask {
	m := map[string]ask{}
	for _, some := range []map[string]ask{d.nodeQueries(), d.textQueries(), modeQueries(), clockQueries(), powerQueries(), memoryQueries(), linkQueries(), errorQueries()} {
		maps.Copy(m, some)
	}
	return m
}

func number[T ~int | ~int32 | ~uint32 | ~uint64 | ~uint8](v T, ret nv.Return) (answer, nv.Return) {
	return answer{n: [5]float64{float64(v)}}, ret
}

func words(s string, ret nv.Return) (answer, nv.Return) { return answer{text: s, worded: true}, ret }

func numbers(ret nv.Return, v ...uint64) (answer, nv.Return) {
	var a answer
	for i, n := range v {
		a.n[i] = float64(n)
	}
	return a, ret
}

func flag(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

// nodeQueries are not about a GPU.
func (d *Driver) nodeQueries() map[string]ask {
	return map[string]ask{
		"driver version": {"nvmlSystemGetDriverVersion", func(nv.Device) (answer, nv.Return) { return words(d.lib.SystemGetDriverVersion()) }},
		"NVML version":   {"nvmlSystemGetNVMLVersion", func(nv.Device) (answer, nv.Return) { return words(d.lib.SystemGetNVMLVersion()) }},
		"CUDA version":   {"nvmlSystemGetCudaDriverVersion_v2", func(nv.Device) (answer, nv.Return) { return number(d.lib.SystemGetCudaDriverVersion_v2()) }},
		"confidential computing": {"nvmlSystemGetConfComputeState", func(nv.Device) (answer, nv.Return) {
			s, ret := d.lib.SystemGetConfComputeState()
			mode := uint32(0)
			if s.CcFeature != 0 {
				mode = 1 + min(s.DevToolsMode, 1)
			}
			return number(mode, ret)
		}},
	}
}

func (d *Driver) textQueries() map[string]ask {
	inforom := func(o nv.InforomObject) ask {
		return ask{"nvmlDeviceGetInforomVersion", func(h nv.Device) (answer, nv.Return) { return words(h.GetInforomVersion(o)) }}
	}
	return map[string]ask{
		"name":          {"nvmlDeviceGetName", func(h nv.Device) (answer, nv.Return) { return words(h.GetName()) }},
		"UUID":          {"nvmlDeviceGetUUID", func(h nv.Device) (answer, nv.Return) { return words(h.GetUUID()) }},
		"serial":        {"nvmlDeviceGetSerial", func(h nv.Device) (answer, nv.Return) { return words(h.GetSerial()) }},
		"VBIOS version": {"nvmlDeviceGetVbiosVersion", func(h nv.Device) (answer, nv.Return) { return words(h.GetVbiosVersion()) }},
		"inforom OEM":   inforom(nv.INFOROM_OEM),
		"inforom ECC":   inforom(nv.INFOROM_ECC),
		"inforom power": inforom(nv.INFOROM_POWER),
		"inforom image": {"nvmlDeviceGetInforomImageVersion", func(h nv.Device) (answer, nv.Return) { return words(h.GetInforomImageVersion()) }},
		"brand": {"nvmlDeviceGetBrand", func(h nv.Device) (answer, nv.Return) {
			b, ret := h.GetBrand()
			return words(brand(b), ret)
		}},
		"PCI address": {d.newest("nvmlDeviceGetPciInfo"), func(h nv.Device) (answer, nv.Return) {
			p, ret := h.GetPciInfo()
			return words(cstring(p.BusId[:]), ret)
		}},
	}
}

// brand is the name that DCGM has for a brand.
func brand(b nv.BrandType) string {
	names := [...]string{
		"Unknown", "Quadro", "Tesla", "NVS", "GRID", "GeForce", "Titan", "vApps", "VPC", "VCS", "VWS", "CloudGaming", "Quadro RTX",
		"NVIDIA RTX", "NVIDIA", "GeForce RTX", "Titan RTX",
	}
	if b < 0 || int(b) >= len(names) {
		return "Unknown"
	}
	return names[b]
}

func modeQueries() map[string]ask {
	return map[string]ask{
		"compute capability": {"nvmlDeviceGetCudaComputeCapability", func(h nv.Device) (answer, nv.Return) {
			major, minor, ret := h.GetCudaComputeCapability()
			return number(uint32(major)<<16+uint32(minor), ret)
		}},
		"persistence mode": {"nvmlDeviceGetPersistenceMode", func(h nv.Device) (answer, nv.Return) { return number(h.GetPersistenceMode()) }},
		"ECC mode": {"nvmlDeviceGetEccMode", func(h nv.Device) (answer, nv.Return) {
			current, _, ret := h.GetEccMode()
			return number(current, ret)
		}},
		"MIG mode": {"nvmlDeviceGetMigMode", func(h nv.Device) (answer, nv.Return) {
			current, _, ret := h.GetMigMode()
			return number(current, ret)
		}},
		"vGPU licence": {"nvmlDeviceGetGridLicensableFeatures_v4", func(h nv.Device) (answer, nv.Return) {
			f, ret := h.GetGridLicensableFeatures()
			if ret == nv.SUCCESS && (f.IsGridLicenseSupported == 0 || f.LicensableFeaturesCount == 0) {
				ret = nv.ERROR_NOT_SUPPORTED // a GPU that is no vGPU
			}
			return number(f.GridLicensableFeatures[0].FeatureState, ret)
		}},
		"utilization": {"nvmlDeviceGetUtilizationRates", func(h nv.Device) (answer, nv.Return) {
			u, ret := h.GetUtilizationRates()
			return numbers(ret, uint64(u.Gpu), uint64(u.Memory))
		}},
		"encoder utilization": {"nvmlDeviceGetEncoderUtilization", func(h nv.Device) (answer, nv.Return) {
			u, _, ret := h.GetEncoderUtilization()
			return number(u, ret)
		}},
		"decoder utilization": {"nvmlDeviceGetDecoderUtilization", func(h nv.Device) (answer, nv.Return) {
			u, _, ret := h.GetDecoderUtilization()
			return number(u, ret)
		}},
	}
}

func clockQueries() map[string]ask {
	now := func(c nv.ClockType) ask {
		return ask{"nvmlDeviceGetClockInfo", func(h nv.Device) (answer, nv.Return) { return number(h.GetClockInfo(c)) }}
	}
	largest := func(c nv.ClockType) ask {
		return ask{"nvmlDeviceGetMaxClockInfo", func(h nv.Device) (answer, nv.Return) { return number(h.GetMaxClockInfo(c)) }}
	}
	application := func(c nv.ClockType) ask {
		return ask{"nvmlDeviceGetApplicationsClock", func(h nv.Device) (answer, nv.Return) { return number(h.GetApplicationsClock(c)) }}
	}
	m := map[string]ask{
		"SM clock": now(nv.CLOCK_SM), "memory clock": now(nv.CLOCK_MEM), "video clock": now(nv.CLOCK_VIDEO),
		"largest SM clock": largest(nv.CLOCK_SM), "largest memory clock": largest(nv.CLOCK_MEM),
		"SM application clock": application(nv.CLOCK_SM), "memory application clock": application(nv.CLOCK_MEM),
		"clock event reasons": {"nvmlDeviceGetCurrentClocksEventReasons", func(h nv.Device) (answer, nv.Return) { return number(h.GetCurrentClocksEventReasons()) }},
		"clock throttle reasons": {"nvmlDeviceGetCurrentClocksThrottleReasons", func(h nv.Device) (answer, nv.Return) {
			return number(h.GetCurrentClocksThrottleReasons()) // the name before 535
		}},
		"performance state": {"nvmlDeviceGetPerformanceState", func(h nv.Device) (answer, nv.Return) { return number(h.GetPerformanceState()) }},
	}
	for _, p := range []nv.PerfPolicyType{0, 1, 2, 3, 4, 5, 10, 11} {
		m["violation "+itoa(int(p))] = ask{"nvmlDeviceGetViolationStatus", func(h nv.Device) (answer, nv.Return) {
			v, ret := h.GetViolationStatus(p)
			return number(v.ViolationTime, ret)
		}}
	}
	return m
}

// powerQueries are power and temperatures.
func powerQueries() map[string]ask {
	threshold := func(t nv.TemperatureThresholds) ask {
		return ask{"nvmlDeviceGetTemperatureThreshold", func(h nv.Device) (answer, nv.Return) { return number(h.GetTemperatureThreshold(t)) }}
	}
	return map[string]ask{
		"temperature": {"nvmlDeviceGetTemperature", func(h nv.Device) (answer, nv.Return) { return number(h.GetTemperature(nv.TEMPERATURE_GPU)) }},
		"temperature by sensor": {"nvmlDeviceGetTemperatureV", func(h nv.Device) (answer, nv.Return) {
			t, ret := h.GetTemperatureV().V1()
			return number(t.Temperature, ret)
		}},
		"temperature margin": {"nvmlDeviceGetMarginTemperature", func(h nv.Device) (answer, nv.Return) {
			t, ret := h.GetMarginTemperature()
			return number(t.MarginTemperature, ret)
		}},
		"memory temperature limit": threshold(nv.TEMPERATURE_THRESHOLD_MEM_MAX),
		"GPU temperature limit":    threshold(nv.TEMPERATURE_THRESHOLD_GPU_MAX),
		"slowdown temperature":     threshold(nv.TEMPERATURE_THRESHOLD_SLOWDOWN),
		"shutdown temperature":     threshold(nv.TEMPERATURE_THRESHOLD_SHUTDOWN),
		"power":                    {"nvmlDeviceGetPowerUsage", func(h nv.Device) (answer, nv.Return) { return number(h.GetPowerUsage()) }},
		"energy":                   {"nvmlDeviceGetTotalEnergyConsumption", func(h nv.Device) (answer, nv.Return) { return number(h.GetTotalEnergyConsumption()) }},
		"power limit":              {"nvmlDeviceGetPowerManagementLimit", func(h nv.Device) (answer, nv.Return) { return number(h.GetPowerManagementLimit()) }},
		"default power limit":      {"nvmlDeviceGetPowerManagementDefaultLimit", func(h nv.Device) (answer, nv.Return) { return number(h.GetPowerManagementDefaultLimit()) }},
		"enforced power limit":     {"nvmlDeviceGetEnforcedPowerLimit", func(h nv.Device) (answer, nv.Return) { return number(h.GetEnforcedPowerLimit()) }},
		"power limits": {"nvmlDeviceGetPowerManagementLimitConstraints", func(h nv.Device) (answer, nv.Return) {
			low, high, ret := h.GetPowerManagementLimitConstraints()
			return numbers(ret, uint64(low), uint64(high))
		}},
		"fan speed": {"nvmlDeviceGetFanSpeed", func(h nv.Device) (answer, nv.Return) { return number(h.GetFanSpeed()) }},
	}
}

func memoryQueries() map[string]ask {
	return map[string]ask{
		"memory": {"nvmlDeviceGetMemoryInfo_v2", func(h nv.Device) (answer, nv.Return) {
			m, ret := h.GetMemoryInfo_v2()
			a, ret := numbers(ret, m.Total, m.Free, m.Used, m.Reserved)
			if m.Total > m.Reserved {
				a.n[4] = float64(m.Used) / float64(m.Total-m.Reserved)
			}
			return a, ret
		}},
		// Version 1 counts what the driver reserves as used, and does not tell how much that is.
		"memory v1": {"nvmlDeviceGetMemoryInfo", func(h nv.Device) (answer, nv.Return) {
			m, ret := h.GetMemoryInfo()
			a, ret := numbers(ret, m.Total, m.Free, m.Used)
			a.lacks[3] = true
			if m.Total > 0 {
				a.n[4] = float64(m.Used) / float64(m.Total)
			}
			return a, ret
		}},
		"BAR1": {"nvmlDeviceGetBAR1MemoryInfo", func(h nv.Device) (answer, nv.Return) {
			b, ret := h.GetBAR1MemoryInfo()
			return numbers(ret, b.Bar1Total, b.Bar1Used, b.Bar1Free)
		}},
	}
}

func linkQueries() map[string]ask {
	return map[string]ask{
		"fabric": {"nvmlDeviceGetGpuFabricInfoV", func(h nv.Device) (answer, nv.Return) {
			f, ret := h.GetGpuFabricInfoV().V2()
			return numbers(ret, uint64(f.State), uint64(f.HealthMask))
		}},
		"fabric health": {"nvmlDeviceGetGpuFabricInfoV", func(h nv.Device) (answer, nv.Return) {
			f, ret := h.GetGpuFabricInfoV().V3()
			return number(f.HealthSummary, ret)
		}},
		"fabric state": {"nvmlDeviceGetGpuFabricInfo", func(h nv.Device) (answer, nv.Return) {
			f, ret := h.GetGpuFabricInfo()
			return number(f.State, ret)
		}},
		"PCIe replays":            {"nvmlDeviceGetPcieReplayCounter", func(h nv.Device) (answer, nv.Return) { return number(h.GetPcieReplayCounter()) }},
		"largest PCIe generation": {"nvmlDeviceGetMaxPcieLinkGeneration", func(h nv.Device) (answer, nv.Return) { return number(h.GetMaxPcieLinkGeneration()) }},
		"largest PCIe width":      {"nvmlDeviceGetMaxPcieLinkWidth", func(h nv.Device) (answer, nv.Return) { return number(h.GetMaxPcieLinkWidth()) }},
		"PCIe generation":         {"nvmlDeviceGetCurrPcieLinkGeneration", func(h nv.Device) (answer, nv.Return) { return number(h.GetCurrPcieLinkGeneration()) }},
		"PCIe width":              {"nvmlDeviceGetCurrPcieLinkWidth", func(h nv.Device) (answer, nv.Return) { return number(h.GetCurrPcieLinkWidth()) }},
	}
}

func errorQueries() map[string]ask {
	ecc := func(kind nv.MemoryErrorType, counter nv.EccCounterType) ask {
		return ask{"nvmlDeviceGetTotalEccErrors", func(h nv.Device) (answer, nv.Return) { return number(h.GetTotalEccErrors(kind, counter)) }}
	}
	retired := func(cause nv.PageRetirementCause) ask {
		return ask{"nvmlDeviceGetRetiredPages", func(h nv.Device) (answer, nv.Return) {
			pages, ret := h.GetRetiredPages(cause)
			return number(len(pages), ret)
		}}
	}
	return map[string]ask{
		"ECC corrected volatile":               ecc(nv.MEMORY_ERROR_TYPE_CORRECTED, nv.VOLATILE_ECC),
		"ECC uncorrected volatile":             ecc(nv.MEMORY_ERROR_TYPE_UNCORRECTED, nv.VOLATILE_ECC),
		"ECC corrected aggregate":              ecc(nv.MEMORY_ERROR_TYPE_CORRECTED, nv.AGGREGATE_ECC),
		"ECC uncorrected aggregate":            ecc(nv.MEMORY_ERROR_TYPE_UNCORRECTED, nv.AGGREGATE_ECC),
		"pages retired for corrected errors":   retired(nv.PAGE_RETIREMENT_CAUSE_MULTIPLE_SINGLE_BIT_ECC_ERRORS),
		"pages retired for uncorrected errors": retired(nv.PAGE_RETIREMENT_CAUSE_DOUBLE_BIT_ECC_ERROR),
		"pages to retire":                      {"nvmlDeviceGetRetiredPagesPendingStatus", func(h nv.Device) (answer, nv.Return) { return number(h.GetRetiredPagesPendingStatus()) }},
		"remapped rows": {"nvmlDeviceGetRemappedRows", func(h nv.Device) (answer, nv.Return) {
			corrected, uncorrected, pending, failed, ret := h.GetRemappedRows()
			return answer{n: [5]float64{float64(corrected), float64(uncorrected), flag(pending), flag(failed)}}, ret
		}},
		"SRAM threshold": {"nvmlDeviceGetSramEccErrorStatus", func(h nv.Device) (answer, nv.Return) {
			s, ret := h.GetSramEccErrorStatus()
			return number(s.BThresholdExceeded, ret)
		}},
		"unrepairable memory": {"nvmlDeviceGetUnrepairableMemoryFlag_v1", func(h nv.Device) (answer, nv.Return) {
			s, ret := h.GetUnrepairableMemoryFlag_v1()
			return number(s.BUnrepairableMemory, ret)
		}},
	}
}
