package gpu

import (
	"errors"
	"fmt"
	"time"

	"github.com/gpulet/gpulet/gpu/mig"
)

// What a driver's refusal means to us. A DriverError is one of them by errors.Is.
var (
	// ErrNoDriver: there is no library or no kernel driver to talk to.
	ErrNoDriver = errors.New("no driver")
	// ErrSessionLost: the driver was restarted underneath; Open again and look everything up anew.
	ErrSessionLost = errors.New("the driver was restarted")
	// ErrLibraryStale: the kernel driver is of another version than the library that this process loaded.
	// A library cannot be replaced in a running process: it needs a restart.
	ErrLibraryStale = errors.New("the loaded driver library does not match the kernel driver")
	// ErrLost: the GPU fell off the bus or is otherwise not reachable.
	ErrLost = errors.New("the GPU is lost")
	// ErrNotSupported: this GPU or this driver does not have it.
	ErrNotSupported = errors.New("not supported")
	// ErrMissing: the library has no such function.
	ErrMissing = errors.New("the driver library lacks the function")
	// ErrNotFound: no such GPU or instance.
	ErrNotFound = errors.New("not found")
	// ErrPermission: the driver does not let this process do it.
	ErrPermission = errors.New("no permission")
	// ErrNoData: there is nothing to tell yet.
	ErrNoData = errors.New("no data yet")
	// ErrEnd: the index is past the end of what can be enumerated.
	ErrEnd = errors.New("past the end")
	// ErrTimeout: no event came in the given time.
	ErrTimeout = errors.New("timed out")
	// ErrInUse: a process, an open handle or a compute instance is in the way of a change.
	ErrInUse = errors.New("it is in use")
	// ErrNoRoom: there is no room, the placement is taken, or the instance exists already; the driver does not tell which.
	ErrNoRoom = errors.New("no room")
)

// DriverError is a call that the driver refused.
type DriverError struct {
	Call string // the C function
	Text string // the driver's word for it
	Kind error  // one of the errors above, nil when it is none of them
}

func (e *DriverError) Error() string { return e.Call + ": " + e.Text }
func (e *DriverError) Unwrap() error { return e.Kind }

// Driver is all that the inventory asks of NVML. Any call may block for ever: they are made through Queues only.
// Calls for different GPUs may come at the same time.
type Driver interface {
	// Open starts a session; on an open driver it starts a new one, and handles of the old are no longer used.
	Open() error
	// Close ends the session. It is not called while another call is stuck.
	Close() error
	// Info says who the driver is, with what it lacks for the whole node.
	Info() (DriverInfo, []Gap, error)
	// Count is the number of GPUs.
	Count() (int, error)
	// GPU looks one up by its index.
	GPU(index int) (DriverGPU, error)
}

// DriverGPU is one GPU of a session. Fields that cannot be read are left at their zero value and become a Gap;
// an error means that the GPU as a whole does not answer.
type DriverGPU interface {
	// Identity reads what does not change while the driver is loaded.
	Identity() (Identity, []Gap, error)
	// Geometry reads the profiles and placements; it is empty for a GPU without MIG.
	Geometry() (mig.Geometry, []Gap, error)
	// Layout reads the MIG mode and, when it is on, the instances that exist.
	Layout(mig.Geometry) (Layout, []Gap, error)
	// Condition reads what health is judged by.
	Condition() (Condition, []Gap, error)
	// Processes lists who uses the GPU.
	Processes() ([]Holder, error)
	// Links lists the NVLinks that are up.
	Links() ([]Link, error)
	// Ancestor tells where the paths of two GPUs of one session meet.
	Ancestor(peer DriverGPU) (Ancestor, error)
	// Watch registers this GPU's events.
	Watch() (EventSource, error)
	// Telemetry measures this GPU. It makes no call by itself, and each of these objects has its own "last time".
	Telemetry() Telemetry
	Changer
}

// Changer changes one GPU. Calls are made through the change lane only, one at a time.
type Changer interface {
	// SetMode asks for MIG mode to be on or off. Without an error it was accepted, and Activation says whether it holds.
	// The GPU may be reset for it: what was read of it is read anew, by a handle that is looked up after it.
	SetMode(on bool) (Activation, error)
	// CreateInstance makes a GPU instance at a placement, without a compute instance: nobody can use it yet. It gives its id.
	CreateInstance(profile mig.ProfileInfo, at mig.Placement) (id uint32, err error)
	// CreateCompute makes the compute instance that fills a GPU instance.
	CreateCompute(instance uint32) (ComputeInstance, error)
	// DestroyCompute and DestroyInstance answer ErrInUse while anything holds them, ErrNotFound when they are gone.
	DestroyCompute(instance, compute uint32) error
	DestroyInstance(instance uint32) error
}

// Activation is what became of an accepted change of MIG mode.
type Activation int

// The activations.
const (
	Activated    Activation = iota // it holds
	NeedsReset                     // it holds after a reset of the GPU
	BlockedByUse                   // processes or clients hold the GPU: nothing changed, or it is pending
	NotActivated                   // the driver gives another reason
)

// EventSource delivers the events of one GPU from Watch on.
type EventSource interface {
	// Wait gives the next event; ErrTimeout when there was none in that time.
	Wait(timeout time.Duration) (Event, error)
	// Close ends the registration. No Wait is running then.
	Close() error
}

// Identity is what is fixed about a GPU. NUMA is not in it: the driver does not say it everywhere, sysfs does.
type Identity struct {
	UUID              UUID
	Minor             int
	Model             string
	Architecture      string
	ComputeCapability ComputeCapability
	PCI               PCIAddress
	PCIDeviceID       uint32 // device<<16 | vendor, as the driver packs it
	PCISubsystemID    uint32 // of the board: subdevice<<16 | subvendor
	MemoryBytes       uint64
}

// Layout is how a GPU is divided at the moment.
type Layout struct {
	MIG       MIGState
	Instances []Instance
	// Unread are the profiles of which not every instance could be read this time, and would be at another.
	Unread []mig.Profile `json:"unread,omitempty"`
}

// Recovery is what the driver asks for to bring a GPU back, with NVML's numbers (nvmlDeviceGpuRecoveryAction_t).
type Recovery int

// The recovery actions.
const (
	RecoveryNone Recovery = iota
	RecoveryReset
	RecoveryReboot
	RecoveryDrainP2P
	RecoveryDrainAndReset
	RecoveryIMEX
	RecoveryBusReset
	RecoverySystemReboot
)

func (r Recovery) String() string {
	names := [...]string{
		"nothing", "a GPU reset", "a reboot", "peer-to-peer traffic to be drained",
		"peer-to-peer traffic to be drained and a GPU reset", "the IMEX domain to be recovered", "a reset of its PCIe bus", "a reboot",
	}
	if r < 0 || int(r) >= len(names) {
		return fmt.Sprintf("action %d", int(r))
	}
	return names[r]
}

// Fabric is a GPU's registration with the NVSwitch fabric, with NVML's numbers.
type Fabric int

// The states of the fabric. A GPU that belongs to one computes only when it is complete.
const (
	FabricNone Fabric = iota // the GPU is in no fabric
	FabricNotStarted
	FabricInProgress
	FabricCompleted
)

// Condition is what health is judged by.
type Condition struct {
	// Uncorrected counts uncorrectable memory errors since the driver was loaded.
	Uncorrected uint64
	// RemapPending: a memory row or page is replaced at the next reset. RemapFailed: it could not be.
	RemapPending, RemapFailed bool
	Recovery                  Recovery
	Fabric                    Fabric
	// Unread are the parts that could not be read this time, and would be at another.
	Unread Unread
}

// Unread names parts of a Condition. What a GPU or driver never tells is not unread: it is zero.
type Unread struct{ Uncorrected, Remap, Recovery, Fabric bool }

// NoInstance stands in GPU-instance and compute-instance ids for "the whole GPU", as in the driver.
const NoInstance = 0xFFFFFFFF

// Holder is a process that uses a GPU.
type Holder struct {
	PID int // in the host's namespace
	// GPUInstance and ComputeInstance are NoInstance outside MIG mode or when the driver does not tell.
	GPUInstance, ComputeInstance uint32
	MemoryBytes                  uint64 // 0 when unknown
}

// Link is one NVLink that is up: to a GPU, or to a switch that all GPUs share.
type Link struct {
	Remote PCIAddress
	Switch bool
}

// Ancestor is where the PCIe paths of two GPUs meet, with NVML's numbers: the smaller, the closer.
type Ancestor int

// The levels at which paths meet.
const (
	AncestorBoard      Ancestor = 0
	AncestorSwitch     Ancestor = 10
	AncestorSwitches   Ancestor = 20
	AncestorHostBridge Ancestor = 30
	AncestorNUMA       Ancestor = 40
	AncestorSystem     Ancestor = 50
)

// EventKind tells events apart.
type EventKind int

// The kinds of events.
const (
	EventOther     EventKind = iota // something to probe for
	EventXID                        // the driver logged an XID
	EventMIGChange                  // the layout changed
)

// Event is one event of one GPU.
type Event struct {
	Kind                         EventKind
	XID                          uint64
	GPUInstance, ComputeInstance uint32 // NoInstance: the whole GPU
}
