// Package dcgm reads DCGM from a worker process of the same program: the only package that imports go-dcgm. It owns the worker's
// life (start, limits, back-off, reconnecting) and the protocol between the two. A library that crashes, hangs, leaks or lacks
// functions costs the fields that only DCGM has, and nothing else. It never calls NVML.
package dcgm

import (
	"time"

	"github.com/gpulet/gpulet/gpu"
)

// Batch is what DCGM said last. Immutable.
type Batch struct {
	// At is when Readings were read.
	At time.Time
	// Readings are of all GPUs and GPU instances. Their At is DCGM's own time of the value; blank values are absences.
	// While the engine is not up they stay what they were, and grow old.
	Readings []gpu.Reading
	State    State
}

// State is how the engine is. Immutable.
type State struct {
	// Wanted: fields are wanted from it. Up: the last reading succeeded.
	Wanted, Up bool
	// Reason says why it is not up, for people; Code is the same for a label.
	Reason string
	Code   gpu.AbsenceCode
	// Version is the library's, Host the engine's, such as "4.5.2".
	Version, Host string
	// Restarts counts the starts of the worker after one that failed, Reconnects the tries to reach an engine elsewhere again, which
	// need no new worker.
	Restarts, Reconnects uint64
	// Took is how long the last reading took.
	Took time.Duration
	// PID is the worker's, 0 while there is none; Memory its private memory in bytes.
	PID    int
	Memory uint64
}
