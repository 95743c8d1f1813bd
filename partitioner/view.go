package partitioner

import (
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/partitioner/plan"
)

// View is how the node is divided and why, for status, drawings, metrics and the cluster's planner. Immutable.
type View struct {
	// Version is that of the offers that belong to it.
	Version uint64 `json:"version"`
	// Waiting says why nothing is offered yet; empty once something may be.
	Waiting string    `json:"waiting,omitempty"`
	DryRun  bool      `json:"dryRun,omitempty"`
	GPUs    []GPUView `json:"gpus"`
	// Demands are the pods that this node is asked to serve, with the reason of each wait.
	Demands []DemandView `json:"demands,omitempty"`
	// Unmet are declarations that cannot be reached.
	Unmet []string  `json:"unmet,omitempty"`
	Fits  []FitView `json:"fits,omitempty"`
	// Exact: no better plan exists. Took is how long planning took.
	Exact bool          `json:"exact"`
	Took  time.Duration `json:"took"`
	// Input is what the last plan was made from, for what-if questions and the cluster's planner.
	Input plan.Input `json:"-"`
}

// GPUView is one GPU.
type GPUView struct {
	UUID  gpu.UUID `json:"uuid"`
	Index int      `json:"index"`
	// Role is keep, whole, mig, auto or declared; Source says where that comes from.
	Role   string `json:"role"`
	Source string `json:"source"`
	// MIG is the mode as it is, Wanted as it is to be.
	MIG    bool `json:"mig"`
	Wanted bool `json:"wanted"`
	Axis   int  `json:"axis"`
	// Whole is the state of the GPU as a whole: claimed, offered, or empty when it is not on offer so; Holder is the pod that has it.
	Whole  string     `json:"whole,omitempty"`
	Holder string     `json:"holder,omitempty"`
	Slots  []SlotView `json:"slots,omitempty"`
	// Doing is the step under way; Trouble why the last one, or the wanted layout, did not come about; Out why nothing new is placed here.
	Doing   string `json:"doing,omitempty"`
	Trouble string `json:"trouble,omitempty"`
	Out     string `json:"out,omitempty"`
	// Cause is the class of Trouble, an apply.Cause or a plan.Cause: some do not go away by waiting.
	Cause string `json:"cause,omitempty"`
	// Reached: a declared layout is there.
	Reached bool `json:"reached,omitempty"`
	// Recovered: see apply.GPUState.
	Recovered bool `json:"recovered"`
}

// SlotState is how a slot stands.
type SlotState string

// The states.
const (
	SlotClaimed SlotState = "claimed" // a pod has it
	SlotIdle    SlotState = "idle"    // it exists and is on offer
	SlotOffered SlotState = "offered" // it is on offer and does not exist yet
	SlotComing  SlotState = "coming"  // it is wanted, and not on offer yet
	SlotGoing   SlotState = "going"   // it exists and is to be destroyed
	SlotHeld    SlotState = "held"    // a process without a claim or a leaked handle is on it
)

// SlotView is a slot of a GPU that exists or is wanted.
type SlotView struct {
	Slot   mig.Slot  `json:"slot"`
	Name   string    `json:"name"` // 3g.40gb@4
	State  SlotState `json:"state"`
	Exists bool      `json:"exists,omitempty"`
	// Foreign: an administrator made it, and it stays.
	Foreign bool `json:"foreign,omitempty"`
	// Holder is who has it, For the pod that it is meant for, Why the reason of its state.
	Holder string `json:"holder,omitempty"`
	For    string `json:"for,omitempty"`
	Why    string `json:"why,omitempty"`
}

// DemandView is a pod that this node is asked to serve.
type DemandView struct {
	UID       string    `json:"uid"`
	Namespace string    `json:"namespace"`
	Pod       string    `json:"pod"`
	Asks      []string  `json:"asks"` // "1 x mig-1g.10gb"
	Since     time.Time `json:"since"`
	// Devices are the ids that are meant for it; without any it waits for Reason, of class Cause.
	Devices []string   `json:"devices,omitempty"`
	Cause   plan.Cause `json:"cause,omitempty"`
	Reason  string     `json:"reason,omitempty"`
}

// FitView tells fragmentation: how many devices of a resource there is room for.
type FitView struct {
	Resource string `json:"resource"`
	Empty    int    `json:"empty"`
	Now      int    `json:"now"`
	After    int    `json:"after"`
}
