package conformance

import (
	"context"

	nv "github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

type cl = *model.Client

// identityRows say what a device is.
func identityRows() []row {
	return []row{
		one("name", "nvmlDeviceGetName", nv.Device.GetName, cl.DeviceGetName),
		one("uuid", "nvmlDeviceGetUUID", nv.Device.GetUUID, cl.DeviceGetUUID),
		one("index", "nvmlDeviceGetIndex", nv.Device.GetIndex, cl.DeviceGetIndex),
		one("brand", "nvmlDeviceGetBrand", nv.Device.GetBrand, cl.DeviceGetBrand),
		one("architecture", "nvmlDeviceGetArchitecture", nv.Device.GetArchitecture, cl.DeviceGetArchitecture),
		one("serial", "nvmlDeviceGetSerial", nv.Device.GetSerial, cl.DeviceGetSerial),
		one("minor", "nvmlDeviceGetMinorNumber", nv.Device.GetMinorNumber, cl.DeviceGetMinorNumber),
		one("module", "nvmlDeviceGetModuleId", nv.Device.GetModuleId, cl.DeviceGetModuleId),
		one("board", "nvmlDeviceGetBoardId", nv.Device.GetBoardId, cl.DeviceGetBoardId),
		one("multi-GPU board", "nvmlDeviceGetMultiGpuBoard", nv.Device.GetMultiGpuBoard, cl.DeviceGetMultiGpuBoard),
		one("part number", "nvmlDeviceGetBoardPartNumber", nv.Device.GetBoardPartNumber, cl.DeviceGetBoardPartNumber),
		one("vbios", "nvmlDeviceGetVbiosVersion", nv.Device.GetVbiosVersion, cl.DeviceGetVbiosVersion),
		one("inforom image", "nvmlDeviceGetInforomImageVersion", nv.Device.GetInforomImageVersion, cl.DeviceGetInforomImageVersion),
		by("inforom", "nvmlDeviceGetInforomVersion", 1, func(d nv.Device, n int) (string, nv.Return) { return d.GetInforomVersion(nv.InforomObject(n)) }, cl.DeviceGetInforomVersion),
		one("GSP version", "nvmlDeviceGetGspFirmwareVersion", nv.Device.GetGspFirmwareVersion, cl.DeviceGetGspFirmwareVersion),
		two("GSP mode", "nvmlDeviceGetGspFirmwareMode", nv.Device.GetGspFirmwareMode, cl.DeviceGetGspFirmwareMode),
		two("compute capability", "nvmlDeviceGetCudaComputeCapability", nv.Device.GetCudaComputeCapability, cl.DeviceGetCudaComputeCapability),
		one("cores", "nvmlDeviceGetNumGpuCores", nv.Device.GetNumGpuCores, cl.DeviceGetNumGpuCores),
		one("bus width", "nvmlDeviceGetMemoryBusWidth", nv.Device.GetMemoryBusWidth, cl.DeviceGetMemoryBusWidth),
		one("bus type", "nvmlDeviceGetBusType", nv.Device.GetBusType, cl.DeviceGetBusType),
		one("interrupt", "nvmlDeviceGetIrqNum", nv.Device.GetIrqNum, cl.DeviceGetIrqNum),
		one("display mode", "nvmlDeviceGetDisplayMode", nv.Device.GetDisplayMode, cl.DeviceGetDisplayMode),
		one("virtualization", "nvmlDeviceGetVirtualizationMode", nv.Device.GetVirtualizationMode, cl.DeviceGetVirtualizationMode),
		one("NUMA node", "nvmlDeviceGetNumaNodeId", nv.Device.GetNumaNodeId, cl.DeviceGetNumaNodeId),
		{"PCI", "nvmlDeviceGetPciInfo_v3", real1(nv.Device.GetPciInfo), func(s side, d model.Device) (any, model.Return) {
			p, ret := s.client.DeviceGetPciInfo(s.ctx, d)
			return []any{p.BusIDLegacy, p.Domain, p.Bus, p.Device, p.PciDeviceID, p.PciSubSystemID, p.BusID}, ret
		}},
		{"PCI extended", "nvmlDeviceGetPciInfoExt", func(d nv.Device) (any, nv.Return) { p, ret := d.GetPciInfoExt(); p.Version = 0; return p, ret }, func(s side, d model.Device) (any, model.Return) {
			p, ret := s.client.DeviceGetPciInfo(model.WithSymbol(s.ctx, "nvmlDeviceGetPciInfoExt"), d)
			return []any{0, p.Domain, p.Bus, p.Device, p.PciDeviceID, p.PciSubSystemID, p.BaseClass, p.SubClass, p.BusID}, ret
		}},
	}
}

// stateRows say what a device is set to and how it is.
func stateRows() []row {
	return []row{
		two("MIG mode", "nvmlDeviceGetMigMode", nv.Device.GetMigMode, cl.DeviceGetMigMode),
		one("MIG devices", "nvmlDeviceGetMaxMigDeviceCount", nv.Device.GetMaxMigDeviceCount, cl.DeviceGetMaxMigDeviceCount),
		one("is MIG", "nvmlDeviceIsMigDeviceHandle", nv.Device.IsMigDeviceHandle, cl.DeviceIsMigDeviceHandle),
		one("GI id", "nvmlDeviceGetGpuInstanceId", nv.Device.GetGpuInstanceId, cl.DeviceGetGpuInstanceId),
		one("CI id", "nvmlDeviceGetComputeInstanceId", nv.Device.GetComputeInstanceId, cl.DeviceGetComputeInstanceId),
		one("attributes", "nvmlDeviceGetAttributes_v2", nv.Device.GetAttributes, cl.DeviceGetAttributes),
		one("persistence", "nvmlDeviceGetPersistenceMode", nv.Device.GetPersistenceMode, cl.DeviceGetPersistenceMode),
		one("compute mode", "nvmlDeviceGetComputeMode", nv.Device.GetComputeMode, cl.DeviceGetComputeMode),
		two("ECC mode", "nvmlDeviceGetEccMode", nv.Device.GetEccMode, cl.DeviceGetEccMode),
		one("default ECC mode", "nvmlDeviceGetDefaultEccMode", nv.Device.GetDefaultEccMode, cl.DeviceGetDefaultEccMode),
		{"memory", "nvmlDeviceGetMemoryInfo", real1(nv.Device.GetMemoryInfo), func(s side, d model.Device) (any, model.Return) {
			m, ret := s.client.DeviceGetMemoryInfo(s.ctx, d)
			return []any{m.Total, m.Free, m.Used}, ret
		}},
		{"memory 2", "nvmlDeviceGetMemoryInfo_v2", func(d nv.Device) (any, nv.Return) { m, ret := d.GetMemoryInfo_v2(); m.Version = 0; return m, ret }, func(s side, d model.Device) (any, model.Return) {
			m, ret := s.client.DeviceGetMemoryInfoV2(s.ctx, d)
			return []any{0, m.Total, m.Reserved, m.Free, m.Used}, ret
		}},
		one("BAR 1", "nvmlDeviceGetBAR1MemoryInfo", nv.Device.GetBAR1MemoryInfo, cl.DeviceGetBAR1MemoryInfo),
		{"ECC errors", "nvmlDeviceGetTotalEccErrors", func(d nv.Device) (any, nv.Return) {
			n, ret := d.GetTotalEccErrors(nv.MEMORY_ERROR_TYPE_UNCORRECTED, nv.VOLATILE_ECC)
			return n, ret
		}, func(s side, d model.Device) (any, model.Return) {
			n, ret := s.client.DeviceGetTotalEccErrors(s.ctx, d, true, false)
			return n, ret
		}},
		{"ECC counter", "nvmlDeviceGetMemoryErrorCounter", func(d nv.Device) (any, nv.Return) {
			n, ret := d.GetMemoryErrorCounter(nv.MEMORY_ERROR_TYPE_CORRECTED, nv.AGGREGATE_ECC, nv.MEMORY_LOCATION_DRAM)
			return n, ret
		}, func(s side, d model.Device) (any, model.Return) {
			n, ret := s.client.DeviceGetMemoryErrorCounter(s.ctx, d, false, true, model.EccDevice)
			return n, ret
		}},
		{"ECC details", "nvmlDeviceGetDetailedEccErrors", func(d nv.Device) (any, nv.Return) {
			n, ret := d.GetDetailedEccErrors(nv.MEMORY_ERROR_TYPE_UNCORRECTED, nv.AGGREGATE_ECC)
			return n, ret
		}, func(s side, d model.Device) (any, model.Return) {
			n, ret := s.client.DeviceGetDetailedEccErrors(s.ctx, d, true, true)
			return n, ret
		}},
		{"remapped rows", "nvmlDeviceGetRemappedRows", func(d nv.Device) (any, nv.Return) {
			a, b, c, e, ret := d.GetRemappedRows()
			return []any{a, b, c, e}, ret
		}, sim1(cl.DeviceGetRemappedRows)},
		one("row histogram", "nvmlDeviceGetRowRemapperHistogram", nv.Device.GetRowRemapperHistogram, cl.DeviceGetRowRemapperHistogram),
		one("pending pages", "nvmlDeviceGetRetiredPagesPendingStatus", nv.Device.GetRetiredPagesPendingStatus, cl.DeviceGetRetiredPagesPendingStatus),
		by("retired pages", "nvmlDeviceGetRetiredPages", 1, func(d nv.Device, n int) ([]uint64, nv.Return) { return d.GetRetiredPages(nv.PageRetirementCause(n)) }, cl.DeviceGetRetiredPages),
		one("event types", "nvmlDeviceGetSupportedEventTypes", nv.Device.GetSupportedEventTypes, cl.DeviceGetSupportedEventTypes),
		one("compute processes", "nvmlDeviceGetComputeRunningProcesses_v3|nvmlDeviceGetComputeRunningProcesses_v2", withoutCC(nv.Device.GetComputeRunningProcesses), cl.DeviceGetComputeRunningProcesses),
		one("graphics processes", "nvmlDeviceGetGraphicsRunningProcesses_v3|nvmlDeviceGetGraphicsRunningProcesses_v2", withoutCC(nv.Device.GetGraphicsRunningProcesses), cl.DeviceGetGraphicsRunningProcesses),
		one("MPS processes", "nvmlDeviceGetMPSComputeRunningProcesses_v3|nvmlDeviceGetMPSComputeRunningProcesses_v2", withoutCC(nv.Device.GetMPSComputeRunningProcesses), cl.DeviceGetMPSComputeRunningProcesses),
		{"fabric", "nvmlDeviceGetGpuFabricInfo", func(d nv.Device) (any, nv.Return) {
			f, ret := d.GetGpuFabricInfo()
			return []any{f.ClusterUuid, f.Status, f.CliqueId, f.State}, ret
		}, func(s side, d model.Device) (any, model.Return) {
			f, ret := s.client.DeviceGetGpuFabricInfo(s.ctx, d)
			return []any{f.ClusterUUID, f.Status, f.CliqueID, f.State}, ret
		}},
		fabricRow(2), fabricRow(3),
		{"accounting", "nvmlDeviceGetAccountingMode", real1(nv.Device.GetAccountingMode), sim1(cl.DeviceGetAccountingMode)},
	}
}

// withoutCC adds the member of the model's process that only a later structure has.
func withoutCC(f func(nv.Device) ([]nv.ProcessInfo, nv.Return)) func(nv.Device) ([]any, nv.Return) {
	return func(d nv.Device) (out []any, ret nv.Return) {
		list, ret := f(d)
		for _, p := range list {
			out = append(out, p, 0)
		}
		return out, ret
	}
}

func fabricRow(version int) row {
	return row{"fabric by version", "nvmlDeviceGetGpuFabricInfoV", func(d nv.Device) (any, nv.Return) {
		if version == 2 {
			f, ret := d.GetGpuFabricInfoV().V2()
			return []any{f.ClusterUuid, f.Status, f.CliqueId, f.State, f.HealthMask}, ret
		}
		f, ret := d.GetGpuFabricInfoV().V3()
		return []any{f.ClusterUuid, f.Status, f.CliqueId, f.State, f.HealthMask, f.HealthSummary}, ret
	}, func(s side, d model.Device) (any, model.Return) {
		f, ret := s.client.DeviceGetGpuFabricInfoV(s.ctx, d, version)
		out := []any{f.ClusterUUID, int32(f.Status), f.CliqueID, f.State, f.HealthMask}
		if version == 3 {
			out = append(out, f.HealthSummary)
		}
		return out, ret
	}}
}

// systemRows belong to no device.
func systemRows(lib nv.Interface) []row {
	word := func(name, symbol string, r func() (string, nv.Return), s func(*model.Client, context.Context) (string, model.Return)) row {
		return row{name, symbol, func(nv.Device) (any, nv.Return) { v, ret := r(); return v, ret }, func(x side, _ model.Device) (any, model.Return) { v, ret := s(x.client, x.ctx); return v, ret }}
	}
	return []row{
		word("driver version", "nvmlSystemGetDriverVersion", lib.SystemGetDriverVersion, cl.SystemGetDriverVersion),
		word("NVML version", "nvmlSystemGetNVMLVersion", lib.SystemGetNVMLVersion, cl.SystemGetNVMLVersion),
		{"CUDA version", "nvmlSystemGetCudaDriverVersion_v2", func(nv.Device) (any, nv.Return) { v, ret := lib.SystemGetCudaDriverVersion_v2(); return v, ret }, func(x side, _ model.Device) (any, model.Return) {
			v, ret := x.client.SystemGetCudaDriverVersion(x.ctx)
			return v, ret
		}},
		{"count", "nvmlDeviceGetCount_v2", func(nv.Device) (any, nv.Return) { v, ret := lib.DeviceGetCount(); return v, ret }, func(x side, _ model.Device) (any, model.Return) {
			v, ret := x.client.DeviceGetCount(x.ctx)
			return v, ret
		}},
		{"past the end", "nvmlDeviceGetHandleByIndex_v2", func(nv.Device) (any, nv.Return) { _, ret := lib.DeviceGetHandleByIndex(99); return nil, ret }, func(x side, _ model.Device) (any, model.Return) {
			_, ret := x.client.DeviceGetHandleByIndex(x.ctx, 99)
			return nil, ret
		}},
		{"no such UUID", "nvmlDeviceGetHandleByUUID", func(nv.Device) (any, nv.Return) { _, ret := lib.DeviceGetHandleByUUID("GPU-x"); return nil, ret }, func(x side, _ model.Device) (any, model.Return) {
			_, ret := x.client.DeviceGetHandleByUUID(x.ctx, "GPU-x")
			return nil, ret
		}},
		{"no such address", "nvmlDeviceGetHandleByPciBusId_v2", func(nv.Device) (any, nv.Return) {
			_, ret := lib.DeviceGetHandleByPciBusId("0000:ff:1f.0")
			return nil, ret
		}, func(x side, _ model.Device) (any, model.Return) {
			_, ret := x.client.DeviceGetHandleByPciBusId(x.ctx, "0000:ff:1f.0")
			return nil, ret
		}},
		{"process name", "nvmlSystemGetProcessName", func(nv.Device) (any, nv.Return) { v, ret := lib.SystemGetProcessName(4242); return v, ret }, func(x side, _ model.Device) (any, model.Return) {
			v, ret := x.client.SystemGetProcessName(x.ctx, 4242)
			return v, ret
		}},
	}
}
