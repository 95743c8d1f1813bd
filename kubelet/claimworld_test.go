package kubelet

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"pgregory.net/rapid"
)

// world is a kubelet with its pods, and an agent that sees them late, in part, or not at all.
type world struct {
	t      *rapid.T
	now    time.Time
	pods   map[UID]*worldPod
	serial int
	boot   int

	// The kubelet's memory, its file, and whether it runs.
	memory  map[slot]slotDevices
	file    []CheckpointEntry
	written time.Time
	lost    bool // there is no file
	up      bool

	// What the agent has and sees.
	book     *book
	complete bool
	saved    claimState
	view     map[UID]Pod
	viewEnd  map[UID]time.Time
	synced   bool
	assigned Assigned
	closed   []note
}

type worldPod struct {
	Pod
	over    bool // no container of it runs any more
	deleted bool // its object is gone
	// admitting: its admission has begun.
	admitting bool
	// has are the devices that its containers can use.
	has map[DeviceKey]bool
}

type slot struct {
	pod       UID
	container string
	resource  string
}

type slotDevices struct {
	ids  []string
	init bool
}

var worldDevices = map[string][]string{"r/a": {"a0", "a1", "a2"}, "r/b": {"b0", "b1"}} //nolint:gochecknoglobals // a table

func newWorld(t *rapid.T) *world {
	return &world{
		t: t, now: time.Unix(1e9, 0), pods: map[UID]*worldPod{}, memory: map[slot]slotDevices{}, up: true, lost: true,
		book: newBook(), view: map[UID]Pod{}, viewEnd: map[UID]time.Time{},
	}
}

func (w *world) chance(percent int, what string) bool {
	return rapid.IntRange(0, 99).Draw(w.t, what) < percent
}

// pass lets time go by. What happens by itself meanwhile happens.
func (w *world) pass(d time.Duration) {
	for end := w.now.Add(d); w.now.Before(end); {
		w.now = w.now.Add(min(10*time.Second, end.Sub(w.now)))
		w.deliver()
		w.poll()
		w.look(true)
	}
}

// deliver brings the agent's list of pods up to date.
func (w *world) deliver() {
	if !w.up {
		w.synced = false
		return
	}
	if !w.synced { // a new list: what it does not have is gone
		maps.DeleteFunc(w.view, func(uid UID, p Pod) bool { return !p.Ended && w.pods[uid].deleted })
	}
	for uid, p := range w.pods {
		_, seen := w.view[uid]
		if p.deleted && !seen {
			continue
		}
		q := p.Pod
		q.Ended = p.over
		if q.Ended && w.viewEnd[uid].IsZero() {
			w.viewEnd[uid] = w.now
		}
		w.view[uid] = q
	}
	w.synced = true
	for uid, at := range w.viewEnd {
		if w.now.Sub(at) >= tombstone && w.pods[uid].deleted {
			delete(w.view, uid)
		}
	}
}

// collect frees what ended pods had, as the kubelet does before each allocation and each answer.
func (w *world) collect() {
	maps.DeleteFunc(w.memory, func(s slot, _ slotDevices) bool { return w.pods[s.pod].over })
}

func (w *world) poll() {
	if !w.up {
		w.assigned.Synced, w.assigned.Reason = false, "down"
		return
	}
	w.collect()
	a := Assigned{At: w.now, Synced: true, Devices: map[DeviceKey][]Assignment{}, Active: map[string]struct{}{}}
	for _, p := range w.pods {
		if !p.over {
			a.Active[p.Ref()] = struct{}{}
		}
	}
	for s, d := range w.memory {
		for _, id := range d.ids {
			if p := w.pods[s.pod]; !d.init {
				k := DeviceKey{s.resource, id}
				a.Devices[k] = append(a.Devices[k], Assignment{p.Namespace, p.Name, s.container})
			}
		}
	}
	w.assigned = a
	w.now = w.now.Add(time.Millisecond)
}

func (w *world) write() {
	w.file, w.written, w.lost = nil, w.now, false
	for s, d := range w.memory {
		w.file = append(w.file, CheckpointEntry{s.pod, s.container, s.resource, slices.Clone(d.ids)})
	}
}

func (w *world) evidence(idle bool) *evidence {
	assigned := w.assigned
	return &evidence{
		now: w.now, idle: idle, ours: func(string) bool { return true },
		pods:       &Pods{Synced: w.synced, ByUID: maps.Clone(w.view)},
		assigned:   &assigned,
		checkpoint: &Checkpoint{Read: w.now, Written: w.written, Absent: w.lost, Entries: w.file},
	}
}

// look is the agent's loop, once. What it kept is on disk after it.
func (w *world) look(idle bool) {
	e := w.evidence(idle)
	w.book.reconcile(e)
	w.complete = w.complete || accounted(e.checkpoint, e.assigned)
	w.saved.Claims = nil
	for _, h := range w.book.list() {
		w.saved.Claims = append(w.saved.Claims, h.Claim)
	}
	w.saved.BootID = strconv.Itoa(w.boot)
	for _, n := range w.book.notes {
		if n.what == "closed" {
			w.closed = append(w.closed, n)
		}
	}
	w.book.notes = nil
	w.now = w.now.Add(time.Millisecond)
}

// restart is a new agent with the file of the old one.
func (w *world) restart() {
	w.book, w.complete, w.synced = newBook(), false, false
	w.view, w.viewEnd, w.assigned = map[UID]Pod{}, map[UID]time.Time{}, Assigned{}
	e := w.evidence(true)
	w.book.restore(w.saved, strconv.Itoa(w.boot), e.checkpoint)
	w.look(true)
}

// bind puts a new pod on the node. Names come back, as those of a StatefulSet do.
func (w *world) bind() *worldPod {
	w.serial++
	p := &worldPod{Pod: Pod{UID: UID(fmt.Sprint("u", w.serial)), Namespace: "n"}, has: map[DeviceKey]bool{}}
	for _, name := range []string{"p0", "p1", "p2", "p3", "p4", "p5"} {
		taken := false
		for _, q := range w.pods {
			taken = taken || !q.deleted && q.Name == name
		}
		if !taken {
			p.Name = name
			break
		}
	}
	if p.Name == "" {
		return nil
	}
	container := func(name string) Container {
		c := Container{Name: name, Requests: map[string]int64{}}
		c.Requests["r/a"] = int64(rapid.IntRange(0, 2).Draw(w.t, name+" a"))
		c.Requests["r/b"] = int64(rapid.IntRange(0, 1).Draw(w.t, name+" b"))
		return c
	}
	if w.chance(40, "init container") {
		c := container("init")
		c.Init = true
		p.Containers = append(p.Containers, c)
	}
	if w.chance(20, "sidecar") {
		c := container("side")
		c.Init, c.Sidecar = true, true
		p.Containers = append(p.Containers, c)
	}
	p.Containers = append(p.Containers, container("main"))
	w.pods[p.UID] = p
	return p
}

// admit is the kubelet's admission of a pod.
func (w *world) admit(p *worldPod) {
	p.admitting = true
	reusable := map[string][]string{}
	for _, c := range p.Containers {
		for _, resource := range []string{"r/a", "r/b"} {
			n := int(c.Requests[resource])
			s := slot{p.UID, c.Name, resource}
			if _, had := w.memory[s]; n == 0 || had {
				continue
			}
			w.collect()
			ids := w.pick(resource, n, reusable[resource])
			if ids == nil {
				p.over = true
				return
			}
			w.book.open(resource, ids, &Pods{Synced: w.synced, ByUID: w.view}, w.now)
			w.now = w.now.Add(time.Millisecond)
			w.meanwhile(false) // our Allocate is under way
			if w.chance(15, "the allocation is refused") {
				p.over = true
				return
			}
			w.meanwhile(true) // the kubelet has our answer and is about to write
			crashed := w.chance(10, "the agent crashes before it wrote")
			w.memory[s] = slotDevices{ids: ids, init: c.Init && !c.Sidecar}
			w.write()
			for _, id := range ids {
				p.has[DeviceKey{resource, id}] = true
			}
			if c.Init && !c.Sidecar {
				reusable[resource] = append(reusable[resource], ids...)
			} else {
				reusable[resource] = slices.DeleteFunc(reusable[resource], func(id string) bool { return slices.Contains(ids, id) })
			}
			if crashed {
				w.restart()
			}
		}
	}
	p.Admitted = true
}

// meanwhile is what may happen within an admission.
func (w *world) meanwhile(idle bool) {
	if !w.chance(25, "something happens meanwhile") {
		return
	}
	if w.chance(50, "a pod that waits ends") {
		if p := w.some("waits", waits); p != nil {
			p.over = true
		}
	}
	if w.chance(50, "pods are told") {
		w.deliver()
	}
	if !idle && w.chance(30, "the allocation takes long") {
		for range 9 {
			w.now = w.now.Add(10 * time.Second)
			w.look(false)
		}
	}
	w.look(idle)
}

// waits: it is bound and was not admitted.
func waits(p *worldPod) bool { return !p.over && !p.Admitted && !p.admitting }

func (w *world) pick(resource string, n int, reusable []string) []string {
	used := map[string]bool{}
	for s, d := range w.memory {
		for _, id := range d.ids {
			used[id] = used[id] || s.resource == resource
		}
	}
	ids := slices.Clone(reusable[:min(n, len(reusable))])
	for _, id := range worldDevices[resource] {
		if len(ids) < n && !used[id] && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	if len(ids) < n {
		return nil
	}
	return ids
}

// some picks a pod that fits.
func (w *world) some(what string, fits func(*worldPod) bool) *worldPod {
	var all []*worldPod
	for _, p := range w.pods {
		if fits(p) {
			all = append(all, p)
		}
	}
	if len(all) == 0 {
		return nil
	}
	slices.SortFunc(all, func(a, b *worldPod) int { return len(a.UID)*1000 - len(b.UID)*1000 + cmpUID(a.UID, b.UID) })
	return rapid.SampledFrom(all).Draw(w.t, what)
}

func cmpUID(a, b UID) int {
	if a < b {
		return -1
	}
	return 1
}
