package dcgm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gpulet/gpulet/gpu"
)

// session is the life of one worker.
type session struct {
	c       *Client
	task    task
	changed <-chan struct{}
	state   State
	before  gpu.Absence // why nothing came until now

	p       *process
	seq     uint64
	ask     chan request
	answers chan reply
	parts   map[int][]gpu.Reading
	up      time.Time     // since when it is up; zero while it is not
	newest  time.Time     // of the values
	renewed time.Time     // when the newest value was another than before
	good    time.Duration // how long it was up when it was last read
}

// longestReconnect bounds the pauses between tries to reach an engine that is gone.
const longestReconnect = 15 * time.Second

// run starts a worker and reads until it fails or is told to stop. When it returns, no process is left.
func (s *session) run(ctx context.Context) error {
	p, err := s.c.start()
	if err != nil {
		return troublef(gpu.NoSource, "%v", err)
	}
	s.p, s.state.PID = p, p.pid
	s.c.down(s.state, s.before)
	s.ask, s.answers = make(chan request), make(chan reply, 1)
	talked := make(chan struct{})
	go func() { defer close(talked); s.talk() }()
	defer func() {
		p.stop(ctx, func() {
			s.c.down(s.state, gpu.Absence{Code: gpu.NoAnswer, Text: "DCGM's worker does not end: the driver holds it"})
		})
		close(s.ask)
		<-talked
	}()
	var pause backoff
	for {
		err := s.connected(ctx)
		var lost engineLostError
		if !errors.As(err, &lost) {
			return err
		}
		if s.c.cfg.Host == "" { // an engine inside the worker begins best in a new one
			return lost.trouble
		}
		wait := pause.next(s.good, longestReconnect)
		s.up, s.good = time.Time{}, 0
		s.c.down(s.state, lost.Absence)
		s.c.tell("DCGM's host engine is out of reach", lost.Absence, wait)
		if err := s.pause(ctx, wait); err != nil {
			return err
		}
		s.state.Reconnects++
	}
}

// engineLostError: the worker is well, and has to connect anew.
type engineLostError struct{ trouble }

// connected connects and reads until something is lost.
func (s *session) connected(ctx context.Context) error {
	c := s.c.cfg
	a, err := s.request(ctx, request{
		Do: verbConnect, place: place{c.Library, c.NVML, c.DriverRoot}, Host: c.Host, Memory: c.Memory, Fast: s.task.fast, Attach: s.task.detached, Fields: s.task.fields,
	}, c.StartTimeout)
	if a.Library != "" {
		s.state.Version = a.Library
	}
	if err != nil {
		return err
	}
	s.task.detached = false
	s.c.change(func(t *task) { t.detached = false })
	if len(s.task.fields) == 0 {
		return errTold
	}
	s.state.Host, s.parts = a.Engine, nil
	tick := time.NewTicker(s.task.fast)
	defer tick.Stop()
	for {
		if err := s.read(ctx); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-s.p.done:
			return s.ended()
		case <-ctx.Done():
			return ctx.Err()
		case <-s.changed:
			fast := s.task.fast
			if err := s.follow(ctx); err != nil {
				return err
			}
			if s.task.fast != fast {
				tick.Reset(s.task.fast)
			}
		}
	}
}

// follow does what a changed task asks for.
func (s *session) follow(ctx context.Context) error {
	t, changed := s.c.tasks.Get()
	s.changed = changed
	switch {
	case len(t.fields) == 0:
		return errTold
	case t.holds > 0:
		s.detach(ctx)
		return errTold
	case slices.Equal(t.fields, s.task.fields) && t.fast == s.task.fast:
		return nil
	}
	s.task, s.parts = t, nil
	_, err := s.request(ctx, request{Do: verbWatch, Fields: t.fields, Fast: t.fast}, s.c.cfg.AnswerTimeout)
	return err
}

// detach asks an engine that is not the worker's own to give the GPUs up.
func (s *session) detach(ctx context.Context) {
	if s.c.cfg.Host == "" {
		return
	}
	_, err := s.request(ctx, request{Do: verbDetach}, s.c.cfg.AnswerTimeout)
	if err == nil {
		s.c.change(func(t *task) { t.detached = true })
		return
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.c.kept = fmt.Errorf("the host engine at %s keeps the GPUs: %w", s.c.cfg.Host, err)
}

// read takes one reading and publishes it.
func (s *session) read(ctx context.Context) error {
	began := time.Now()
	// A first reading makes the watches, and each waits for values.
	patience := s.c.cfg.AnswerTimeout
	if s.parts == nil {
		patience = s.c.cfg.StartTimeout
	}
	a, err := s.request(ctx, request{Do: verbRead}, patience)
	if err != nil {
		return err
	}
	parts := make(map[int][]gpu.Reading, len(a.Parts))
	var all []gpu.Reading
	for _, p := range a.Parts {
		readings, ok := s.parts[p.ID]
		if !p.Same {
			if readings, err = p.unpack(); err != nil {
				return s.garbage(err)
			}
		} else if !ok {
			return s.garbage(fmt.Errorf("part %d is as before, and was not there", p.ID))
		}
		parts[p.ID] = readings
		all = append(all, readings...)
	}
	s.parts = parts
	now := time.Now()
	if s.up.IsZero() {
		s.up, s.renewed = now, now
		s.c.told = gpu.Absence{}
		s.c.cfg.Log.Info("DCGM is read", "library", s.state.Version, "engine", s.state.Host, "pid", s.state.PID)
	}
	if newest := newestOf(all); !newest.Equal(s.newest) { // the engine's clock may be put back
		s.newest, s.renewed = newest, now
	} else if !newest.IsZero() && now.Sub(s.renewed) > frozenAfter {
		return troublef(gpu.NoAnswer, "DCGM has measured nothing for %s", frozenAfter)
	}
	s.good = now.Sub(s.up)
	s.state.Up, s.state.Reason, s.state.Code, s.state.Took = true, "", "", now.Sub(began)
	s.c.batches.Set(&Batch{At: now, Readings: all, State: s.state})
	return nil
}

// frozenAfter is how long DCGM may give old values only: an engine can hang behind calls that return.
const frozenAfter = 3 * staticPeriod

// newestOf is the time of the newest value; zero when there is none.
func newestOf(readings []gpu.Reading) (newest time.Time) {
	for i := range readings {
		if r := &readings[i]; r.Absent == nil && r.At.After(newest) {
			newest = r.At
		}
	}
	return newest
}

// pause waits between two tries to reach an engine.
func (s *session) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			return nil
		case <-s.p.done:
			return s.ended()
		case <-ctx.Done():
			return ctx.Err()
		case <-s.changed:
			t, changed := s.c.tasks.Get()
			s.changed = changed
			if !t.active() {
				return errTold
			}
			s.task = t
		}
	}
}
