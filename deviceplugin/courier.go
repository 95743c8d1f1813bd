package deviceplugin

import (
	"context"
	"time"
)

// The courier's times.
const (
	courierTimeout = 10 * time.Second
	firstRetry     = time.Second
	lastRetry      = 30 * time.Second
	// askPause is between two questions to the kubelet, which limits their rate; growPause is where pods may wait for the answer.
	askPause  = 250 * time.Millisecond
	growPause = 25 * time.Millisecond
	// insist is between two patches of a Node on which the kubelet put an old number back.
	insist = time.Second
	// grace is how long the kubelet writes the name of a resource whose plugin left, with a margin: removing it before then
	// lasts only until its next status. remember is when a name that ended is no longer looked after.
	grace    = 5*time.Minute + 30*time.Second
	remember = 15 * time.Minute
)

// task is what the courier carries: counts to the API server, or a question to the kubelet.
type task struct {
	counts map[string]Count
	ask    bool
}

// report is what came of it.
type report struct {
	task
	err error // of the patch
}

// courier makes the calls that may block, one after the other, away from the goroutine that owns the book.
func (m *Manager) courier(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case t := <-m.tasks:
			r := report{task: t}
			call, cancel := context.WithTimeout(ctx, courierTimeout)
			if len(t.counts) > 0 {
				r.err = m.cfg.Node.PatchResources(call, t.counts)
			}
			if t.ask {
				_, _ = m.cfg.Resources.Refresh(call) // the answer is in the feed
			}
			cancel()
			m.done <- r // one task at a time: there is room
		}
	}
}

// report takes in what the courier brings back.
func (m *Manager) report(r report, now time.Time) {
	m.busy = false
	switch {
	case len(r.counts) == 0:
	case r.err != nil:
		m.pause = min(max(2*m.pause, firstRetry), lastRetry)
		m.retry = now.Add(m.pause)
		m.cfg.Log.Warn("the Node's resources were not updated", "reason", r.err, "again_in", m.pause)
	default:
		m.pause, m.retry = 0, time.Time{}
		for resource, c := range r.counts {
			m.patched[resource] = patched{Count: c, at: now}
		}
	}
}

// send gives the courier what is to be told and asked. It returns when to try again, zero when nothing waits for time alone.
func (m *Manager) send(f facts, now time.Time) (again time.Time) {
	if m.busy {
		return time.Time{}
	}
	var t task
	unsure := false
	if m.cfg.Node != nil {
		if now.Before(m.retry) {
			again = m.retry
		} else {
			t.counts, unsure, again = m.book.due(f)
		}
	}
	if m.cfg.Resources != nil && (unsure || m.book.doubts()) {
		next := m.asked.Add(askPause)
		if unsure {
			next = m.asked.Add(growPause)
		}
		if t.ask = !now.Before(next); !t.ask {
			m.book.wake(next)
		}
	}
	if len(t.counts) == 0 && !t.ask {
		return again
	}
	if t.ask {
		m.asked = now
	}
	m.busy = true
	m.tasks <- t
	return again
}

// doubts reports whether the kubelet may still count something that was withdrawn from it, or that is in the way.
func (b *book) doubts() bool {
	if b.unsure {
		return true
	}
	for _, s := range b.spots {
		if s.stage == withdrawn && !s.told.IsZero() {
			return true
		}
	}
	return false
}

// counts is what the Node should say: what the kubelet will compute from the lists, without what is about to leave.
func (b *book) counts() map[string]Count {
	counts := map[string]Count{}
	for resource := range b.shelves {
		counts[resource] = Count{}
	}
	for _, s := range b.spots {
		if s.stage == unlisted {
			continue
		}
		c := counts[s.resource]
		c.Capacity++
		if s.stage == live && s.entry.healthy {
			c.Allocatable++
		}
		counts[s.resource] = c
	}
	return counts
}

// due is what has to be patched now, whether the kubelet has to be asked first, and when to look again. Numbers go up only after
// the kubelet has taken the list in: a pod that came earlier would be failed. Down they go at any time.
func (b *book) due(f facts) (counts map[string]Count, unsure bool, again time.Time) {
	counts = map[string]Count{}
	lowers := map[string]bool{}
	for _, s := range b.spots {
		lowers[s.resource] = lowers[s.resource] || s.stage == lowering
	}
	for resource, want := range b.counts() {
		was, known := f.patched[resource]
		stream := f.streams[resource]
		told := stream.open > 0 && stream.version >= b.shelves[resource].table.version
		switch {
		case known && was.Count == want:
			raised := f.node != nil && f.node[resource] > want.Allocatable
			if lowers[resource] && raised && !b.now.Before(was.at.Add(insist)) {
				counts[resource] = want
			}
		case told && (known && want.Allocatable <= was.Allocatable || b.taken(resource, want, f)):
			counts[resource] = want
		case told:
			unsure = true
		case known && want.Allocatable < was.Allocatable:
			counts[resource] = Count{Capacity: max(was.Capacity, want.Allocatable), Allocatable: want.Allocatable}
		}
	}
	return counts, unsure, b.removals(f, counts)
}

// taken reports whether the kubelet has worked on the newest list of a resource, as far as it can be asked.
func (b *book) taken(resource string, want Count, f facts) bool {
	sh := b.shelves[resource]
	if sh.toldVersion != sh.table.version {
		sh.told, sh.toldVersion = b.now, sh.table.version
	}
	late := sh.told.Add(noticed)
	if want.Allocatable == 0 || f.counted == nil || !f.counted.Synced || !b.now.Before(late) {
		return true
	}
	b.wake(late)
	return f.counted.At.After(sh.told) && int64(len(f.counted.Allocatable[resource])) >= want.Allocatable
}

// removals adds the names that ended: once as they end, and once the kubelet has let go of them.
func (b *book) removals(f facts, counts map[string]Count) (again time.Time) {
	for resource, ended := range b.retired {
		was, known := f.patched[resource]
		_, there := f.node[resource]
		switch {
		case b.now.After(ended.Add(remember)):
			delete(b.retired, resource)
			continue
		case !known || !was.Remove,
			!b.now.Before(ended.Add(grace)) && (was.at.Before(ended.Add(grace)) || there && !b.now.Before(was.at.Add(emptyFor))):
			counts[resource] = Count{Remove: true}
		}
		look := ended.Add(grace)
		if !b.now.Before(look) {
			look = b.now.Add(emptyFor)
		}
		if again.IsZero() || look.Before(again) {
			again = look
		}
	}
	return again
}
