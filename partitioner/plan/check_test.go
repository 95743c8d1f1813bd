package plan

import (
	"slices"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

type failer interface {
	Fatalf(format string, args ...any)
}

// check looks at a plan with the reference's rules: offers and claims can be made in any order, fixed points are untouched, the steps
// lead to the layout, grants are offers, and whoever waits is told why.
func check(t failer, in *Input, p *Plan) {
	at := map[gpu.UUID]*GPU{}
	for i := range in.GPUs {
		at[in.GPUs[i].UUID] = &in.GPUs[i]
	}
	slots, whole := map[gpu.UUID][]mig.Slot{}, map[gpu.UUID]bool{}
	for _, o := range p.Offers {
		if o.Device.Kind == gpu.Whole {
			whole[o.Device.GPU] = true
		} else {
			slots[o.Device.GPU] = append(slots[o.Device.GPU], o.Device.Slot)
		}
	}
	layouts := map[gpu.UUID]Layout{}
	for _, l := range p.GPUs {
		layouts[l.GPU] = l
		if whole[l.GPU] && len(l.Slots) > 0 {
			t.Fatalf("%s is offered whole with slots %v", l.GPU, l.Slots)
		}
		for _, order := range [][]mig.Slot{l.Slots, backwards(l.Slots)} { // any order: the rules are sums and pairs
			var have []mig.Slot
			for _, s := range order {
				if !can(&at[l.GPU].Geometry, have, s) {
					t.Fatalf("%s: %s cannot exist beside %v", l.GPU, s, have)
				}
				have = append(have, s)
			}
		}
		for _, s := range slots[l.GPU] {
			if !slices.Contains(l.Slots, s) {
				t.Fatalf("%s: %s is on offer and not in the layout %v", l.GPU, s, l.Slots)
			}
		}
	}
	for _, g := range in.GPUs {
		l := layouts[g.UUID]
		have := map[mig.Slot]bool{}
		on := g.Mode.On
		for _, inst := range g.Instances {
			have[inst.Slot] = true
		}
		for _, s := range p.Steps {
			if s.GPU != g.UUID {
				continue
			}
			switch s.Op {
			case Destroy:
				i := slices.IndexFunc(g.Instances, func(x Instance) bool { return x.Slot == s.Slot })
				if i < 0 || g.Instances[i].Pinned || g.Instances[i].Held != "" || slices.ContainsFunc(g.Claims, func(c Claim) bool { return c.Whole || c.Slot == s.Slot }) {
					t.Fatalf("%s: %s is destroyed", g.UUID, s.Slot)
				}
				delete(have, s.Slot)
			case Create:
				var now []mig.Slot
				for x := range have {
					now = append(now, x)
				}
				if !on || !can(&g.Geometry, now, s.Slot) {
					t.Fatalf("%s: %s is created beside %v, MIG %v", g.UUID, s.Slot, now, on)
				}
				have[s.Slot] = true
			default:
				if on == (s.Op == ModeOn) || !g.Mode.May || len(have) > 0 {
					t.Fatalf("%s: %s with %v", g.UUID, s.Op, have)
				}
				on = s.Op == ModeOn
			}
		}
		if still := g.Out != "" || g.Role == Pinned; on != l.MIG || on && !still && len(have) != len(l.Slots) {
			t.Fatalf("%s: the steps lead to %v (MIG %v), not to %+v", g.UUID, have, on, l)
		}
		for _, c := range g.Claims {
			i := slices.IndexFunc(p.Offers, func(o Offer) bool {
				return o.Claimed && o.Device.GPU == g.UUID && (c.Whole && o.Device.Kind == gpu.Whole || !c.Whole && o.Device.Slot == c.Slot)
			})
			if i < 0 {
				t.Fatalf("%s: the claim %+v is not on offer", g.UUID, c)
			}
		}
	}
	granted := map[gpu.Device]bool{}
	for _, g := range p.Grants {
		for _, d := range g.Devices {
			if i := slices.IndexFunc(p.Offers, func(o Offer) bool { return o.Device == d && o.For == g.ID && !o.Claimed }); i < 0 || granted[d] {
				t.Fatalf("%s is granted %v, which is not on offer for it", g.ID, d)
			}
			granted[d] = true
		}
	}
	for _, d := range in.Demands {
		served := slices.ContainsFunc(p.Grants, func(g Grant) bool { return g.ID == d.ID })
		i := slices.IndexFunc(p.Unmet, func(u Unmet) bool { return u.ID == d.ID })
		if served == (i >= 0) || i >= 0 && (p.Unmet[i].Reason == "" || p.Unmet[i].Cause == "") {
			t.Fatalf("%s is served %v, unmet %d", d.ID, served, i)
		}
	}
}

func backwards(s []mig.Slot) []mig.Slot {
	out := slices.Clone(s)
	slices.Reverse(out)
	return out
}
