// Package fleettest is a cluster in memory for package fleet: nodes with the geometries of simulated GPUs, pods that wait, and the
// API server's documents and Lease. It owns no real thing, and tests and benchmarks alone use it.
package fleettest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/partitioner/fleet"
	"github.com/gpulet/gpulet/partitioner/plan"
	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/shapes"
)

// Geometry reads the geometry of the first GPU of a simulated node, such as "hgx-h100".
func Geometry(shape string) (g mig.Geometry, err error) {
	s, err := shapes.Load(shape)
	if err != nil {
		return g, err
	}
	n, err := model.New(s, model.Options{Seed: 1})
	if err != nil {
		return g, err
	}
	ctx := context.Background()
	c := n.Connect(model.Caller{PID: 1, Name: "fleettest"})
	defer c.Close()
	if ret := c.InitWithFlags(ctx, 0); ret != model.Success {
		return g, fmt.Errorf("the simulated driver refuses: %w", ret)
	}
	d, ret := c.DeviceGetHandleByIndex(ctx, 0)
	if ret != model.Success {
		return g, fmt.Errorf("the simulated driver refuses: %w", ret)
	}
	memory, _ := c.DeviceGetMemoryInfo(ctx, d)
	var raw []mig.RawProfile
	for enum := uint32(0); ; enum++ {
		p, ret := c.DeviceGetGpuInstanceProfileInfo(ctx, d, enum)
		if ret == model.InvalidArgument {
			break
		}
		if ret != model.Success {
			continue
		}
		r := mig.RawProfile{
			Enum: int(enum), ID: p.ID, Name: p.Name, Slices: int(p.SliceCount), Instances: int(p.InstanceCount), MemoryMiB: p.MemorySizeMB,
			Engines: mig.Engines{Decoders: int(p.DecoderCount), Encoders: int(p.EncoderCount), JPEG: int(p.JpegCount), OFA: int(p.OfaCount)},
		}
		places, _ := c.DeviceGetGpuInstancePossiblePlacements(ctx, d, p.ID)
		for _, pl := range places {
			r.Placements = append(r.Placements, mig.Placement{Start: int(pl.Start), Size: int(pl.Size)})
		}
		raw = append(raw, r)
	}
	g, _ = mig.Assemble(raw, memory.Total)
	return g, nil
}

// Slots are all slots of a geometry.
func Slots(g mig.Geometry) (out []mig.Slot) {
	for _, p := range g.Profiles {
		for _, at := range p.Placements {
			out = append(out, mig.Slot{Profile: p.Profile, Placement: at})
		}
	}
	return out
}

// Resource is the name by which pods ask.
func Resource(p mig.Profile) string {
	if p == (mig.Profile{}) {
		return "nvidia.com/gpu"
	}
	return "nvidia.com/" + p.Resource()
}

// Node makes the report of a node of so many GPUs, each filled up to about the load with slots that are held or idle.
func Node(r *rand.Rand, name string, g mig.Geometry, gpus int, load float64) *fleet.Report {
	out := &fleet.Report{
		Node: name, Generation: 1, FreeMilliCPU: 64_000, FreeMemoryBytes: 1 << 40, FreePods: 100,
		Resources: map[string]string{Resource(mig.Profile{}): ""}, Geometries: []mig.Geometry{g}, Holders: map[string]fleet.Holder{},
	}
	for _, p := range g.Profiles {
		out.Resources[Resource(p.Profile)] = p.Profile.String()
	}
	slots := Slots(g)
	for i := range gpus {
		x := fleet.ReportGPU{GPU: plan.GPU{UUID: gpu.UUID(fmt.Sprintf("GPU-%s-%02d", name, i)), Index: i, Geometry: g, Mode: plan.Mode{May: true}}}
		hold := func(c plan.Claim) {
			pod := fmt.Sprintf("%s-%d-%d", name, i, len(x.Claims))
			c.Holder = "pod team/" + pod
			x.Claims = append(x.Claims, c)
			out.Holders[c.Holder] = fleet.Holder{Namespace: "team", Name: pod, UID: "uid-" + pod, Priority: int32(r.IntN(3))}
		}
		if r.Float64() < load/4 {
			hold(plan.Claim{Whole: true})
			out.GPUs = append(out.GPUs, x)
			continue
		}
		var have []mig.Slot
		for range 12 {
			s := slots[r.IntN(len(slots))]
			if r.Float64() > load || s.Profile.Attributes != "" || !Beside(g, have, s) {
				continue
			}
			have = append(have, s)
			x.Mode.On = true
			x.Instances = append(x.Instances, plan.Instance{Slot: s, Expired: r.IntN(4) == 0})
			if r.IntN(4) > 0 {
				hold(plan.Claim{Slot: s})
			} else {
				x.Offered = append(x.Offered, s)
			}
		}
		out.GPUs = append(out.GPUs, x)
	}
	return out
}

// Beside reports whether a slot can exist beside others: no overlap, and no more compute slices than the largest instances have.
func Beside(g mig.Geometry, have []mig.Slot, s mig.Slot) bool {
	total, taken, alike := 0, s.Profile.Slices, 1
	for _, h := range have {
		if h.Placement.Overlaps(s.Placement) {
			return false
		}
		if taken += h.Profile.Slices; h.Profile == s.Profile {
			alike++
		}
	}
	for _, p := range g.Profiles {
		if total = max(total, p.Profile.Slices*p.Max); p.Profile == s.Profile && alike > p.Max {
			return false
		}
	}
	return taken <= total
}

// Mix are the base profiles of a geometry and the whole GPU, the smaller ones more often.
func Mix(g mig.Geometry) (out []mig.Profile) {
	for _, p := range g.Profiles {
		if p.Profile.Attributes == "" {
			out = append(out, slices.Repeat([]mig.Profile{p.Profile}, max(1, 8-p.Profile.Slices))...)
		}
	}
	return append(out, mig.Profile{})
}
