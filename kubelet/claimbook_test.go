package kubelet

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever happens in whatever order: a device that a live pod can use is held by a claim of that pod or of nobody yet;
// and when everything ended and the kubelet had time to say so, nothing is held.
func TestLiveDevicesAreHeldAndEndedOnesAreNot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		w.deliver()
		w.poll()
		w.look(true)
		live := func(p *worldPod) bool { return !p.over }
		end := func(p *worldPod) {
			if p == nil {
				t.Skip("no pod")
			}
			p.over = true
			p.deleted = p.deleted || w.chance(70, "its object goes too")
		}
		t.Repeat(map[string]func(*rapid.T){
			"a pod comes": func(t *rapid.T) {
				if !w.up {
					t.Skip("no kubelet")
				}
				if w.chance(30, "the agent knows the pod before") {
					p := w.bind()
					w.deliver()
					if p != nil {
						w.admit(p)
					}
				} else if p := w.bind(); p != nil {
					w.admit(p)
				}
			},
			"two pods come": func(t *rapid.T) {
				if !w.up {
					t.Skip("no kubelet")
				}
				a, b := w.bind(), w.bind()
				w.deliver()
				for _, p := range []*worldPod{b, a} {
					if p != nil {
						w.admit(p)
					}
				}
			},
			"a pod is bound and waits": func(*rapid.T) { w.bind(); w.deliver() },
			"a pod that waited is admitted": func(t *rapid.T) {
				p := w.some("admitted", waits)
				if p == nil || !w.up {
					t.Skip("no pod")
				}
				w.admit(p)
			},
			"a pod ends":            func(*rapid.T) { end(w.some("ends", live)) },
			"an object is deleted":  func(*rapid.T) { end(w.some("goes", func(p *worldPod) bool { return p.over && !p.deleted })) },
			"the agent looks":       func(*rapid.T) { w.look(true) },
			"pods are told":         func(*rapid.T) { w.deliver() },
			"podresources is asked": func(*rapid.T) { w.poll() },
			"the source breaks":     func(*rapid.T) { w.synced = false },
			"the kubelet stops":     func(*rapid.T) { w.up = false; w.deliver(); w.poll() },
			"the kubelet starts": func(*rapid.T) {
				w.up = true
				w.memory = map[slot]slotDevices{}
				for _, e := range w.file {
					w.memory[slot{e.Pod, e.Container, e.Resource}] = slotDevices{ids: e.IDs, init: e.Container == "init"}
				}
			},
			"the kubelet lists devices": func(t *rapid.T) {
				if !w.up {
					t.Skip("no kubelet")
				}
				w.write()
			},
			"the checkpoint is lost": func(*rapid.T) { w.look(true); w.file, w.lost, w.written = nil, true, time.Time{} },
			"the agent restarts":     func(*rapid.T) { w.restart() },
			"the machine reboots": func(*rapid.T) {
				w.boot++
				w.up, w.synced = false, false
				for uid, p := range w.pods {
					// A pod that the kubelet has no record of gets nothing of what it had.
					p.has = map[DeviceKey]bool{}
					for _, e := range w.file {
						for _, id := range e.IDs {
							if e.Pod == uid && !p.over {
								p.has[DeviceKey{e.Resource, id}] = true
							}
						}
					}
				}
				w.restart()
			},
			"time passes":      func(t *rapid.T) { w.pass(time.Duration(rapid.IntRange(1, 90).Draw(t, "s")) * time.Second) },
			"much time passes": func(*rapid.T) { w.pass(11 * time.Minute) },
			"": func(t *rapid.T) {
				if w.complete {
					w.held(t)
				}
			},
		})
		// The end: everything goes, the kubelet is there.
		w.up = true
		for _, p := range w.pods {
			p.over, p.deleted = true, true
		}
		w.pass(3 * time.Minute)
		if left := w.book.list(); len(left) > 0 {
			t.Fatalf("everything ended and is still held: %+v", left)
		}
	})
}

func (w *world) held(t *rapid.T) {
	for uid, p := range w.pods {
		if p.over {
			continue
		}
		for k := range p.has {
			if !slices.ContainsFunc(w.book.of(k), func(c *held) bool { return c.Pod == uid || !c.Confirmed }) {
				t.Fatalf("%s of live pod %s (%s) is not held: %+v; closed: %+v", k, p.Ref(), uid, w.book.list(), w.closed)
			}
		}
	}
}
