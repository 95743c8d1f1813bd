package model

import (
	"cmp"
	"fmt"
	"slices"
)

// gpuInstance is a MIG GPU instance that exists.
type gpuInstance struct {
	handle  GPUInstance
	g       *gpu
	id      uint32
	profile *giProfile
	place   Placement
	cis     []*computeInstance // by id
	load    loadState
	meter   meter
	leaks   int
}

// computeInstance is a MIG compute instance that exists; it is also the MIG device.
type computeInstance struct {
	handle      ComputeInstance
	device      Device
	gi          *gpuInstance
	id          uint32
	profile     ciProfile
	place       Placement
	uuid        string
	index       uint32 // of the MIG device
	load        loadState
	meter       meter
	leaks       int
	computeMode uint32
}

// profileByID gives the profile that the driver shows under an id.
func (n *Node) profileByID(g *gpu, id uint32) *giProfile {
	for i := range g.spec.profiles {
		if p := &g.spec.profiles[i]; p.id == id && n.shows(g, p) {
			return p
		}
	}
	return nil
}

// shows says whether the loaded driver knows the profile.
func (n *Node) shows(g *gpu, p *giProfile) bool {
	return n.branch >= p.since && p.enum < n.profileEnumEnd(g)
}

func (n *Node) profileEnumEnd(g *gpu) uint32 {
	if g.spec.profileEnumEnd != 0 {
		return g.spec.profileEnumEnd
	}
	return n.branch.gpuInstanceProfiles()
}

// fits says whether another instance can be made there now.
func (n *Node) fits(g *gpu, p *giProfile, pl Placement) bool {
	return n.fitsBeside(g, g.instances, p, pl)
}

func (n *Node) fitsBeside(g *gpu, have []*gpuInstance, p *giProfile, pl Placement) bool {
	used, slicesUsed, same := p.eng, p.slices, uint32(1)
	for _, gi := range have {
		if gi.place.overlaps(pl) {
			return false
		}
		used, slicesUsed = used.plus(gi.profile.eng), slicesUsed+gi.profile.slices
		if gi.profile.id == p.id {
			same++
		}
		if n.branch < 510 && p.slices+gi.profile.slices == 7 && p.size == 4 && gi.profile.size == 4 {
			return false // drivers before R510 refuse 4g+3g
		}
	}
	return used.within(g.spec.engines) && slicesUsed <= g.spec.slices && same <= p.max
}

// room counts how many more instances of the profile fit. Placements of one profile do not overlap each other, so greedy is exact.
func (n *Node) room(g *gpu, p *giProfile) uint32 {
	have, count := slices.Clone(g.instances), uint32(0)
	for _, pl := range p.placements() {
		if n.fitsBeside(g, have, p, pl) {
			have = append(have, &gpuInstance{profile: p, place: pl})
			count++
		}
	}
	return count
}

// choose gives the driver's own placement: it fills from the end.
func (n *Node) choose(g *gpu, p *giProfile) (Placement, bool) {
	all := p.placements()
	for i := len(all) - 1; i >= 0; i-- {
		if n.fits(g, p, all[i]) {
			return all[i], true
		}
	}
	return Placement{}, false
}

// firstGI is where the ids of a profile begin: the whole is 0, halves 1 and 2, quarters 3 to 6, the rest from 7.
func firstGI(g *gpu, p *giProfile) uint32 {
	switch {
	case p.size == g.spec.axis:
		return 0
	case 3*p.size > g.spec.axis:
		return 1
	case 5*p.size > g.spec.axis:
		return 3
	}
	return 7
}

func (n *Node) createGI(g *gpu, p *giProfile, pl Placement) *gpuInstance {
	id := firstGI(g, p)
	for slices.ContainsFunc(g.instances, func(gi *gpuInstance) bool { return gi.id == id }) {
		id++
	}
	gi := &gpuInstance{handle: GPUInstance(n.newHandle()), g: g, id: id, profile: p, place: pl, meter: meter{at: n.clock.Now()}}
	n.advance(g)
	n.gis[gi.handle] = gi
	g.instances = append(g.instances, gi)
	slices.SortFunc(g.instances, func(a, b *gpuInstance) int { return cmp.Compare(a.id, b.id) })
	n.migChanged(g)
	return gi
}

func (n *Node) destroyGI(gi *gpuInstance) {
	g := gi.g
	n.advance(g)
	delete(n.gis, gi.handle)
	g.instances = slices.DeleteFunc(g.instances, func(x *gpuInstance) bool { return x == gi })
	n.migChanged(g)
}

func (gi *gpuInstance) ciFits(p ciProfile, pl Placement) bool {
	for _, ci := range gi.cis {
		if ci.place.overlaps(pl) {
			return false
		}
	}
	return true
}

func (gi *gpuInstance) ciProfileByID(id uint32) (ciProfile, bool) {
	for _, p := range gi.profile.ciProfiles() {
		if p.id == id {
			return p, true
		}
	}
	return ciProfile{}, false
}

func (n *Node) createCI(gi *gpuInstance, p ciProfile, pl Placement) *computeInstance {
	g := gi.g
	ci := &computeInstance{
		handle: ComputeInstance(n.newHandle()), device: Device(n.newHandle()), gi: gi, profile: p, place: pl,
		uuid: "MIG-" + n.uuid(), meter: meter{at: n.clock.Now()},
	}
	n.advance(g)
	for slices.ContainsFunc(gi.cis, func(x *computeInstance) bool { return x.id == ci.id }) {
		ci.id++
	}
	taken := map[uint32]bool{}
	for _, x := range g.compute() {
		taken[x.index] = true
	}
	for taken[ci.index] {
		ci.index++
	}
	gi.cis = append(gi.cis, ci)
	slices.SortFunc(gi.cis, func(a, b *computeInstance) int { return cmp.Compare(a.id, b.id) })
	n.cis[ci.handle] = ci
	n.devices[ci.device] = target{g: g, ci: ci}
	n.migChanged(g)
	return ci
}

func (n *Node) destroyCI(ci *computeInstance) {
	gi := ci.gi
	n.advance(gi.g)
	delete(n.cis, ci.handle)
	delete(n.devices, ci.device)
	gi.cis = slices.DeleteFunc(gi.cis, func(x *computeInstance) bool { return x == ci })
	for c := range n.clients {
		delete(c.heldMig, ci)
	}
	n.migChanged(gi.g)
}

func (n *Node) migChanged(g *gpu) {
	n.emit(g, EventMigConfigChange, 0, NoInstance, NoInstance)
	n.bump()
}

// compute lists the GPU's compute instances by GPU instance id and id.
func (g *gpu) compute() []*computeInstance {
	var out []*computeInstance
	for _, gi := range g.instances {
		out = append(out, gi.cis...)
	}
	return out
}

// find resolves a target's instances.
func (g *gpu) find(t Target) (*gpuInstance, *computeInstance, error) {
	if t.GI == NoInstance {
		return nil, nil, nil
	}
	for _, gi := range g.instances {
		if gi.id != t.GI {
			continue
		}
		if t.CI == NoInstance {
			return gi, nil, nil
		}
		for _, ci := range gi.cis {
			if ci.id == t.CI {
				return gi, ci, nil
			}
		}
		return nil, nil, fmt.Errorf("no compute instance %d in GPU instance %d of GPU %d", t.CI, t.GI, t.GPU)
	}
	return nil, nil, fmt.Errorf("no GPU instance %d on GPU %d", t.GI, t.GPU)
}

// busyCI says what keeps a compute instance from being destroyed by c.
func (n *Node) busyCI(ci *computeInstance, c *Client) bool {
	if ci.leaks > 0 {
		return true
	}
	for _, p := range ci.gi.g.procs {
		if p.ci == ci {
			return true
		}
	}
	if n.strict {
		for o := range n.clients {
			if o != c && o.heldMig[ci] {
				return true
			}
		}
	}
	return false
}

func (n *Node) busyGI(gi *gpuInstance, c *Client) bool {
	if gi.leaks > 0 || len(gi.cis) > 0 {
		return true
	}
	if n.strict {
		for o := range n.clients {
			for _, s := range o.samples {
				if o != c && s.gi == gi {
					return true
				}
			}
		}
	}
	return false
}
