// Package gpu is the vocabulary of the node's GPUs and their inventory.
// It owns the snapshot of what exists and how healthy it is, and the per-GPU
// queues through which the driver is called and changed. It never decides about
// a change, and it imports no other capability.
package gpu

import (
	"fmt"
	"time"

	"github.com/gpulet/gpulet/gpu/mig"
)

// UUID names a GPU (`GPU-...`) or a MIG device (`MIG-...`) as the driver does.
type UUID string

// Snapshot is the inventory at one moment. It is immutable: whoever holds one may read it for ever.
// Version 0 is before the first look at the hardware.
type Snapshot struct {
	// Version grows at each change of what the snapshot holds.
	Version uint64
	At      time.Time
	Driver  DriverInfo
	// GPUs are ordered by index. A GPU that was once seen stays listed, with its health, until the next boot.
	GPUs []GPU
	// Topology says how well the GPUs are connected; it is never nil in what a Monitor publishes.
	Topology *Topology
	// Gaps are the features that are missing on the whole node.
	Gaps []Gap
}

// GPU finds a GPU by its UUID; nil when there is none.
func (s *Snapshot) GPU(uuid UUID) *GPU {
	for i := range s.GPUs {
		if s.GPUs[i].UUID == uuid {
			return &s.GPUs[i]
		}
	}
	return nil
}

// DriverInfo is what the driver says of itself; Version is such as "550.54.15",
// CUDA the highest CUDA version that it serves, such as "12.4".
type DriverInfo struct{ Version, NVML, CUDA string }

// Gap is a feature that this driver or GPU lacks, with the reason that a person can read.
type Gap struct{ Feature, Reason string }

// GPU is one physical GPU.
type GPU struct {
	UUID  UUID
	Index int // position in the driver's enumeration
	Minor int // N of /dev/nvidiaN
	Model string
	// Architecture is the lower-case family name: volta, turing, ampere, ada, hopper, blackwell; "unknown" when the driver's number is new.
	Architecture      string
	ComputeCapability ComputeCapability
	PCI               PCIAddress
	PCIDeviceID       uint32 // device<<16 | vendor, as the driver packs it
	PCISubsystemID    uint32 // of the board: subdevice<<16 | subvendor
	MemoryBytes       uint64
	NUMA              int // node number, -1 when unknown
	MIG               MIGState
	Geometry          mig.Geometry
	// Instances are the GPU instances that exist, ordered by placement.
	Instances []Instance
	// Fabric is the registration with the NVSwitch fabric; a whole GPU of a fabric computes only when it is completed.
	Fabric Fabric
	Health Health
	Gaps   []Gap
}

// ComputeCapability is CUDA's version of a GPU's abilities, such as 8.0.
type ComputeCapability struct{ Major, Minor int }

func (c ComputeCapability) String() string { return fmt.Sprintf("%d.%d", c.Major, c.Minor) }

// PCIAddress is in sysfs form: lower case, domain of four digits, `0000:07:00.0`.
type PCIAddress string

// MIGState says whether a GPU can be divided and whether it is. Pending differs
// from Enabled while a mode change waits for a reset.
type MIGState struct{ Capable, Enabled, Pending bool }

// Instance is a GPU instance that exists.
type Instance struct {
	ID   uint32 // GPU instance id, reused by the driver
	Slot mig.Slot
	// Compute are its compute instances, ordered by start; empty while nobody can use the instance.
	Compute []ComputeInstance
	Health  Health
}

// ComputeInstance is a compute instance that exists: what a container gets.
type ComputeInstance struct {
	ID   uint32 // compute instance id within its GPU instance
	UUID UUID   // of the MIG device, new at every creation
	// Profile is the GPU instance's profile when the compute instance fills it, otherwise a sub-slice such as 1c.3g.40gb.
	Profile mig.Profile
	// Placement is in compute slices of the GPU instance.
	Placement   mig.Placement
	MemoryBytes uint64
	Health      Health
}

// State is a state of the health machine.
type State int

// The states of the health machine. Only Healthy may be given to a new container.
const (
	Healthy    State = iota
	Suspect          // something was seen; a probe decides
	Draining         // usable by who has it, not given anew
	Unhealthy        // not usable until it recovers
	Recovering       // probes succeed; not given anew until enough of them did
)

func (s State) String() string {
	names := [...]string{"Healthy", "Suspect", "Draining", "Unhealthy", "Recovering"}
	if s < 0 || int(s) >= len(names) {
		return fmt.Sprintf("State(%d)", int(s))
	}
	return names[s]
}

// Health is a state with its reason. The zero Health is healthy.
type Health struct {
	State  State
	Reason string // one sentence for people; empty when healthy
	Since  time.Time
}

// Allocatable reports whether a new container may get the device.
func (h Health) Allocatable() bool { return h.State == Healthy }

// Worse returns the less healthy of two, the first when they are equally bad.
func Worse(a, b Health) Health {
	rank := [...]int{Healthy: 0, Recovering: 1, Suspect: 2, Draining: 3, Unhealthy: 4}
	if rank[b.State] > rank[a.State] {
		return b
	}
	return a
}
