package deviceplugin

import (
	"fmt"
	"strings"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

// GPUResource is the name of whole GPUs, and of MIG devices with StrategySingle.
const GPUResource = "nvidia.com/gpu"

// Named is a device with the resource by which the kubelet is to know it.
type Named struct {
	Resource string
	ID       string // the device's, replica included
	gpu.Offer
	// NUMA is that of the GPU, -1 when unknown; Index is the GPU's in the driver's enumeration.
	NUMA, Index int
	// Replicas is into how many this device's base is shared, 0 when it is not.
	Replicas int
	// One: a container may have at most one replica.
	One bool
}

// Naming is what the offers are to the kubelet. Pure data.
type Naming struct {
	Devices []Named // in the order of the offers, replicas by number; each id once
	// Possible are resources that may get devices at any moment, true where these do not exist before a container starts.
	Possible map[string]bool
	Withheld []gpu.Withheld
}

// NameOffers says under which resources the offers are listed, as which replicas, and what is withheld and why.
// It is deterministic and decides nothing about what is in use.
func NameOffers(s Settings, o *gpu.Offers) Naming {
	n := namer{settings: s, snapshot: o.Snapshot, seen: map[string]bool{}}
	n.out.Withheld = append(n.out.Withheld, o.Withheld...)
	n.chooseProfile(o.Offers)
	for _, offer := range o.Offers {
		n.offer(offer)
	}
	for _, p := range o.Profiles {
		n.possible(p)
	}
	return n.out
}

// namer is one run of NameOffers.
type namer struct {
	settings Settings
	snapshot *gpu.Snapshot
	divided  bool        // a GPU that is not excluded is in MIG mode
	profile  mig.Profile // the one of StrategySingle
	seen     map[string]bool
	said     map[gpu.Withheld]bool
	out      Naming
}

// withhold tells of a reason once for each thing.
func (n *namer) withhold(uuid gpu.UUID, what, format string, args ...any) {
	w := gpu.Withheld{GPU: uuid, What: what, Reason: fmt.Sprintf(format, args...)}
	if n.said == nil {
		n.said = map[gpu.Withheld]bool{}
	}
	if !n.said[w] {
		n.said[w] = true
		n.out.Withheld = append(n.out.Withheld, w)
	}
}

// chooseProfile settles which profile StrategySingle offers: the one with the most devices, among equals the first in order.
func (n *namer) chooseProfile(offers []gpu.Offer) {
	if n.settings.Strategy != StrategySingle {
		return
	}
	for i := range n.snapshot.GPUs {
		g := &n.snapshot.GPUs[i]
		n.divided = n.divided || g.MIG.Enabled && !n.settings.rule(g).Exclude
	}
	count := map[mig.Profile]int{}
	for _, o := range offers {
		if g := n.snapshot.GPU(o.Device.GPU); o.Device.Kind == gpu.Slice && g != nil && !n.settings.rule(g).Exclude {
			count[o.Device.Slot.Profile]++
		}
	}
	for _, o := range offers {
		if p := o.Device.Slot.Profile; count[p] > count[n.profile] {
			n.profile = p
		}
	}
}

// offer names one offer and makes its replicas.
func (n *namer) offer(o gpu.Offer) {
	what := "GPU"
	if o.Device.Kind == gpu.Slice {
		what = "MIG device " + o.Device.Slot.String()
	}
	g := n.snapshot.GPU(o.Device.GPU)
	if g == nil {
		n.withhold(o.Device.GPU, what, "its GPU is not in the inventory")
		return
	}
	rule := n.settings.rule(g)
	if rule.Exclude {
		n.withhold(g.UUID, "GPU", "the configuration excludes it")
		return
	}
	name, refused := n.base(o)
	if refused != "" {
		if n.settings.Strategy == StrategyNone {
			what = "GPU" // one reason for the GPU, not one for each of its devices
		}
		n.withhold(g.UUID, what, "%s", refused)
		return
	}
	name, sharing := rule.apply(name)
	if err := ValidateName(name); err != nil {
		n.withhold(g.UUID, what, "%v", err)
		return
	}
	named := Named{Resource: name, Offer: o, NUMA: g.NUMA, Index: g.Index}
	if sharing.Replicas < 2 {
		n.add(named, what)
		return
	}
	named.Replicas, named.One = sharing.Replicas, sharing.One
	for r := 1; r <= sharing.Replicas; r++ {
		named.Device.Replica = r
		n.add(named, what)
	}
}

func (n *namer) add(d Named, what string) {
	d.ID = d.Device.ID()
	if n.seen[d.ID] {
		n.withhold(d.Device.GPU, what, "it is offered twice, as %s", d.ID)
		return
	}
	n.seen[d.ID] = true
	n.out.Devices = append(n.out.Devices, d)
}

// possible notes the resource of what could be offered. What cannot be promised before it exists is not possible.
func (n *namer) possible(p gpu.PossibleProfile) {
	g := n.snapshot.GPU(p.GPU)
	if g == nil || n.settings.Strategy != StrategyMixed || !n.settings.delivers(CDICRI) {
		return
	}
	rule := n.settings.rule(g)
	name, _ := rule.apply(natural(p.Profile))
	if rule.Exclude || ValidateName(name) != nil {
		return
	}
	if n.out.Possible == nil {
		n.out.Possible = map[string]bool{}
	}
	n.out.Possible[name] = n.out.Possible[name] || p.Profile != mig.Profile{}
}

// apply is the name and the sharing that a rule gives to devices of a natural name.
func (r Rule) apply(natural string) (string, Sharing) {
	name := natural
	if renamed, ok := r.Names[name]; ok {
		name = renamed
	}
	sharing, ok := r.Sharing[name]
	if !ok {
		sharing = r.Sharing["*"]
	}
	if sharing.Rename != "" && sharing.Replicas > 1 {
		name = sharing.Rename
	}
	return name, sharing
}

// natural is the name of devices before any rule: MIG devices of a profile, or whole GPUs for the zero profile.
func natural(p mig.Profile) string {
	if p == (mig.Profile{}) {
		return GPUResource
	}
	return prefix + p.Resource()
}

// base is the name by the strategy, or why there is none.
func (n *namer) base(o gpu.Offer) (name, refused string) {
	if o.Device.Kind == gpu.Whole {
		if n.divided {
			return "", "strategy single: other GPUs of this node are in MIG mode, and whole GPUs would have the same name"
		}
		return GPUResource, ""
	}
	profile := o.Device.Slot.Profile
	switch {
	case o.Realized == nil && !n.settings.delivers(CDICRI):
		return "", "it does not exist yet, and only cdi-cri can promise a device before it exists"
	case n.settings.Strategy == StrategyMixed:
		return natural(profile), ""
	case n.settings.Strategy == StrategySingle && profile == n.profile:
		return GPUResource, ""
	case n.settings.Strategy == StrategySingle:
		return "", fmt.Sprintf("strategy single: its profile is not %s, which most MIG devices of this node have", n.profile)
	}
	return "", "it is in MIG mode, and with strategy none MIG devices are not offered"
}

// prefix begins the names of the incumbent.
const prefix = "nvidia.com/"

// domain is the part of a resource name before the slash.
func domain(resource string) string {
	d, _, _ := strings.Cut(resource, "/")
	return d
}
