package deviceplugin

import (
	"fmt"
	"slices"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
)

// The times of a withdrawal.
const (
	// settle is how long pods that the scheduler bound just before the Node was told have to show up.
	settle = 500 * time.Millisecond
	// patience is how long a withdrawal waits for an API server that is away, before it goes on without.
	patience = 30 * time.Second
	// noticed is when the kubelet has worked on a list that reached it, at the latest, if it also no longer counts the devices.
	noticed = 2 * time.Second
	// trusted is when it has done so even if nobody can say: its status period and a margin.
	trusted = 15 * time.Second
	// look is between two looks while something leaves.
	look = 100 * time.Millisecond
)

// leave takes what is no longer wanted a step further. A kubelet fails a pod that it finds bound to a device that is not there
// any more, so first the scheduler hears of it, then pods that are bound already get their turn, then the kubelet hears of it,
// and only when it cannot pick the device any more the hardware is free for something else.
func (b *book) leave(f facts) {
	byResource := map[string][]*spot{}
	for _, s := range b.spots {
		if s.stage == lowering || s.stage == withdrawn {
			byResource[s.resource] = append(byResource[s.resource], s)
			b.wake(b.now.Add(look))
		}
	}
	for resource, spots := range byResource {
		slices.SortFunc(spots, bySpot)
		m := b.standing(resource)
		m.lower(b, f, spots)
		for _, s := range spots {
			if s.stage == withdrawn && m.confirmed(s, f, b.now) {
				s.enter(released, b.now, "")
			}
		}
	}
}

// standing is a resource without what leaves it.
type standing struct {
	resource string
	healthy  int64 // as listed last
	free     int64 // of those, unclaimed
}

func (b *book) standing(resource string) standing {
	m := standing{resource: resource}
	for _, s := range b.spots {
		if s.resource == resource && s.stage == live && s.entry.healthy {
			m.healthy++
			if len(s.claims) == 0 {
				m.free++
			}
		}
	}
	return m
}

// lower withdraws the spots that the Node was told about and that no bound pod may still get.
func (m standing) lower(b *book, f facts, spots []*spot) {
	owed, pod := int64(0), ""
	if f.pods != nil {
		owed, pod = pending(f.pods, m.resource, f.claims)
	}
	owed -= m.free
	for _, s := range spots {
		if s.stage != lowering {
			continue
		}
		late := !b.now.Before(s.since.Add(patience))
		told, why := m.lowered(f, s.since)
		switch {
		case !exists(s.named, f.snapshot):
			s.enter(withdrawn, b.now, "its hardware is gone")
		case sick(s.device, f.snapshot) || b.blocked(s) != "":
			s.enter(withdrawn, b.now, "")
		case why != "" && !late:
			s.why = why
		case !late && b.now.Before(told.Add(settle)):
			s.why = "pods that are bound to this node just now may still get it"
		case f.pods != nil && !f.pods.Synced && !late:
			s.why = "the pods of this node are not known"
		case owed > 0 && len(s.claims) == 0:
			owed--
			s.why = pod + " is bound to this node and not admitted yet"
		default:
			s.enter(withdrawn, b.now, "")
		}
	}
}

// lowered is when the Node was told of the lower number, or why it was not.
func (m standing) lowered(f facts, since time.Time) (time.Time, string) {
	if !f.api {
		return since, ""
	}
	p, ok := f.patched[m.resource]
	switch {
	case !ok || p.Allocatable > m.healthy:
		return since, "the API server was not told yet"
	case f.node != nil && f.node[m.resource] > m.healthy:
		return since, "the Node still says the higher number"
	case p.at.After(since):
		return p.at, ""
	}
	return since, ""
}

// confirmed reports whether the kubelet cannot pick a withdrawn spot any more.
func (m standing) confirmed(s *spot, f facts, now time.Time) bool {
	d := f.streams[m.resource]
	switch {
	case s.badVersion == 0:
		return false
	case d.open == 0: // a kubelet without a stream has nothing healthy
		s.why = "the kubelet is not connected"
		return !now.Before(s.since.Add(noticed))
	case d.version < s.badVersion:
		s.why = "the kubelet was not told yet"
		return false
	}
	if s.told.IsZero() {
		s.told = now
	}
	s.why = "the kubelet may still count it"
	switch {
	case f.counted != nil && f.counted.Synced && f.counted.At.After(s.told):
		return !slices.Contains(f.counted.Allocatable[m.resource], s.id)
	case !f.api:
		return !now.Before(s.told.Add(noticed))
	case f.node != nil && f.node[m.resource] <= m.healthy && !now.Before(s.told.Add(noticed)):
		return true
	}
	return !now.Before(s.told.Add(trusted))
}

// sick reports whether the GPU of a device is not to be given anew.
func sick(d gpu.Device, s *gpu.Snapshot) bool {
	g := s.GPU(d.GPU)
	return g == nil || !g.Health.Allocatable()
}

// pending is how many devices of a resource pods are owed that are bound to this node and not admitted yet, and one of them.
// What they have claimed already does not count. It rather counts too many than too few: that only keeps an offer longer.
func pending(pods *kubelet.Pods, resource string, claims *kubelet.ClaimSet) (owed int64, pod string) {
	has := map[kubelet.UID]int64{}
	for _, list := range claims.ByID {
		for _, c := range list {
			if c.Resource == resource {
				has[c.Pod]++
			}
		}
	}
	for uid, p := range pods.ByUID {
		if p.Ended || p.Deleting || p.Admitted {
			continue
		}
		var asks int64
		for _, c := range p.Containers {
			asks += c.Requests[resource]
		}
		if asks -= has[uid]; asks <= 0 {
			continue
		}
		owed += asks
		if name := fmt.Sprintf("pod %s", p.Ref()); pod == "" || name < pod {
			pod = name
		}
	}
	return owed, pod
}
