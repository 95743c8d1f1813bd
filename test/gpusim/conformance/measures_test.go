package conformance

import (
	nv "github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

// measureRows are what is measured.
func measureRows() []row {
	return []row{
		one("utilization", "nvmlDeviceGetUtilizationRates", nv.Device.GetUtilizationRates, cl.DeviceGetUtilizationRates),
		two("encoder", "nvmlDeviceGetEncoderUtilization", nv.Device.GetEncoderUtilization, cl.DeviceGetEncoderUtilization),
		two("decoder", "nvmlDeviceGetDecoderUtilization", nv.Device.GetDecoderUtilization, cl.DeviceGetDecoderUtilization),
		two("JPEG", "nvmlDeviceGetJpgUtilization", nv.Device.GetJpgUtilization, cl.DeviceGetJpgUtilization),
		two("OFA", "nvmlDeviceGetOfaUtilization", nv.Device.GetOfaUtilization, cl.DeviceGetOfaUtilization),
		one("power", "nvmlDeviceGetPowerUsage", nv.Device.GetPowerUsage, cl.DeviceGetPowerUsage),
		one("power mode", "nvmlDeviceGetPowerManagementMode", nv.Device.GetPowerManagementMode, cl.DeviceGetPowerManagementMode),
		one("power limit", "nvmlDeviceGetPowerManagementLimit", nv.Device.GetPowerManagementLimit, cl.DeviceGetPowerManagementLimit),
		two("power constraints", "nvmlDeviceGetPowerManagementLimitConstraints", nv.Device.GetPowerManagementLimitConstraints, cl.DeviceGetPowerManagementLimitConstraints),
		one("default limit", "nvmlDeviceGetPowerManagementDefaultLimit", nv.Device.GetPowerManagementDefaultLimit, cl.DeviceGetPowerManagementDefaultLimit),
		one("enforced limit", "nvmlDeviceGetEnforcedPowerLimit", nv.Device.GetEnforcedPowerLimit, cl.DeviceGetEnforcedPowerLimit),
		one("power source", "nvmlDeviceGetPowerSource", nv.Device.GetPowerSource, cl.DeviceGetPowerSource),
		one("energy", "nvmlDeviceGetTotalEnergyConsumption", nv.Device.GetTotalEnergyConsumption, cl.DeviceGetTotalEnergyConsumption),
		by("temperature", "nvmlDeviceGetTemperature", 0, func(d nv.Device, n int) (uint32, nv.Return) { return d.GetTemperature(nv.TemperatureSensors(n)) }, cl.DeviceGetTemperature),
		by("temperature", "nvmlDeviceGetTemperature", 9, func(d nv.Device, n int) (uint32, nv.Return) { return d.GetTemperature(nv.TemperatureSensors(n)) }, cl.DeviceGetTemperature),
		by("threshold", "nvmlDeviceGetTemperatureThreshold", 1, func(d nv.Device, n int) (uint32, nv.Return) {
			return d.GetTemperatureThreshold(nv.TemperatureThresholds(n))
		}, cl.DeviceGetTemperatureThreshold),
		one("margin", "nvmlDeviceGetMarginTemperature", func(d nv.Device) (int32, nv.Return) {
			m, ret := d.GetMarginTemperature()
			return m.MarginTemperature, ret
		}, cl.DeviceGetMarginTemperature),
		one("fans", "nvmlDeviceGetNumFans", nv.Device.GetNumFans, cl.DeviceGetNumFans),
		one("fan", "nvmlDeviceGetFanSpeed", nv.Device.GetFanSpeed, cl.DeviceGetFanSpeed),
		by("clock", "nvmlDeviceGetClockInfo", 1, func(d nv.Device, n int) (uint32, nv.Return) { return d.GetClockInfo(nv.ClockType(n)) }, cl.DeviceGetClockInfo),
		by("clock", "nvmlDeviceGetClockInfo", 77, func(d nv.Device, n int) (uint32, nv.Return) { return d.GetClockInfo(nv.ClockType(n)) }, cl.DeviceGetClockInfo),
		by("highest clock", "nvmlDeviceGetMaxClockInfo", 2, func(d nv.Device, n int) (uint32, nv.Return) { return d.GetMaxClockInfo(nv.ClockType(n)) }, cl.DeviceGetMaxClockInfo),
		one("clock reasons", "nvmlDeviceGetCurrentClocksEventReasons", nv.Device.GetCurrentClocksEventReasons, cl.DeviceGetCurrentClocksEventReasons),
		one("possible reasons", "nvmlDeviceGetSupportedClocksEventReasons", nv.Device.GetSupportedClocksEventReasons, cl.DeviceGetSupportedClocksEventReasons),
		one("performance state", "nvmlDeviceGetPerformanceState", nv.Device.GetPerformanceState, cl.DeviceGetPerformanceState),
		one("PCIe generation", "nvmlDeviceGetCurrPcieLinkGeneration", nv.Device.GetCurrPcieLinkGeneration, cl.DeviceGetCurrPcieLinkGeneration),
		one("PCIe width", "nvmlDeviceGetCurrPcieLinkWidth", nv.Device.GetCurrPcieLinkWidth, cl.DeviceGetCurrPcieLinkWidth),
		one("PCIe highest generation", "nvmlDeviceGetMaxPcieLinkGeneration", nv.Device.GetMaxPcieLinkGeneration, cl.DeviceGetMaxPcieLinkGeneration),
		one("PCIe speed", "nvmlDeviceGetPcieSpeed", nv.Device.GetPcieSpeed, cl.DeviceGetPcieSpeed),
		by("PCIe throughput", "nvmlDeviceGetPcieThroughput", 1, func(d nv.Device, n int) (uint32, nv.Return) { return d.GetPcieThroughput(nv.PcieUtilCounter(n)) }, cl.DeviceGetPcieThroughput),
		one("PCIe replays", "nvmlDeviceGetPcieReplayCounter", nv.Device.GetPcieReplayCounter, cl.DeviceGetPcieReplayCounter),
		by("violation", "nvmlDeviceGetViolationStatus", 0, func(d nv.Device, n int) (nv.ViolationTime, nv.Return) {
			return d.GetViolationStatus(nv.PerfPolicyType(n))
		}, cl.DeviceGetViolationStatus),
		{"samples", "nvmlDeviceGetSamples", func(d nv.Device) (any, nv.Return) {
			kind, list, ret := d.GetSamples(nv.TOTAL_POWER_SAMPLES, 0)
			out := []any{kind}
			for _, s := range list {
				out = append(out, s.TimeStamp, le(s.SampleValue[:4]))
			}
			return out, ret
		}, func(s side, d model.Device) (any, model.Return) {
			list, ret := s.client.DeviceGetSamples(s.ctx, d, 0, 0)
			return []any{uint32(model.ValueUnsignedInt), list}, ret
		}},
		{"CPU affinity", "nvmlDeviceGetCpuAffinity", func(d nv.Device) (any, nv.Return) { v, ret := d.GetCpuAffinity(256); return v, ret }, func(s side, d model.Device) (any, model.Return) {
			v, ret := s.client.DeviceGetCpuAffinity(s.ctx, d, 32)
			return v, ret
		}},
		{"process utilization", "nvmlDeviceGetProcessUtilization", func(d nv.Device) (any, nv.Return) { v, ret := d.GetProcessUtilization(0); return v, ret }, func(s side, d model.Device) (any, model.Return) {
			list, ret := s.client.DeviceGetProcessUtilization(s.ctx, d, 0)
			var out []any
			for _, p := range list {
				out = append(out, p.PID, p.TimeStamp, p.SmUtil, p.MemUtil, p.EncUtil, p.DecUtil)
			}
			return out, ret
		}},
		{"GPM", "nvmlGpmQueryDeviceSupport", func(d nv.Device) (any, nv.Return) {
			g, ret := d.GpmQueryDeviceSupport()
			return g.IsSupportedDevice, ret
		}, sim1(cl.GpmQueryDeviceSupport)},
	}
}

func le(b []byte) uint32 {
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

// linkRows are NVLink's first and last link, and one past it.
func linkRows() []row {
	var out []row
	for _, link := range []uint32{0, 5, 11, 17, 40} {
		out = append(out,
			by("link state", "nvmlDeviceGetNvLinkState", link, func(d nv.Device, n int) (nv.EnableState, nv.Return) { return d.GetNvLinkState(n) }, cl.DeviceGetNvLinkState),
			by("link version", "nvmlDeviceGetNvLinkVersion", link, func(d nv.Device, n int) (uint32, nv.Return) { return d.GetNvLinkVersion(n) }, cl.DeviceGetNvLinkVersion),
			by("link peer", "nvmlDeviceGetNvLinkRemoteDeviceType", link, func(d nv.Device, n int) (nv.IntNvLinkDeviceType, nv.Return) { return d.GetNvLinkRemoteDeviceType(n) }, cl.DeviceGetNvLinkRemoteDeviceType),
			row{"link address", "nvmlDeviceGetNvLinkRemotePciInfo_v2", func(d nv.Device) (any, nv.Return) {
				p, ret := d.GetNvLinkRemotePciInfo(int(link))
				return []any{p.Bus, p.PciDeviceId, p.BusId}, ret
			}, func(s side, d model.Device) (any, model.Return) {
				p, ret := s.client.DeviceGetNvLinkRemotePciInfo(s.ctx, d, link)
				return []any{p.Bus, p.PciDeviceID, p.BusID}, ret
			}})
	}
	return out
}

// fieldRows ask for many field values in one call.
func fieldRows() []row {
	var out []row
	for first := uint32(1); first < 310; first += 30 {
		out = append(out, row{"fields", "nvmlDeviceGetFieldValues", func(d nv.Device) (any, nv.Return) {
			var values []nv.FieldValue
			for id := first; id < first+30; id++ {
				values = append(values, nv.FieldValue{FieldId: id})
			}
			ret := d.GetFieldValues(values)
			var list []any
			for _, v := range values {
				list = append(list, v.FieldId, v.NvmlReturn, v.ValueType, le(v.Value[:4]), le(v.Value[4:]), v.Timestamp)
			}
			return list, ret
		}, func(s side, d model.Device) (any, model.Return) {
			var values []model.FieldValue
			for id := first; id < first+30; id++ {
				values = append(values, model.FieldValue{FieldID: id})
			}
			got, ret := s.client.DeviceGetFieldValues(s.ctx, d, values)
			var list []any
			for _, v := range got {
				list = append(list, v.FieldID, uint32(v.Return), uint32(v.ValueType), uint32(v.Bits), uint32(v.Bits>>32), v.Timestamp)
			}
			return list, ret
		}})
	}
	return out
}
