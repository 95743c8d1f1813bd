package direct

import (
	"context"
	"errors"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/test/gpusim/model"
)

// device is one GPU of a session.
type device struct {
	d *Driver
	h model.Device
}

// Condition reads what health is judged by.
func (v *device) Condition() (gpu.Condition, []gpu.Gap, error) {
	var c gpu.Condition
	g := gapList{}
	err := v.d.call("nvmlDeviceGetTotalEccErrors", func(ctx context.Context, m *model.Client) (ret model.Return) {
		c.Uncorrected, ret = m.DeviceGetTotalEccErrors(ctx, v.h, true, false)
		return ret
	})
	g.add("ECC errors", err)
	c.Unread.Uncorrected = unread(err)
	for _, part := range []func(*gpu.Condition, *gapList){v.remap, v.recovery, v.fabric} {
		if g.fatal != nil {
			return c, nil, g.fatal
		}
		part(&c, &g)
	}
	return c, g.gaps, g.fatal
}

// remap asks for rows to remap, and for pages to retire where there are none.
func (v *device) remap(c *gpu.Condition, g *gapList) {
	err := v.d.call("nvmlDeviceGetRemappedRows", func(ctx context.Context, m *model.Client) model.Return {
		r, ret := m.DeviceGetRemappedRows(ctx, v.h)
		c.RemapPending, c.RemapFailed = r.Pending, r.Failure
		return ret
	})
	if !g.optional("row remapping", err) && !unread(err) && g.fatal == nil {
		err = v.d.call("nvmlDeviceGetRetiredPagesPendingStatus", func(ctx context.Context, m *model.Client) (ret model.Return) {
			c.RemapPending, ret = m.DeviceGetRetiredPagesPendingStatus(ctx, v.h)
			return ret
		})
		g.add("row remapping and page retirement", err)
	}
	c.Unread.Remap = unread(err)
}

// recoveryField is NVML_FI_DEV_GET_GPU_RECOVERY_ACTION.
const recoveryField = 230

func (v *device) recovery(c *gpu.Condition, g *gapList) {
	var field model.FieldValue
	err := v.d.call("nvmlDeviceGetFieldValues", func(ctx context.Context, m *model.Client) model.Return {
		out, ret := m.DeviceGetFieldValues(ctx, v.h, []model.FieldValue{{FieldID: recoveryField}})
		if ret == model.Success {
			field = out[0]
		}
		return ret
	})
	if err == nil {
		err = wrap("field GPU_RECOVERY_ACTION", field.Return)
	}
	c.Unread.Recovery = unread(err)
	if g.add("recovery action", err) {
		c.Recovery = gpu.Recovery(uint32(field.Bits))
	}
}

func (v *device) fabric(c *gpu.Condition, g *gapList) {
	var f model.FabricInfo
	err := v.d.call("nvmlDeviceGetGpuFabricInfoV", func(ctx context.Context, m *model.Client) (ret model.Return) {
		f, ret = m.DeviceGetGpuFabricInfoV(ctx, v.h, 2)
		return ret
	})
	ok := g.optional("fabric state", err)
	if !ok && g.fatal == nil && errors.Is(err, gpu.ErrMissing) {
		err = v.d.call("nvmlDeviceGetGpuFabricInfo", func(ctx context.Context, m *model.Client) (ret model.Return) {
			f, ret = m.DeviceGetGpuFabricInfo(ctx, v.h)
			return ret
		})
		ok = g.optional("fabric state", err)
	}
	c.Unread.Fabric = unread(err)
	if ok {
		c.Fabric = gpu.Fabric(f.State)
	}
}

// Processes merges what the driver tells of compute, graphics and MPS clients: one entry for each process and instance.
func (v *device) Processes() ([]gpu.Holder, error) {
	var out []gpu.Holder
	for _, kind := range []struct {
		symbol string
		list   func(*model.Client, context.Context, model.Device) ([]model.ProcessInfo, model.Return)
	}{
		{"nvmlDeviceGetComputeRunningProcesses", (*model.Client).DeviceGetComputeRunningProcesses},
		{"nvmlDeviceGetGraphicsRunningProcesses", (*model.Client).DeviceGetGraphicsRunningProcesses},
		{"nvmlDeviceGetMPSComputeRunningProcesses", (*model.Client).DeviceGetMPSComputeRunningProcesses},
	} {
		var infos []model.ProcessInfo
		err := v.d.call(v.d.newest(kind.symbol), func(ctx context.Context, c *model.Client) (ret model.Return) {
			infos, ret = kind.list(c, ctx, v.h)
			return ret
		})
		if err != nil && (len(out) == 0 && kind.symbol == "nvmlDeviceGetComputeRunningProcesses" || whole(err)) {
			return nil, err
		}
		out = merge(out, infos)
	}
	return out, nil
}

func merge(out []gpu.Holder, infos []model.ProcessInfo) []gpu.Holder {
	for _, p := range infos {
		h := gpu.Holder{PID: int(p.PID), GPUInstance: p.GpuInstanceID, ComputeInstance: p.ComputeInstanceID, MemoryBytes: p.UsedGpuMemory}
		if h.MemoryBytes == model.NotAvailable {
			h.MemoryBytes = 0
		}
		known := false
		for i := range out {
			o := &out[i]
			if o.PID == h.PID && o.GPUInstance == h.GPUInstance && o.ComputeInstance == h.ComputeInstance {
				o.MemoryBytes, known = max(o.MemoryBytes, h.MemoryBytes), true
			}
		}
		if !known {
			out = append(out, h)
		}
	}
	return out
}

// linksMax is NVML_NVLINK_MAX_LINKS.
const linksMax = 36

// Links lists the NVLinks that are up.
func (v *device) Links() ([]gpu.Link, error) {
	var out []gpu.Link
	for i := range uint32(linksMax) {
		var up bool
		err := v.d.call("nvmlDeviceGetNvLinkState", func(ctx context.Context, c *model.Client) (ret model.Return) {
			up, ret = c.DeviceGetNvLinkState(ctx, v.h, i)
			return ret
		})
		if whole(err) {
			return nil, err
		}
		if err != nil {
			break // no more links, or none at all
		}
		if !up {
			continue
		}
		l := gpu.Link{}
		err = v.d.call("nvmlDeviceGetNvLinkRemotePciInfo_v2", func(ctx context.Context, c *model.Client) model.Return {
			p, ret := c.DeviceGetNvLinkRemotePciInfo(ctx, v.h, i)
			l.Remote = gpu.PCIAddress(p.Sysfs())
			return ret
		})
		if err == nil {
			_ = v.d.call("nvmlDeviceGetNvLinkRemoteDeviceType", func(ctx context.Context, c *model.Client) model.Return {
				kind, ret := c.DeviceGetNvLinkRemoteDeviceType(ctx, v.h, i)
				l.Switch = ret == model.Success && kind == 2 // NVML_NVLINK_DEVICE_TYPE_SWITCH
				return ret
			})
			out = append(out, l)
		}
		if whole(err) {
			return nil, err
		}
	}
	return out, nil //nolint:nilerr // an error is the end of the links
}

// Ancestor tells where two GPUs meet.
func (v *device) Ancestor(peer gpu.DriverGPU) (gpu.Ancestor, error) {
	other, ok := peer.(*device)
	if !ok {
		return 0, errors.New("the peer is not a GPU of this driver")
	}
	var level uint32
	err := v.d.call("nvmlDeviceGetTopologyCommonAncestor", func(ctx context.Context, c *model.Client) (ret model.Return) {
		level, ret = c.DeviceGetTopologyCommonAncestor(ctx, v.h, other.h)
		return ret
	})
	return gpu.Ancestor(level), err
}
