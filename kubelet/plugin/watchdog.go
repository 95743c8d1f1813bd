package plugin

import (
	"context"
	"fmt"
	"maps"
	"time"
)

const (
	// strikes is how many looks in a row must agree before something is done.
	strikes = 2
	// firstPause is between two renewals by the watchdog; it doubles up to maxPause until the views agree.
	firstPause = time.Minute
	maxPause   = 10 * time.Minute

	foreignReason = "another plugin serves this resource"
)

// watchdog compares what the kubelet believes with what was sent to it.
func (r *Registrar) watchdog(ctx context.Context) {
	suspects := map[*keeper]*suspect{}
	tick := time.NewTicker(r.cfg.Watch)
	defer tick.Stop()
	failed := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		r.mu.Lock()
		keepers := maps.Clone(r.keepers)
		r.mu.Unlock()
		before := map[*keeper]sight{}
		compare := false
		for _, k := range keepers {
			s := k.sight()
			before[k] = s
			compare = compare || s.held || s.server != nil
		}
		if !compare {
			continue // the question would cost the kubelet something
		}
		view, err := r.look(ctx)
		if err != nil {
			if !failed && ctx.Err() == nil {
				r.cfg.Log.Warn("what the kubelet believes of devices is not known", "err", err)
			}
			failed = true
			continue
		}
		failed = false
		kept := map[*keeper]*suspect{}
		for resource, k := range keepers {
			s := suspects[k]
			if s == nil {
				s = &suspect{}
			}
			kept[k] = s
			if now := k.sight(); now.server == before[k].server && now.number == before[k].number && now.held == before[k].held {
				r.act(k, s.judge(r.cfg.Clock(), r.cfg.Settle, now, view[resource]))
			}
		}
		suspects = kept
	}
}

func (r *Registrar) look(ctx context.Context) (map[string][]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := r.cfg.Gate.Wait(ctx); err != nil {
		return nil, err
	}
	return r.cfg.View.Allocatable(ctx)
}

func (r *Registrar) act(k *keeper, v verdict) {
	if v.differs {
		r.metrics.mismatches.WithLabelValues(k.resource).Inc()
	}
	switch v.what {
	case nothing:
	case renew:
		k.tell(func(o *order) { o.renewals++; o.reason = v.reason })
	case hold:
		r.cfg.Log.Warn("the kubelet lists devices that are not ours", "resource", k.resource, "reason", v.reason)
		k.tell(func(o *order) { o.hold = v.reason })
	case release:
		r.cfg.Log.Info("the kubelet lists no other devices any more", "resource", k.resource)
		k.tell(func(o *order) { o.hold = "" })
	}
}

// sight is a resource as this process has it.
type sight struct {
	server  *server // nil: nothing is registered
	held    bool
	number  uint64 // of the last list
	settled time.Time
	healthy map[string]bool
	ours    func(id string) bool
}

func (k *keeper) sight() sight {
	o, _ := k.orders.Get()
	out := sight{server: k.current.Load(), held: o.hold != "", ours: func(id string) bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.ever[id]
	}}
	if out.server != nil {
		l := out.server.sent()
		out.number, out.settled, out.healthy = l.number, l.at, l.healthy
	}
	return out
}

// verdict is what is to be done.
type verdict struct {
	what    action
	reason  string
	differs bool // the kubelet's list is not ours
}

type action int

const (
	nothing action = iota
	renew
	hold    // somebody else serves the resource: withdraw
	release // nobody else does any more
)

// suspect is the watchdog's memory of one resource.
type suspect struct {
	strikes int
	pause   time.Duration
	until   time.Time // no renewal before
}

// judge compares what was sent with the ids that the kubelet lists.
func (s *suspect) judge(now time.Time, settle time.Duration, is sight, listed []string) verdict {
	foreign, matches := 0, 0
	for _, id := range listed {
		switch {
		case !is.ours(id):
			foreign++
		case is.healthy[id]:
			matches++
		}
	}
	switch {
	case is.held:
		s.strikes = 0
		if foreign == 0 {
			return verdict{what: release}
		}
		return verdict{}
	case is.server == nil, now.Sub(is.settled) < settle:
		s.strikes = 0
		return verdict{}
	case matches == len(is.healthy) && matches == len(listed):
		*s = suspect{}
		return verdict{}
	}
	v := verdict{differs: true}
	s.strikes++
	switch {
	case s.strikes < strikes:
	case foreign > 0:
		v.what, v.reason = hold, foreignReason
	case now.Before(s.until):
	default:
		v.what, v.reason = renew, fmt.Sprintf("the kubelet lists %d of %d devices", matches, len(is.healthy))
		if matches == len(is.healthy) {
			v.reason = fmt.Sprintf("the kubelet lists %d devices of which %d are healthy", len(listed), matches)
		}
		s.pause = min(max(2*s.pause, firstPause), maxPause)
		s.until, s.strikes = now.Add(s.pause), 0
	}
	return v
}
