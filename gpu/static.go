package gpu

import (
	"fmt"

	"github.com/gpulet/gpulet/gpu/mig"
)

// StaticOffers offers what exists: each GPU that is not in MIG mode as a whole, and each compute instance. What exists and
// cannot be offered is withheld with the reason. Unhealthy devices are offered with their health: whether they may be given
// is for the reader. The offers of one GPU never overlap.
func StaticOffers(s *Snapshot) *Offers {
	o := &Offers{Snapshot: s}
	for i := range s.GPUs {
		g := &s.GPUs[i]
		withhold := func(what, reason string) {
			o.Withheld = append(o.Withheld, Withheld{GPU: g.UUID, What: what, Reason: reason})
		}
		switch {
		case g.Minor < 0:
			withhold("GPU", "its device node is not known: "+fallback(g.Health.Reason, "the driver does not tell its minor number"))
		case !g.MIG.Enabled:
			o.Offers = append(o.Offers, Offer{Device: Device{Kind: Whole, GPU: g.UUID}, Health: g.Health})
		case len(g.Instances) == 0:
			withhold("GPU", "it is in MIG mode and has no GPU instance")
		default:
			o.instances(g, withhold)
		}
	}
	return o
}

func fallback(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// instances offers the compute instances of a GPU in MIG mode.
func (o *Offers) instances(g *GPU, withhold func(what, reason string)) {
	var taken []mig.Placement
	for _, in := range g.Instances {
		what := fmt.Sprintf("GPU instance %d (%s)", in.ID, in.Slot)
		if p, err := mig.ParseProfile(in.Slot.Profile.String()); err != nil || p != in.Slot.Profile {
			withhold(what, "its profile has no name that can be offered")
			continue
		}
		if len(in.Compute) == 0 {
			withhold(what, "it has no compute instance, so nobody can use it")
			continue
		}
		overlaps := false
		for _, t := range taken {
			overlaps = overlaps || t.Overlaps(in.Slot.Placement)
		}
		if overlaps || in.Slot.Placement.Start < 0 || in.Slot.Placement.Size < 1 {
			withhold(what, "the driver reports it at the place of another instance")
			continue
		}
		taken = append(taken, in.Slot.Placement)
		o.compute(g, &in, what, withhold)
	}
}

func (o *Offers) compute(g *GPU, in *Instance, what string, withhold func(what, reason string)) {
	var taken []mig.Placement
	for _, ci := range in.Compute {
		name := fmt.Sprintf("compute instance %d (%s) of %s", ci.ID, ci.Profile, what)
		place := ci.Placement
		switch {
		case !ci.Profile.IsSlice(): // it fills the instance, wherever the driver says that it is
			place = mig.Placement{Start: 0, Size: in.Slot.Profile.Slices}
		case place.Size < 1:
			place.Size = max(ci.Profile.Compute, 1)
		}
		overlaps := false
		for _, t := range taken {
			overlaps = overlaps || t.Overlaps(place)
		}
		switch {
		case ci.UUID == "":
			withhold(name, "the driver does not tell its UUID")
			continue
		case ci.Profile.Compute < 1 || ci.Profile.Instance() != in.Slot.Profile || ci.Profile.Compute > in.Slot.Profile.Slices:
			withhold(name, "its size is not one of a compute instance")
			continue
		case overlaps:
			withhold(name, "the driver reports it at the place of another compute instance")
			continue
		}
		taken = append(taken, place)
		d := Device{Kind: Slice, GPU: g.UUID, Slot: mig.Slot{Profile: ci.Profile, Placement: in.Slot.Placement}}
		if ci.Profile.IsSlice() {
			d.ComputeStart = place.Start
		}
		o.Offers = append(o.Offers, Offer{
			Device:   d,
			Health:   Worse(Worse(g.Health, in.Health), ci.Health),
			Realized: &Realized{GPUInstance: in.ID, ComputeInstance: ci.ID, UUID: ci.UUID, MemoryBytes: ci.MemoryBytes},
		})
	}
}
