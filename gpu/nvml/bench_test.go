package nvml

import (
	"testing"
	"time"

	nv "github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock"

	"github.com/gpulet/gpulet/gpu"
)

// BenchmarkRead is the cost of one reading of a GPU with seven instances without the driver's part.
func BenchmarkRead(b *testing.B) {
	now := time.Unix(1_800_000_000, 0)
	d := New(Options{Now: func() time.Time { return now }})
	d.bound = true
	h := &mock.Device{
		GetUUIDFunc:    func() (string, nv.Return) { return "GPU-x", nv.SUCCESS },
		GetMigModeFunc: func() (int, int, nv.Return) { return 1, 1, nv.SUCCESS },
		GetFieldValuesFunc: func(v []nv.FieldValue) nv.Return {
			for i := range v {
				v[i].ValueType = uint32(nv.VALUE_TYPE_UNSIGNED_LONG_LONG)
			}
			return nv.SUCCESS
		},
		GetMemoryInfo_v2Func: func() (nv.Memory_v2, nv.Return) {
			return nv.Memory_v2{Total: 1 << 33, Used: 1 << 30, Free: 7 << 30, Reserved: 1 << 20}, nv.SUCCESS
		},
		GetClockInfoFunc:          func(nv.ClockType) (uint32, nv.Return) { return 1980, nv.SUCCESS },
		GetArchitectureFunc:       func() (nv.DeviceArchitecture, nv.Return) { return nv.DEVICE_ARCH_HOPPER, nv.SUCCESS },
		GpmQueryDeviceSupportFunc: func() (nv.GpmSupport, nv.Return) { return nv.GpmSupport{IsSupportedDevice: 1}, nv.SUCCESS },
		GpmSampleGetFunc:          func(nv.GpmSample) nv.Return { return nv.SUCCESS },
		GpmMigSampleGetFunc:       func(int, nv.GpmSample) nv.Return { return nv.SUCCESS },
	}
	d.lib = &mock.Interface{
		DeviceGetHandleByUUIDFunc: func(string) (nv.Device, nv.Return) { return h, nv.SUCCESS },
		GpmSampleAllocFunc:        func() (nv.GpmSample, nv.Return) { return &mock.GpmSample{}, nv.SUCCESS },
		GpmMetricsGetFunc:         func(*nv.GpmMetricsGetType) nv.Return { return nv.SUCCESS },
	}
	for _, s := range []string{
		"nvmlDeviceGetUUID", "nvmlDeviceGetMigMode", "nvmlDeviceGetFieldValues", "nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetClockInfo",
		"nvmlDeviceGetArchitecture", "nvmlGpmQueryDeviceSupport", "nvmlGpmSampleGet", "nvmlGpmMigSampleGet", "nvmlDeviceGetHandleByUUID",
		"nvmlGpmSampleAlloc", "nvmlGpmMetricsGet", "nvmlGpmSampleFree",
	} {
		d.symbols[s] = true
	}
	v := &device{d: d, h: h}
	ask := gpu.Ask{
		Whole:    []gpu.Field{100, 155, 156, 157, 203, 204, 449, 1009, 1010, 240, 241, 393, 394, 395, 1420, 1422, 1523},
		Instance: []gpu.Field{250, 251, 252, 253, 1001, 1002, 1004, 1005},
	}
	for i := range uint32(7) {
		ask.Instances = append(ask.Instances, gpu.InstanceRef{ID: 7 + i, MIG: gpu.UUID("MIG-" + itoa(int(i)))})
	}
	tel := v.Telemetry()
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Second)
		if got, err := tel.Read(ask); err != nil || len(got) != len(ask.Whole)+7*len(ask.Instance) {
			b.Fatal(len(got), err)
		}
	}
}
