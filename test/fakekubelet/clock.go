package fakekubelet

import (
	"slices"
	"sync"
	"time"
)

// Clock is where the kubelet's time comes from: its status period, the grace of stopped plugins, retries.
type Clock interface {
	Now() time.Time
	// After delivers once when d has passed.
	After(d time.Duration) <-chan time.Time
}

type wallClock struct{}

func (wallClock) Now() time.Time                         { return time.Now() }
func (wallClock) After(d time.Duration) <-chan time.Time { return time.After(d) }

// ManualClock stands still until Advance. It begins with the year 2026.
type ManualClock struct {
	mu      sync.Mutex
	passed  time.Duration // guarded by mu
	waiting []waiter      // guarded by mu
}

type waiter struct {
	at time.Time
	c  chan time.Time
}

// Now implements Clock.
func (c *ManualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now()
}

func (c *ManualClock) now() time.Time {
	return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(c.passed)
}

// After implements Clock.
func (c *ManualClock) After(d time.Duration) <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := waiter{c.now().Add(d), make(chan time.Time, 1)}
	if d <= 0 {
		w.c <- c.now()
	} else {
		c.waiting = append(c.waiting, w)
	}
	return w.c
}

// Advance moves the time and wakes whoever waited for it.
func (c *ManualClock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.passed += d
	c.waiting = slices.DeleteFunc(c.waiting, func(w waiter) bool {
		if w.at.After(c.now()) {
			return false
		}
		w.c <- c.now()
		return true
	})
}
