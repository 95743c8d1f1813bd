package kubelet

import (
	"context"
	"sync"
)

// Gate keeps podresources calls apart from allocations: the kubelet rebuilds what it thinks is allocated when it answers List,
// without the pick of an Allocate that is under way, and could give it twice (manager.go of devicemanager, 1.37.2).
// An allocation never waits.
type Gate struct {
	mu       sync.Mutex
	inFlight int           // guarded by mu
	idle     chan struct{} // closed when inFlight falls to 0; nil while it is 0; guarded by mu
}

// Enter marks an allocation as under way until leave is called.
func (g *Gate) Enter() (leave func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inFlight++; g.inFlight == 1 {
		g.idle = make(chan struct{})
	}
	return sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.inFlight--; g.inFlight == 0 {
			close(g.idle)
			g.idle = nil
		}
	})
}

// Wait returns when no allocation is under way.
func (g *Gate) Wait(ctx context.Context) error {
	for {
		g.mu.Lock()
		idle := g.idle
		g.mu.Unlock()
		if idle == nil {
			return ctx.Err()
		}
		select {
		case <-idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Idle reports whether no allocation is under way.
func (g *Gate) Idle() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.inFlight == 0
}
