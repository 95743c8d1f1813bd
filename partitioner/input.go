package partitioner

import (
	"cmp"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/kubelet"
	"github.com/gpulet/gpulet/partitioner/apply"
	"github.com/gpulet/gpulet/partitioner/plan"
)

// facts are all that one pass of the loop looks at.
type facts struct {
	now       time.Time
	settings  Settings
	snapshot  *gpu.Snapshot
	claims    *kubelet.ClaimSet
	pods      *kubelet.Pods
	resources map[string]mig.Profile
	demands   *Demands
	declared  *Declaration
	commands  map[gpu.UUID]command
	strays    strays
	state     *apply.State
	starting  []string // ids that containers wait for
	claimed   []claimed
	roles     map[gpu.UUID]role
	next      time.Time // when to look again; zero: at the next change
}

// at has the loop look again at a time.
func (f *facts) at(t time.Time) {
	if t.After(f.now) && (f.next.IsZero() || t.Before(f.next)) {
		f.next = t
	}
}

// unready says why nothing can be decided yet.
func (f *facts) unready() string {
	switch {
	case f.snapshot == nil || f.snapshot.Version == 0:
		return "the GPUs were not looked at yet"
	case f.claims == nil || !f.claims.Complete:
		return "it is not known yet who holds which device"
	}
	return ""
}

// active reports whether anything is to be changed by anybody's word.
func (f *facts) active() bool { return f.settings.Active() || f.declared != nil || len(f.commands) > 0 }

// claimed is a device that somebody has.
type claimed struct {
	device gpu.Device
	holder string
	pod    kubelet.UID
	start  bool // a container waits for it to exist
}

// resolveClaims finds the devices behind what is claimed, and behind what containers wait for.
func (f *facts) resolveClaims() {
	for id, claims := range f.claims.ByID {
		d, ok := resolve(id, f.snapshot)
		if !ok {
			continue
		}
		for _, c := range claims {
			f.claimed = append(f.claimed, claimed{device: d, holder: holderOf(c), pod: c.Pod, start: slices.Contains(f.starting, id)})
		}
	}
	for _, id := range f.starting {
		d, ok := resolve(id, f.snapshot)
		if ok && !slices.ContainsFunc(f.claimed, func(c claimed) bool { return c.device == d }) {
			f.claimed = append(f.claimed, claimed{device: d, holder: "a container that starts", start: true})
		}
	}
	slices.SortFunc(f.claimed, func(a, b claimed) int {
		return cmp.Or(strings.Compare(a.device.ID(), b.device.ID()), strings.Compare(a.holder, b.holder))
	})
}

func holderOf(c kubelet.Claim) string {
	if c.Name == "" {
		return "a pod that is not known yet"
	}
	return "pod " + c.Namespace + "/" + c.Name
}

// input is what the next plan is made from.
func (p *Partitioner) input(f *facts) plan.Input {
	in := plan.Input{Demands: p.demand(f), Policy: p.policy(f)}
	for i := range f.snapshot.GPUs {
		g := &f.snapshot.GPUs[i]
		c := p.cards[g.UUID]
		pg := p.gpuInput(f, g, c)
		if c.work != nil { // in the middle of a step the inventory tells of halves
			claims := pg.Claims
			pg = c.work.input
			pg.Claims = claims
		}
		in.GPUs = append(in.GPUs, pg)
	}
	return in
}

func (p *Partitioner) gpuInput(f *facts, g *gpu.GPU, c *card) plan.GPU {
	r := f.roles[g.UUID]
	stray := p.strayOn(f, g, "")
	pg := plan.GPU{
		UUID: g.UUID, Index: g.Index, Geometry: g.Geometry, Role: r.role, Declared: r.declared,
		Mode: modeOf(g, f, c, stray), Apart: apart(g, f.snapshot.Driver.Version),
	}
	switch {
	case !c.ready():
		pg.Out = c.unready()
	case !g.Health.Allocatable():
		pg.Out = cmp.Or(g.Health.Reason, "it is "+g.Health.State.String())
	}
	for _, k := range f.claimed {
		if k.device.GPU != g.UUID {
			continue
		}
		claim := plan.Claim{Holder: k.holder, Whole: k.device.Kind == gpu.Whole}
		if !claim.Whole {
			claim.Slot = mig.Slot{Profile: k.device.Slot.Profile.Instance(), Placement: k.device.Slot.Placement}
		}
		if !slices.Contains(pg.Claims, claim) {
			pg.Claims = append(pg.Claims, claim)
		}
	}
	p.instances(f, g, c, &pg)
	for _, o := range c.published {
		if o.Device.Kind == gpu.Slice && !o.Device.Slot.Profile.IsSlice() {
			pg.Offered = append(pg.Offered, o.Device.Slot)
		}
	}
	pg.Cooling = c.cooling(f, g.UUID)
	return pg
}

// instances tells what exists, whose it is and who uses it.
func (p *Partitioner) instances(f *facts, g *gpu.GPU, c *card, pg *plan.GPU) {
	state := f.state.GPUs[g.UUID]
	for _, in := range g.Instances {
		x := plan.Instance{Slot: in.Slot, Pinned: true}
		uuid := deviceOf(in)
		if _, ours := state.Owned[uuid]; ours && uuid != "" {
			x.Pinned = false
		}
		used := slices.ContainsFunc(pg.Claims, func(k plan.Claim) bool { return k.Whole || k.Slot == in.Slot })
		switch {
		case used:
		case state.Leaking[in.Slot] != "":
			x.Held = state.Leaking[in.Slot]
		case len(in.Compute) == 0:
			x.Held = "nobody: it has no compute instance"
		case uuid == "":
			x.Held = "compute instances that are smaller than it"
		default:
			x.Held = p.strayOn(f, g, uuid)
		}
		x.Expired = c.expired(f, uuid, used || x.Held != "") && !x.Pinned
		pg.Instances = append(pg.Instances, x)
	}
	c.forget(g)
	for slot, who := range state.Leaking { // the inventory may leave out what has no compute instance
		if !slices.ContainsFunc(pg.Instances, func(x plan.Instance) bool { return x.Slot == slot }) {
			pg.Instances = append(pg.Instances, plan.Instance{Slot: slot, Held: who})
		}
	}
	slices.SortFunc(pg.Instances, func(a, b plan.Instance) int {
		return cmp.Or(cmp.Compare(a.Slot.Placement.Start, b.Slot.Placement.Start), strings.Compare(a.Slot.String(), b.Slot.String()))
	})
}

// deviceOf is the MIG device of an instance that one compute instance fills; empty for others.
func deviceOf(in gpu.Instance) gpu.UUID {
	if len(in.Compute) == 1 && in.Compute[0].Profile == in.Slot.Profile {
		return in.Compute[0].UUID
	}
	return ""
}

// modeOf says what can be done about a GPU's mode.
func modeOf(g *gpu.GPU, f *facts, c *card, stray string) plan.Mode {
	m := plan.Mode{On: g.MIG.Enabled}
	switch {
	case !g.MIG.Capable:
		m.Why = "this GPU cannot be divided"
	case needsReset(g) && !f.settings.AllowReset:
		m.Why = "its MIG mode changes only with a reset, which allowReset does not permit"
	case c.bar != nil && f.now.Before(c.bar.until):
		m.Why = c.bar.why
		f.at(c.bar.until)
	case stray != "":
		m.Why = stray + " is on it"
	default:
		m.May, m.Reset = true, needsReset(g)
	}
	return m
}

// needsReset reports whether a change of the mode takes effect with a reset only: before Hopper (facts of NVIDIA's MIG guide).
func needsReset(g *gpu.GPU) bool {
	return g.Architecture == "ampere" || g.ComputeCapability.Major > 0 && g.ComputeCapability.Major < 9
}

// apart are profiles that drivers before R510 refuse beside each other.
func apart(g *gpu.GPU, driver string) (out [][2]mig.Profile) {
	major, _, _ := strings.Cut(driver, ".")
	if n, err := strconv.Atoi(major); err != nil || n >= 510 {
		return nil
	}
	for _, a := range g.Geometry.Profiles {
		for _, b := range g.Geometry.Profiles {
			if a.Profile.Slices == 4 && b.Profile.Slices == 3 {
				out = append(out, [2]mig.Profile{a.Profile, b.Profile})
			}
		}
	}
	return out
}

func sameInput(a, b plan.Input) bool { return reflect.DeepEqual(a, b) }
