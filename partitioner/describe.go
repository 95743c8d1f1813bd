package partitioner

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/partitioner/plan"
)

// show publishes a view that differs from the last.
func (p *Partitioner) show(v *View) {
	if before, _ := p.view.Get(); !reflect.DeepEqual(v, before) {
		p.view.Set(v)
	}
}

// journaled reports whether an earlier process changed anything on this node.
func (p *Partitioner) journaled() bool {
	if p.cfg.StateDir == "" {
		return false
	}
	entries, err := os.ReadDir(filepath.Join(p.cfg.StateDir, "partition"))
	return err == nil && len(entries) > 0
}

// describe says how the node stands.
func (p *Partitioner) describe(f *facts, version uint64) *View {
	made := p.last.plan
	v := &View{Version: version, DryRun: f.settings.DryRun, Exact: made.Exact, Took: p.last.took, Input: p.last.input}
	for i := range f.snapshot.GPUs {
		v.GPUs = append(v.GPUs, p.describeGPU(f, &f.snapshot.GPUs[i]))
	}
	v.Demands = p.describeDemands(made)
	for _, u := range made.Unmet {
		if u.ID == "" {
			v.Unmet = append(v.Unmet, u.Reason)
		}
	}
	for _, x := range made.Fits {
		v.Fits = append(v.Fits, FitView{Resource: x.Resource.String(), Empty: x.Empty, Now: x.Now, After: x.After})
	}
	return v
}

func (p *Partitioner) describeGPU(f *facts, g *gpu.GPU) GPUView {
	c, r, in, state := p.cards[g.UUID], f.roles[g.UUID], p.inputOf(g.UUID), f.state.GPUs[g.UUID]
	out := GPUView{
		UUID: g.UUID, Index: g.Index, Role: r.name, Source: r.source, MIG: g.MIG.Enabled, Wanted: g.MIG.Enabled, Axis: g.Geometry.Axis,
		Doing: state.Doing, Trouble: cmp.Or(c.trouble, r.trouble), Out: in.Out, Recovered: c.recovery == recovered,
	}
	var layout plan.Layout
	for _, l := range p.last.plan.GPUs {
		if l.GPU == g.UUID {
			layout, out.Wanted = l, l.MIG
		}
	}
	if state.Refused != nil && c.trouble != "" {
		out.Cause = string(state.Refused.Cause)
	}
	for _, u := range p.last.plan.Unmet {
		if u.ID == "" && u.GPU == g.UUID && out.Trouble == "" {
			out.Trouble, out.Cause = u.Reason, string(u.Cause)
		}
	}
	for _, k := range f.claimed {
		if k.device.GPU == g.UUID && k.device.Kind == gpu.Whole {
			out.Whole, out.Holder = string(SlotClaimed), k.holder
		}
	}
	if out.Whole == "" && slices.ContainsFunc(c.published, func(o gpu.Offer) bool { return o.Device.Kind == gpu.Whole }) {
		out.Whole = string(SlotOffered)
	}
	out.Slots = p.describeSlots(f, g, c, in, layout)
	out.Reached = out.Trouble == "" && len(p.stepsOf(g.UUID)) == 0 && out.MIG == out.Wanted
	return out
}

// describeSlots are what exists, and what is wanted beside it.
func (p *Partitioner) describeSlots(f *facts, g *gpu.GPU, c *card, in plan.GPU, layout plan.Layout) (out []SlotView) {
	why := map[mig.Slot]string{}
	for _, s := range p.stepsOf(g.UUID) {
		why[s.Slot] = s.Why
	}
	meant := map[mig.Slot]string{}
	for _, o := range p.last.plan.Offers {
		if o.Device.GPU == g.UUID && o.For != "" {
			meant[o.Device.Slot] = o.For
			if w := p.wants[o.For]; w != nil {
				meant[o.Device.Slot] = w.Name
			}
		}
	}
	on := func(slot mig.Slot) bool {
		return slices.ContainsFunc(c.published, func(o gpu.Offer) bool {
			return o.Device.Kind == gpu.Slice && o.Device.Slot.Placement == slot.Placement && o.Device.Slot.Profile.Instance() == slot.Profile
		})
	}
	add := func(slot mig.Slot, exists, foreign bool, held string) {
		v := SlotView{Slot: slot, Name: slot.String(), Exists: exists, Foreign: foreign, For: meant[slot], Why: why[slot]}
		for _, k := range f.claimed {
			if k.device.GPU == g.UUID && k.device.Kind == gpu.Slice && k.device.Slot.Placement == slot.Placement {
				v.State, v.Holder = SlotClaimed, k.holder
			}
		}
		switch {
		case v.State != "":
		case held != "":
			v.State, v.Holder = SlotHeld, held
		case exists && !slices.Contains(layout.Slots, slot):
			v.State = SlotGoing
		case exists:
			v.State = SlotIdle
		case on(slot):
			v.State = SlotOffered
		default:
			v.State = SlotComing
		}
		out = append(out, v)
	}
	for _, x := range in.Instances {
		add(x.Slot, true, x.Pinned, x.Held)
	}
	for _, slot := range layout.Slots {
		if !slices.ContainsFunc(in.Instances, func(x plan.Instance) bool { return x.Slot == slot }) {
			add(slot, false, false, "")
		}
	}
	slices.SortStableFunc(out, func(a, b SlotView) int { return cmp.Compare(a.Slot.Placement.Start, b.Slot.Placement.Start) })
	return out
}

// describeDemands are the pods that wait, by name.
func (p *Partitioner) describeDemands(made plan.Plan) (out []DemandView) {
	for _, d := range p.last.input.Demands {
		w := p.wants[d.ID]
		if w == nil {
			continue
		}
		v := DemandView{UID: d.ID, Namespace: w.Namespace, Pod: w.Pod, Since: w.since}
		for _, a := range d.Asks {
			v.Asks = append(v.Asks, fmt.Sprintf("%d x %s", a.Count, a.Resource))
		}
		for _, g := range made.Grants {
			if g.ID == d.ID {
				for _, dev := range g.Devices {
					v.Devices = append(v.Devices, dev.ID())
				}
			}
		}
		for _, u := range made.Unmet {
			if u.ID == d.ID {
				v.Cause, v.Reason = u.Cause, u.Reason
			}
		}
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b DemandView) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.UID, b.UID))
	})
	return out
}
