package model_test

import (
	"testing"

	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

// TestNumbers compares our constants with go-nvml's.
func TestNumbers(t *testing.T) {
	for ours, theirs := range map[model.Return]nvml.Return{
		model.Success: nvml.SUCCESS, model.Uninitialized: nvml.ERROR_UNINITIALIZED, model.InvalidArgument: nvml.ERROR_INVALID_ARGUMENT,
		model.NotSupported: nvml.ERROR_NOT_SUPPORTED, model.NoPermission: nvml.ERROR_NO_PERMISSION, model.AlreadyInitialized: nvml.ERROR_ALREADY_INITIALIZED,
		model.NotFound: nvml.ERROR_NOT_FOUND, model.InsufficientSize: nvml.ERROR_INSUFFICIENT_SIZE, model.InsufficientPower: nvml.ERROR_INSUFFICIENT_POWER,
		model.DriverNotLoaded: nvml.ERROR_DRIVER_NOT_LOADED, model.Timeout: nvml.ERROR_TIMEOUT, model.IRQIssue: nvml.ERROR_IRQ_ISSUE,
		model.LibraryNotFound: nvml.ERROR_LIBRARY_NOT_FOUND, model.FunctionNotFound: nvml.ERROR_FUNCTION_NOT_FOUND, model.CorruptedInfoROM: nvml.ERROR_CORRUPTED_INFOROM,
		model.GPUIsLost: nvml.ERROR_GPU_IS_LOST, model.ResetRequired: nvml.ERROR_RESET_REQUIRED, model.OperatingSystem: nvml.ERROR_OPERATING_SYSTEM,
		model.LibRMVersionMismatch: nvml.ERROR_LIB_RM_VERSION_MISMATCH, model.InUse: nvml.ERROR_IN_USE, model.Memory: nvml.ERROR_MEMORY, model.NoData: nvml.ERROR_NO_DATA,
		model.VGPUECCNotSupported: nvml.ERROR_VGPU_ECC_NOT_SUPPORTED, model.InsufficientResources: nvml.ERROR_INSUFFICIENT_RESOURCES,
		model.FreqNotSupported: nvml.ERROR_FREQ_NOT_SUPPORTED, model.ArgumentVersionMismatch: nvml.ERROR_ARGUMENT_VERSION_MISMATCH, model.Deprecated: nvml.ERROR_DEPRECATED,
		model.NotReady: nvml.ERROR_NOT_READY, model.GPUNotFound: nvml.ERROR_GPU_NOT_FOUND, model.InvalidState: nvml.ERROR_INVALID_STATE,
		model.ResetTypeNotSupported: nvml.ERROR_RESET_TYPE_NOT_SUPPORTED, model.Unknown: nvml.ERROR_UNKNOWN,
	} {
		if int(ours) != int(theirs) {
			t.Errorf("%v is %d, NVML has %d", ours, ours, theirs)
		}
	}
	for ours, theirs := range map[uint64]uint64{
		model.EventSingleBitEcc: nvml.EventTypeSingleBitEccError, model.EventDoubleBitEcc: nvml.EventTypeDoubleBitEccError, model.EventPState: nvml.EventTypePState,
		model.EventXidCritical: nvml.EventTypeXidCriticalError, model.EventClock: nvml.EventTypeClock, model.EventMigConfigChange: nvml.EventMigConfigChange,
		model.EventRecoveryAction: nvml.EventTypeGpuRecoveryAction,
	} {
		if ours != theirs {
			t.Errorf("event type %x, NVML has %x", ours, theirs)
		}
	}
	for _, pair := range [][2]int{
		{int(model.EccL1), int(nvml.MEMORY_LOCATION_L1_CACHE)},
		{int(model.EccL2), int(nvml.MEMORY_LOCATION_L2_CACHE)},
		{int(model.EccDevice), int(nvml.MEMORY_LOCATION_DRAM)},
		{int(model.EccRegister), int(nvml.MEMORY_LOCATION_REGISTER_FILE)},
		{int(model.EccTexture), int(nvml.MEMORY_LOCATION_TEXTURE_MEMORY)},
		{int(model.EccTextureShm), int(nvml.MEMORY_LOCATION_TEXTURE_SHM)},
		{int(model.EccCBU), int(nvml.MEMORY_LOCATION_CBU)},
		{int(model.EccSRAM), int(nvml.MEMORY_LOCATION_SRAM)},
		{int(model.ValueUnsignedInt), int(nvml.VALUE_TYPE_UNSIGNED_INT)},
		{int(model.ValueUnsignedLongLong), int(nvml.VALUE_TYPE_UNSIGNED_LONG_LONG)},
		{int(model.ValueSignedInt), int(nvml.VALUE_TYPE_SIGNED_INT)},
		{int(linkVersion(t, "v100x8")), int(nvml.NVLINK_VERSION_2_0)},
		{int(linkVersion(t, "dgx-a100")), int(nvml.NVLINK_VERSION_3_0)},
		{int(linkVersion(t, "hgx-h100")), int(nvml.NVLINK_VERSION_4_0)},
		{int(linkVersion(t, "hgx-b200")), int(nvml.NVLINK_VERSION_5_0)},
	} {
		if pair[0] != pair[1] {
			t.Errorf("number %d, NVML has %d", pair[0], pair[1])
		}
	}
}

// TestArchitectures compares models with NVML's numbers and what the data sheets say.
func TestArchitectures(t *testing.T) {
	for shape, want := range map[string]struct {
		arch, brand  uint32
		major, minor int
		cores        uint32
		device       uint32
	}{
		"a30x4":     {uint32(nvml.DEVICE_ARCH_AMPERE), uint32(nvml.BRAND_NVIDIA), 8, 0, 3584, 0x20B710DE},
		"dgx-a100":  {uint32(nvml.DEVICE_ARCH_AMPERE), uint32(nvml.BRAND_NVIDIA), 8, 0, 6912, 0x20B210DE},
		"hgx-h100":  {uint32(nvml.DEVICE_ARCH_HOPPER), uint32(nvml.BRAND_NVIDIA), 9, 0, 16896, 0x233010DE},
		"hgx-h200":  {uint32(nvml.DEVICE_ARCH_HOPPER), uint32(nvml.BRAND_NVIDIA), 9, 0, 16896, 0x233510DE},
		"hgx-b200":  {uint32(nvml.DEVICE_ARCH_BLACKWELL), uint32(nvml.BRAND_NVIDIA), 10, 0, 18944, 0x290110DE},
		"rtx6000x4": {uint32(nvml.DEVICE_ARCH_BLACKWELL), uint32(nvml.BRAND_NVIDIA_RTX), 12, 0, 24064, 0x2BB510DE},
		"t4x4":      {uint32(nvml.DEVICE_ARCH_TURING), uint32(nvml.BRAND_TESLA), 7, 5, 2560, 0x1EB810DE},
		"v100x8":    {uint32(nvml.DEVICE_ARCH_VOLTA), uint32(nvml.BRAND_TESLA), 7, 0, 5120, 0x1DB110DE},
	} {
		r := start(t, shape)
		d := r.gpu(0)
		arch, ret := r.c.DeviceGetArchitecture(r.ctx, d)
		r.want(ret, model.Success)
		brand, ret := r.c.DeviceGetBrand(r.ctx, d)
		r.want(ret, model.Success)
		cores, ret := r.c.DeviceGetNumGpuCores(r.ctx, d)
		r.want(ret, model.Success)
		pci, ret := r.c.DeviceGetPciInfo(r.ctx, d)
		r.want(ret, model.Success)
		major, minor, ret := r.c.DeviceGetCudaComputeCapability(r.ctx, d)
		r.want(ret, model.Success)
		if arch != want.arch || brand != want.brand || cores != want.cores || major != want.major || minor != want.minor || pci.PciDeviceID != want.device {
			t.Errorf("%s: arch %d brand %d cores %d cc %d.%d device %x", shape, arch, brand, cores, major, minor, pci.PciDeviceID)
		}
	}
}

func linkVersion(t *testing.T, shape string) uint32 {
	t.Helper()
	r := start(t, shape)
	v, ret := r.c.DeviceGetNvLinkVersion(r.ctx, r.gpu(0), 0)
	return ok(r, v, ret)
}
