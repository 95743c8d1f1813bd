// Package ledger counts what containers hold over time: seconds times devices, how many of them were idle, and what they cost.
// It owns the accounts and the price table, and forgets a container a minute after its end. It never measures anything, and
// all that it knows of time is what it is told.
package ledger

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
)

const (
	// longest is the most that one step counts: what lies between two steps of a machine that slept is not known.
	longest = 30 * time.Second
	// keep is how long an account outlives its last hold, so that its last increase is scraped.
	keep = time.Minute
)

// Options say what is idle and what things cost. Prices are asked in order: the first that fits a device decides.
type Options struct {
	// IdleBelow is the utilization (0 to 1) under which a device is idle.
	IdleBelow float64
	Prices    []Price
	// CapacityType is this node's, such as "spot"; with an empty one, prices for a capacity type fit nothing.
	CapacityType string
}

// Ledger counts from Step to Step. Its methods may be called from any goroutine.
type Ledger struct {
	mu        sync.Mutex // guards what follows
	idleBelow float64
	prices    priceList
	began     bool
	last      time.Time
	steps     uint64
	accounts  map[series]*account
	growths   map[use]*growth
}

// series is what a scrape tells accounts apart by. The pod's UID is not in it: a pod that replaces one of the same name goes on
// with its account, for two series of the same labels would spoil the scrape.
type series struct{ namespace, pod, container, resource string }

type account struct {
	sample.Account
	seen   time.Time // in a hold
	priced bool
}

// use is a container's use of an entity.
type use struct {
	sample.Container
	entity gpu.Entity
}

// New makes a ledger without accounts.
func New(o Options) *Ledger {
	l := &Ledger{accounts: map[series]*account{}, growths: map[use]*growth{}}
	l.SetOptions(o)
	return l
}

// SetOptions changes what counts from the next step on; what was counted stays.
func (l *Ledger) SetOptions(o Options) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.idleBelow, l.prices = o.IdleBelow, newPriceList(o)
}

// Step counts the time since the last step for all that set holds, and returns the accounts in the order of their labels.
// The first step counts nothing.
func (l *Ledger) Step(now time.Time, set *sample.Set) []sample.Account {
	l.mu.Lock()
	defer l.mu.Unlock()
	dt := time.Duration(0)
	if l.began {
		dt = min(max(now.Sub(l.last), 0), longest)
	}
	l.began, l.last = true, now
	l.steps++
	parts := make(map[use]sample.Part, len(set.Shares))
	for _, s := range set.Shares {
		parts[use{s.Container, s.Entity}] = s.Part
	}
	idle := map[use]bool{}
	for _, h := range set.Holds {
		u := use{h.Container, h.Entity}
		if _, done := idle[u]; !done && h.Entity != (gpu.Entity{}) {
			part, ok := parts[u]
			_, down := set.Down[h.Entity.GPU]
			idle[u] = l.idle(now, h.Since, u, part, ok) && !down
		}
	}
	costs := newSplit(set.Holds)
	for _, h := range set.Holds {
		a := l.account(h)
		a.seen = now
		held := dt
		if age := now.Sub(h.Since); age < dt && age >= 0 { // it came between the steps
			held = age
		}
		a.Allocated += held.Seconds()
		if idle[use{h.Container, h.Entity}] {
			a.Idle += held.Seconds()
		}
		l.charge(a, h, set.Snapshot, held.Seconds()*costs.of(h))
	}
	l.forget(now)
	return l.list()
}

// idle reports whether a container does nothing with an entity that it holds. Whose use is not known is not idle.
func (l *Ledger) idle(now, since time.Time, u use, p sample.Part, ok bool) bool {
	g := l.growths[u]
	if g == nil {
		g = begin(since, now)
		l.growths[u] = g
	}
	g.step = l.steps
	loading := g.loading(now, p.MemoryBytes, ok && p.NoMB == nil)
	return ok && p.NoUtil == nil && p.Utilization < l.idleBelow && !loading
}

// account finds the account of a hold, or opens it.
func (l *Ledger) account(h sample.Hold) *account {
	key := series{h.Namespace, h.Pod, h.Container.Container, h.Resource}
	a := l.accounts[key]
	if a == nil {
		a = &account{}
		l.accounts[key] = a
	}
	a.Container, a.Resource = h.Container, h.Resource
	return a
}

// charge adds the cost of seconds of a device of one's own.
func (l *Ledger) charge(a *account, h sample.Hold, s *gpu.Snapshot, seconds float64) {
	if s == nil {
		return
	}
	g := s.GPU(h.Device.GPU)
	if g == nil {
		return
	}
	if price, ok := l.prices.perSecond(g.Model, h.Device); ok {
		a.priced = true
		a.Dollars += price * seconds
	}
}

// forget drops accounts of which nothing is left to scrape, and the memory of what is not held any more.
func (l *Ledger) forget(now time.Time) {
	maps.DeleteFunc(l.accounts, func(_ series, a *account) bool { return now.Sub(a.seen) > keep })
	maps.DeleteFunc(l.growths, func(_ use, g *growth) bool { return g.step != l.steps })
}

func (l *Ledger) list() []sample.Account {
	out := make([]sample.Account, 0, len(l.accounts))
	for _, a := range l.accounts {
		told := a.Account
		if !a.priced {
			told.Dollars = -1
		}
		out = append(out, told)
	}
	slices.SortFunc(out, func(a, b sample.Account) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Pod, b.Pod),
			cmp.Compare(a.Container.Container, b.Container.Container), cmp.Compare(a.Resource, b.Resource))
	})
	return out
}
