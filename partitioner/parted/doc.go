// Package parted reads mig-parted's configuration files (version: v1) and makes the named configurations of a node's own hardware.
// It owns the form of those files and every error about them. It never touches hardware, and it is pure.
package parted

import (
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/partitioner/plan"
)

// Target is what a configuration makes of one GPU.
type Target struct {
	// MIG is the mode; Counts are the instances, ordered by profile, empty for a GPU in MIG mode without any.
	MIG    bool
	Counts []plan.Count
}

// GPU is what a configuration looks at.
type GPU struct {
	UUID  gpu.UUID
	Index int
	// DeviceID is device<<16 | vendor, SubsystemID subdevice<<16 | subvendor, 0 when unknown.
	DeviceID, SubsystemID uint32
	// Geometry is zero for a GPU without MIG.
	Geometry mig.Geometry
}
