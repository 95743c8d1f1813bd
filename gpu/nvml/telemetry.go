package nvml

import (
	"time"

	"github.com/gpulet/gpulet/gpu"
)

// Telemetry measures this GPU.
func (v *device) Telemetry() gpu.Telemetry { return &telemetry{v: v} }

// telemetry is gpu.Telemetry.
type telemetry struct{ v *device }

// Read answers the fields of ask.
func (t *telemetry) Read(ask gpu.Ask) ([]gpu.Reading, error) {
	var out []gpu.Reading
	for _, f := range ask.Whole {
		out = append(out, gpu.Reading{Field: f, At: time.Now(), Absent: &gpu.Absence{Code: gpu.NoSource, Text: "not read yet"}})
	}
	return out, nil
}

// Use lists the processes.
func (t *telemetry) Use() ([]gpu.ProcessUse, error) {
	holders, err := t.v.Processes()
	var out []gpu.ProcessUse
	for _, h := range holders {
		out = append(out, gpu.ProcessUse{Holder: h})
	}
	return out, err
}

// Release gives back what holds the GPU.
func (t *telemetry) Release() error { return nil }
