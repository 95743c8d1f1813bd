package abi

import "github.com/gpulet/gpulet/test/gpusim/model"

// processes are the lists of processes and what is accounted of them.
func processes() map[string]Handler {
	t := map[string]Handler{
		"nvmlDeviceGetRunningProcessDetailList": details,
		"nvmlDeviceGetProcessUtilization": func(k *Call) ret {
			items, r := k.Client.DeviceGetProcessUtilization(k.ctx, k.device(0), k.u64(3))
			return list(k, items, r, 2, 1)
		},
		"nvmlDeviceGetProcessesUtilizationInfo": utilizations,
		"nvmlDeviceGetAccountingMode":           one(client.DeviceGetAccountingMode),
		"nvmlDeviceSetAccountingMode":           flag(client.DeviceSetAccountingMode),
		"nvmlDeviceGetAccountingStats":          by(client.DeviceGetAccountingStats),
		"nvmlDeviceGetAccountingBufferSize":     one(client.DeviceGetAccountingBufferSize),
		"nvmlDeviceGetAccountingPids":           listOf(client.DeviceGetAccountingPids),
		"nvmlDeviceClearAccountingPids":         func(k *Call) ret { return k.Client.DeviceClearAccountingPids(k.ctx, k.device(0)) },
	}
	for name, f := range map[string]func(client, ctxt, dev) ([]model.ProcessInfo, ret){
		"nvmlDeviceGetComputeRunningProcesses": client.DeviceGetComputeRunningProcesses, "nvmlDeviceGetGraphicsRunningProcesses": client.DeviceGetGraphicsRunningProcesses,
		"nvmlDeviceGetMPSComputeRunningProcesses": client.DeviceGetMPSComputeRunningProcesses,
	} {
		t[name], t[name+"_v2"], t[name+"_v3"] = oldProcesses(f), listOf(f), listOf(f)
	}
	return t
}

// oldProcesses is version 1: without instances.
func oldProcesses(f func(client, ctxt, dev) ([]model.ProcessInfo, ret)) Handler {
	return func(k *Call) ret {
		items, r := f(k.Client, k.ctx, k.device(0))
		var out []raw
		for _, p := range items {
			out = append(out, raw{}.u32(p.PID, 0).u64(p.UsedGpuMemory))
		}
		return list(k, out, r, 1, 2)
	}
}

// details: the structure (argument 1) says the mode and the room of the array, which the library passes as argument 2.
func details(k *Call) ret {
	if k.version(1, 24) == 0 {
		return k.mismatch()
	}
	in := raw(k.in(1, 24))
	items, r := k.Client.DeviceGetRunningProcessDetailList(k.ctx, k.device(0), le32(in[4:]))
	var out []raw
	for _, p := range items {
		out = append(out, raw{}.u32(p.PID, 0).u64(p.UsedGpuMemory).u32(p.GpuInstanceID, p.ComputeInstanceID).u64(p.UsedCcProtectedMemory))
	}
	return k.nested(in, 8, out, r)
}

func utilizations(k *Call) ret {
	if k.version(1, 24) == 0 {
		return k.mismatch()
	}
	in := raw(k.in(1, 24))
	since := uint64(le32(in[8:])) | uint64(le32(in[12:]))<<32
	items, r := k.Client.DeviceGetProcessesUtilizationInfo(k.ctx, k.device(0), since)
	var out []raw
	for _, p := range items {
		out = append(out, raw{}.u64(p.TimeStamp).u32(p.PID, p.SmUtil, p.MemUtil, p.EncUtil, p.DecUtil, p.JpgUtil, p.OfaUtil, 0))
	}
	return k.nested(in, 4, out, r)
}

// nested is list for an array that a structure points at, with its count at that offset.
func (k *Call) nested(in raw, offset int, items []raw, r ret) ret {
	if r != model.Success {
		return r
	}
	room := int(le32(in[offset:]))
	out := append(append(append(raw{}, in[:offset]...), raw{}.u32(uint32(len(items)))...), in[offset+4:]...)
	k.arg(1).Out = out
	if room < len(items) {
		return model.InsufficientSize
	}
	return write(k, items, 2)
}

func le32(b []byte) uint32 {
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}
