package family

import "github.com/gpulet/gpulet/gpu"

// Throttle is a value of the label reason of gpu_throttle_seconds_total.
type Throttle struct {
	Reason string
	// Fields count it, in ns; the first that has a value is taken.
	Fields []gpu.Field
	// Unless one of these has a value: they tell the same in more detail.
	Unless []gpu.Field
}

// Throttles lists why clocks are held down. The older counters stand in where a driver or engine lacks the newer ones.
func Throttles() []Throttle {
	return []Throttle{
		{Reason: "power_cap", Fields: []gpu.Field{SWPowerCap, PowerViolation}},
		{Reason: "sw_thermal", Fields: []gpu.Field{SWThermSlowdown}},
		{Reason: "hw_thermal", Fields: []gpu.Field{HWThermSlowdown}},
		{Reason: "thermal", Fields: []gpu.Field{ThermalViolation}, Unless: []gpu.Field{SWThermSlowdown, HWThermSlowdown}},
		{Reason: "power_brake", Fields: []gpu.Field{HWPowerBrake}},
		{Reason: "sync_boost", Fields: []gpu.Field{SyncBoost, SyncBoostViolation}},
		{Reason: "board_limit", Fields: []gpu.Field{BoardLimitViolation}},
		{Reason: "low_utilization", Fields: []gpu.Field{LowUtilViolation}},
		{Reason: "reliability", Fields: []gpu.Field{ReliabilityViolation}},
	}
}
