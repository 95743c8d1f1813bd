package gpufake

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

// A100 is an A100 80 GB at an index: UUID, minor and PCI address follow from it. It has MIG, off.
func A100(index int) *GPU {
	g := &GPU{ID: identity(index, "NVIDIA A100-SXM4-80GB", "ampere", 8, 0, 0x20B210DE, 0x147F10DE, 81920)}
	g.Profiles = A100Geometry()
	g.layout.MIG.Capable = true
	return g
}

// T4 is a T4 at an index: no MIG.
func T4(index int) *GPU {
	return &GPU{ID: identity(index, "Tesla T4", "turing", 7, 5, 0x1EB810DE, 0x12A210DE, 15360)}
}

func identity(index int, model, architecture string, major, minor int, pci, subsystem uint32, mib uint64) gpu.Identity {
	return gpu.Identity{
		UUID: gpu.UUID(fmt.Sprintf("GPU-%08d-0000-4000-8000-000000000000", index)), Minor: index, Model: model,
		Architecture: architecture, ComputeCapability: gpu.ComputeCapability{Major: major, Minor: minor},
		PCI: gpu.PCIAddress(fmt.Sprintf("0000:%02x:00.0", 0x10+index)), PCIDeviceID: pci, PCISubsystemID: subsystem, MemoryBytes: mib << 20,
	}
}

// A100Geometry is that of the A100 80 GB.
func A100Geometry() mig.Geometry {
	places := func(size int, starts ...int) (out []mig.Placement) {
		for _, s := range starts {
			out = append(out, mig.Placement{Start: s, Size: size})
		}
		return out
	}
	raw := []mig.RawProfile{
		{Enum: 0, ID: 19, Name: "MIG 1g.10gb", Slices: 1, Instances: 7, Multiprocessors: 14, MemoryMiB: 9728, Placements: places(1, 0, 1, 2, 3, 4, 5, 6)},
		{Enum: 1, ID: 14, Name: "MIG 2g.20gb", Slices: 2, Instances: 3, Multiprocessors: 28, MemoryMiB: 19968, Placements: places(2, 0, 2, 4)},
		{Enum: 2, ID: 9, Name: "MIG 3g.40gb", Slices: 3, Instances: 2, Multiprocessors: 42, MemoryMiB: 40192, Placements: places(4, 0, 4)},
		{Enum: 3, ID: 5, Name: "MIG 4g.40gb", Slices: 4, Instances: 1, Multiprocessors: 56, MemoryMiB: 40192, Placements: places(4, 0)},
		{Enum: 4, ID: 0, Name: "MIG 7g.80gb", Slices: 7, Instances: 1, Multiprocessors: 98, MemoryMiB: 80896, Placements: places(8, 0)},
		{Enum: 7, ID: 20, Name: "MIG 1g.10gb+me", Slices: 1, Instances: 1, Multiprocessors: 14, MemoryMiB: 9728, Placements: places(1, 0, 1, 2, 3, 4, 5, 6)},
		{Enum: 9, ID: 15, Name: "MIG 1g.20gb", Slices: 1, Instances: 4, Multiprocessors: 14, MemoryMiB: 19968, Placements: places(2, 0, 2, 4, 6)},
	}
	g, _ := mig.Assemble(raw, 81920<<20)
	return g
}

// Divide switches MIG mode on and makes instances with full compute instances, such as "3g.40gb@4". Each call gives new
// MIG UUIDs. It panics on a slot that the GPU's geometry does not have: that is a mistake of the test.
func (g *GPU) Divide(slots ...string) {
	l := gpu.Layout{MIG: gpu.MIGState{Capable: true, Enabled: true, Pending: true}}
	for i, s := range slots {
		p, place := g.find(s)
		in := gpu.Instance{ID: uint32(i + 1), Slot: mig.Slot{Profile: p.Profile, Placement: place}}
		g.do(func() { in.Compute = []gpu.ComputeInstance{g.fill(p.Profile)} })
		l.Instances = append(l.Instances, in)
	}
	slices.SortFunc(l.Instances, func(a, b gpu.Instance) int { return cmp.Compare(a.Slot.Placement.Start, b.Slot.Placement.Start) })
	g.SetLayout(l)
}

func (g *GPU) find(slot string) (mig.ProfileInfo, mig.Placement) {
	for _, p := range g.Profiles.Profiles {
		for _, place := range p.Placements {
			if (mig.Slot{Profile: p.Profile, Placement: place}).String() == slot {
				return p, place
			}
		}
	}
	panic("no slot " + slot + " on " + g.ID.Model)
}
