package abi

import (
	"maps"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

// Table gives the handlers by C function.
func Table() map[string]Handler {
	t := map[string]Handler{}
	for _, part := range []map[string]Handler{system(), identity(), processes(), migration(), mig(), compute(), measures(), memory(), clocks(), links(), events(), gpm()} {
		maps.Copy(t, part)
	}
	return t
}

// system are the session and what belongs to no GPU.
func system() map[string]Handler {
	start := func(k *Call) ret { return k.Client.InitWithFlags(k.ctx, 0) }
	word := func(f func(client, ctxt) (string, ret)) Handler {
		return func(k *Call) ret {
			s, r := f(k.Client, k.ctx)
			if r != model.Success {
				return r
			}
			return k.putText(0, s)
		}
	}
	return map[string]Handler{
		"nvmlInit": start, "nvmlInit_v2": start,
		"nvmlInitWithFlags":                 func(k *Call) ret { return k.Client.InitWithFlags(k.ctx, k.u32(0)) },
		"nvmlShutdown":                      func(k *Call) ret { return k.Client.Shutdown(k.ctx) },
		"nvmlSystemGetDriverVersion":        word(client.SystemGetDriverVersion),
		"nvmlSystemGetNVMLVersion":          word(client.SystemGetNVMLVersion),
		"nvmlSystemGetCudaDriverVersion":    global(client.SystemGetCudaDriverVersion),
		"nvmlSystemGetCudaDriverVersion_v2": global(client.SystemGetCudaDriverVersion),
		"nvmlDeviceGetCount":                global(client.DeviceGetCount),
		"nvmlDeviceGetCount_v2":             global(client.DeviceGetCount),
		"nvmlSystemGetConfComputeState":     global(client.SystemGetConfComputeState),
		"nvmlSystemGetConfComputeCapabilities": func(k *Call) ret {
			cpu, gpus, r := k.Client.SystemGetConfComputeCapabilities(k.ctx)
			k.put(0, raw{}.u32(cpu, gpus))
			return r
		},
		"nvmlSystemGetConfComputeSettings": func(k *Call) ret {
			if k.version(0, 20) == 0 {
				return k.mismatch()
			}
			s, r := k.Client.SystemGetConfComputeSettings(k.ctx)
			k.put(0, raw{}.u32(k.u32(0), s.Environment, s.CcFeature, s.DevToolsMode, s.MultiGpuMode))
			return r
		},
		"nvmlSystemGetDriverBranch": func(k *Call) ret {
			if k.version(0, 84) == 0 {
				return k.mismatch()
			}
			s, r := k.Client.SystemGetDriverBranch(k.ctx)
			if r == model.Success && len(s) >= int(k.u32(1)) {
				return model.InsufficientSize
			}
			k.put(0, raw{}.u32(k.u32(0)).text(s, 80))
			return r
		},
		"nvmlSystemGetProcessName": func(k *Call) ret {
			s, r := k.Client.SystemGetProcessName(k.ctx, k.u32(0))
			if r != model.Success {
				return r
			}
			return k.putText(1, s)
		},
		"nvmlSystemGetTopologyGpuSet": func(k *Call) ret {
			items, r := k.Client.SystemGetTopologyGpuSet(k.ctx, k.u32(0))
			return list(k, items, r, 1, 2)
		},
		"nvmlSystemGetHicVersion": func(k *Call) ret {
			_, r := k.Client.SystemGetDriverVersion(k.ctx)
			return list(k, []raw{}, r, 0, 1)
		},
		"nvmlGetExcludedDeviceCount": func(k *Call) ret {
			_, r := k.Client.SystemGetDriverVersion(k.ctx)
			k.put(0, uint32(0))
			return r
		},
	}
}

// identity is what a device is.
func identity() map[string]Handler {
	index := func(k *Call) ret {
		d, r := k.Client.DeviceGetHandleByIndex(k.ctx, k.u32(0))
		if r == model.Success {
			k.put(1, d)
		}
		return r
	}
	pci := func(size int) Handler {
		return func(k *Call) ret {
			p, r := k.Client.DeviceGetPciInfo(k.ctx, k.device(0))
			if r == model.Success {
				k.put(1, p)
				k.cut(1, size)
			}
			return r
		}
	}
	return map[string]Handler{
		"nvmlDeviceGetHandleByIndex": index, "nvmlDeviceGetHandleByIndex_v2": index,
		"nvmlDeviceGetHandleByUUID":        find(client.DeviceGetHandleByUUID),
		"nvmlDeviceGetHandleByUUIDV":       byUUID,
		"nvmlDeviceGetHandleBySerial":      find(client.DeviceGetHandleBySerial),
		"nvmlDeviceGetHandleByPciBusId":    find(client.DeviceGetHandleByPciBusId),
		"nvmlDeviceGetHandleByPciBusId_v2": find(client.DeviceGetHandleByPciBusId),
		"nvmlDeviceGetName":                text(client.DeviceGetName),
		"nvmlDeviceGetUUID":                text(client.DeviceGetUUID),
		"nvmlDeviceGetSerial":              text(client.DeviceGetSerial),
		"nvmlDeviceGetBoardPartNumber":     text(client.DeviceGetBoardPartNumber),
		"nvmlDeviceGetVbiosVersion":        text(client.DeviceGetVbiosVersion),
		"nvmlDeviceGetInforomImageVersion": text(client.DeviceGetInforomImageVersion),
		"nvmlDeviceGetGspFirmwareVersion":  text(client.DeviceGetGspFirmwareVersion),
		"nvmlDeviceGetInforomVersion": func(k *Call) ret {
			s, r := k.Client.DeviceGetInforomVersion(k.ctx, k.device(0), k.u32(1))
			if r != model.Success {
				return r
			}
			return k.putText(2, s)
		},
		"nvmlDeviceGetGspFirmwareMode": two(client.DeviceGetGspFirmwareMode),
		"nvmlDeviceGetIndex":           one(client.DeviceGetIndex),
		"nvmlDeviceGetBrand":           one(client.DeviceGetBrand),
		"nvmlDeviceGetArchitecture":    one(client.DeviceGetArchitecture),
		"nvmlDeviceGetMinorNumber":     one(client.DeviceGetMinorNumber),
		"nvmlDeviceGetModuleId":        one(client.DeviceGetModuleId),
		"nvmlDeviceGetBoardId":         one(client.DeviceGetBoardId),
		"nvmlDeviceGetMultiGpuBoard":   one(client.DeviceGetMultiGpuBoard),
		"nvmlDeviceOnSameBoard":        pair(client.DeviceOnSameBoard),
		"nvmlDeviceGetPciInfo":         pci(36), // the old structures had no wide bus id
		"nvmlDeviceGetPciInfo_v2":      pci(36),
		"nvmlDeviceGetPciInfo_v3":      pci(68),
		"nvmlDeviceGetPciInfoExt": versioned(64, client.DeviceGetPciInfo, func(p model.PciInfo) raw {
			return raw{}.u32(p.Domain, p.Bus, p.Device, p.PciDeviceID, p.PciSubSystemID, p.BaseClass, p.SubClass).text(p.BusID, 32)
		}),
		"nvmlDeviceGetCudaComputeCapability": two(client.DeviceGetCudaComputeCapability),
		"nvmlDeviceGetNumGpuCores":           one(client.DeviceGetNumGpuCores),
		"nvmlDeviceGetMemoryBusWidth":        one(client.DeviceGetMemoryBusWidth),
		"nvmlDeviceGetBusType":               one(client.DeviceGetBusType),
		"nvmlDeviceGetIrqNum":                one(client.DeviceGetIrqNum),
		"nvmlDeviceGetDisplayMode":           one(client.DeviceGetDisplayMode),
		"nvmlDeviceGetDisplayActive":         one(client.DeviceGetDisplayActive),
		"nvmlDeviceGetVirtualizationMode":    one(client.DeviceGetVirtualizationMode),
		"nvmlDeviceGetNumaNodeId":            one(client.DeviceGetNumaNodeId),
		"nvmlDeviceGetC2cModeInfoV": func(k *Call) ret {
			on, r := k.Client.DeviceGetC2cModeInfoV(k.ctx, k.device(0))
			k.put(1, on)
			return r
		},
		"nvmlDeviceGetCapabilities": versioned(8, client.DeviceGetCapabilities, func(m uint32) raw { return raw{}.u32(m) }),
		"nvmlDeviceGetPlatformInfo": platform,
	}
}

// byUUID takes text (type 1) or 16 bytes (type 2).
func byUUID(k *Call) ret {
	const size = 52 // version, type, a union of 41 characters and 16 bytes
	if k.version(0, size) == 0 {
		return k.mismatch()
	}
	if b := k.in(0, size); b[4] == 1 {
		d, r := k.Client.DeviceGetHandleByUUID(k.ctx, cstring(b[8:]))
		if r == model.Success {
			k.put(1, d)
		}
		return r
	}
	return model.NotSupported
}

func platform(k *Call) ret {
	v := k.version(1, 44, 44)
	if v == 0 {
		return k.mismatch()
	}
	p, r := k.Client.DeviceGetPlatformInfo(k.ctx, k.device(0))
	if r == model.Success {
		k.put(1, raw{}.u32(k.u32(1)).u8(p.IbGUID[:]...).u8(p.ChassisSerialNumber[:]...).u8(p.SlotNumber, p.TrayIndex, p.HostID, p.PeerType, p.ModuleID).pad(3))
	}
	return r
}
