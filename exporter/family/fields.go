package family

import "github.com/gpulet/gpulet/gpu"

// Fields that the exporter reasons about, with DCGM's numbers and classic units.
const (
	DriverVersion gpu.Field = 1   // text
	SMClock       gpu.Field = 100 // MHz
	MemClock      gpu.Field = 101 // MHz
	GPUTemp       gpu.Field = 150 // C
	PowerUsage    gpu.Field = 155 // W
	TotalEnergy   gpu.Field = 156 // mJ since the driver was loaded
	PowerInstant  gpu.Field = 157 // W
	ClockReasons  gpu.Field = 112 // bits
	GPUUtil       gpu.Field = 203 // percent; not there in MIG mode
	MemCopyUtil   gpu.Field = 204 // percent; not there in MIG mode
	XIDErrors     gpu.Field = 230 // the last code
	FBTotal       gpu.Field = 250 // MiB, as the three below
	FBFree        gpu.Field = 251
	FBUsed        gpu.Field = 252
	FBReserved    gpu.Field = 253
	// RowRemapFailure and RowRemapPending are 0 or 1.
	RowRemapFailure gpu.Field = 395
	RowRemapPending gpu.Field = 396
	NVLinkBandwidth gpu.Field = 449  // MB/s
	GREngine        gpu.Field = 1001 // ratio, as the four below
	SMActive        gpu.Field = 1002
	SMOccupancy     gpu.Field = 1003
	TensorActive    gpu.Field = 1004
	DRAMActive      gpu.Field = 1005
	Recovery        gpu.Field = 1523 // see gpu.Recovery
)

// Throttling counters in ns, by why the clocks were held down.
const (
	PowerViolation       gpu.Field = 240
	ThermalViolation     gpu.Field = 241
	SyncBoostViolation   gpu.Field = 242
	BoardLimitViolation  gpu.Field = 243
	LowUtilViolation     gpu.Field = 244
	ReliabilityViolation gpu.Field = 245
	SWPowerCap           gpu.Field = 1420
	SyncBoost            gpu.Field = 1421
	SWThermSlowdown      gpu.Field = 1422
	HWThermSlowdown      gpu.Field = 1423
	HWPowerBrake         gpu.Field = 1424
)
