package nvml

import (
	"time"

	nv "github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/gpulet/gpulet/gpu"
)

// migConfigChange is nvmlEventMigConfigChange, which go-nvml has no name for.
const migConfigChange = 0x100

// events is an event set of one GPU: a lost or hung GPU spoils the set that it is in, so each has its own.
type events struct {
	d   *Driver
	set nv.EventSet
}

// Watch registers what the GPU can report of XIDs, memory errors and MIG changes.
func (v *device) Watch() (gpu.EventSource, error) {
	d := v.d
	for _, s := range []string{"nvmlEventSetFree", "nvmlEventSetWait_v2", "nvmlDeviceRegisterEvents"} {
		if !d.has(s) {
			return nil, &gpu.DriverError{Call: s, Text: d.lacks(s), Kind: gpu.ErrMissing}
		}
	}
	var types uint64
	err := d.call("nvmlDeviceGetSupportedEventTypes", func() (ret nv.Return) { types, ret = v.h.GetSupportedEventTypes(); return ret })
	if err != nil {
		return nil, err
	}
	types &= nv.EventTypeXidCriticalError | nv.EventTypeDoubleBitEccError | migConfigChange |
		nv.EventTypeDramRetirementEvent | nv.EventTypeDramRetirementFailure | nv.EventTypeFatalPoisonError |
		nv.EventTypeGpuUnavailableError | nv.EventTypeGpuRecoveryAction
	e := &events{d: d}
	if err := d.call("nvmlEventSetCreate", func() (ret nv.Return) { e.set, ret = d.lib.EventSetCreate(); return ret }); err != nil {
		return nil, err
	}
	err = wrap("nvmlDeviceRegisterEvents", v.h.RegisterEvents(types, e.set))
	if err != nil {
		_ = e.Close()
		return nil, err
	}
	return e, nil
}

// Wait gives the next event.
func (e *events) Wait(timeout time.Duration) (gpu.Event, error) {
	data, ret := e.set.Wait(uint32(timeout.Milliseconds()))
	if ret != nv.SUCCESS {
		return gpu.Event{}, wrap("nvmlEventSetWait_v2", ret)
	}
	out := gpu.Event{GPUInstance: data.GpuInstanceId, ComputeInstance: data.ComputeInstanceId}
	switch {
	case data.EventType&nv.EventTypeXidCriticalError != 0:
		out.Kind, out.XID = gpu.EventXID, data.EventData
	case data.EventType&migConfigChange != 0:
		out.Kind = gpu.EventMIGChange
	}
	return out, nil
}

// Close frees the set.
func (e *events) Close() error { return wrap("nvmlEventSetFree", e.set.Free()) }
