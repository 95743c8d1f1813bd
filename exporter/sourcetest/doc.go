// Package sourcetest is what every source of measurements must say of a node whose load is known, as tests: NVML and DCGM run them.
// It owns the stage (loads, processes, instances and faults of a simulated node) and what is true on it, taken from the node's
// model and not from any library. It reads a source only through the function that it is given.
//
// A source's test starts a node, sets the stage before anything holds the GPUs (MIG mode is switched), and hands over how to read:
//
//	node := sim.New(t, sim.Options{Shape: "hgx-h100"})
//	stage := sourcetest.Set(t, node)
//	// open the source here
//	stage.Run(t, func(ctx context.Context, uuid gpu.UUID, ask gpu.Ask) ([]gpu.Reading, error) {
//		return client.Read(ctx, uuid, ask) // or filter the newest dcgm.Batch by ask
//	}, sourcetest.Options{Profiling: true})
//
// The node runs in the test's process and has two GPUs at least, the second with MIG. Run reads again until the source agrees with
// the model, for Options.Settle at most: a source with a loop of its own may be late, but not wrong for longer.
package sourcetest

import (
	"context"
	"time"

	"github.com/gpulet/gpulet/gpu"
)

// Read answers each field of ask for each of its entities with a value or an Absence, as gpu.Telemetry does.
type Read func(ctx context.Context, uuid gpu.UUID, ask gpu.Ask) ([]gpu.Reading, error)

// Options say what may be expected of a source on this node.
type Options struct {
	// Profiling: it measures the fields from 1001 on of these GPUs.
	Profiling bool
	// Lacks are fields that it cannot read here: each must be an Absence with a reason, never a number.
	Lacks []gpu.Field
	// Settle is how long it may take to tell of a change, 10 s unless set.
	Settle time.Duration
}
