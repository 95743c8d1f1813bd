package gpu

import "github.com/gpulet/gpulet/gpu/mig"

// Offer is a device that is on offer to the kubelet, before sharing: replicas are made of it by whoever lists it.
type Offer struct {
	Device Device
	// Health is that of the device itself: the worst of the GPU's, the instance's and the compute instance's.
	Health Health
	// Realized names the hardware behind a Slice; nil while the instance does not exist.
	Realized *Realized
}

// Realized is the hardware behind a slot.
type Realized struct {
	GPUInstance, ComputeInstance uint32
	// UUID is the MIG device's.
	UUID UUID
	// MemoryBytes is the memory that the compute instance sees.
	MemoryBytes uint64
}

// Offers are all offers of a node with the reasons for what is not offered. Immutable.
type Offers struct {
	// Snapshot is the inventory that they were made from.
	Snapshot *Snapshot
	// Version grows with each change of what is offered, where somebody decides about it.
	Version uint64
	Offers  []Offer // ordered by GPU index, then placement
	// Profiles are what could be offered beside that, once somebody waits for it: their resources are registered with 0 devices.
	Profiles []PossibleProfile
	Withheld []Withheld
}

// Withheld is something that exists and is not offered, with the reason.
type Withheld struct {
	GPU    UUID
	What   string // "GPU", "GPU instance 3 (2g.20gb@4)"
	Reason string
}

// PossibleProfile is a profile that a GPU could be divided into.
type PossibleProfile struct {
	GPU     UUID
	Profile mig.Profile
}
