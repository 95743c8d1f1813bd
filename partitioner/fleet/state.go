package fleet

import (
	"slices"

	"github.com/gpulet/gpulet/partitioner/plan"
)

// stateOf reads a GPU as package plan would; where that would doubt what it is told, nothing is given here.
func (m *memory) stateOf(g *plan.GPU, policy *plan.Policy) state {
	gr, ok := m.ground(g, policy)
	s := state{ground: gr, on: g.Mode.On, split: int32(min(max(g.SplitCost, 0), 1<<20))}
	frozen := g.Out != "" || !ok
	claimed := false
	type hold struct{ exists, usable bool }
	fixed := map[plan.Claim]*hold{} // by slot
	for _, c := range g.Claims {
		if c.Whole {
			claimed = true
			continue
		}
		fixed[plan.Claim{Slot: c.Slot}] = &hold{}
	}
	var loose []plan.Instance
	for _, in := range g.Instances {
		key := plan.Claim{Slot: in.Slot}
		switch h := fixed[key]; {
		case h != nil && !h.exists:
			h.exists = true
		case h != nil:
			return state{ground: gr} // the same instance twice
		case in.Held != "":
			fixed[key] = &hold{exists: true}
		case in.Pinned || g.Role == plan.Pinned || frozen || claimed || gr.find(in.Slot) < 0:
			fixed[key] = &hold{exists: true, usable: !frozen && !claimed}
		default:
			loose = append(loose, in)
		}
	}
	for key, h := range fixed {
		i := gr.find(key.Slot)
		if i < 0 {
			axis := axisOf(key.Slot.Placement)
			if axis == 0 || s.base.axis&axis != 0 {
				return state{ground: gr}
			}
			s.base.axis |= axis
			continue
		}
		if !gr.fits(s.base, i) {
			return state{ground: gr}
		}
		s.base = s.base.with(gr.shape, i)
		if h.usable {
			s.lent |= 1 << i
		}
	}
	together := s.base
	for _, in := range loose {
		i := gr.find(in.Slot)
		if !gr.fits(together, i) {
			return state{ground: gr}
		}
		together = together.with(gr.shape, i)
		s.exists |= 1 << i
		if !in.Expired || g.Cooling {
			s.fresh |= 1 << i
		}
	}
	s.touched = len(fixed) > 0 || claimed
	free := g.Role != plan.Pinned && !frozen && !claimed
	s.slice = free && g.Role != plan.Whole && len(gr.slots) > 0 && (g.Mode.On || g.Mode.May)
	s.whole = free && (g.Role == plan.Auto || g.Role == plan.Whole) && !s.touched && (!g.Mode.On || g.Mode.May)
	if g.Role == plan.Pinned {
		s.whole = !frozen && !s.touched && !g.Mode.On
	}
	s.kept = s.whole && g.Role != plan.Pinned && s.fresh == 0 && (!g.Mode.On || !g.Cooling)
	for _, o := range g.Offered {
		if i := gr.find(o); i >= 0 {
			s.offered |= 1 << i
		}
	}
	if g.Role == plan.Declared {
		m.declared(g, policy, &s)
	}
	return s
}

// declared leaves a declared GPU what the exact planner makes of it: nothing else is ever given there.
func (m *memory) declared(g *plan.GPU, policy *plan.Policy, s *state) {
	s.exists, s.fresh, s.lent, s.slice, s.whole, s.kept = 0, 0, 0, false, false, false
	for _, o := range m.planner.Plan(plan.Input{GPUs: []plan.GPU{*g}, Policy: plan.Policy{Allowed: policy.Allowed}}).Offers {
		if i := s.find(o.Device.Slot); i >= 0 && !o.Claimed {
			s.due |= 1 << i
		}
	}
}

// ground finds what a GPU shares with others, or makes it.
func (m *memory) ground(g *plan.GPU, policy *plan.Policy) (gr *ground, ok bool) {
	key := groundKey(g, policy)
	if gr = m.grounds[key]; gr == nil {
		s, _ := shapeOf(&g.Geometry, g.Apart)
		gr = &ground{shape: s, worth: worths(s, policy)}
		for i := range s.slots {
			if policy.Allowed == nil || slices.Contains(policy.Allowed, s.slots[i].slot.Profile) {
				gr.allowed |= 1 << i
			}
		}
		if len(m.grounds) > 1000 {
			clear(m.grounds)
		}
		m.grounds[key] = gr
	}
	return gr, gr.slots != nil || len(g.Geometry.Profiles) == 0
}
