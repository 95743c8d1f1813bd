package abi

import (
	"encoding/binary"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

// raw builds a C structure: members in order, with the padding written out.
type raw []byte

func (r raw) u32(values ...uint32) raw {
	for _, v := range values {
		r = binary.LittleEndian.AppendUint32(r, v)
	}
	return r
}

func (r raw) u64(values ...uint64) raw {
	for _, v := range values {
		r = binary.LittleEndian.AppendUint64(r, v)
	}
	return r
}

func (r raw) u8(values ...uint8) raw { return append(r, values...) }

// text is a char array of that size, ended by 0.
func (r raw) text(s string, size int) raw {
	b := make([]byte, size)
	copy(b[:size-1], s)
	return append(r, b...)
}

func (r raw) pad(n int) raw { return append(r, make([]byte, n)...) }

func bit(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// layout gives a value the form that nvml.h has for it. Versioned structures are laid out where their version is known.
func (k *Call) layout(v any) []byte {
	switch v := v.(type) {
	case raw:
		return v
	case uint32:
		return raw{}.u32(v)
	case uint64:
		return raw{}.u64(v)
	case model.Device:
		return raw{}.u64(k.address(uint64(v)))
	case model.GPUInstance:
		return raw{}.u64(k.address(uint64(v)))
	case model.ComputeInstance:
		return raw{}.u64(k.address(uint64(v)))
	case model.EventSet:
		return raw{}.u64(k.address(uint64(v)))
	case model.GpmSample:
		return raw{}.u64(k.address(uint64(v)))
	case model.Placement:
		return raw{}.u32(v.Start, v.Size)
	case model.PciInfo:
		return raw{}.text(v.BusIDLegacy, 16).u32(v.Domain, v.Bus, v.Device, v.PciDeviceID, v.PciSubSystemID).text(v.BusID, 32)
	case model.Utilization:
		return raw{}.u32(v.GPU, v.Memory)
	case model.Bar1Info:
		return raw{}.u64(v.Total, v.Free, v.Used)
	case model.MemoryInfo:
		return raw{}.u64(v.Total, v.Free, v.Used)
	case model.DeviceAttributes:
		return raw{}.u32(v.MultiprocessorCount, v.SharedCopyEngineCount, v.SharedDecoderCount, v.SharedEncoderCount, v.SharedJpegCount, v.SharedOfaCount,
			v.GpuInstanceSliceCount, v.ComputeInstanceSliceCount).u64(v.MemorySizeMB)
	case model.GpuInstanceInfo:
		return raw{}.u64(k.address(uint64(v.Device))).u32(v.ID, v.ProfileID, v.Placement.Start, v.Placement.Size)
	case model.ComputeInstanceInfo:
		return raw{}.u64(k.address(uint64(v.Device)), k.address(uint64(v.GpuInstance))).u32(v.ID, v.ProfileID, v.Placement.Start, v.Placement.Size)
	case model.GpuInstanceProfileInfo:
		return raw{}.u32(v.ID, v.IsP2pSupported, v.SliceCount, v.InstanceCount, v.MultiprocessorCount, v.CopyEngineCount, v.DecoderCount, v.EncoderCount, v.JpegCount, v.OfaCount).u64(v.MemorySizeMB)
	case model.ComputeInstanceProfileInfo:
		return computeProfile(raw{}, v)
	case model.EventData:
		return raw{}.u64(k.address(uint64(v.Device)), v.EventType, v.EventData).u32(v.GpuInstanceID, v.ComputeInstanceID)
	}
	if b := telemetry(v); b != nil {
		return b
	}
	k.bad = true
	return nil
}

func computeProfile(r raw, v model.ComputeInstanceProfileInfo) raw {
	return r.u32(v.ID, v.SliceCount, v.InstanceCount, v.MultiprocessorCount, v.SharedCopyEngineCount, v.SharedDecoderCount, v.SharedEncoderCount, v.SharedJpegCount, v.SharedOfaCount)
}

// telemetry lays out what is measured; nil for what it does not know.
func telemetry(v any) raw {
	switch v := v.(type) {
	case model.ProcessInfo:
		return raw{}.u32(v.PID, 0).u64(v.UsedGpuMemory).u32(v.GpuInstanceID, v.ComputeInstanceID)
	case model.ProcessUtilization:
		return raw{}.u32(v.PID, 0).u64(v.TimeStamp).u32(v.SmUtil, v.MemUtil, v.EncUtil, v.DecUtil)
	case model.AccountingStats:
		return raw{}.u32(v.GpuUtilization, v.MemoryUtilization).u64(v.MaxMemoryUsage, v.Time, v.StartTime).u32(bit(v.IsRunning)).pad(20)
	case model.Sample:
		return raw{}.u64(v.TimeStamp).u32(v.Value, 0)
	case model.FieldValue:
		return raw{}.u32(v.FieldID, v.ScopeID).u64(uint64(v.Timestamp), uint64(v.LatencyUsec)).u32(uint32(v.ValueType), uint32(v.Return)).u64(v.Bits)
	case model.RowRemapperHistogram:
		return raw{}.u32(v.Max, v.High, v.Partial, v.Low, v.None)
	case model.EccCounts:
		return raw{}.u64(v.L1Cache, v.L2Cache, v.DeviceMemory, v.RegisterFile)
	case model.FabricInfo: // version 1
		return raw{}.u8(v.ClusterUUID[:]...).u32(uint32(v.Status), v.CliqueID).u8(v.State).pad(3)
	case model.ViolationTime:
		return raw{}.u64(v.ReferenceTime, v.ViolationTime)
	case model.ConfComputeSettings: // nvmlConfComputeSystemState_t
		return raw{}.u32(v.Environment, v.CcFeature, v.DevToolsMode)
	case []model.ThermalSensor:
		r := raw{}.u32(uint32(len(v)))
		for i := range 3 {
			var s model.ThermalSensor
			if i < len(v) {
				s = v[i]
			}
			r = r.u32(uint32(s.Controller), uint32(s.DefaultMinTemp), uint32(s.DefaultMaxTemp), uint32(s.CurrentTemp), uint32(s.Target))
		}
		return r
	}
	return nil
}
