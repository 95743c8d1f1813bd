package attribute

import (
	"cmp"
	"math"
	"slices"

	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
)

// Shares divides what each entity uses among the containers that hold it. Who has one alone has all of its use; those that
// share one have what their processes did, and what no process of theirs explains is in the Rest. Each number is of the last
// Use of its GPU: uses has no entry of a GPU that was not asked yet, and an empty one of a GPU without processes.
//
// A container that was not measured has an Absence and no number. It has 0 only when every process of the GPU is known to be
// somebody else's.
func Shares(set *sample.Set, uses map[gpu.UUID][]gpu.ProcessUse, processes ContainerOf) ([]sample.Share, []sample.Rest) {
	if set.Snapshot == nil {
		return nil, nil
	}
	held := holders(set.Holds)
	var shares []sample.Share
	var rests []sample.Rest
	for i := range set.Snapshot.GPUs {
		g := &set.Snapshot.GPUs[i]
		list, read := uses[g.UUID]
		var procs []process // looked up for the first entity of the GPU that needs them
		for _, e := range entities(g, held) {
			use := usage(set, e)
			switch by := held[e]; {
			case len(by) == 0:
				if rest, ok := unheld(e, use); ok {
					rests = append(rests, rest)
				}
			case len(by) == 1 && !by[0].shared:
				shares = append(shares, sample.Share{Container: by[0].Container, Entity: e, Part: use})
			default:
				if procs == nil {
					procs = lookUp(list, processes)
				}
				d := division{entity: e, use: use, read: read, of: by, tallies: make([]tally, len(by))}
				d.count(procs)
				s, rest := d.divide()
				shares, rests = append(shares, s...), append(rests, rest)
			}
		}
	}
	return shares, rests
}

// holder is a container that has an entity or a part of it.
type holder struct {
	sample.Container
	runtimeID string
	shared    bool
}

// holders are by entity, each container once, in the order of the holds.
func holders(holds []sample.Hold) map[gpu.Entity][]holder {
	out := map[gpu.Entity][]holder{}
	for _, h := range holds {
		if h.Entity == (gpu.Entity{}) {
			continue
		}
		shared := h.Sharing != sample.Exclusive
		at := slices.IndexFunc(out[h.Entity], func(o holder) bool { return o.Container == h.Container })
		if at < 0 {
			out[h.Entity] = append(out[h.Entity], holder{h.Container, h.RuntimeID, shared})
			continue
		}
		of := &out[h.Entity][at]
		of.shared, of.runtimeID = of.shared || shared, cmp.Or(of.runtimeID, h.RuntimeID)
	}
	return out
}

// entities are what the use of a GPU is divided by: itself, or in MIG mode its instances, and itself too when somebody has it.
func entities(g *gpu.GPU, held map[gpu.Entity][]holder) []gpu.Entity {
	var out []gpu.Entity
	if whole := g.UUID.Whole(); !g.MIG.Enabled || len(held[whole]) > 0 {
		out = append(out, whole)
	}
	for _, in := range g.Instances {
		out = append(out, gpu.Entity{GPU: g.UUID, Instance: in.ID})
	}
	return out
}

// usage is what an entity uses as a whole.
func usage(set *sample.Set, e gpu.Entity) (p sample.Part) {
	if why, down := set.Down[e.GPU]; down {
		lost := &gpu.Absence{Code: gpu.Lost, Text: cmp.Or(why, "the GPU does not answer")}
		return sample.Part{NoUtil: lost, NoMB: lost}
	}
	p.Utilization, p.NoUtil = set.Utilization(e)
	p.MemoryBytes, p.NoMB = set.MemoryUsed(e)
	p.Utilization, p.NoUtil = amount(p.Utilization, p.NoUtil)
	p.MemoryBytes, p.NoMB = amount(p.MemoryBytes, p.NoMB)
	return p
}

// amount keeps what is no amount from being divided.
func amount(v float64, absent *gpu.Absence) (float64, *gpu.Absence) {
	if absent != nil {
		return 0, absent
	}
	if !(v >= 0) || math.IsInf(v, 0) {
		return 0, &gpu.Absence{Code: gpu.Failed, Text: "what was read is no amount"}
	}
	return v, nil
}

// unheld is the use of what nobody has; none when it is not used.
func unheld(e gpu.Entity, use sample.Part) (sample.Rest, bool) {
	rest := sample.Rest{Entity: e, Part: use}
	if !small(use) {
		rest.Why = "it is in use, and no container is known to have it"
	}
	return rest, use.Utilization > 0 || use.MemoryBytes > 0
}

// small reports whether a rest is within what two measurements of one thing differ by, and what the driver keeps for itself.
func small(p sample.Part) bool { return p.Utilization < 0.02 && p.MemoryBytes < 64<<20 }
