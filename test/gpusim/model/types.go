package model

// Handles are opaque numbers, never 0, never given twice in a Node's life: a handle whose object is gone answers
// InvalidArgument. Those of GPUs and MIG instances are the same for every client of the Node; event sets and GPM samples
// belong to the client that made them.
type (
	// Device is a GPU or a MIG device (one compute instance).
	Device uint64
	// GPUInstance is a MIG GPU instance.
	GPUInstance uint64
	// ComputeInstance is a MIG compute instance.
	ComputeInstance uint64
	// EventSet collects events for one client.
	EventSet uint64
	// GpmSample holds one GPM sample for one client.
	GpmSample uint64
)

// NoInstance stands where no GPU instance or compute instance id applies.
const NoInstance = 0xFFFFFFFF

// NotAvailable stands for a value that is not available in an otherwise good structure.
const NotAvailable = ^uint64(0)

// Caller is the process that calls.
type Caller struct {
	PID int `json:"pid"`
	UID int `json:"uid"`
	// Admin says that the process has CAP_SYS_ADMIN or the MIG "config" capability. Root (UID 0) has it.
	Admin bool `json:"admin"`
	// MigMonitor says that the process may see the whole GPU's MIG state (the "monitor" capability). Unused by the rules so far.
	MigMonitor bool   `json:"migMonitor,omitempty"`
	Name       string `json:"name,omitempty"`
	// Library is the driver version that the process's library belongs to; another one than the kernel's makes Init answer
	// LibRMVersionMismatch. Empty: always the right one.
	Library string `json:"library,omitempty"`
}

// PciInfo is nvmlPciInfo_t and nvmlPciInfoExt_t.
type PciInfo struct {
	BusIDLegacy    string // DDDD:BB:DD.0, upper case
	BusID          string // DDDDDDDD:BB:DD.0, upper case
	Domain         uint32
	Bus            uint32
	Device         uint32
	PciDeviceID    uint32 // device<<16 | vendor
	PciSubSystemID uint32
	BaseClass      uint32 // 0x03
	SubClass       uint32 // 0x02: 3D controller
}

// Sysfs is the name in /sys/bus/pci/devices and /proc/driver/nvidia/gpus: dddd:bb:dd.0, lower case.
func (p PciInfo) Sysfs() string { return sysfsAddress(p.Domain, p.Bus, p.Device) }

// MemoryInfo is nvmlMemory_v2_t in bytes. In version 1 "used" is Used+Reserved.
type MemoryInfo struct{ Total, Reserved, Free, Used uint64 }

// Bar1Info is nvmlBAR1Memory_t in bytes.
type Bar1Info struct{ Total, Free, Used uint64 }

// Utilization is nvmlUtilization_t in percent.
type Utilization struct{ GPU, Memory uint32 }

// DeviceAttributes is nvmlDeviceAttributes_t.
type DeviceAttributes struct {
	MultiprocessorCount, SharedCopyEngineCount, SharedDecoderCount, SharedEncoderCount uint32
	SharedJpegCount, SharedOfaCount, GpuInstanceSliceCount, ComputeInstanceSliceCount  uint32
	MemorySizeMB                                                                       uint64
}

// Placement is a start and a size: memory slices for GPU instances, compute slices for compute instances.
type Placement struct {
	Start uint32 `json:"start" yaml:"start"`
	Size  uint32 `json:"size" yaml:"size"`
}

func (p Placement) overlaps(q Placement) bool {
	return p.Start < q.Start+q.Size && q.Start < p.Start+p.Size
}

// GpuInstanceProfileInfo holds what nvmlGpuInstanceProfileInfo_t, _v2 and _v3 carry.
type GpuInstanceProfileInfo struct {
	ID, IsP2pSupported, SliceCount, InstanceCount, MultiprocessorCount uint32
	CopyEngineCount, DecoderCount, EncoderCount, JpegCount, OfaCount   uint32
	MemorySizeMB                                                       uint64
	Name                                                               string // v2 and later, for instance "MIG 1g.10gb"
	Capabilities                                                       uint32 // v3: 0x1 P2P, 0x2 graphics
}

// GpuInstanceInfo is nvmlGpuInstanceInfo_t.
type GpuInstanceInfo struct {
	Device        Device
	ID, ProfileID uint32
	Placement     Placement
}

// ComputeInstanceProfileInfo holds what nvmlComputeInstanceProfileInfo_t, _v2 and _v3 carry.
type ComputeInstanceProfileInfo struct {
	ID, SliceCount, InstanceCount, MultiprocessorCount                                             uint32
	SharedCopyEngineCount, SharedDecoderCount, SharedEncoderCount, SharedJpegCount, SharedOfaCount uint32
	Name                                                                                           string
	Capabilities                                                                                   uint32
}

// ComputeInstanceInfo is nvmlComputeInstanceInfo_t. Device is the MIG device.
type ComputeInstanceInfo struct {
	Device        Device
	GpuInstance   GPUInstance
	ID, ProfileID uint32
	Placement     Placement
}

// ProcessInfo is nvmlProcessInfo_t (_v2, _v3); version 1 has no instance ids. UsedGpuMemory is in bytes.
type ProcessInfo struct {
	PID                              uint32
	UsedGpuMemory                    uint64
	GpuInstanceID, ComputeInstanceID uint32
	UsedCcProtectedMemory            uint64 // nvmlProcessDetail_v1_t only
}

// ProcessUtilization is nvmlProcessUtilizationSample_t and nvmlProcessUtilizationInfo_v1_t; percent, TimeStamp in microseconds.
type ProcessUtilization struct {
	PID                                                 uint32
	TimeStamp                                           uint64
	SmUtil, MemUtil, EncUtil, DecUtil, JpgUtil, OfaUtil uint32
}

// AccountingStats is nvmlAccountingStats_t. Times in ms (StartTime: microseconds since the epoch), memory in bytes.
type AccountingStats struct {
	GpuUtilization, MemoryUtilization uint32
	MaxMemoryUsage, Time, StartTime   uint64
	IsRunning                         bool
}

// Sample is nvmlSample_t; Value is an unsigned int.
type Sample struct {
	TimeStamp uint64 // microseconds
	Value     uint32
}

// EventData is nvmlEventData_t. Device is 0 where there is none.
type EventData struct {
	Device                           Device
	EventType, EventData             uint64
	GpuInstanceID, ComputeInstanceID uint32
}

// ValueType is nvmlValueType_t.
type ValueType uint32

// The value types.
const (
	ValueDouble ValueType = iota
	ValueUnsignedInt
	ValueUnsignedLong
	ValueUnsignedLongLong
	ValueSignedLongLong
	ValueSignedInt
	ValueUnsignedShort
)

// FieldValue is nvmlFieldValue_t. Bits is the union's 8 bytes as a little-endian number.
type FieldValue struct {
	FieldID, ScopeID uint32
	Timestamp        int64 // microseconds since the epoch
	LatencyUsec      int64
	ValueType        ValueType
	Return           Return
	Bits             uint64
}

// RemappedRows is what nvmlDeviceGetRemappedRows returns.
type RemappedRows struct {
	Correctable, Uncorrectable uint32
	Pending, Failure           bool
}

// RowRemapperHistogram is nvmlRowRemapperHistogramValues_t, in banks.
type RowRemapperHistogram struct{ Max, High, Partial, Low, None uint32 }

// EccCounts is nvmlEccErrorCounts_t.
type EccCounts struct{ L1Cache, L2Cache, DeviceMemory, RegisterFile uint64 }

// SramEccErrorStatus is nvmlEccSramErrorStatus_v1_t.
type SramEccErrorStatus struct {
	AggregateUncParity, AggregateUncSecDed, AggregateCor               uint64
	VolatileUncParity, VolatileUncSecDed, VolatileCor                  uint64
	AggregateUncBucketL2, AggregateUncBucketSm, AggregateUncBucketPcie uint64
	AggregateUncBucketMcu, AggregateUncBucketOther                     uint64
	ThresholdExceeded                                                  bool
}

// FabricInfo is what nvmlGpuFabricInfo_t, _v2 and _v3 carry. State: 0 not supported, 1 not started, 2 in progress, 3 completed.
type FabricInfo struct {
	ClusterUUID   [16]byte
	Status        Return
	CliqueID      uint32
	State         uint8
	HealthMask    uint32
	HealthSummary uint8 // v3: 0 not supported, 1 healthy, 2 unhealthy, 3 limited capacity
}

// GpmMetric is nvmlGpmMetric_t.
type GpmMetric struct {
	ID                        uint32
	Return                    Return
	Value                     float64
	ShortName, LongName, Unit string
}

// ViolationTime is nvmlViolationTime_t.
type ViolationTime struct {
	ReferenceTime uint64 // microseconds
	ViolationTime uint64 // nanoseconds
}

// ConfComputeSettings is nvmlSystemConfComputeSettings_v1_t.
type ConfComputeSettings struct{ Environment, CcFeature, DevToolsMode, MultiGpuMode uint32 }

// ThermalSensor is one sensor of nvmlGpuThermalSettings_t.
type ThermalSensor struct {
	Controller                                  int32
	DefaultMinTemp, DefaultMaxTemp, CurrentTemp int32
	Target                                      int32
}

// NvLinkInfo is nvmlNvLinkInfo_v1_t.
type NvLinkInfo struct{ NvleEnabled bool }

// PlatformInfo is nvmlPlatformInfo_v2_t.
type PlatformInfo struct {
	IbGUID                                            [16]byte
	ChassisSerialNumber                               [16]byte
	SlotNumber, TrayIndex, HostID, PeerType, ModuleID uint8
}

// RepairStatus is nvmlRepairStatus_v1_t.
type RepairStatus struct{ ChannelRepairPending, TpcRepairPending bool }

// EccLocation is nvmlMemoryLocation_t.
type EccLocation uint32

// The memory locations that count errors.
const (
	EccL1 EccLocation = iota
	EccL2
	EccDevice
	EccRegister
	EccTexture
	EccTextureShm
	EccCBU
	EccSRAM
	eccLocations
)

// Event types, as masks.
const (
	EventSingleBitEcc     uint64 = 0x1
	EventDoubleBitEcc     uint64 = 0x2
	EventPState           uint64 = 0x4
	EventXidCritical      uint64 = 0x8
	EventClock            uint64 = 0x10
	EventPowerSource      uint64 = 0x80
	EventMigConfigChange  uint64 = 0x100
	EventSingleBitStorm   uint64 = 0x200
	EventDramRetirement   uint64 = 0x400
	EventDramRetireFailed uint64 = 0x800
	EventNonFatalPoison   uint64 = 0x1000
	EventFatalPoison      uint64 = 0x2000
	EventGpuUnavailable   uint64 = 0x4000
	EventRecoveryAction   uint64 = 0x8000
)
