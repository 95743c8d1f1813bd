package process

import (
	"slices"
	"sync"
	"time"

	"github.com/gpulet/gpulet/gpu"
)

// stay is a pod with its devices, from after its admission to before its end.
type stay struct {
	pod, resource string
	ids           []string
	from, to      time.Time // to is zero while it goes on
}

// stays are all pods of a node that ever had devices.
type stays struct {
	mu     sync.Mutex
	all    []*stay     // guarded by mu
	starts []time.Time // of agents that list other devices than the one before; guarded by mu
}

// fresh says that the next list is of an agent that lists other devices than the one before, which is gone.
func (s *stays) fresh() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.starts = append(s.starts, time.Now())
}

// between reports whether such an agent started between two times.
func (s *stays) between(from, to time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.starts, func(t time.Time) bool { return t.After(from) && t.Before(to) })
}

func (s *stays) begin(pod, resource string, ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, &stay{pod: pod, resource: resource, ids: ids, from: time.Now()})
}

func (s *stays) end(pod string) { s.endAt(pod, time.Now()) }

func (s *stays) endAt(pod string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.all {
		if x.pod == pod && (x.to.IsZero() || at.Before(x.to)) {
			x.to = at
		}
	}
}

func (s *stays) list() []stay {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]stay, 0, len(s.all))
	for _, x := range s.all {
		out = append(out, *x)
	}
	return out
}

func (s stay) at(t time.Time) bool { return t.After(s.from) && (s.to.IsZero() || t.Before(s.to)) }

// meets reports whether two pods were there at the same time.
func (s stay) meets(o stay) bool { return s.at(o.from) || o.at(s.from) || s.from.Equal(o.from) }

// audit looks at all that happened on a node: no hardware was given twice, and no id vanished.
func (n *node) audit() {
	all := n.stays.list()
	for i, a := range all {
		for _, b := range all[:i] {
			if a.meets(b) && collide(a, b) {
				n.t.Errorf("pod %s has %s %v and pod %s at the same time %s %v", a.pod, a.resource, a.ids, b.pod, b.resource, b.ids)
			}
		}
	}
	for r := range n.kubelet.Node() {
		n.vanished(r, all)
	}
}

// keptFor is how long an id stays listed after it was healthy.
const keptFor = 30 * time.Second

// vanished looks for ids that a list leaves out though a pod has them, or though they were healthy a moment ago.
func (n *node) vanished(resource string, all []stay) {
	last := map[string]time.Time{} // when an id was healthy last: until the list that says otherwise
	before := map[string]string{}
	var at time.Time
	for i, l := range n.kubelet.Lists(resource) {
		if n.stays.between(at, l.At) {
			clear(last)
			before = nil
		}
		at = l.At
		for id, h := range before {
			if h == "Healthy" {
				last[id] = l.At
			}
		}
		for id, at := range last {
			if _, listed := l.Health[id]; !listed && l.At.Sub(at) < keptFor {
				n.t.Errorf("%s: list %d (%s) leaves out %s, which was healthy %v before", resource, i, l.Socket, id, l.At.Sub(at))
				delete(last, id)
			}
		}
		for _, s := range all {
			for _, id := range s.ids {
				if _, listed := l.Health[id]; !listed && s.resource == resource && s.at(l.At) {
					n.t.Errorf("%s: list %d (%s) leaves out %s, which pod %s has", resource, i, l.Socket, id, s.pod)
				}
			}
		}
		before = l.Health
	}
}

// collide reports whether two pods have a piece of hardware both, other than replicas of one device under one name.
func collide(a, b stay) bool {
	return slices.ContainsFunc(a.ids, func(x string) bool {
		return slices.ContainsFunc(b.ids, func(y string) bool {
			if a.resource == b.resource && x == y {
				return true
			}
			p, errP := gpu.ParseDeviceID(x)
			q, errQ := gpu.ParseDeviceID(y)
			switch {
			case errP != nil || errQ != nil || p.GPU != q.GPU:
				return false
			case a.resource == b.resource && p.Replica > 0 && q.Replica > 0:
				return false // shared by intention
			case p.Kind == gpu.Whole || q.Kind == gpu.Whole:
				return true
			}
			return p.Profile == q.Profile && p.Start == q.Start // no test divides a GPU in two ways
		})
	})
}
