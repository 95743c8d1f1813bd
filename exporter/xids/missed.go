package xids

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/xid"
)

const (
	// wait is how long a line of the kernel log waits for the driver's event, which knows more of whom the error hit. The
	// inventory asks drivers that cannot wait for events every 2 s.
	wait = 3 * time.Second
	// remembered is how long an event is kept for a line that is read later.
	remembered = 10 * time.Second
	// maxAlike and maxSightings bound the lines, and the events, that are kept: of one GPU, instance and code, and in all. Health
	// asks whether there was one, and a storm must not push out what is rare.
	maxAlike, maxSightings = 16, 1024
)

// sighting is an XID as one of the two sources has it.
type sighting struct {
	gpu               gpu.UUID
	code              uint64
	instance, compute uint32 // gpu.NoInstance where that source names none
	at                time.Time
}

// same reports whether the other source can mean the same error. Only what both say can differ.
func (s sighting) same(o sighting) bool {
	return s.gpu == o.gpu && s.code == o.code && (s.instance == o.instance || s.instance == gpu.NoInstance || o.instance == gpu.NoInstance)
}

// like reports whether health takes them for the same.
func (s sighting) like(o sighting) bool {
	return s.gpu == o.gpu && s.code == o.code && s.instance == o.instance && s.compute == o.compute
}

// Missed finds the errors that the kernel log alone told: the driver hands over the last of several XIDs that come together,
// and none while nobody waits for events. Its methods may be called from any goroutine.
type Missed struct {
	catalogue xid.Catalogue
	tell      func(ctx context.Context, uuid gpu.UUID, e gpu.Event, at time.Time)
	wake      chan struct{}

	mu     sync.Mutex
	lines  []sighting // guarded by mu: without event, in the order of their coming
	events []sighting // guarded by mu: without line, in the order of their coming
}

// NewMissed makes one that has tell take what was missed, from Run's goroutine. XIDs without effect on health are never told.
func NewMissed(catalogue xid.Catalogue, tell func(ctx context.Context, uuid gpu.UUID, e gpu.Event, at time.Time)) *Missed {
	return &Missed{catalogue: catalogue, tell: tell, wake: make(chan struct{}, 1)}
}

// Event takes an event of the driver. It does not wait.
func (m *Missed) Event(uuid gpu.UUID, e gpu.Event, at time.Time) {
	m.pair(&m.lines, &m.events, sighting{uuid, e.XID, e.GPUInstance, e.ComputeInstance, at})
}

// Line takes a line of the kernel log. It does not wait.
func (m *Missed) Line(uuid gpu.UUID, l Line, at time.Time) {
	m.pair(&m.events, &m.lines, sighting{uuid, l.Code, l.Instance, l.Compute, at})
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// pair takes the partner of s from the others, the one that agrees best, or keeps s for its partner.
func (m *Missed) pair(others, own *[]sighting, s sighting) {
	if m.catalogue.Lookup(s.code).Effect == xid.None {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = slices.DeleteFunc(m.events, func(e sighting) bool { return s.at.Sub(e.at) > remembered })
	at := slices.IndexFunc(*others, func(o sighting) bool { return s.same(o) && s.instance == o.instance })
	if at < 0 {
		at = slices.IndexFunc(*others, s.same)
	}
	if at >= 0 {
		*others = slices.Delete(*others, at, at+1)
		return
	}
	alike := 0
	for _, o := range *own {
		if s.like(o) {
			alike++
		}
	}
	if alike < maxAlike && len(*own) < maxSightings {
		*own = append(*own, s)
	}
}

// due takes the lines whose time is up, the newest of each kind, and says when the next one is; zero: there is none.
func (m *Missed) due(now time.Time) (out []sighting, next time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var left []sighting
	for _, l := range m.lines {
		if until := l.at.Add(wait); now.Before(until) {
			if left = append(left, l); next.IsZero() || until.Before(next) {
				next = until
			}
			continue
		}
		out = append(slices.DeleteFunc(out, l.like), l)
	}
	m.lines = left
	return out, next
}

// Run tells what was missed until ctx ends.
func (m *Missed) Run(ctx context.Context) error {
	for {
		missed, next := m.due(time.Now())
		for _, s := range missed {
			m.tell(ctx, s.gpu, gpu.Event{Kind: gpu.EventXID, XID: s.code, GPUInstance: s.instance, ComputeInstance: s.compute}, s.at)
		}
		var timer <-chan time.Time
		if !next.IsZero() {
			timer = time.After(time.Until(next))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-m.wake:
		case <-timer:
		}
	}
}
