package plan

import (
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

// Plan is what is to be done, and why the rest is not.
type Plan struct {
	// GPUs are the layouts, by index.
	GPUs []Layout
	// Offers are all devices that a kubelet may be told of, by GPU and start. Those of one GPU never overlap: all of them
	// can exist together, in any order of arrival.
	Offers []Offer
	// Steps lead there. Those of one GPU are in order and wait for each other; those of different GPUs do not.
	// The GPUs that serve the most urgent demand come first.
	Steps []Step
	// Grants say which device each demand that is served would get; the kubelet may pick another of the same resource.
	Grants []Grant
	// Unmet are the demands and declarations that wait.
	Unmet []Unmet
	// Fits tells fragmentation, by resource: whole GPUs first, then the largest profile.
	Fits []Fit
	// Cost is what it costs to serve demand and have the spares: the measure that the plan is the least of.
	Cost Cost
	// Exact: it was proven that no plan is better. Otherwise the search was cut short, and the plan is valid all the same.
	Exact bool
}

// Layout is how one GPU is to be divided.
type Layout struct {
	GPU   gpu.UUID
	Index int
	// MIG is the mode that it is to have.
	MIG bool
	// Slots are the instances that it is to have, by start; fixed points included.
	Slots []mig.Slot
}

// Offer is a device that can be given to a pod.
type Offer struct {
	Device gpu.Device
	// Claimed: a pod has it. Exists: nothing is to be made for it.
	Claimed, Exists bool
	// For is the ID of the demand that it was made or kept for; empty for claims, idle instances, spares and GPUs at rest.
	For string
}

// Op is a kind of step.
type Op int

// The kinds of steps.
const (
	Destroy Op = iota
	ModeOff
	ModeOn
	Create
)

func (o Op) String() string {
	names := [...]string{"destroy", "MIG mode off", "MIG mode on", "create"}
	if o < 0 || int(o) >= len(names) {
		return "unknown"
	}
	return names[o]
}

// Step is one change of the hardware.
type Step struct {
	Op    Op
	GPU   gpu.UUID
	Index int
	// Slot is what is destroyed or created.
	Slot mig.Slot
	// Reset: the mode changes with a reset of this GPU.
	Reset bool
	// For is the ID of the demand that a creation serves, if it serves one.
	For string
	// Why is the reason, for people.
	Why string
}

// Grant is what a demand gets, one device for each that it asked for.
type Grant struct {
	ID      string
	Devices []gpu.Device
}

// Cause is why something waits, as a metric's label.
type Cause string

// The causes.
const (
	CauseUnknown  Cause = "no-such-profile" // no GPU here has the profile, or none is whole
	CausePolicy   Cause = "policy"          // configuration does not let it be made
	CauseMode     Cause = "mode"            // the MIG mode cannot be changed
	CauseHeld     Cause = "held"            // claims and instances in use are in the way
	CausePromised Cause = "promised"        // demand that comes first takes it
	CauseOut      Cause = "out"             // the GPUs that could are out of service
	CauseLimit    Cause = "limit"           // more than one plan looks at
)

// Unmet is a demand, or a GPU's declaration, that waits.
type Unmet struct {
	// ID is the demand's; empty for a declaration, which GPU then names.
	ID  string
	GPU gpu.UUID
	// Resource is the first that is missing.
	Resource Resource
	Cause    Cause
	// Reason is for people: "3g.40gb fits on no GPU here: GPU 0 slots 0-3 are held by pod a/b; ...".
	Reason string
}

// Fit tells how many devices of a resource there is room for.
type Fit struct {
	Resource Resource
	// Empty is how many the node could hold with nothing in use; Now how many more could be had beside what is held, idle
	// instances given up; After how many more could be had beside all offers of the plan.
	Empty, Now, After int
}

// Cost is the measure of a plan, the first difference decides.
type Cost struct {
	// Destroys counts idle instances that are destroyed before they expired. Modes counts changes of a MIG mode for demand.
	Destroys, Modes int
	// Creates counts instances that are made for demand; Moves those of them at slots that were not on offer before.
	Creates, Moves int
	// Loss is the flexibility that is lost: the worth of placements that were free before.
	Loss int
}
