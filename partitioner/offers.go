package partitioner

import (
	"cmp"
	"slices"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/partitioner/plan"
)

// offer makes the offers of the node from the plan.
func (p *Partitioner) offer(f *facts) *gpu.Offers {
	static := gpu.StaticOffers(f.snapshot)
	out := &gpu.Offers{Snapshot: f.snapshot}
	for i := range f.snapshot.GPUs {
		g := &f.snapshot.GPUs[i]
		c, r := p.cards[g.UUID], f.roles[g.UUID]
		exist := offersOf(g.UUID, static.Offers)
		withheld := withheldOf(g.UUID, static.Withheld)
		switch {
		case r.keep || f.settings.DryRun:
			c.published, c.withheld = exist, withheld
		case c.work != nil || c.recovery == recovering && len(c.published) > 0:
			c.published = aged(c.published, g.Health)
		default:
			m := maker{g: g, role: r, claims: f.claimed, withheld: withheld}
			m.make(p, c, exist)
			c.published, c.withheld = m.out, m.withheld
		}
		out.Offers = append(out.Offers, c.published...)
		out.Withheld = append(out.Withheld, c.withheld...)
		if r.role == plan.Auto || r.role == plan.Sliced {
			for _, info := range g.Geometry.Profiles {
				if a := f.settings.Policy.Allowed; a == nil || slices.Contains(a, info.Profile) {
					out.Profiles = append(out.Profiles, gpu.PossibleProfile{GPU: g.UUID, Profile: info.Profile})
				}
			}
		}
	}
	return out
}

func offersOf(uuid gpu.UUID, all []gpu.Offer) (out []gpu.Offer) {
	for _, o := range all {
		if o.Device.GPU == uuid {
			out = append(out, o)
		}
	}
	return out
}

func withheldOf(uuid gpu.UUID, all []gpu.Withheld) (out []gpu.Withheld) {
	for _, w := range all {
		if w.GPU == uuid {
			out = append(out, w)
		}
	}
	return out
}

// aged are offers that stay as they are while something is done on their GPU; only its health is of now.
func aged(offers []gpu.Offer, h gpu.Health) []gpu.Offer {
	out := slices.Clone(offers)
	for i := range out {
		if !h.Allocatable() {
			out[i].Health = gpu.Worse(out[i].Health, h)
		}
	}
	return out
}

// maker makes the offers of one GPU that gpulet divides.
type maker struct {
	g        *gpu.GPU
	role     role
	claims   []claimed
	out      []gpu.Offer
	withheld []gpu.Withheld
}

// make offers what exists and stays, and what can be made without a change of the mode.
func (m *maker) make(p *Partitioner, c *card, exist []gpu.Offer) {
	var layout plan.Layout
	for _, l := range p.last.plan.GPUs {
		if l.GPU == m.g.UUID {
			layout = l
		}
	}
	input := p.inputOf(m.g.UUID)
	changing := layout.MIG != m.g.MIG.Enabled
	for _, o := range exist {
		var why string
		switch {
		case !c.ready():
			why = c.unready()
		case o.Device.Kind == gpu.Whole:
			why = m.noWhole(p.last.plan.Offers, changing, input)
		case changing:
			why = "the GPU is to be whole again"
		default:
			why = stays(o.Device.Slot, layout, input)
		}
		m.add(o, why)
	}
	for _, o := range p.last.plan.Offers {
		if o.Device.GPU != m.g.UUID || o.Exists || o.Device.Kind != gpu.Slice || !m.g.MIG.Enabled || changing {
			continue
		}
		if !slices.ContainsFunc(m.g.Instances, func(in gpu.Instance) bool { return in.Slot.Placement.Overlaps(o.Device.Slot.Placement) }) || o.Claimed {
			m.add(gpu.Offer{Device: o.Device, Health: m.g.Health}, "")
		}
	}
	slices.SortStableFunc(m.out, func(a, b gpu.Offer) int {
		return cmp.Or(cmp.Compare(a.Device.Slot.Placement.Start, b.Device.Slot.Placement.Start), cmp.Compare(a.Device.ComputeStart, b.Device.ComputeStart))
	})
}

// add offers a device, unless there is a reason not to or somebody has the same hardware under another name. Who has a device keeps it.
func (m *maker) add(o gpu.Offer, why string) {
	mine := false
	for _, k := range m.claims {
		if k.device == o.Device {
			mine, why = true, ""
		}
	}
	for _, k := range m.claims {
		if !mine && overlap(k.device, o.Device) {
			why = k.holder + " has the same hardware"
		}
	}
	for _, other := range m.out {
		if overlap(other.Device, o.Device) {
			why = "it is at the place of another device"
		}
	}
	if why != "" {
		what := "GPU"
		if o.Device.Kind == gpu.Slice {
			what = "MIG device " + o.Device.Slot.String()
		}
		m.withheld = append(m.withheld, gpu.Withheld{GPU: m.g.UUID, What: what, Reason: why})
		return
	}
	m.out = append(m.out, o)
}

// noWhole is why a GPU that is not in MIG mode is not offered as a whole; empty when it is.
func (m *maker) noWhole(planned []plan.Offer, changing bool, in plan.GPU) string {
	fabric := m.g.Fabric
	switch {
	case changing:
		return "the GPU is to be divided"
	case fabric != gpu.FabricNone && fabric != gpu.FabricCompleted:
		return "its registration with the fabric is not complete"
	case slices.ContainsFunc(planned, func(o plan.Offer) bool { return o.Device == gpu.Device{Kind: gpu.Whole, GPU: m.g.UUID} }):
		return ""
	case in.Out != "" && (m.role.role == plan.Auto || m.role.role == plan.Whole):
		return "" // its health says that nobody gets it now
	case m.role.role == plan.Sliced || m.role.role == plan.Declared:
		return cmp.Or(in.Mode.Why, "it is to be divided")
	}
	return "it is kept free"
}

// stays is why an instance is not offered; empty when it is.
func stays(slot mig.Slot, layout plan.Layout, in plan.GPU) string {
	at := mig.Slot{Profile: slot.Profile.Instance(), Placement: slot.Placement}
	if !slices.Contains(layout.Slots, at) {
		return "it is to be destroyed"
	}
	for _, x := range in.Instances {
		if x.Slot == at && x.Held != "" && !slot.Profile.IsSlice() {
			return "it is used by " + x.Held
		}
	}
	return ""
}

// publish replaces the offers if they changed, and gives their version.
func (p *Partitioner) publish(o *gpu.Offers) uint64 {
	before, _ := p.offers.Get()
	o.Version = before.Version
	same := slices.EqualFunc(o.Offers, before.Offers, sameOffer) && slices.Equal(o.Profiles, before.Profiles) && slices.Equal(o.Withheld, before.Withheld)
	if same && o.Snapshot == before.Snapshot {
		return before.Version
	}
	if !same || before.Snapshot == nil {
		o.Version++
		p.cfg.Log.Debug("the offers changed", "version", o.Version, "offers", len(o.Offers))
	}
	p.offers.Set(o)
	return o.Version
}

func sameOffer(a, b gpu.Offer) bool {
	if a.Device != b.Device || a.Health != b.Health || (a.Realized == nil) != (b.Realized == nil) {
		return false
	}
	return a.Realized == nil || *a.Realized == *b.Realized
}

// resources are the offers by resource.
func resources(offers []gpu.Offer) map[plan.Resource]int {
	out := map[plan.Resource]int{}
	for _, o := range offers {
		out[resourceOf(o.Device)]++
	}
	return out
}
