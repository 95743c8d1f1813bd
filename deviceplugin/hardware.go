package deviceplugin

import (
	"strings"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

// overlap reports whether two devices use the same piece of hardware: slices of one GPU's axis, and for two sub-slices of one
// GPU instance its compute slices.
func overlap(a, b gpu.Device) bool {
	switch {
	case a.GPU != b.GPU:
		return false
	case a.Kind == gpu.Whole || b.Kind == gpu.Whole:
		return true
	case !a.Slot.Placement.Overlaps(b.Slot.Placement):
		return false
	case a.Slot.Placement == b.Slot.Placement && a.Slot.Profile.IsSlice() && b.Slot.Profile.IsSlice():
		return computeRange(a).Overlaps(computeRange(b))
	}
	return true
}

func computeRange(d gpu.Device) mig.Placement {
	return mig.Placement{Start: d.ComputeStart, Size: d.Slot.Profile.Compute}
}

// coexist reports whether two devices are replicas of one base in one resource: they share it by intention.
func coexist(a key, da gpu.Device, b key, db gpu.Device) bool {
	return a.resource == b.resource && da.Replica > 0 && db.Replica > 0 && da.Base() == db.Base()
}

// collides reports whether two devices under their names would give the same hardware twice.
func collides(a key, da gpu.Device, b key, db gpu.Device) bool {
	return a != b && overlap(da, db) && !coexist(a, da, b, db)
}

// exists reports whether the hardware of a device is there: the GPU in the right mode, the instance that it had.
// A slot that was never made real has nothing that could be missing.
func exists(d Named, s *gpu.Snapshot) bool {
	g := s.GPU(d.Device.GPU)
	switch {
	case g == nil:
		return false
	case d.Device.Kind == gpu.Whole:
		return !g.MIG.Enabled
	case d.Realized == nil:
		return true
	}
	for _, in := range g.Instances {
		for _, ci := range in.Compute {
			if ci.UUID == d.Realized.UUID {
				return true
			}
		}
	}
	return false
}

// resolve finds the device behind an id that somebody claims: one of ours, or the UUID of a MIG device, which another plugin
// gave away. Ids that name no GPU of the inventory are not ours. sure is false when the end of a slot is not known;
// the device then reaches to the end of the axis.
func resolve(id string, s *gpu.Snapshot) (d gpu.Device, sure, ok bool) {
	if d, ok := byInstance(gpu.UUID(id), s); ok {
		return d, true, true
	}
	parts, err := gpu.ParseDeviceID(id)
	if err != nil {
		return gpu.Device{}, false, false
	}
	for i := range s.GPUs {
		g := &s.GPUs[i]
		if parts.GPU != string(g.UUID) && parts.GPU != gpu.ShortUUID(g.UUID) {
			continue
		}
		d = gpu.Device{Kind: parts.Kind, GPU: g.UUID, ComputeStart: parts.ComputeStart, Replica: parts.Replica}
		if parts.Kind == gpu.Whole {
			return d, true, true
		}
		size, sure := slotSize(g, parts.Profile.Instance(), parts.Start)
		d.Slot = mig.Slot{Profile: parts.Profile, Placement: mig.Placement{Start: parts.Start, Size: size}}
		return d, sure, true
	}
	return gpu.Device{}, false, false
}

func byInstance(uuid gpu.UUID, s *gpu.Snapshot) (gpu.Device, bool) {
	if !strings.HasPrefix(string(uuid), "MIG-") {
		return gpu.Device{}, false
	}
	for i := range s.GPUs {
		for _, in := range s.GPUs[i].Instances {
			for _, ci := range in.Compute {
				if ci.UUID != uuid {
					continue
				}
				d := gpu.Device{Kind: gpu.Slice, GPU: s.GPUs[i].UUID, Slot: mig.Slot{Profile: ci.Profile, Placement: in.Slot.Placement}}
				if ci.Profile.IsSlice() {
					d.ComputeStart = ci.Placement.Start
				}
				return d, true
			}
		}
	}
	return gpu.Device{}, false
}

func slotSize(g *gpu.GPU, p mig.Profile, start int) (size int, sure bool) {
	for _, in := range g.Instances {
		if in.Slot.Profile == p && in.Slot.Placement.Start == start {
			return in.Slot.Placement.Size, true
		}
	}
	for _, info := range g.Geometry.Profiles {
		for _, at := range info.Placements {
			if info.Profile == p && at.Start == start {
				return at.Size, true
			}
		}
	}
	return max(g.Geometry.Axis-start, 1), false
}
