package direct

import (
	"context"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/test/gpusim/model"
)

// events is an event set of one GPU.
type events struct {
	d   *Driver
	set model.EventSet
}

// Watch registers what the GPU can report of XIDs, memory errors and MIG changes.
func (v *device) Watch() (gpu.EventSource, error) {
	var types uint64
	err := v.d.call("nvmlDeviceGetSupportedEventTypes", func(ctx context.Context, c *model.Client) (ret model.Return) {
		types, ret = c.DeviceGetSupportedEventTypes(ctx, v.h)
		return ret
	})
	if err != nil {
		return nil, err
	}
	types &= model.EventXidCritical | model.EventDoubleBitEcc | model.EventMigConfigChange | model.EventDramRetirement |
		model.EventDramRetireFailed | model.EventFatalPoison | model.EventGpuUnavailable | model.EventRecoveryAction
	e := &events{d: v.d}
	err = v.d.call("nvmlEventSetCreate", func(ctx context.Context, c *model.Client) (ret model.Return) {
		e.set, ret = c.EventSetCreate(ctx)
		return ret
	})
	if err != nil {
		return nil, err
	}
	err = v.d.call("nvmlDeviceRegisterEvents", func(ctx context.Context, c *model.Client) model.Return {
		return c.DeviceRegisterEvents(ctx, v.h, types, e.set)
	})
	if err != nil {
		_ = e.Close()
		return nil, err
	}
	return e, nil
}

// Wait gives the next event.
func (e *events) Wait(timeout time.Duration) (gpu.Event, error) {
	var data model.EventData
	err := e.d.call("nvmlEventSetWait_v2", func(ctx context.Context, c *model.Client) (ret model.Return) {
		data, ret = c.EventSetWait(ctx, e.set, uint32(timeout.Milliseconds()))
		return ret
	})
	if err != nil {
		return gpu.Event{}, err
	}
	out := gpu.Event{GPUInstance: data.GpuInstanceID, ComputeInstance: data.ComputeInstanceID}
	switch {
	case data.EventType&model.EventXidCritical != 0:
		out.Kind, out.XID = gpu.EventXID, data.EventData
	case data.EventType&model.EventMigConfigChange != 0:
		out.Kind = gpu.EventMIGChange
	}
	return out, nil
}

// Close frees the set.
func (e *events) Close() error {
	return e.d.call("nvmlEventSetFree", func(ctx context.Context, c *model.Client) model.Return { return c.EventSetFree(ctx, e.set) })
}
