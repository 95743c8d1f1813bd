package plan

import (
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

// Input is all that a plan is made from.
type Input struct {
	GPUs    []GPU
	Demands []Demand
	Policy  Policy
}

// Resource is what a pod asks for: a MIG profile, or a whole GPU, which is the zero Resource.
type Resource struct{ Profile mig.Profile }

// Whole reports whether it is a whole GPU.
func (r Resource) Whole() bool { return r == Resource{} }

// String is the part of the usual Kubernetes name behind `nvidia.com/`: `gpu`, `mig-1g.10gb`.
func (r Resource) String() string {
	if r.Whole() {
		return "gpu"
	}
	return r.Profile.Resource()
}

// Role is what configuration makes of a GPU.
type Role int

// The roles.
const (
	Auto     Role = iota // whole at rest, divided on demand
	Sliced               // divided on demand, never whole
	Whole                // never divided
	Declared             // exactly the profiles that GPU.Declared counts
	Pinned               // left as it is; what is idle there may be used
)

func (r Role) String() string {
	names := [...]string{"auto", "sliced", "whole", "declared", "pinned"}
	if r < 0 || int(r) >= len(names) {
		return "unknown"
	}
	return names[r]
}

// GPU is one GPU as it is. Where its parts contradict each other, everything that exists there is kept.
type GPU struct {
	UUID gpu.UUID
	// Index orders GPUs and names them to people.
	Index int
	// Geometry is what the driver told; the zero Geometry is a GPU without MIG.
	Geometry mig.Geometry
	Mode     Mode
	Role     Role
	// Declared is what a Declared GPU is to hold, existing and claimed instances included.
	Declared []Count
	// Out is why nothing new may be placed here (lost, unhealthy, cordoned); empty when it may. What exists there stays, and what is
	// idle there is not offered.
	Out string
	// Cooling: the layout changed a moment ago. Expired instances stay, and the GPU is not put to rest; demand changes it all the same.
	Cooling bool
	// Claims are fixed points: nothing of a plan overlaps them.
	Claims []Claim
	// Instances are the GPU instances that exist.
	Instances []Instance
	// Offered are slots that are on offer at the moment, whether or not the instance exists; a plan prefers to keep them where they are.
	Offered []mig.Slot
	// Apart are pairs of profiles that this driver refuses beside each other (4g beside 3g before R510).
	Apart [][2]mig.Profile
	// SplitCost makes other GPUs preferred for being split, in units of flexibility (one placement of one memory slice): to keep NVLink groups whole.
	SplitCost int
}

// Mode is a GPU's MIG mode and what can be done about it.
type Mode struct {
	On bool
	// May: it may be changed now. Otherwise Why says what stands in the way, in a sentence for people ("it changes only with a reset").
	May bool
	Why string
	// Reset: a change takes effect with a reset of this GPU, which was allowed when May is set.
	Reset bool
}

// Claim is a device that a pod holds, or that must be treated so: a bound pod's that is not yet admitted, say.
type Claim struct {
	// Whole: the whole GPU. Otherwise Slot, with the GPU instance's profile where the claim is about a part of it.
	Whole bool
	Slot  mig.Slot
	// Holder is how people know who holds it, such as "pod team/train-0".
	Holder string
}

// Instance is a GPU instance that exists. One that no claim names is idle, and a plan may destroy it.
type Instance struct {
	Slot mig.Slot
	// Pinned: it is never destroyed (an administrator made it). It can still be used while idle.
	Pinned bool
	// Held is who uses it without a claim (a process, a leaked handle): a fixed point that nobody else can use. Empty when nobody does.
	Held string
	// Expired: it was idle for long enough to be destroyed without need.
	Expired bool
}

// Demand is one pod that waits: it is served with all that it asks for, or not at all.
type Demand struct {
	// ID is stable and unique: the pod's UID.
	ID string
	// Name is how people know it, such as "pod team/train-0"; ID when empty.
	Name string
	Asks []Ask
	// Priority: the higher is served first; among equals the greater Age, then the smaller ID. Age is in any unit that all demands share.
	Priority int
	Age      int64
	// Aged: it waited so long that, while it cannot be served, the place that it could have soonest takes no new pods, and idle
	// instances there go. One plan does so for one demand, the first, if it asks for one resource.
	Aged bool
}

// Ask is a number of devices of a resource.
type Ask struct {
	Resource Resource
	Count    int
}

// Count is a number of instances of a profile.
type Count struct {
	Profile mig.Profile
	Count   int
}

// Policy is what configuration says of a node's GPUs together.
type Policy struct {
	// Allowed are the profiles that may be made; nil allows all. What exists may be used either way.
	Allowed []mig.Profile
	// KeepWhole is how many GPUs are left whole, those that are claimed as a whole included: while so many
	// are whole or at rest, so many stay. Nothing is destroyed for it, unless demand takes the place of one.
	KeepWhole int
	// Spares are idle instances to be had in advance, sixteen at most. They take what demand leaves, and destroy nothing that has not expired.
	Spares []Count
	// Weights says how much a free placement of a profile is worth, 0 to 1000, beside its size; 1 where it says nothing.
	// It is the observed demand, or configuration's guess of it. It should change seldom.
	Weights []Count
}
