package attribute

import (
	"cmp"
	"slices"
	"strings"

	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
)

// Input is what there is to know of who has what. All but the snapshot may be nil.
type Input struct {
	Snapshot *gpu.Snapshot
	Claims   *kubelet.ClaimSet
	Assigned *kubelet.Assigned
	Pods     *kubelet.Pods
}

// Holds says which container has which device: one hold for each device and pod, in a stable order. The claims come first;
// podresources tells of resources that they do not cover, or not yet. A claim whose pod is not known is no hold until it is.
//
// Claims of dynamic resource allocation are a third source, which podresources has as DynamicResources: kubelet.Assigned does
// not carry them yet. They will be seats too, from the driver's device names.
func Holds(in Input) []sample.Hold {
	if in.Snapshot == nil {
		return nil
	}
	c := collector{in: in, seats: map[seat][]claimant{}, named: map[string]kubelet.Pod{}}
	c.name()
	c.claims()
	c.assigned()
	return c.sorted()
}

// seat is a device in the hands of a pod, by its name: two pods of one name are not there at a time.
type seat struct {
	device gpu.Device
	pod    string
}

// claimant is a container that may be the one in a seat.
type claimant struct {
	sample.Hold
	claimed bool // the agent's own claims say so
	// turn orders the containers of a pod that have one device after each other, by who runs now: see collector.turn.
	turn int
}

type collector struct {
	in      Input
	seats   map[seat][]claimant
	named   map[string]kubelet.Pod // by namespace/name
	covered map[string]bool        // resources for which the claims are the whole truth
}

// name indexes the pods. Of several that had one name, the one that lives counts, then the newest.
func (c *collector) name() {
	if c.in.Pods == nil {
		return
	}
	for _, p := range c.in.Pods.ByUID {
		old, there := c.named[p.Ref()]
		newer := cmp.Or(first(old.Ended, p.Ended), p.Created.Compare(old.Created), cmp.Compare(p.UID, old.UID)) > 0
		if !there || newer {
			c.named[p.Ref()] = p
		}
	}
}

func (c *collector) pod(uid kubelet.UID) kubelet.Pod {
	if c.in.Pods == nil {
		return kubelet.Pod{}
	}
	return c.in.Pods.ByUID[uid]
}

func (c *collector) claims() {
	c.covered = map[string]bool{}
	if c.in.Claims == nil {
		return
	}
	for id, list := range c.in.Claims.ByID {
		for _, claim := range list {
			c.covered[claim.Resource] = c.in.Claims.Complete
			if claim.Pod == "" {
				continue
			}
			who := sample.Container{Namespace: claim.Namespace, Pod: claim.Name, Container: claim.Container, UID: claim.Pod}
			c.nameOf(&who, kubelet.DeviceKey{Resource: claim.Resource, ID: id})
			c.seat(claimant{Hold: sample.Hold{Container: who, Resource: claim.Resource, ID: id, Since: claim.Opened}, claimed: true}, c.pod(claim.Pod))
		}
	}
}

// nameOf completes the name of a pod of which a claim knows the UID alone, as after the kubelet's checkpoint.
func (c *collector) nameOf(who *sample.Container, k kubelet.DeviceKey) {
	if who.Pod != "" {
		return
	}
	if p := c.pod(who.UID); p.Name != "" {
		who.Namespace, who.Pod = p.Namespace, p.Name
		return
	}
	if c.in.Assigned == nil {
		return
	}
	if list := c.in.Assigned.Devices[k]; len(list) == 1 {
		who.Namespace, who.Pod, who.Container = list[0].Namespace, list[0].Pod, cmp.Or(who.Container, list[0].Container)
	}
}

// assigned takes what podresources says of resources with GPUs. A complete account of ours is newer than its answer.
func (c *collector) assigned() {
	if c.in.Assigned == nil {
		return
	}
	for k, list := range c.in.Assigned.Devices {
		complete, ours := c.covered[k.Resource]
		if complete || !ours && !strings.HasPrefix(k.Resource, "nvidia.com/") {
			continue
		}
		for _, a := range list {
			p := c.named[a.Namespace+"/"+a.Pod]
			if p.Ended {
				continue
			}
			who := sample.Container{Namespace: a.Namespace, Pod: a.Pod, Container: a.Container, UID: p.UID}
			c.seat(claimant{Hold: sample.Hold{Container: who, Resource: k.Resource, ID: k.ID, Since: p.Created}}, p)
		}
	}
}

// seat lists a claimant of a seat.
func (c *collector) seat(who claimant, pod kubelet.Pod) {
	device, ok := resolve(c.in.Snapshot, who.ID)
	if !ok {
		return
	}
	who.Device, who.Entity, who.Sharing = device, entity(c.in.Snapshot, device), sample.Exclusive
	if device.Replica > 0 {
		who.Sharing = sample.TimeSlicing
	}
	who.turn, who.RuntimeID = turn(pod, who.Container.Container)
	k := seat{device, who.Namespace + "/" + who.Pod}
	if who.Pod == "" {
		k.pod = string(who.UID)
	}
	c.seats[k] = append(c.seats[k], who)
}

// turn says how likely a container runs now, of those of a pod that have one device after each other: the later in the order
// in which they start, if the runtime has made it; before any is made, the one that starts first.
func turn(p kubelet.Pod, name string) (turn int, runtimeID string) {
	for i, c := range p.Containers {
		switch {
		case c.Name != name:
		case c.ID != "":
			return i + 1, c.ID
		default:
			return -i - 1, ""
		}
	}
	return -len(p.Containers) - 1, ""
}

// sitting chooses among the claimants of a seat: those of our claims before those of podresources, of the newest pod, the one
// that runs now; without the pod's list the newest claim, since the kubelet allocates in the order of the starts.
func sitting(of []claimant) sample.Hold {
	newest := slices.MaxFunc(of, func(a, b claimant) int {
		return cmp.Or(first(a.claimed, b.claimed), a.Since.Compare(b.Since), cmp.Compare(b.UID, a.UID))
	})
	return slices.MaxFunc(of, func(a, b claimant) int {
		return cmp.Or(
			first(a.claimed, b.claimed), first(a.UID == newest.UID, b.UID == newest.UID), cmp.Compare(a.turn, b.turn), a.Since.Compare(b.Since),
			cmp.Compare(b.Container.Container, a.Container.Container), cmp.Compare(b.Resource, a.Resource), cmp.Compare(b.ID, a.ID),
		)
	}).Hold
}

// first compares two answers, yes before no.
func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// sorted are the holds by GPU, place and name. What several pods have at once without replicas is shared in time too.
func (c *collector) sorted() []sample.Hold {
	pods := map[gpu.Device]int{}
	for k := range c.seats {
		pods[k.device.Base()]++
	}
	var out []sample.Hold
	for k, of := range c.seats {
		h := sitting(of)
		if pods[k.device.Base()] > 1 {
			h.Sharing = sample.TimeSlicing
		}
		out = append(out, h)
	}
	index := map[gpu.UUID]int{}
	for i := range c.in.Snapshot.GPUs {
		index[c.in.Snapshot.GPUs[i].UUID] = i
	}
	slices.SortFunc(out, func(a, b sample.Hold) int {
		x, y := a.Device, b.Device
		return cmp.Or(
			cmp.Compare(index[x.GPU], index[y.GPU]), cmp.Compare(x.Kind, y.Kind),
			cmp.Compare(x.Slot.Placement.Start, y.Slot.Placement.Start), cmp.Compare(x.Slot.Profile.String(), y.Slot.Profile.String()),
			cmp.Compare(x.ComputeStart, y.ComputeStart), cmp.Compare(x.Replica, y.Replica),
			cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.UID, b.UID),
		)
	})
	return out
}

// Mark tells shared holds that go through MPS from those that take turns, by the processes: the driver lists who is a client
// of MPS. It returns other holds than it was given, or the same when nothing changes.
func Mark(holds []sample.Hold, uses map[gpu.UUID][]gpu.ProcessUse) []sample.Hold {
	clients := map[gpu.Entity]bool{}
	for uuid, list := range uses {
		for _, u := range list {
			if u.MPS {
				clients[gpu.Entity{GPU: uuid, Instance: u.GPUInstance}] = true
			}
		}
	}
	out, copied := holds, false
	for i, h := range holds {
		want := sample.TimeSlicing
		if clients[h.Entity] {
			want = sample.MPS
		}
		if h.Sharing == sample.Exclusive || h.Sharing == want {
			continue
		}
		if !copied {
			out, copied = slices.Clone(holds), true
		}
		out[i].Sharing = want
	}
	return out
}
