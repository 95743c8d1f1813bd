package plugin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gpulet/gpulet/gpu"
)

const (
	// stopGrace is how long calls may go on when the agent or the resource goes away.
	stopGrace = time.Second
	// firstDelay doubles at each registration that fails, up to maxDelay.
	firstDelay = 25 * time.Millisecond
	maxDelay   = 10 * time.Second
	// lasting is how long a registration must hold to count as a good one.
	lasting = 10 * time.Second
)

// order is what a keeper shall keep. Immutable.
type order struct {
	handler  Handler
	hold     string // why nothing may be registered now
	renewals int    // grows with each request to register anew
	reason   string // of the last request
}

// keeper keeps one resource registered. One goroutine owns the registration: run.
type keeper struct {
	cfg      Config
	metrics  *metrics
	watcher  *watcher
	resource string
	cell     *cell
	// background runs what may outlive a registration.
	background func(func())

	mu     sync.Mutex // serializes tell; guards ever
	orders *gpu.Feed[order]
	ever   map[string]bool // ids that were in any list of this process

	current atomic.Pointer[server] // written by run
}

func newKeeper(r *Registrar, resource string, h Handler, background func(func())) *keeper {
	return &keeper{
		cfg: r.cfg, metrics: r.metrics, watcher: r.watcher, resource: resource, background: background,
		cell:   r.board.add(State{Resource: resource, Since: r.cfg.Clock(), Reason: "it was not registered yet"}),
		orders: gpu.NewFeed(order{handler: h}),
		ever:   map[string]bool{},
	}
}

// tell changes the order.
func (k *keeper) tell(f func(o *order)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	was, _ := k.orders.Get()
	now := was
	if f(&now); now != was {
		k.orders.Set(now)
	}
}

// registration is what run knows of the server that is registered.
type registration struct {
	server  *server
	kubelet identity // with whom
	order   order    // for what
	since   time.Time
}

func (k *keeper) run(ctx context.Context) {
	var reg *registration
	failures := 0
	var tried identity // whom the failures were with
	var notBefore time.Time
	defer func() { k.leave(ctx, reg) }()
	for {
		_, moved := k.watcher.seen.Get()
		o, told := k.orders.Get()
		seen := k.watcher.look() // newer than what was published, or as new
		if o.hold != "" && reg != nil {
			k.leave(ctx, reg)
			reg = nil
		}
		if seen.socket != tried { // another kubelet deserves an answer at once
			tried, failures, notBefore = seen.socket, 0, time.Time{}
		}
		due, reason := k.due(reg, seen, o)
		if due && !time.Now().Before(notBefore) {
			next, err := k.renew(ctx, reg, seen.socket, o, reason)
			if err == nil {
				reg, due = next, false
			} else {
				notBefore = time.Now().Add(delay(failures))
				failures++
			}
			if ctx.Err() != nil {
				return
			}
		}
		var ended <-chan struct{}
		if reg != nil {
			ended = reg.server.ended
		}
		var retry <-chan time.Time
		if due {
			retry = time.After(time.Until(notBefore))
		}
		select {
		case <-ctx.Done():
			return
		case <-moved:
		case <-told:
		case <-retry:
		case <-ended:
			if time.Since(reg.since) > lasting {
				failures = 0
			} else {
				notBefore = time.Now().Add(delay(failures))
				failures++
			}
			k.lost(ctx, reg)
			reg = nil
		}
	}
}

func delay(failures int) time.Duration {
	return min(firstDelay<<min(failures, 16), maxDelay)
}

// due says whether a registration has to be made, and why a standing one is replaced. It shows why none can be made.
func (k *keeper) due(reg *registration, seen sighting, o order) (due bool, reason string) {
	switch {
	case o.hold != "":
		k.waiting(o.hold)
		return false, ""
	case seen.reason != "":
		if reg == nil {
			k.waiting(seen.reason)
		}
		return false, ""
	case reg == nil:
		return true, ""
	case reg.kubelet != seen.socket:
		return true, "the kubelet made a new socket"
	case reg.order.handler != o.handler:
		return true, "its handler was replaced"
	case reg.order.renewals != o.renewals:
		return true, o.reason
	}
	return false, ""
}

// renew registers on a new socket. When that is listed, the old one is closed in the background.
// It gives up when the kubelet's socket moves: the new kubelet has removed ours.
func (k *keeper) renew(ctx context.Context, old *registration, with identity, o order, reason string) (*registration, error) {
	actx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	k.background(func() {
		if k.watcher.awaitOther(actx, with) {
			cancel(errors.New("the kubelet's socket changed meanwhile"))
		}
	})
	next, err := serve(actx, k.cfg, k.metrics, k.resource, o.handler, k.listed)
	if err == nil {
		if err = next.register(actx); err != nil {
			if cause := context.Cause(actx); cause != nil {
				err = cause
			}
			k.retire(ctx, next, 0)
		}
	}
	if err != nil {
		k.failed(ctx, old, err)
		return nil, err
	}
	k.stands(next, reason)
	if old != nil {
		k.retire(ctx, old.server, k.cfg.Drain)
	}
	return &registration{server: next, kubelet: with, order: o, since: time.Now()}, nil
}

// stands shows a registration that was made.
func (k *keeper) stands(s *server, reason string) {
	k.current.Store(s)
	k.metrics.registrations.WithLabelValues(k.resource).Inc()
	var renewals int
	k.cell.set(func(st *State) {
		if st.Socket != "" {
			st.Renewals++
		}
		st.Registered, st.Socket, st.Reason, st.Since = true, s.name(), reason, k.cfg.Clock()
		renewals = st.Renewals
	})
	k.show(s)
	k.cfg.Log.Info("registered with the kubelet", "resource", k.resource, "socket", s.name(), "renewals", renewals, "reason", reason)
}

// failed shows why a registration was not made.
func (k *keeper) failed(ctx context.Context, old *registration, err error) {
	if ctx.Err() != nil {
		return
	}
	k.cfg.Log.Warn("not registered", "resource", k.resource, "err", err)
	if old == nil {
		k.waiting(err.Error())
		return
	}
	k.cell.set(func(st *State) { st.Reason = fmt.Sprintf("it could not be renewed: %v", err) })
}

// lost is the end of a stream that nobody here ended: the kubelet stopped, or another plugin took over on an old kubelet.
func (k *keeper) lost(ctx context.Context, reg *registration) {
	k.waiting("the kubelet no longer listens to the list")
	k.cfg.Log.Warn("the kubelet no longer listens", "resource", k.resource, "socket", reg.server.name())
	k.retire(ctx, reg.server, 0)
}

// leave closes what is registered.
func (k *keeper) leave(ctx context.Context, reg *registration) {
	if reg != nil {
		k.waiting("it is no longer offered")
		k.retire(ctx, reg.server, stopGrace)
	}
}

// retire closes a server in the background: a call that hangs on it must not delay the next registration.
func (k *keeper) retire(ctx context.Context, s *server, grace time.Duration) {
	k.background(func() { s.close(ctx, grace) })
}

// waiting shows that nothing is registered.
func (k *keeper) waiting(reason string) {
	k.current.Store(nil)
	k.cell.set(func(st *State) {
		if st.Registered || st.Reason != reason {
			st.Registered, st.Reason, st.Since = false, reason, k.cfg.Clock()
		}
	})
}

// listed is told of each list before anybody is told that it is out.
func (k *keeper) listed(s *server, l list) {
	k.mu.Lock()
	maps.Copy(k.ever, l.healthy)
	k.mu.Unlock()
	k.show(s)
}

func (k *keeper) show(s *server) {
	k.cell.set(func(st *State) {
		if l := s.sent(); st.Socket == s.name() {
			st.Listed, st.Devices, st.Healthy = l.at, l.devices, len(l.healthy)
		}
	})
}
