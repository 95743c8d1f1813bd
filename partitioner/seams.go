package partitioner

import (
	"context"
	"log/slog"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/kubelet"
	"github.com/gpulet/gpulet/partitioner/apply"
	"github.com/gpulet/gpulet/partitioner/parted"
	"github.com/gpulet/gpulet/partitioner/plan"
)

// Executor does the steps of a plan; apply.Executor is it.
type Executor interface {
	// Recover settles what an earlier process left on a GPU and restores the layout of before a reboot. It is called once for
	// each GPU, when it is first seen, before any Do.
	Recover(ctx context.Context, uuid gpu.UUID) error
	// Do does one step and returns when it is done or refused, with an *apply.RefusalError. Steps of one GPU are not done at once.
	Do(ctx context.Context, s plan.Step) error
	State() *gpu.Feed[*apply.State]
}

// Events tells people what happened, through the API server when it is there. It never blocks.
type Events interface {
	Pod(namespace, name string, uid kubelet.UID, warning bool, reason, message string)
	Node(warning bool, reason, message string)
}

// Demand is a pod that waits for devices of this node. Its Age is for how many seconds it had waited when it was told.
type Demand struct {
	plan.Demand
	Namespace, Pod string
}

// Demands are all that wait for this node. Immutable.
type Demands struct {
	// Generation is that of the planner's word; Source names the planner.
	Generation uint64
	Source     string
	Pods       []Demand
}

// Declaration is a layout that somebody declared for some GPUs. Immutable.
type Declaration struct {
	// Source is for people: "the label nvidia.com/mig.config=all-balanced".
	Source  string
	Targets map[gpu.UUID]parted.Target
}

// Config is what a Partitioner needs.
type Config struct {
	Settings  *gpu.Feed[Settings]
	Snapshots *gpu.Feed[*gpu.Snapshot]
	Claims    *gpu.Feed[*kubelet.ClaimSet]
	Pods      *gpu.Feed[*kubelet.Pods]
	// Resources are the names by which pods ask for what this node has; the zero profile is the whole GPU. Shared devices are not in it.
	Resources *gpu.Feed[map[string]mig.Profile]
	// Demands are those of the cluster's planner; Declared is the label's declaration, nil while there is none.
	Demands  *gpu.Feed[*Demands]
	Declared *gpu.Feed[*Declaration]
	// Named finds what a named configuration, of a file or made from the hardware (file is empty then), makes of the GPUs; nil: there are none.
	Named    func(s *gpu.Snapshot, file, name string) (map[gpu.UUID]parted.Target, error)
	Executor Executor
	Holders  interface {
		Holders(ctx context.Context, uuid gpu.UUID) ([]gpu.Holder, error)
	}
	Processes apply.Processes
	// Events is nil where nobody is to be told.
	Events Events
	// StateDir keeps what was commanded; empty: nothing is kept.
	StateDir string
	Log      *slog.Logger
}
