package apply

import (
	"context"
	"log/slog"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/kubelet"
)

// Hardware is the GPUs; gpu.Monitor implements it. Every call has a deadline of its own. Changes of a GPU are made one
// at a time: while one has not returned, all others answer gpu.ErrDeadline, and reading goes on.
// After a change the inventory is looked at anew without being asked.
type Hardware interface {
	// Layout reads the mode and the instances now.
	Layout(ctx context.Context, uuid gpu.UUID) (gpu.Layout, error)
	// CreateInstance makes a GPU instance at a slot of the GPU's geometry, without a compute instance.
	CreateInstance(ctx context.Context, uuid gpu.UUID, slot mig.Slot) (id uint32, err error)
	// CreateCompute makes the compute instance that fills it.
	CreateCompute(ctx context.Context, uuid gpu.UUID, instance uint32) (gpu.ComputeInstance, error)
	DestroyCompute(ctx context.Context, uuid gpu.UUID, instance, compute uint32) error
	DestroyInstance(ctx context.Context, uuid gpu.UUID, instance uint32) error
	// SetMode changes the MIG mode. The inventory's own handles are given up for it, and looked up anew after it.
	SetMode(ctx context.Context, uuid gpu.UUID, on bool) (gpu.Activation, error)
	// Holders are the processes on a GPU.
	Holders(ctx context.Context, uuid gpu.UUID) ([]gpu.Holder, error)
}

// Quiescer is somebody else with handles on a GPU, such as DCGM's worker: they are given up until release.
type Quiescer interface {
	Quiesce(ctx context.Context, uuid gpu.UUID) (release func(), err error)
}

// Withdrawer closes the gate of a device before its hardware goes; deviceplugin/cdi does.
type Withdrawer interface {
	// Withdraw makes sure that no new container gets the device by its name.
	Withdraw(d gpu.Device) error
	// Restore ends a Withdraw whose hardware stays after all.
	Restore(d gpu.Device)
}

// Listing is what the kubelet may still give to a pod. Immutable.
type Listing struct {
	// Offers is the Version of the offers that it is made from.
	Offers uint64
	// Pickable are devices, without replicas, that are offered or that the kubelet may not have forgotten; each with a sentence
	// for people. A device that is only claimed is not among them.
	Pickable map[gpu.Device]string
}

// Processes tells of host processes; kubelet.Processes does.
type Processes interface {
	// Container is the pod that a process belongs to and the runtime's id of its container.
	Container(pid int) (pod kubelet.UID, container string, ok bool)
	// Name is the short name of a process, empty when it is gone.
	Name(pid int) string
}

// Config is what an Executor needs.
type Config struct {
	Hardware  Hardware
	Snapshots *gpu.Feed[*gpu.Snapshot]
	Claims    *gpu.Feed[*kubelet.ClaimSet]
	Pods      *gpu.Feed[*kubelet.Pods]
	Listing   *gpu.Feed[*Listing]
	// Offers is the Version of the offers in force. A Listing that is made from older ones tells nothing. Nil: any Listing will do.
	Offers     func() uint64
	Withdrawer Withdrawer
	Quiescers  []Quiescer
	Processes  Processes
	// StateDir keeps the journal; empty: nothing is kept. BootID is the kernel's.
	StateDir, BootID string
	// CallTimeout is for one change by the driver, 60 s.
	CallTimeout time.Duration
	Log         *slog.Logger
}

// Cause is why a step was refused, as a metric's label.
type Cause string

// The causes.
const (
	CauseClaimed     Cause = "claimed"     // a pod has it
	CauseOffered     Cause = "offered"     // the kubelet may still give it to a pod
	CauseBound       Cause = "bound"       // a pod that is bound to this node may still get it
	CauseInUse       Cause = "in-use"      // a process or a leaked handle is on it
	CauseForeign     Cause = "foreign"     // gpulet did not make it
	CauseUnknown     Cause = "unknown"     // somebody who has to be asked does not answer
	CauseNoRoom      Cause = "no-room"     // the driver sees no room where the inventory does
	CauseNeedsReset  Cause = "needs-reset" // the mode is pending until a reset
	CausePermission  Cause = "permission"  // the driver does not let this process do it
	CauseLost        Cause = "lost"        // the GPU is out of reach
	CauseNoAnswer    Cause = "no-answer"   // the driver does not answer
	CauseUnsupported Cause = "unsupported" // this GPU or driver cannot
	CauseFailed      Cause = "failed"      // another error of the driver
	CauseJournal     Cause = "no-journal"  // the journal cannot be written, so nothing is changed
	CauseInterrupted Cause = "interrupted" // the agent is ending
)

// RefusalError is why a step was not done. Nothing that it names was hurt.
type RefusalError struct {
	Cause Cause
	// Reason is a sentence for people that names who is in the way: "GPU 0 3g.40gb@4 is in use by python (pid 4711) of pod team/train-0".
	Reason string
	Err    error
}

func (e *RefusalError) Error() string { return e.Reason }
func (e *RefusalError) Unwrap() error { return e.Err }

// State is what the executor has made and is doing. Immutable.
type State struct{ GPUs map[gpu.UUID]GPUState }

// GPUState is the part of one GPU.
type GPUState struct {
	// Recovered: what an earlier process left was settled, and the layout of before a reboot is there again, or cannot be had.
	Recovered bool
	// Owned are the instances that gpulet made, by MIG UUID. All others are an administrator's.
	Owned map[gpu.UUID]mig.Slot
	// Doing is the step under way, empty when there is none, since Since: "create 1g.10gb@0".
	Doing string
	Since time.Time
	// Refused is why the last step was not done; nil after one that was.
	Refused *RefusalError
	// Leaking are slots whose compute instance is gone and whose GPU instance the driver keeps, with who holds it.
	Leaking map[mig.Slot]string
	// Changed and ModeChanged are when this process changed instances and the mode last.
	Changed, ModeChanged time.Time
}
