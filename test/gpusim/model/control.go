package model

import "time"

// ProcessSpec is a process to start on a GPU or one of its instances.
type ProcessSpec struct {
	PID  int    `json:"pid"`
	Name string `json:"name"`
	// Kind is "compute" (default), "graphics" or "mps".
	Kind string `json:"kind"`
	// Memory in bytes.
	Memory uint64 `json:"memory"`
	// SM, Mem, Enc and Dec are percent of the GPU or instance while it runs; with a load set on the target the process takes its
	// share of that by weight instead.
	SM, Mem, Enc, Dec uint32
}

// Target names a GPU by index and, where GI is not NoInstance, one of its GPU instances or (CI not NoInstance) compute instances.
type Target struct {
	GPU int    `json:"gpu"`
	GI  uint32 `json:"gi"`
	CI  uint32 `json:"ci"`
}

// WholeGPU targets a GPU itself.
func WholeGPU(index int) Target { return Target{GPU: index, GI: NoInstance, CI: NoInstance} }

// ErrorFault makes calls fail.
type ErrorFault struct {
	// Call is the C function's name; without a version suffix it matches each version. "*" matches every call, "change" each that
	// changes how a GPU is divided: the MIG mode, creating and destroying GPU and compute instances.
	Call string `json:"call"`
	// GPU restricts it to one GPU; -1: any, also calls without a device.
	GPU int `json:"gpu"`
	// PID restricts it to one process; 0: any.
	PID int `json:"pid"`
	// At is the first failing call from now on, counted from 1. 0 means 1.
	At int `json:"at"`
	// Times is how many calls fail from then on; 0 means for ever.
	Times  int    `json:"times"`
	Return Return `json:"return"`
	// AfterEffect lets the call take effect and then lose its answer: the caller sees Return.
	AfterEffect bool `json:"afterEffect"`
}

// LatencyFault makes calls slow. It holds no lock.
type LatencyFault struct {
	Call  string        `json:"call"` // as in ErrorFault
	GPU   int           `json:"gpu"`  // -1: any
	Delay time.Duration `json:"delay"`
}

// HangFault makes every call to one GPU block until it is cleared or the caller's context ends.
type HangFault struct {
	// Init makes nvmlInit and DeviceGetHandle* block too, as a wedged driver does.
	Init bool `json:"init"`
}

// EccFault adds errors to a location's counters (volatile and aggregate) and raises the event.
type EccFault struct {
	Uncorrected bool        `json:"uncorrected"`
	Location    EccLocation `json:"location"`
	Count       uint64      `json:"count"`
}

// File is one thing that the driver shows in the file system, as data.
type File struct {
	// Path is absolute, as the machine has it.
	Path string
	// Kind is "file", "dir", "link" or "char".
	Kind    string
	Content string // a file's content or a link's target
	Mode    uint32 // permission bits
	Major   uint32 // char only
	Minor   uint32
}

// Status is the node in one picture, for people and tests.
type Status struct {
	Shape   string      `json:"shape"`
	Driver  string      `json:"driver"`
	Cuda    string      `json:"cuda"`
	BootID  string      `json:"bootID"`
	Loaded  bool        `json:"loaded"`
	Clients []Caller    `json:"clients"`
	GPUs    []GPUStatus `json:"gpus"`
}

// GPUStatus is one GPU of Status.
type GPUStatus struct {
	Index      int              `json:"index"`
	Minor      uint32           `json:"minor"`
	UUID       string           `json:"uuid"`
	Name       string           `json:"name"`
	PCI        string           `json:"pci"`
	NUMA       int              `json:"numa"`
	MIG        bool             `json:"mig"`
	MIGPending bool             `json:"migPending"`
	Lost       bool             `json:"lost"`
	Hung       bool             `json:"hung"`
	Holders    []string         `json:"holders,omitempty"`
	Instances  []InstanceStatus `json:"instances,omitempty"`
	Processes  []ProcessStatus  `json:"processes,omitempty"`
}

// InstanceStatus is one GPU instance with its compute instances.
type InstanceStatus struct {
	GI        uint32          `json:"gi"`
	Profile   string          `json:"profile"`
	ProfileID uint32          `json:"profileID"`
	Placement Placement       `json:"placement"`
	Compute   []ComputeStatus `json:"compute,omitempty"`
}

// ComputeStatus is one compute instance, which is one MIG device.
type ComputeStatus struct {
	CI        uint32    `json:"ci"`
	Profile   string    `json:"profile"`
	ProfileID uint32    `json:"profileID"`
	Placement Placement `json:"placement"`
	UUID      string    `json:"uuid"`
}

// ProcessStatus is one process on a GPU.
type ProcessStatus struct {
	PID    int    `json:"pid"`
	Name   string `json:"name"`
	Kind   string `json:"kind"`
	Memory uint64 `json:"memory"`
	GI     uint32 `json:"gi"`
	CI     uint32 `json:"ci"`
}
