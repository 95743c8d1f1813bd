package deviceplugin

import (
	"maps"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
)

// failer is a test that can end here.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// world is a node in one goroutine and with a time of its own: a manager that is stepped by hand, a kubelet that knows only what
// it was sent, and a scheduler that counts.
type world struct {
	t        failer
	now      time.Time
	settings *gpu.Feed[Settings]
	offers   *gpu.Feed[*gpu.Offers]
	pods     *gpu.Feed[*kubelet.Pods]
	claims   *fakeClaims
	node     *fakeNode
	regs     *fakeRegistrar
	manager  *Manager

	kubelet map[string]*kubeResource
	holders map[string]holder // of pods that run, by name
	serial  int
	synced  time.Time // when the kubelet last wrote the Node
	// lists remembers when each id was last listed as healthy, and what each list before said.
	healthy map[key]time.Time
	last    map[string]*table
}

// holder is a pod with its devices.
type holder struct {
	resource string
	ids      []string
	devices  []gpu.Device
}

func newWorld(t failer, s Settings, n *gpu.Snapshot) *world {
	w := &world{
		t: t, now: time.Unix(1_000_000, 0), settings: gpu.NewFeed(s), offers: gpu.NewFeed(gpu.StaticOffers(n)),
		pods: gpu.NewFeed(&kubelet.Pods{Synced: true, ByUID: map[kubelet.UID]kubelet.Pod{}}), claims: newFakeClaims(),
		node: &fakeNode{counts: map[string]Count{}}, kubelet: map[string]*kubeResource{}, holders: map[string]holder{},
		healthy: map[key]time.Time{}, last: map[string]*table{},
	}
	w.synced = w.now
	w.restart()
	return w
}

// restart is another process of the agent on the same claims. The kubelet sees all streams end.
func (w *world) restart() {
	w.regs = newFakeRegistrar()
	w.manager = New(Config{
		Settings: w.settings, Offers: w.offers, Claims: w.claims, Registrar: w.regs, Specs: newFakeSpecs(), Node: w.node, Pods: w.pods,
	})
	for _, k := range w.kubelet {
		k.lost()
	}
	w.last, w.healthy = map[string]*table{}, map[key]time.Time{}
	w.step()
}

// step lets the manager look once, and its courier carry what it was given.
func (w *world) step() time.Duration {
	s, so := w.settings.Get()
	o, oo := w.offers.Get()
	c, _ := w.claims.Feed().Get()
	p, _ := w.pods.Get()
	m := w.manager
	if m.named != [2]<-chan struct{}{so, oo} {
		m.named, m.naming = [2]<-chan struct{}{so, oo}, NameOffers(s, o)
	}
	wait := m.pass(w.now, s, o, c, p)
	w.audit()
	select {
	case t := <-m.tasks:
		if len(t.counts) == 0 {
			m.report(report{task: t}, w.now)
			return wait
		}
		m.report(report{task: t, err: w.node.PatchResources(nil, t.counts)}, w.now) //nolint:staticcheck // the fake has no use for it
		return time.Millisecond
	default:
		return wait
	}
}

// audit checks what the manager lists: no id vanishes that may be picked, was healthy lately or is claimed.
func (w *world) audit() {
	w.t.Helper()
	set, _ := w.claims.Feed().Get()
	handlers, _ := w.regs.feed.Get()
	lists := map[string]*table{}
	for resource, h := range handlers {
		lists[resource], _ = h.(*handler).tables.Get()
	}
	for resource, t := range lists {
		for _, e := range t.order {
			if e.healthy {
				w.healthy[key{resource, e.id}] = w.now
			}
		}
	}
	for k, at := range w.healthy {
		t := lists[k.resource]
		if t != nil {
			if _, ok := t.find(k.id); ok {
				continue
			}
		}
		if w.now.Sub(at) < 30*time.Second {
			w.t.Fatalf("%v vanished %v after it was healthy", k, w.now.Sub(at))
		}
		delete(w.healthy, k)
	}
	for id, claims := range set.ByID {
		for _, c := range claims {
			if t := lists[c.Resource]; t == nil {
				w.t.Fatalf("%s is not registered although %s is claimed", c.Resource, id)
			} else if _, ok := t.find(id); !ok {
				w.t.Fatalf("%s does not list %s, which is claimed", c.Resource, id)
			}
		}
	}
	w.last = lists
}

// pass lets time go by: the manager looks when it wants to, and lists arrive if they are delivered at all.
func (w *world) pass(d time.Duration, delivered bool) {
	w.t.Helper()
	end := w.now.Add(d)
	for i := 0; ; i++ {
		if i > 20_000 {
			w.t.Fatalf("the manager never rests")
		}
		wait := w.step()
		if delivered {
			before := w.versions()
			if w.deliverAll(); before != w.versions() {
				wait = time.Millisecond
			}
			w.sync()
		}
		if wait <= 0 || w.now.Add(wait).After(end) {
			break
		}
		w.now = w.now.Add(wait)
	}
	w.now = end
	w.step()
}

func (w *world) versions() (sum uint64) {
	for _, k := range w.kubelet {
		if k.stream != nil {
			sum += k.stream.sent
		}
	}
	return sum
}

// end is the end of a pod.
func (w *world) end(pod string) {
	h := w.holders[pod]
	delete(w.holders, pod)
	for _, id := range h.ids {
		delete(w.kubelet[h.resource].used, id)
		w.claims.end(h.resource, id)
	}
	w.setPod(pod, func(p *kubelet.Pod) { p.Ended = true })
}

// setPod changes what the node's pods are; a pod that is not there is made.
func (w *world) setPod(name string, edit func(p *kubelet.Pod)) {
	old, _ := w.pods.Get()
	next := &kubelet.Pods{Synced: true, ByUID: maps.Clone(old.ByUID)}
	p := next.ByUID[kubelet.UID(name)]
	p.UID, p.Namespace, p.Name = kubelet.UID(name), "default", name
	edit(&p)
	next.ByUID[p.UID] = p
	w.pods.Set(next)
}

// settled checks that all that is named is offered and healthy, once nothing moves any more.
func (w *world) settled() {
	w.t.Helper()
	for _, n := range w.manager.naming.Devices {
		k := w.kubelet[n.Resource]
		if healthy := n.Health.Allocatable(); k == nil || k.devices[n.ID] != healthy {
			v, _ := w.manager.View().Get()
			w.t.Fatalf("%s %s is not offered at rest: %+v", n.Resource, n.ID, v.Moves)
		}
	}
	for resource, k := range w.kubelet {
		h := w.regs.handler(resource)
		for id, healthy := range k.devices {
			if h == nil && healthy {
				w.t.Fatalf("%s ended with %s healthy", resource, id)
			}
		}
		_, possible := w.manager.naming.Possible[resource]
		if h == nil && possible {
			w.t.Fatalf("%s is possible and not registered", resource)
		}
		if h != nil && len(k.devices) == 0 && !possible {
			w.t.Fatalf("%s is empty and still registered", resource)
		}
		// What an agent before this one had registered is not known to it.
		if c := w.node.says(resource); h == nil && w.manager.patched[resource].Remove && !c.Remove {
			w.t.Fatalf("%s has ended, and the Node says %+v", resource, c)
		}
	}
}
