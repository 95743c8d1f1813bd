package deviceplugin

import (
	"context"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
	"github.com/gpulet/gpulet/kubelet/plugin"
)

// Claims is the account of who holds what. Calls answer from memory.
type Claims interface {
	Feed() *gpu.Feed[*kubelet.ClaimSet]
	// Open opens claims for an Allocate; container is the index of ids within the pod when it is known. It never fails.
	Open(resource string, ids []string)
	// Owner says which container a PreStart of these ids is for, as far as it is known now; it may look at podresources.
	Owner(ctx context.Context, resource string, ids []string) (kubelet.Claim, bool)
}

// Registrar keeps resources registered with the kubelet.
type Registrar interface {
	// Set says which resources there are. New ones are registered in parallel, missing ones end: their stream closes.
	Set(handlers map[string]plugin.Handler)
	// States tells where each registration stands.
	States() *gpu.Feed[[]plugin.State]
}

// Node is this Node at the API server. It may be away.
type Node interface {
	// PatchResources writes capacity and allocatable of extended resources; a resource with Remove is deleted from both.
	PatchResources(ctx context.Context, counts map[string]Count) error
	// Allocatable is what the API server says of this Node's extended resources, from memory; false while it is not known.
	Allocatable() (map[string]int64, bool)
}

// Count is what a Node says of one resource.
type Count struct {
	Capacity, Allocatable int64
	Remove                bool
}

// Events tells people what happened, through the API server when it is there. It never blocks.
type Events interface {
	Pod(namespace, name string, uid kubelet.UID, warning bool, reason, message string)
	Node(warning bool, reason, message string)
}

// Realizer makes the hardware behind devices exist. The partitioner implements it; until then nothing needs it.
type Realizer interface {
	// Ensure returns when the devices exist and are verified, or says why not. It may take up to 25 s.
	Ensure(ctx context.Context, ids []string) error
}

// Holders lists the processes on a GPU: gpu.Monitor does, through its telemetry lane.
type Holders interface {
	Holders(ctx context.Context, uuid gpu.UUID) ([]gpu.Holder, error)
}

// Specs owns the CDI specs and capability nodes; deviceplugin/cdi implements it.
type Specs interface {
	// Name is the CDI device name of a device, "vendor/class=<id>"; a pure function of the device (replicas share that of their base).
	Name(d gpu.Device) string
	// DriverName is the CDI device of the driver's libraries and control nodes.
	DriverName() string
	// Ready reports whether the spec of a device is written and the device behind it verified; otherwise why not.
	Ready(d gpu.Device) error
	// Changed is closed when Ready may say something else than at this moment.
	Changed() <-chan struct{}
	// Nodes are the device nodes of a device for DeviceSpecs: container path and host path.
	Nodes(d gpu.Device) ([]DeviceNode, error)
}

// DeviceNode is a device node as a container and the host see it.
type DeviceNode struct{ ContainerPath, HostPath string }

// Processes tells of host processes, from /proc; kubelet.Processes does.
type Processes interface {
	// Pod is the pod that a process belongs to; false when it belongs to none or is gone.
	Pod(pid int) (kubelet.UID, bool)
	// Name is the short name of a process, empty when it is gone.
	Name(pid int) string
}
