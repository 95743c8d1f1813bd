package partitioner

import (
	"strings"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

// resolve finds the device behind an id: one of ours, without its replica, or the UUID of a MIG device that another plugin gave away.
// A profile that the driver has renamed since is the one with as many slices and the same attributes at the same start. A slot that
// no geometry knows reaches to the end of the axis.
func resolve(id string, s *gpu.Snapshot) (gpu.Device, bool) {
	if strings.HasPrefix(id, "MIG-") {
		return byUUID(gpu.UUID(id), s)
	}
	parts, err := gpu.ParseDeviceID(id)
	if err != nil {
		return gpu.Device{}, false
	}
	for i := range s.GPUs {
		g := &s.GPUs[i]
		if parts.GPU != string(g.UUID) && parts.GPU != gpu.ShortUUID(g.UUID) {
			continue
		}
		d := gpu.Device{Kind: parts.Kind, GPU: g.UUID, ComputeStart: parts.ComputeStart}
		if parts.Kind == gpu.Slice {
			d.Slot, _ = slotAt(g, parts.Profile, parts.Start)
		}
		return d, true
	}
	return gpu.Device{}, false
}

func byUUID(uuid gpu.UUID, s *gpu.Snapshot) (gpu.Device, bool) {
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

// slotAt is the slot of a profile at a start; known is false where neither an instance nor the geometry has it.
func slotAt(g *gpu.GPU, p mig.Profile, start int) (slot mig.Slot, known bool) {
	exact := func(q mig.Profile) bool { return q == p.Instance() }
	alike := func(q mig.Profile) bool { return q.Slices == p.Slices && q.Attributes == p.Attributes }
	for _, same := range []func(mig.Profile) bool{exact, alike} {
		found := mig.Slot{Placement: mig.Placement{Size: 0}}
		for _, in := range g.Instances {
			if same(in.Slot.Profile) && in.Slot.Placement.Start == start {
				found = in.Slot
			}
		}
		for _, info := range g.Geometry.Profiles {
			for _, at := range info.Placements {
				// a 1g of double memory has as many slices as a plain one: the nearer memory is meant
				nearer := found.Placement.Size == 0 || distance(info.Profile, p) < distance(found.Profile, p)
				if same(info.Profile) && at.Start == start && nearer {
					found = mig.Slot{Profile: info.Profile, Placement: at}
				}
			}
		}
		if found.Placement.Size > 0 {
			if p.IsSlice() {
				found.Profile.Compute = p.Compute
			}
			return found, true
		}
	}
	return mig.Slot{Profile: p, Placement: mig.Placement{Start: start, Size: max(g.Geometry.Axis-start, 1)}}, false
}

func distance(a, b mig.Profile) int { return max(a.MemoryGB-b.MemoryGB, b.MemoryGB-a.MemoryGB) }

// overlap reports whether two devices use the same hardware: memory slices, or for parts of one instance its compute slices.
func overlap(a, b gpu.Device) bool {
	switch {
	case a.GPU != b.GPU:
		return false
	case a.Kind == gpu.Whole || b.Kind == gpu.Whole:
		return true
	case a.Slot.Placement == b.Slot.Placement && a.Slot.Profile.IsSlice() && b.Slot.Profile.IsSlice():
		part := func(d gpu.Device) mig.Placement {
			return mig.Placement{Start: d.ComputeStart, Size: d.Slot.Profile.Compute}
		}
		return part(a).Overlaps(part(b))
	}
	return a.Slot.Placement.Overlaps(b.Slot.Placement)
}
