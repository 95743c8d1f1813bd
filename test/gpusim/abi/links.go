package abi

import "github.com/gpulet/gpulet/test/gpusim/model"

// links are NVLink, topology, peer to peer and the fabric.
func links() map[string]Handler {
	remote := by(client.DeviceGetNvLinkRemotePciInfo)
	return map[string]Handler{
		"nvmlDeviceGetNvLinkState":            by(client.DeviceGetNvLinkState),
		"nvmlDeviceGetNvLinkVersion":          by(client.DeviceGetNvLinkVersion),
		"nvmlDeviceGetNvLinkCapability":       by2(client.DeviceGetNvLinkCapability),
		"nvmlDeviceGetNvLinkRemotePciInfo":    remote,
		"nvmlDeviceGetNvLinkRemotePciInfo_v2": remote,
		"nvmlDeviceGetNvLinkRemoteDeviceType": by(client.DeviceGetNvLinkRemoteDeviceType),
		"nvmlDeviceGetNvLinkErrorCounter":     by2(client.DeviceGetNvLinkErrorCounter),
		"nvmlDeviceResetNvLinkErrorCounters":  set(client.DeviceResetNvLinkErrorCounters),
		"nvmlDeviceGetTopologyCommonAncestor": pair(client.DeviceGetTopologyCommonAncestor),
		"nvmlDeviceGetTopologyNearestGpus": func(k *Call) ret {
			items, r := k.Client.DeviceGetTopologyNearestGpus(k.ctx, k.device(0), k.u32(1))
			return list(k, items, r, 2, 3)
		},
		"nvmlDeviceGetP2PStatus": func(k *Call) ret {
			s, r := k.Client.DeviceGetP2PStatus(k.ctx, k.device(0), k.device(1), k.u32(2))
			k.put(3, s)
			return r
		},
		"nvmlDeviceGetGpuFabricInfo":  one(client.DeviceGetGpuFabricInfo),
		"nvmlDeviceGetGpuFabricInfoV": fabric,
	}
}

func fabric(k *Call) ret {
	v := k.version(1, 0, 36, 40)
	if v == 0 {
		return k.mismatch()
	}
	f, r := k.Client.DeviceGetGpuFabricInfoV(k.ctx, k.device(0), v)
	if r != model.Success {
		return r
	}
	out := raw{}.u32(k.u32(1)).u8(f.ClusterUUID[:]...).u32(uint32(f.Status), f.CliqueID).u8(f.State).pad(3).u32(f.HealthMask)
	if v == 3 {
		out = out.u8(f.HealthSummary).pad(3)
	}
	k.put(1, out)
	return r
}

// events are event sets.
func events() map[string]Handler {
	wait := func(size int) Handler {
		return func(k *Call) ret {
			e, r := k.Client.EventSetWait(k.ctx, k.set(0), k.u32(2))
			if r == model.Success {
				k.put(1, e)
				k.cut(1, size)
			}
			return r
		}
	}
	return map[string]Handler{
		"nvmlEventSetCreate":               global(client.EventSetCreate),
		"nvmlEventSetFree":                 func(k *Call) ret { return k.Client.EventSetFree(k.ctx, k.set(0)) },
		"nvmlDeviceGetSupportedEventTypes": one(client.DeviceGetSupportedEventTypes),
		"nvmlDeviceRegisterEvents": func(k *Call) ret {
			return k.Client.DeviceRegisterEvents(k.ctx, k.device(0), k.u64(1), k.set(2))
		},
		"nvmlEventSetWait":    wait(24), // before version 2 without the instances
		"nvmlEventSetWait_v2": wait(32),
	}
}

func (k *Call) set(i int) model.EventSet { return model.EventSet(k.handle(k.u64(i))) }
