package gpu

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// ErrDeadline is wrapped by the error of a driver call that did not return in time.
var ErrDeadline = errors.New("no answer from the driver")

// Lane separates kinds of calls to one GPU: each has one call at a time, and a stuck lane does not hold up the others.
type Lane string

// The lanes.
const (
	LaneChange    Lane = "change"
	LaneInventory Lane = "inventory"
	LaneTelemetry Lane = "telemetry"
	LaneEvents    Lane = "events"
	LaneTopology  Lane = "topology"
)

// Node is the queue of calls that concern no single GPU: opening the driver, counting, looking up handles.
const Node = ""

// Stuck is a call that is past its deadline and has not returned.
type Stuck struct {
	GPU   string // as given to Call
	Lane  Lane
	Call  string
	Since time.Time // when it began
}

// StuckError is what a caller of a stuck lane gets. It is ErrDeadline.
type StuckError struct{ Stuck }

func (e *StuckError) Error() string {
	return fmt.Sprintf("%v since %s (%s)", ErrDeadline, e.Since.UTC().Format("15:04:05"), e.Call)
}
func (e *StuckError) Unwrap() error { return ErrDeadline }

// Queues runs the driver's calls: one at a time for each GPU and lane. A call that never returns keeps one goroutine,
// and its lane answers ErrDeadline at once until it does. Without calls Queues costs nothing.
type Queues struct {
	returned func(Stuck) // called when a stuck call returned after all
	mu       sync.Mutex
	lanes    map[laneKey]*lane // guarded by mu
}

type laneKey struct {
	gpu  string
	lane Lane
}

type lane struct {
	turn chan struct{} // capacity 1: who holds it may call
	call *Stuck        // the call that runs; guarded by Queues.mu
	late bool          // it is past its deadline; guarded by Queues.mu
}

// NewQueues makes empty queues; returned may be nil and must not block.
func NewQueues(returned func(Stuck)) *Queues {
	if returned == nil {
		returned = func(Stuck) {}
	}
	return &Queues{returned: returned, lanes: map[laneKey]*lane{}}
}

// Do is Call without a result.
func (q *Queues) Do(ctx context.Context, gpu string, l Lane, call string, timeout time.Duration, f func() error) error {
	_, err := Call(ctx, q, gpu, l, call, timeout, func() (struct{}, error) { return struct{}{}, f() })
	return err
}

// Call runs f in its lane and gives its result. Waiting for the turn and running share the timeout.
// When it passes, Call returns a StuckError and f's result is dropped whenever it comes: f must not write
// to anything that others read.
func Call[T any](ctx context.Context, q *Queues, gpu string, l Lane, call string, timeout time.Duration, f func() (T, error)) (T, error) {
	var none T
	w, err := q.lane(laneKey{gpu, l})
	if err != nil {
		return none, err
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case w.turn <- struct{}{}:
	case <-ctx.Done():
		return none, ctx.Err()
	case <-timer.C:
		return none, q.waited(w, call, timeout)
	}
	type result struct {
		value T
		err   error
	}
	q.mu.Lock()
	w.call = &Stuck{GPU: gpu, Lane: l, Call: call, Since: time.Now()}
	q.mu.Unlock()
	done := make(chan result, 1)
	go func() {
		value, err := f()
		done <- result{value, err}
		q.leave(w)
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		return none, ctx.Err()
	case <-timer.C:
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case r := <-done: // it came in the same moment
		return r.value, r.err
	default:
	}
	w.late = true
	return none, &StuckError{*w.call}
}

// waited is the error of a caller that did not get its turn. A call whose own caller went away is found late here.
func (q *Queues) waited(w *lane, call string, timeout time.Duration) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if w.call != nil && (w.late || time.Since(w.call.Since) >= timeout) {
		w.late = true
		return &StuckError{*w.call}
	}
	return fmt.Errorf("%s: %w in %s: other calls go on", call, ErrDeadline, timeout)
}

func (q *Queues) lane(k laneKey) (*lane, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	w := q.lanes[k]
	if w == nil {
		w = &lane{turn: make(chan struct{}, 1)}
		q.lanes[k] = w
	}
	if w.late {
		return nil, &StuckError{*w.call}
	}
	return w, nil
}

func (q *Queues) leave(w *lane) {
	q.mu.Lock()
	was, late := w.call, w.late
	w.call, w.late = nil, false
	<-w.turn
	q.mu.Unlock()
	if late {
		q.returned(*was)
	}
}

// Stuck lists the calls that do not return, the oldest first.
func (q *Queues) Stuck() []Stuck {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []Stuck
	for _, w := range q.lanes {
		if w.late {
			out = append(out, *w.call)
		}
	}
	slices.SortFunc(out, func(a, b Stuck) int {
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		return strings.Compare(a.GPU+string(a.Lane), b.GPU+string(b.Lane))
	})
	return out
}

// Busy reports whether any call is being made or is stuck.
func (q *Queues) Busy() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, w := range q.lanes {
		if len(w.turn) > 0 {
			return true
		}
	}
	return false
}
