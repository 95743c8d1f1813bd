package exporter

import (
	"context"
	"log/slog"
	"time"

	"github.com/gpulet/gpulet/exporter/dcgm"
	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
)

// Driver reads measurements through the per-GPU queues, telemetry lane; gpu.Monitor does. An error is about the GPU as a whole.
type Driver interface {
	Read(ctx context.Context, uuid gpu.UUID, ask gpu.Ask) ([]gpu.Reading, error)
	Use(ctx context.Context, uuid gpu.UUID) ([]gpu.ProcessUse, error)
}

// Engine is DCGM behind its worker process; dcgm.Client is one. Its calls never block.
type Engine interface {
	// Want says which fields are read from now on; none: DCGM is not used, and no process runs.
	Want(fields []gpu.Field)
	// Pace says how often what changes fast is read from now on.
	Pace(fast time.Duration)
	// Batches has the newest values of all GPUs, and the state of the engine.
	Batches() *gpu.Feed[*dcgm.Batch]
}

// Processes tells of host processes, from /proc; kubelet.Processes does.
type Processes interface {
	// Container is the pod that a process belongs to and the id of its container, "" when only the pod is known;
	// false when it belongs to none or is gone.
	Container(pid int) (pod kubelet.UID, container string, ok bool)
}

// XIDs are counted elsewhere, from the start of the process; xids.Counter is one. Where it has a method Source() sample.Source too,
// that is the state of the kernel log.
type XIDs interface{ Counts() []sample.XID }

// Config is what an Exporter needs.
type Config struct {
	Log *slog.Logger
	// Node is the value of the Hostname label.
	Node      string
	Settings  *gpu.Feed[Settings]
	Snapshots *gpu.Feed[*gpu.Snapshot]
	Driver    Driver
	// Engine is nil where DCGM cannot be used at all.
	Engine    Engine
	Claims    *gpu.Feed[*kubelet.ClaimSet]
	Assigned  *gpu.Feed[*kubelet.Assigned]
	Pods      *gpu.Feed[*kubelet.Pods]
	Processes Processes
	XIDs      XIDs
}
