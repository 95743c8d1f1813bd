package exporter

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/gpu"
)

// unit is a GPU as it is read: by one goroutine at a time, so that a call that hangs holds up nothing and nothing piles up.
type unit struct {
	uuid   gpu.UUID
	layout layout
	busy   bool
	since  time.Time // when the reading that is under way began
	again  bool      // read once more, as soon as it returns
	due    [family.Static + 1]time.Time
	failed string // why the last reading failed
	down   string // as it was published last

	uses []gpu.ProcessUse
	used time.Time // zero: not asked yet
}

// layout is what of a snapshot makes readings of a GPU comparable.
type layout struct {
	known     bool
	divided   bool
	driver    string
	instances []gpu.InstanceRef
}

func (l layout) equal(m layout) bool {
	return l.known == m.known && l.divided == m.divided && l.driver == m.driver && slices.Equal(l.instances, m.instances)
}

// loopsAt are the loops that are due. Half a period of the fast one is early enough: ticks are not exact.
func (u *unit) loopsAt(now time.Time, p *plan) (l loops) {
	for x, due := range u.due {
		if !now.Add(p.settings.Fast / 2).Before(due) {
			l |= 1 << x
		}
	}
	return l
}

// result is what one reading gave.
type result struct {
	unit     *unit
	ask      gpu.Ask
	loops    loops
	began    time.Time
	took     time.Duration
	readings []gpu.Reading
	err      error
	// asked: the processes were asked for too.
	asked  bool
	uses   []gpu.ProcessUse
	useErr error
}

// start begins a reading of what is due of a GPU, and reports whether it did.
func (s *sampler) start(ctx context.Context, u *unit, now time.Time) bool {
	if u.busy {
		return false
	}
	r := result{unit: u, loops: u.loopsAt(now, s.plan), began: now}
	if r.loops == 0 {
		return false
	}
	f := s.plan.ask(r.loops, u.layout.divided)
	r.ask = gpu.Ask{Whole: f.whole, Instance: f.instance, Instances: u.layout.instances}
	r.asked = s.shared[u.uuid] && r.loops.has(family.Process)
	for x := range u.due {
		if r.loops.has(family.Loop(x)) {
			u.due[x] = now.Add(s.plan.period(family.Loop(x)))
		}
	}
	if len(f.whole) == 0 && (len(f.instance) == 0 || len(u.layout.instances) == 0) && !r.asked {
		return false
	}
	u.busy, u.since, u.again = true, now, false
	s.readers.Go(func() {
		r.read(ctx, s.cfg.Driver)
		select {
		case s.results <- r:
		case <-ctx.Done():
		}
	})
	return true
}

// read calls the driver's queue, which has a deadline.
func (r *result) read(ctx context.Context, d Driver) {
	if len(r.ask.Whole)+len(r.ask.Instance) > 0 {
		r.readings, r.err = d.Read(ctx, r.unit.uuid, r.ask)
		r.took = time.Since(r.began)
	}
	if r.asked && r.err == nil {
		r.uses, r.useErr = d.Use(ctx, r.unit.uuid)
	}
}

// round reads of every GPU what is due, and publishes when all answered or half a period is over.
func (s *sampler) round(ctx context.Context, now time.Time) {
	if s.plan == nil {
		return
	}
	for _, u := range s.units {
		if s.start(ctx, u, now) {
			s.waiting[u] = struct{}{}
		}
	}
	if len(s.waiting) == 0 {
		s.publish(now)
		return
	}
	s.grace.Reset(s.plan.settings.Fast / 2)
}

// take takes the result of a reading.
func (s *sampler) take(ctx context.Context, r result) {
	u, now := r.unit, time.Now()
	if s.plan == nil || s.units[u.uuid] != u { // the GPU went meanwhile
		return
	}
	u.busy = false
	switch {
	case errors.Is(r.err, gpu.ErrChanging): // somebody is at work on it: nothing is wrong
		u.failed = ""
		u.hurry(r.loops)
	case r.err != nil:
		u.failed = r.err.Error()
		s.nvml.errors[codeOf(r.err)]++
		u.hurry(r.loops)
	default:
		if u.failed != "" {
			u.hurry(allLoops)
		}
		u.failed = ""
		s.nvml.last = now
		s.nvml.took(r.took)
		s.learn(r, now)
	}
	if u.again {
		u.again = false
		if s.start(ctx, u, now) {
			s.waiting[u] = struct{}{}
			s.grace.Reset(s.plan.settings.Fast / 2)
			return
		}
	}
	if _, ok := s.waiting[u]; ok {
		if delete(s.waiting, u); len(s.waiting) == 0 {
			s.publish(now)
		}
	}
}

// hurry makes loops due at the next tick.
func (u *unit) hurry(l loops) {
	for x := range u.due {
		if l.has(family.Loop(x)) {
			u.due[x] = time.Time{}
		}
	}
}

// learn puts readings into their cells. What was read of an instance that is another one now is dropped.
func (s *sampler) learn(r result, now time.Time) {
	for _, reading := range r.readings {
		e := s.entities[reading.Entity]
		if e == nil || e.id.Instance != gpu.NoInstance && !slices.Contains(r.ask.Instances, gpu.InstanceRef{ID: e.id.Instance, MIG: e.mig}) {
			continue
		}
		if c := e.cells[reading.Field]; c != nil {
			s.rethink = c.nvml.take(reading, nvmlSource, now) || s.rethink
		}
	}
	if len(r.readings) < len(r.ask.Whole)+len(r.ask.Instance)*len(r.ask.Instances) {
		s.unanswered(r.unit.uuid.Whole(), r.ask.Whole)
		for _, in := range r.ask.Instances {
			s.unanswered(gpu.Entity{GPU: r.unit.uuid, Instance: in.ID}, r.ask.Instance)
		}
	}
	if r.asked {
		if r.useErr != nil {
			s.nvml.errors[codeOf(r.useErr)]++
			return
		}
		r.unit.uses, r.unit.used = r.uses, now
	}
}

// unanswered gives a reason to fields that NVML was asked for and never said anything of.
func (s *sampler) unanswered(id gpu.Entity, asked []gpu.Field) {
	e := s.entities[id]
	if e == nil {
		return
	}
	for _, f := range asked {
		if c := e.cells[f]; c != nil && c.nvml.at.IsZero() {
			c.nvml.at, c.nvml.value.Absent, s.rethink = time.Unix(0, 0), s.reasons.noNVML, true
		}
	}
}
