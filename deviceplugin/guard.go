package deviceplugin

import (
	"cmp"
	"slices"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
)

// held is a device that a container has, whatever we call that device now.
type held struct {
	key
	device gpu.Device
	claim  kubelet.Claim
}

// who names the holder of a claim for people.
func who(c kubelet.Claim) string {
	if c.Name == "" {
		return "a pod that is not known yet"
	}
	return "pod " + c.Namespace + "/" + c.Name
}

// account notes who has what. A claimed id of ours has a spot, under the name by which it was given, until its claim ends.
func (b *book) account(f facts) {
	b.held = map[gpu.UUID][]held{}
	for _, s := range b.spots {
		s.claims = nil
	}
	domains := map[string]bool{domain(GPUResource): true}
	for _, n := range f.naming.Devices {
		domains[domain(n.Resource)] = true
	}
	for id, claims := range f.claims.ByID {
		d, ours := b.device(id, f)
		for _, c := range claims {
			if !ours && c.Foreign {
				continue
			}
			k := key{c.Resource, id}
			b.held[d.GPU] = append(b.held[d.GPU], held{k, d, c})
			s := b.spots[k]
			// What another plugin gave away under a name of its own is not ours to list, only to keep clear of.
			if s == nil && (!c.Foreign || domains[domain(c.Resource)]) {
				s = &spot{key: k, device: d, stage: released, since: b.now}
				b.spots[k] = s
			}
			if s != nil {
				s.claims = append(s.claims, c)
			}
			if s != nil && s.stage == unlisted { // given by somebody before it was listed here
				s.enter(released, b.now, "")
			}
		}
	}
	for _, list := range b.held {
		slices.SortFunc(list, func(x, y held) int {
			return cmp.Or(cmp.Compare(x.resource, y.resource), cmp.Compare(x.id, y.id), x.claim.Opened.Compare(y.claim.Opened), cmp.Compare(x.claim.Pod, y.claim.Pod))
		})
	}
	for id := range b.known {
		if !f.claims.Held(id) {
			delete(b.known, id)
		}
	}
}

// device is the hardware behind a claimed id. It is remembered: the instance of a claim must not be looked for when it is gone.
func (b *book) device(id string, f facts) (gpu.Device, bool) {
	if d, ok := b.known[id]; ok {
		return d, true
	}
	for _, n := range f.naming.Devices {
		if n.ID == id {
			b.known[id] = n.Device
			return n.Device, true
		}
	}
	d, sure, ok := resolve(id, f.snapshot)
	if sure {
		b.known[id] = d
	}
	return d, ok
}

// crowded names who has a share of a device that is shared by fewer now: for each such pod one share less is free.
func (b *book) crowded(s *spot) string {
	if s.device.Replica == 0 || len(s.claims) > 0 {
		return ""
	}
	var former []held
	for _, h := range b.held[s.device.GPU] {
		if h.resource == s.resource && h.device.Base() == s.device.Base() && h.device.Replica > s.named.Replicas {
			former = append(former, h)
		}
	}
	sister := s.device
	for n := s.device.Replica + 1; n <= s.named.Replicas && len(former) > 0; n++ {
		sister.Replica = n
		if o := b.spots[key{s.resource, sister.ID()}]; o != nil && len(o.claims) == 0 {
			former = former[1:] // that one makes the room
		}
	}
	if len(former) == 0 {
		return ""
	}
	return who(former[0].claim) + " still has " + former[0].id + ", a share from before there were fewer"
}

// blocked names who has the hardware of a spot under another name or as another device; empty when nobody has.
// The kubelet does not know that two ids can be one piece of hardware.
func (b *book) blocked(s *spot) string {
	for _, h := range b.held[s.device.GPU] {
		if collides(s.key, s.device, h.key, h.device) {
			return who(h.claim) + " has the same hardware as " + h.resource + " " + h.id
		}
	}
	return ""
}

// elsewhere is what the kubelet may give under resources that are not listed here: for a moment another agent, that had this node
// before and other settings, still answers for them.
func (b *book) elsewhere(f facts) map[gpu.UUID][]held {
	out := map[gpu.UUID][]held{}
	if f.counted == nil || !f.counted.Synced {
		return out
	}
	for resource, ids := range f.counted.Allocatable {
		if b.shelves[resource] != nil {
			continue
		}
		for _, id := range ids {
			if d, _, ok := resolve(id, f.snapshot); ok {
				out[d.GPU] = append(out[d.GPU], held{key: key{resource, id}, device: d})
			}
		}
	}
	return out
}

// given says what of that is in the way of a spot, and has the kubelet asked again.
func (b *book) given(s *spot, counted []held) string {
	for _, other := range counted {
		if !collides(s.key, s.device, other.key, other.device) {
			continue
		}
		if b.now.Before(s.since.Add(trusted)) { // another agent leaves soon, another plugin need not
			b.unsure = true
			b.wake(b.now.Add(look))
		} else {
			b.wake(b.now.Add(noticed))
		}
		return "the kubelet still counts the same hardware as " + other.resource + " " + other.id + ", which is not of this agent"
	}
	return ""
}
