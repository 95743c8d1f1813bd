// Package sample is what the parts of the exporter hand to each other: the set of measurements of the node at one moment, with
// who uses what. Values are immutable once they are in a Set. It never measures, counts or formats.
package sample

import (
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
)

// Value is the last reading of one field of one entity.
type Value struct {
	V    float64
	Text string
	At   time.Time
	// Source is where it comes from: "nvml" or "dcgm".
	Source string
	// Absent says why there is no value; nil when there is one.
	Absent *gpu.Absence
}

// Set is everything that a scrape tells of the GPUs. Immutable.
type Set struct {
	At time.Time
	// Generation grows when the entities, what identifies them, or Holds change: label sets may be kept while it stays.
	Generation uint64
	// Snapshot is the inventory that the entities are of.
	Snapshot *gpu.Snapshot
	// Values are by entity and field. What is too old is in it with the absence Stale and without a value.
	Values map[gpu.Entity]map[gpu.Field]Value
	// Down says of each GPU that does not answer why; the others are up.
	Down    map[gpu.UUID]string
	Windows map[gpu.Entity]Windows
	// Holds are the containers that have devices, Shares what each of them uses.
	Holds   []Hold
	Shares  []Share
	Rests   []Rest
	Ledger  []Account
	XIDs    []XID
	Sources []Source
}

// Windows are the largest values of the last 15 and 60 s; a negative one is not known.
type Windows struct {
	// Utilization is a ratio of 0 to 1, Power in watts (of whole GPUs), Memory in bytes.
	Utilization, Power, Memory [2]float64
}

// Container is a container of a pod.
type Container struct {
	Namespace, Pod, Container string
	UID                       kubelet.UID
}

// Sharing says how a device is shared.
type Sharing string

// The kinds of sharing.
const (
	Exclusive   Sharing = "exclusive"
	TimeSlicing Sharing = "time-slicing"
	MPS         Sharing = "mps"
)

// Hold is a device that a container has.
type Hold struct {
	Container
	// RuntimeID is the container's as its runtime knows it, by which its processes are found; empty while it is not known.
	RuntimeID string
	Resource  string
	// ID is the device's as the kubelet knows it, Device what it means.
	ID     string
	Device gpu.Device
	// Entity is the GPU or GPU instance behind it. It is zero while that does not exist.
	Entity  gpu.Entity
	Sharing Sharing
	// Since is when the container got it.
	Since time.Time
}

// Part is a part of an entity's use. What is not known has its reason instead of a number.
type Part struct {
	Utilization  float64 // 0 to 1, of the entity
	MemoryBytes  float64
	NoUtil, NoMB *gpu.Absence
}

// Share is what a container uses of an entity. The shares and the Rest of an entity sum up to what the entity uses.
type Share struct {
	Container
	Entity gpu.Entity
	Part
}

// Rest is what is used of an entity that several containers share, or none has, and that no container's processes explain.
type Rest struct {
	Entity gpu.Entity
	Part
	// Why says for people what could not be attributed; empty when the rest is small.
	Why string
}

// Account is what was counted for a container since the agent began to see it. It outlives its pod by a minute, so that the
// last increase is scraped.
type Account struct {
	Container
	Resource string
	// Allocated and Idle are seconds times devices; Dollars is negative without a price.
	Allocated, Idle, Dollars float64
}

// XID counts one code of one GPU since the agent started.
type XID struct {
	GPU   gpu.UUID
	Code  uint64
	Class string
	Count uint64
	Last  time.Time
}

// Source is one way in which measurements come.
type Source struct {
	// Name is "nvml", "dcgm", "podresources", "kmsg".
	Name string
	// Unused: it is not asked for, or not there; Reason says why.
	Unused bool
	// Reason is why it gives nothing at the moment; empty when all is well.
	Reason  string
	Last    time.Time // of the last success
	Latency Histogram
	// Errors count failures by reason, Stale the values that were dropped as too old.
	Errors   map[gpu.AbsenceCode]uint64
	Stale    uint64
	Restarts uint64 // of its process
}

// Histogram counts durations in seconds. Counts[i] are those up to Bounds[i]; the last has no bound.
type Histogram struct {
	Bounds []float64
	Counts []uint64
	Sum    float64
}
