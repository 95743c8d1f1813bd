package plan

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

// wild is a geometry that no card has: any axis, any placements, profiles without names.
func wild(t *rapid.T) (g mig.Geometry) {
	g.Axis = rapid.SampledFrom([]int{0, 1, 3, 8, 10, 63, 64, 65, 1000}).Draw(t, "axis")
	for i := range rapid.IntRange(0, 6).Draw(t, "profiles") {
		p := mig.ProfileInfo{
			Profile: mig.Profile{Compute: 1, Slices: rapid.IntRange(0, 9).Draw(t, "slices"), MemoryGB: i, Attributes: rapid.SampledFrom([]string{"", "+me", "+id7"}).Draw(t, "attributes")},
			ID:      uint32(i), Max: rapid.IntRange(-1, 300).Draw(t, "max"), Engines: mig.Engines{Decoders: rapid.SampledFrom([]int{0, 1, 500}).Draw(t, "decoders")},
		}
		size := rapid.IntRange(-1, g.Axis+1).Draw(t, "size")
		for range rapid.IntRange(0, 9).Draw(t, "places") {
			p.Placements = append(p.Placements, mig.Placement{Start: rapid.IntRange(-1, g.Axis).Draw(t, "start"), Size: size})
		}
		g.Profiles = append(g.Profiles, p)
	}
	return g
}

// What an input says may contradict itself or the hardware: nothing that is held or pinned is destroyed, no two offers that are not claims
// overlap, and there is always a plan.
func TestContradictions(t *testing.T) {
	h100 := newCard(t, "H100").geometry
	rapid.Check(t, func(t *rapid.T) {
		geometry := h100
		if rapid.Bool().Draw(t, "wild") {
			geometry = wild(t)
		}
		slots := append(allSlots(&geometry), allSlots(&h100)...)
		in := Input{Policy: Policy{KeepWhole: rapid.IntRange(-1, 9).Draw(t, "keep"), Spares: []Count{{slots[0].Profile, rapid.IntRange(-1, 99).Draw(t, "spares")}}}}
		for i := range rapid.IntRange(0, 3).Draw(t, "gpus") {
			g := GPU{
				UUID: gpu.UUID(fmt.Sprint("GPU-", i)), Geometry: geometry, Role: Role(rapid.IntRange(0, 4).Draw(t, "role")),
				Mode:     Mode{On: rapid.Bool().Draw(t, "on"), May: rapid.Bool().Draw(t, "may")},
				Declared: []Count{{slots[0].Profile, rapid.IntRange(-1, 99).Draw(t, "declared")}},
			}
			for range rapid.IntRange(0, 4).Draw(t, "claims") {
				g.Claims = append(g.Claims, Claim{Slot: rapid.SampledFrom(slots).Draw(t, "claim"), Whole: rapid.IntRange(0, 9).Draw(t, "whole") == 0})
			}
			for range rapid.IntRange(0, 5).Draw(t, "instances") {
				g.Instances = append(g.Instances, Instance{
					Slot: rapid.SampledFrom(slots).Draw(t, "instance"), Pinned: rapid.IntRange(0, 4).Draw(t, "pinned") == 0, Held: rapid.SampledFrom([]string{"", "", "process 1"}).Draw(t, "held"),
				})
			}
			in.GPUs = append(in.GPUs, g)
		}
		for i := range rapid.IntRange(0, 9).Draw(t, "demands") {
			d := Demand{ID: strconv.Itoa(i), Aged: rapid.Bool().Draw(t, "aged")}
			for range rapid.IntRange(0, 2).Draw(t, "asks") {
				d.Asks = append(d.Asks, Ask{Resource{rapid.SampledFrom(slots).Draw(t, "ask").Profile}, rapid.IntRange(-1, 200).Draw(t, "count")})
			}
			in.Demands = append(in.Demands, d)
		}
		p := New().Plan(in)
		for _, g := range in.GPUs {
			var claims []mig.Slot
			for _, c := range g.Claims {
				if !c.Whole {
					claims = append(claims, c.Slot)
				}
			}
			var offers []Offer
			for _, o := range p.Offers {
				if o.Device.GPU == g.UUID {
					offers = append(offers, o)
				}
			}
			for i, a := range offers {
				for _, b := range offers[i+1:] {
					whole := a.Device.Kind == gpu.Whole || b.Device.Kind == gpu.Whole
					if (!a.Claimed || !b.Claimed) && (whole || a.Device.Slot.Placement.Overlaps(b.Device.Slot.Placement)) {
						t.Fatalf("%+v beside %+v", a, b)
					}
				}
			}
			for _, s := range p.Steps {
				if s.GPU != g.UUID || s.Op != Destroy {
					continue
				}
				kept := func(x Instance) bool { return x.Slot == s.Slot && (x.Pinned || x.Held != "") }
				if slices.Contains(claims, s.Slot) || slices.ContainsFunc(g.Instances, kept) {
					t.Fatalf("%s is destroyed", s.Slot)
				}
			}
		}
	})
}
