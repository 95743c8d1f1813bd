package attribute

import (
	"strconv"
	"strings"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

// resolve finds the device behind an id that the kubelet knows. The forms:
//   - gpulet's own, which include the UUID of a whole GPU and `<UUID>::<n>` for a replica, as NVIDIA's plugin has them;
//   - `MIG-<UUID>` of a MIG device and the old `MIG-GPU-<UUID>/<GPU instance>/<compute instance>`, both also with `::<n>`;
//   - GKE's `nvidia<n>`, `nvidia<n>/gi<m>`, and either with `/vgpu<k>`, where n is that of /dev/nvidia<n>.
//
// False: it is none of these, or names what is not in the snapshot.
func resolve(s *gpu.Snapshot, id string) (gpu.Device, bool) {
	base, n, replicated := strings.Cut(id, "::")
	var d gpu.Device
	var ok bool
	switch {
	case strings.HasPrefix(base, "MIG-GPU-"):
		d, ok = byPath(s, base)
	case strings.HasPrefix(base, "MIG-"):
		d, ok = byMIGDevice(s, gpu.UUID(base))
	case strings.HasPrefix(base, "nvidia"):
		d, ok = byNode(s, base)
	default:
		return own(s, id)
	}
	if ok && replicated {
		d.Replica, ok = count(n)
		d.Replica++
	}
	return d, ok
}

// own reads an id of gpulet's form.
func own(s *gpu.Snapshot, id string) (gpu.Device, bool) {
	parts, err := gpu.ParseDeviceID(id)
	if err != nil {
		return gpu.Device{}, false
	}
	g := s.GPU(gpu.UUID(parts.GPU))
	for i := 0; g == nil && i < len(s.GPUs); i++ {
		if gpu.ShortUUID(s.GPUs[i].UUID) == parts.GPU {
			g = &s.GPUs[i]
		}
	}
	if g == nil {
		return gpu.Device{}, false
	}
	d := gpu.Device{Kind: parts.Kind, GPU: g.UUID, ComputeStart: parts.ComputeStart, Replica: parts.Replica}
	if parts.Kind == gpu.Slice {
		d.Slot = slot(g, parts.Profile, parts.Start)
	}
	return d, true
}

// slot is a profile at a start; its size is that of an instance there, or else what the geometry says, 0 when nothing does.
func slot(g *gpu.GPU, p mig.Profile, start int) mig.Slot {
	out := mig.Slot{Profile: p, Placement: mig.Placement{Start: start}}
	for _, in := range g.Instances {
		if in.Slot.Profile == p.Instance() && in.Slot.Placement.Start == start {
			out.Placement = in.Slot.Placement
			return out
		}
	}
	for _, info := range g.Geometry.Profiles {
		for _, at := range info.Placements {
			if info.Profile == p.Instance() && at.Start == start {
				out.Placement = at
				return out
			}
		}
	}
	return out
}

func byMIGDevice(s *gpu.Snapshot, uuid gpu.UUID) (gpu.Device, bool) {
	for i := range s.GPUs {
		for _, in := range s.GPUs[i].Instances {
			for _, ci := range in.Compute {
				if ci.UUID == uuid {
					return compute(&s.GPUs[i], in, ci), true
				}
			}
		}
	}
	return gpu.Device{}, false
}

func compute(g *gpu.GPU, in gpu.Instance, ci gpu.ComputeInstance) gpu.Device {
	d := gpu.Device{Kind: gpu.Slice, GPU: g.UUID, Slot: mig.Slot{Profile: ci.Profile, Placement: in.Slot.Placement}}
	if ci.Profile.IsSlice() {
		d.ComputeStart = ci.Placement.Start
	}
	return d
}

// byPath reads `MIG-GPU-<UUID>/<GPU instance>/<compute instance>`, the driver's own form before R470.
func byPath(s *gpu.Snapshot, id string) (gpu.Device, bool) {
	parts := strings.Split(strings.TrimPrefix(id, "MIG-"), "/")
	g := s.GPU(gpu.UUID(parts[0]))
	if g == nil || len(parts) != 3 {
		return gpu.Device{}, false
	}
	gi, ok1 := count(parts[1])
	ci, ok2 := count(parts[2])
	if !ok1 || !ok2 {
		return gpu.Device{}, false
	}
	for _, in := range g.Instances {
		for _, c := range in.Compute {
			if int(in.ID) == gi && int(c.ID) == ci {
				return compute(g, in, c), true
			}
		}
	}
	return gpu.Device{}, false
}

// byNode reads GKE's ids.
func byNode(s *gpu.Snapshot, id string) (d gpu.Device, ok bool) {
	parts := strings.Split(strings.TrimPrefix(id, "nvidia"), "/")
	minor, ok := count(parts[0])
	if !ok {
		return d, false
	}
	var g *gpu.GPU
	for i := range s.GPUs {
		if s.GPUs[i].Minor == minor {
			g = &s.GPUs[i]
		}
	}
	if g == nil {
		return d, false
	}
	d = gpu.Device{Kind: gpu.Whole, GPU: g.UUID}
	rest := parts[1:]
	if len(rest) > 0 && strings.HasPrefix(rest[0], "gi") {
		gi, ok := count(rest[0][len("gi"):])
		if d, ok = byInstance(g, gi, ok); !ok {
			return d, false
		}
		rest = rest[1:]
	}
	if len(rest) > 0 && strings.HasPrefix(rest[0], "vgpu") {
		if d.Replica, ok = count(rest[0][len("vgpu"):]); !ok {
			return d, false
		}
		d.Replica++
		rest = rest[1:]
	}
	return d, len(rest) == 0
}

func byInstance(g *gpu.GPU, gi int, ok bool) (gpu.Device, bool) {
	for _, in := range g.Instances {
		if ok && int(in.ID) == gi {
			return gpu.Device{Kind: gpu.Slice, GPU: g.UUID, Slot: in.Slot}, true
		}
	}
	return gpu.Device{}, false
}

// entity is what the driver measures of a device: the GPU, or the GPU instance in its slot, which for a sub-slice is the one
// that it is a part of. Zero: there is none at the moment.
func entity(s *gpu.Snapshot, d gpu.Device) gpu.Entity {
	g := s.GPU(d.GPU)
	switch {
	case g == nil:
		return gpu.Entity{}
	case d.Kind == gpu.Whole:
		return g.UUID.Whole()
	}
	for _, in := range g.Instances {
		if in.Slot.Profile == d.Slot.Profile.Instance() && in.Slot.Placement.Start == d.Slot.Placement.Start {
			return gpu.Entity{GPU: g.UUID, Instance: in.ID}
		}
	}
	return gpu.Entity{}
}

// count reads a small decimal without a sign.
func count(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return int(n), err == nil
}
