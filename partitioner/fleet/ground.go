package fleet

import (
	"encoding/binary"

	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/partitioner/plan"
)

// groundKey tells GPUs with different geometries or policies apart.
func groundKey(g *plan.GPU, policy *plan.Policy) string {
	b := make([]byte, 0, 1024)
	num := func(n ...int) {
		for _, x := range n {
			b = binary.AppendVarint(b, int64(x))
		}
	}
	profile := func(p mig.Profile) {
		num(p.Compute, p.Slices, p.MemoryGB, len(p.Attributes))
		b = append(b, p.Attributes...)
	}
	num(g.Geometry.Axis, len(g.Geometry.Profiles))
	for i := range g.Geometry.Profiles {
		p := &g.Geometry.Profiles[i]
		profile(p.Profile)
		num(p.Max, p.Engines.Decoders, p.Engines.Encoders, p.Engines.JPEG, p.Engines.OFA, len(p.Placements))
		for _, pl := range p.Placements {
			num(pl.Start, pl.Size)
		}
	}
	num(len(g.Apart))
	for _, a := range g.Apart {
		profile(a[0])
		profile(a[1])
	}
	if policy.Allowed == nil {
		num(-1)
	} else {
		num(len(policy.Allowed))
	}
	for _, p := range policy.Allowed {
		profile(p)
	}
	num(len(policy.Weights))
	for _, w := range policy.Weights {
		profile(w.Profile)
		num(w.Count)
	}
	return string(b)
}
