package kubelet

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// book is the account of claims and its rules, without time, files or locks of its own.
//
// A claim is opened by an Allocate or found with the kubelet. At first it may be nobody's or, by a guess, some pod's; the kubelet's
// checkpoint or podresources confirm whose it is. A confirmed claim ends with its pod and with nothing else:
//   - the source of pods says that this UID ended, or
//   - the UID is absent from a synced list of pods, and the kubelet's own accounts, asked after that, do not know it either, or
//   - no source ever told of any pod, and the kubelet gave the device to another pod, whose claim it then is.
//
// A claim that was never confirmed ends when the kubelet evidently does not have it: its Allocate was refused or abandoned.
// Any doubt means keep.
type book struct {
	claims []*held
	// forgotten are pods that ended while the kubelet's checkpoint went on naming them: they open nothing any more.
	forgotten map[UID]struct{}
	// closed is when a claim of a device was closed last: older answers of podresources open nothing.
	closed map[DeviceKey]time.Time
	// notes are what changed since they were taken last.
	notes []note
	// changed: the claims are not as they were published last.
	changed bool
}

// held is a claim with what only we need to know.
type held struct {
	Claim
	why   string
	doubt doubt
}

// doubt is the time since which nothing speaks for a claim, and how many answers of podresources agreed.
type doubt struct {
	since time.Time
	polls int
	last  time.Time // Assigned.At of the last one counted
}

// note is one change of the account.
type note struct {
	what   string // "opened", "resolved", "confirmed", "unresolved", "unrecorded", "recorded", "closed"
	claim  Claim
	reason string
}

// evidence is all that is known outside of the book at one moment.
type evidence struct {
	now      time.Time
	pods     *Pods
	assigned *Assigned
	// checkpoint is nil while it could not be read.
	checkpoint *Checkpoint
	// idle: no allocation is under way.
	idle bool
	ours func(resource string) bool

	said []mention // podresources' that still mean something; confirm makes them
}

func newBook() *book {
	return &book{forgotten: map[UID]struct{}{}, closed: map[DeviceKey]time.Time{}}
}

func (c *Claim) key() DeviceKey { return DeviceKey{c.Resource, c.ID} }

func (b *book) note(what string, c *held, reason string) {
	c.why, b.changed = reason, true
	b.notes = append(b.notes, note{what, c.Claim, reason})
}

func (b *book) add(c Claim, reason string) *held {
	h := &held{Claim: c}
	b.claims = append(b.claims, h)
	b.note("opened", h, reason)
	return h
}

// close removes a claim; at is when it was known to be over.
func (b *book) close(c *held, at time.Time, reason string) {
	b.claims = slices.DeleteFunc(b.claims, func(h *held) bool { return h == c })
	b.closed[c.key()] = at
	if c.Pod != "" && c.Confirmed {
		b.forgotten[c.Pod] = struct{}{}
	}
	b.note("closed", c, reason)
}

// of are the claims of a device.
func (b *book) of(k DeviceKey) (out []*held) {
	for _, c := range b.claims {
		if c.key() == k {
			out = append(out, c)
		}
	}
	return out
}

// exact is the claim of a container on a device, nil when there is none. A claim of the pod without a container fits any.
func (b *book) exact(k DeviceKey, pod UID, container string) *held {
	for _, c := range b.claims {
		if c.key() == k && c.Pod == pod && c.Pod != "" && (c.Container == container || c.Container == "") {
			return c
		}
	}
	return nil
}

// has reports whether a container has claims of a resource, confirmed ones only or by a guess too.
func (b *book) has(resource string, pod UID, container string, confirmed bool) bool {
	for _, c := range b.claims {
		if c.Resource == resource && c.Pod == pod && c.Container == container && (c.Confirmed || !confirmed) {
			return true
		}
	}
	return false
}

// open opens the claims of one Allocate. Whose they are is a guess until the kubelet confirms it.
func (b *book) open(resource string, ids []string, pods *Pods, now time.Time) {
	pod, container, why := b.guess(resource, ids, pods)
	for _, id := range ids {
		c := Claim{Resource: resource, ID: id, Opened: now}
		if pod.UID != "" {
			if h := b.exact(c.key(), pod.UID, container); h != nil {
				continue // the kubelet asks again for what it gave already
			}
			c.Pod, c.Namespace, c.Name, c.Container = pod.UID, pod.Namespace, pod.Name, container
		}
		b.add(c, why)
	}
}

// guess says which pod an Allocate is probably for: the only one that waits for this many of this resource.
func (b *book) guess(resource string, ids []string, pods *Pods) (Pod, string, string) {
	type candidate struct {
		pod       Pod
		container string
	}
	var all, reuse []candidate
	for _, p := range pods.ByUID {
		if p.Ended || p.Deleting || p.Admitted {
			continue
		}
		container, count := b.next(resource, &p)
		if count != int64(len(ids)) {
			continue
		}
		all = append(all, candidate{p, container})
		// The devices of an init container are given to the containers after it.
		if slices.ContainsFunc(b.claims, func(c *held) bool {
			return c.Pod == p.UID && c.Resource == resource && slices.Contains(ids, c.ID)
		}) {
			reuse = append(reuse, candidate{p, container})
		}
	}
	if len(reuse) == 1 {
		return reuse[0].pod, reuse[0].container, "its pod has it already for an earlier container"
	}
	switch len(all) {
	case 0:
		return Pod{}, "", "allocated; no pod is known yet that asks for it"
	case 1:
		return all[0].pod, all[0].container, "allocated; it is the only pod that waits for it"
	}
	return Pod{}, "", "allocated; more than one pod waits for it"
}

// next is the container of a pod that the kubelet serves next, and how many it asks for: in order, the first without claims.
func (b *book) next(resource string, p *Pod) (container string, count int64) {
	for _, c := range p.Containers {
		if n := c.Requests[resource]; n > 0 && !b.has(resource, p.UID, c.Name, false) {
			return c.Name, n
		}
	}
	return "", 0
}

// set makes what is published. The order is total.
func (b *book) set(complete bool) *ClaimSet {
	out := &ClaimSet{Complete: complete, ByID: map[string][]Claim{}}
	for _, c := range b.list() {
		out.ByID[c.ID] = append(out.ByID[c.ID], c.Claim)
	}
	return out
}

// with is a set in which the claims of some ids are up to date: an Allocate changes little and does not wait for more.
func (b *book) with(last *ClaimSet, ids []string) *ClaimSet {
	out := &ClaimSet{Complete: last.Complete, ByID: maps.Clone(last.ByID)}
	for _, id := range ids {
		var claims []Claim
		for _, c := range b.claims {
			if c.ID == id {
				claims = append(claims, c.Claim)
			}
		}
		slices.SortFunc(claims, inOrder)
		out.ByID[id] = claims
	}
	return out
}

// list has the claims with their reasons, ordered by id, then the oldest first.
func (b *book) list() []Holding {
	out := make([]Holding, 0, len(b.claims))
	for _, c := range b.claims {
		out = append(out, Holding{c.Claim, c.why})
	}
	slices.SortFunc(out, func(a, b Holding) int { return inOrder(a.Claim, b.Claim) })
	return out
}

func inOrder(a, b Claim) int {
	return cmp.Or(cmp.Compare(a.ID, b.ID), a.Opened.Compare(b.Opened), cmp.Compare(a.Resource, b.Resource),
		cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.Container, b.Container))
}
