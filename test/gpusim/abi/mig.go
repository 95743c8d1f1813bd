package abi

import "github.com/gpulet/gpulet/test/gpusim/model"

// Sizes of the versioned profile structures, by version.
const (
	giProfileV2 = 152
	giProfileV3 = 152
	ciProfileV2 = 136
	ciProfileV3 = 140
)

// migration is MIG mode and MIG devices.
func migration() map[string]Handler {
	return map[string]Handler{
		"nvmlDeviceGetMigMode":                         two(client.DeviceGetMigMode),
		"nvmlDeviceGetMaxMigDeviceCount":               one(client.DeviceGetMaxMigDeviceCount),
		"nvmlDeviceIsMigDeviceHandle":                  one(client.DeviceIsMigDeviceHandle),
		"nvmlDeviceGetMigDeviceHandleByIndex":          by(client.DeviceGetMigDeviceHandleByIndex),
		"nvmlDeviceGetDeviceHandleFromMigDeviceHandle": one(client.DeviceGetDeviceHandleFromMigDeviceHandle),
		"nvmlDeviceGetGpuInstanceId":                   one(client.DeviceGetGpuInstanceId),
		"nvmlDeviceGetComputeInstanceId":               one(client.DeviceGetComputeInstanceId),
		"nvmlDeviceGetAttributes":                      one(client.DeviceGetAttributes),
		"nvmlDeviceGetAttributes_v2":                   one(client.DeviceGetAttributes),
		"nvmlDeviceSetMigMode": func(k *Call) ret {
			activation, r := k.Client.DeviceSetMigMode(k.ctx, k.device(0), k.u32(1))
			k.put(2, activation)
			return r
		},
	}
}

// mig are GPU instances.
func mig() map[string]Handler {
	placements := func(k *Call) ret {
		items, r := k.Client.DeviceGetGpuInstancePossiblePlacements(k.ctx, k.device(0), k.u32(1))
		return fill(k, items, r, 3, 2)
	}
	return map[string]Handler{
		"nvmlDeviceGetGpuInstanceProfileInfo":           by(client.DeviceGetGpuInstanceProfileInfo),
		"nvmlDeviceGetGpuInstanceProfileInfoV":          giProfile(client.DeviceGetGpuInstanceProfileInfoV),
		"nvmlDeviceGetGpuInstanceProfileInfoByIdV":      giProfile(client.DeviceGetGpuInstanceProfileInfoByIdV),
		"nvmlDeviceGetGpuInstancePossiblePlacements":    placements,
		"nvmlDeviceGetGpuInstancePossiblePlacements_v2": placements,
		"nvmlDeviceGetGpuInstanceRemainingCapacity":     by(client.DeviceGetGpuInstanceRemainingCapacity),
		"nvmlDeviceCreateGpuInstance":                   by(client.DeviceCreateGpuInstance),
		"nvmlDeviceCreateGpuInstanceWithPlacement": func(k *Call) ret {
			gi, r := k.Client.DeviceCreateGpuInstanceWithPlacement(k.ctx, k.device(0), k.u32(1), k.placement(2))
			if r == model.Success {
				k.put(3, gi)
			}
			return r
		},
		"nvmlDeviceGetGpuInstances": func(k *Call) ret {
			items, r := k.Client.DeviceGetGpuInstances(k.ctx, k.device(0), k.u32(1))
			return fill(k, items, r, 3, 2)
		},
		"nvmlDeviceGetGpuInstanceById": by(client.DeviceGetGpuInstanceById),
		"nvmlGpuInstanceGetInfo": func(k *Call) ret {
			info, r := k.Client.GpuInstanceGetInfo(k.ctx, k.gi(0))
			if r == model.Success {
				k.put(1, info)
			}
			return r
		},
		"nvmlGpuInstanceDestroy": func(k *Call) ret { return k.Client.GpuInstanceDestroy(k.ctx, k.gi(0)) },
	}
}

func (k *Call) placement(i int) model.Placement {
	p := k.in(i, 8)
	return model.Placement{Start: le32(p), Size: le32(p[4:])}
}

// giProfile answers with version 2, which has a name, or 3, which has capabilities instead of P2P.
func giProfile(f func(client, ctxt, dev, uint32, int) (model.GpuInstanceProfileInfo, ret)) Handler {
	return func(k *Call) ret {
		v := k.version(2, 0, giProfileV2, giProfileV3)
		if v == 0 {
			return k.mismatch()
		}
		p, r := f(k.Client, k.ctx, k.device(0), k.u32(1), v)
		if r != model.Success {
			return r
		}
		out := raw{}.u32(k.u32(2), p.ID)
		if v == 2 {
			out = out.u32(p.IsP2pSupported)
		}
		out = out.u32(p.SliceCount, p.InstanceCount, p.MultiprocessorCount, p.CopyEngineCount, p.DecoderCount, p.EncoderCount, p.JpegCount, p.OfaCount)
		if v == 2 {
			out = out.pad(4)
		}
		out = out.u64(p.MemorySizeMB).text(p.Name, 96)
		if v == 3 {
			out = out.u32(p.Capabilities).pad(4)
		}
		k.put(2, out)
		return r
	}
}

// compute are compute instances.
func compute() map[string]Handler {
	made := func(k *Call, ci model.ComputeInstance, r ret, i int) ret {
		if r == model.Success {
			k.put(i, ci)
		}
		return r
	}
	info := func(size int) Handler {
		return func(k *Call) ret {
			v, r := k.Client.ComputeInstanceGetInfo(k.ctx, k.ci(0))
			if r == model.Success {
				k.put(1, v)
				k.cut(1, size)
			}
			return r
		}
	}
	return map[string]Handler{
		"nvmlGpuInstanceGetComputeInstanceProfileInfo": func(k *Call) ret {
			p, r := k.Client.GpuInstanceGetComputeInstanceProfileInfo(k.ctx, k.gi(0), k.u32(1), k.u32(2))
			if r == model.Success {
				k.put(3, p)
			}
			return r
		},
		"nvmlGpuInstanceGetComputeInstanceProfileInfoV": ciProfile,
		"nvmlGpuInstanceGetComputeInstanceRemainingCapacity": func(k *Call) ret {
			n, r := k.Client.GpuInstanceGetComputeInstanceRemainingCapacity(k.ctx, k.gi(0), k.u32(1))
			if r == model.Success {
				k.put(2, n)
			}
			return r
		},
		"nvmlGpuInstanceGetComputeInstancePossiblePlacements": func(k *Call) ret {
			items, r := k.Client.GpuInstanceGetComputeInstancePossiblePlacements(k.ctx, k.gi(0), k.u32(1))
			return fill(k, items, r, 3, 2)
		},
		"nvmlGpuInstanceCreateComputeInstance": func(k *Call) ret {
			ci, r := k.Client.GpuInstanceCreateComputeInstance(k.ctx, k.gi(0), k.u32(1))
			return made(k, ci, r, 2)
		},
		"nvmlGpuInstanceCreateComputeInstanceWithPlacement": func(k *Call) ret {
			ci, r := k.Client.GpuInstanceCreateComputeInstanceWithPlacement(k.ctx, k.gi(0), k.u32(1), k.placement(2))
			return made(k, ci, r, 3)
		},
		"nvmlGpuInstanceGetComputeInstances": func(k *Call) ret {
			items, r := k.Client.GpuInstanceGetComputeInstances(k.ctx, k.gi(0), k.u32(1))
			return fill(k, items, r, 3, 2)
		},
		"nvmlGpuInstanceGetComputeInstanceById": func(k *Call) ret {
			ci, r := k.Client.GpuInstanceGetComputeInstanceById(k.ctx, k.gi(0), k.u32(1))
			return made(k, ci, r, 2)
		},
		"nvmlComputeInstanceGetInfo":    info(24), // before version 2 without the placement
		"nvmlComputeInstanceGetInfo_v2": info(32),
		"nvmlComputeInstanceDestroy":    func(k *Call) ret { return k.Client.ComputeInstanceDestroy(k.ctx, k.ci(0)) },
	}
}

func ciProfile(k *Call) ret {
	v := k.version(3, 0, ciProfileV2, ciProfileV3)
	if v == 0 {
		return k.mismatch()
	}
	p, r := k.Client.GpuInstanceGetComputeInstanceProfileInfoV(k.ctx, k.gi(0), k.u32(1), k.u32(2), v)
	if r != model.Success {
		return r
	}
	out := computeProfile(raw{}.u32(k.u32(3)), p).text(p.Name, 96)
	if v == 3 {
		out = out.u32(p.Capabilities)
	}
	k.put(3, out)
	return r
}
