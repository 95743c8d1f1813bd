package apply

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/partitioner/plan"
)

// Executor changes the node's GPUs. Its calls block until the change is made or refused; different GPUs do not wait for each other.
type Executor struct {
	cfg     Config
	metrics *metrics
	save    func(dir string, uuid gpu.UUID, j journal) error
	state   *gpu.Feed[*State]

	mu    sync.Mutex // guards units and every Set of state
	units map[gpu.UUID]*unit
}

// unit is what is known of one GPU.
type unit struct {
	uuid gpu.UUID
	mu   sync.Mutex // one step at a time; guards the rest
	j    journal
	// loaded: the journal was read. settled: what it says was compared with the hardware, and nothing is left to restore.
	loaded, settled bool
	// listed: the layout of before a reboot is there or was given up, so that devices of this GPU may have been listed.
	listed bool
}

// New makes an Executor. It touches nothing before the first Recover or Do.
func New(cfg Config) *Executor {
	if cfg.CallTimeout <= 0 {
		cfg.CallTimeout = time.Minute
	}
	if cfg.Offers == nil {
		cfg.Offers = func() uint64 { return 0 }
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Executor{
		cfg: cfg, metrics: newMetrics(), save: saveJournal,
		state: gpu.NewFeed(&State{GPUs: map[gpu.UUID]GPUState{}}), units: map[gpu.UUID]*unit{},
	}
}

// State has what the executor made and is doing. Reading costs nothing.
func (e *Executor) State() *gpu.Feed[*State] { return e.state }

func (e *Executor) unit(uuid gpu.UUID) *unit {
	e.mu.Lock()
	defer e.mu.Unlock()
	u := e.units[uuid]
	if u == nil {
		u = &unit{uuid: uuid}
		e.units[uuid] = u
	}
	return u
}

// Recover settles what an earlier process left on a GPU and restores the layout of before a reboot. It may be called any number of
// times. Its error is a *RefusalError: what could be settled was.
func (e *Executor) Recover(ctx context.Context, uuid gpu.UUID) error {
	u := e.unit(uuid)
	u.mu.Lock()
	defer u.mu.Unlock()
	return e.step(u, "recover", func() *RefusalError {
		u.settled = false
		r := e.recover(ctx, u)
		e.recovered(u, r)
		return r
	})
}

// Do does one step, or refuses it with a *RefusalError. A step that is done already is no error.
func (e *Executor) Do(ctx context.Context, s plan.Step) error {
	u := e.unit(s.GPU)
	u.mu.Lock()
	defer u.mu.Unlock()
	s.Slot.Profile = s.Slot.Profile.Instance()
	return e.step(u, doing(s), func() *RefusalError {
		if !u.settled {
			r := e.recover(ctx, u)
			e.recovered(u, r)
			if r != nil && !u.settled {
				return r
			}
		} else if u.j.Intent != nil || len(u.j.Leaks) > 0 {
			if r := e.settle(ctx, u); r != nil {
				return r
			}
		}
		switch s.Op {
		case plan.Create:
			return e.create(ctx, u, s.Slot)
		case plan.Destroy:
			return e.destroy(ctx, u, s.Slot)
		case plan.ModeOn, plan.ModeOff:
			return e.mode(ctx, u, s.Op == plan.ModeOn, s.Reset)
		}
		return refuse(CauseUnsupported, nil, "%s: there is no step %v", e.name(s.GPU), s.Op)
	})
}

// doing is a step for people.
func doing(s plan.Step) string {
	switch s.Op {
	case plan.ModeOn:
		return "turn MIG mode on"
	case plan.ModeOff:
		return "turn MIG mode off"
	case plan.Create:
		return "create " + s.Slot.String()
	case plan.Destroy:
		return "destroy " + s.Slot.String()
	}
	return s.Op.String()
}

// step shows what is being done and tells what became of it.
func (e *Executor) step(u *unit, what string, do func() *RefusalError) error {
	began := time.Now()
	e.publish(u, func(s *GPUState) { s.Doing, s.Since = what, began })
	r := do()
	e.publish(u, func(s *GPUState) { s.Doing, s.Since, s.Refused = "", time.Time{}, r })
	log := e.cfg.Log.With("gpu", u.uuid, "step", what, "took", time.Since(began))
	if r == nil {
		log.Info("did a step")
		return nil
	}
	e.metrics.refusals.WithLabelValues(string(r.Cause)).Inc()
	log.Warn("refused a step", "cause", r.Cause, "reason", r.Reason)
	return r
}

// recovered marks a GPU as recovered, unless the agent was ending: what is not there by now cannot be had.
func (e *Executor) recovered(u *unit, r *RefusalError) {
	if r == nil || r.Cause != CauseInterrupted {
		u.listed = true
		e.publish(u, func(s *GPUState) { s.Recovered = true })
	}
}

// publish replaces a GPU's part of the state; change may be nil.
func (e *Executor) publish(u *unit, change func(*GPUState)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	old, _ := e.state.Get()
	next := &State{GPUs: maps.Clone(old.GPUs)}
	s := next.GPUs[u.uuid]
	s.Owned = map[gpu.UUID]mig.Slot{}
	for _, o := range u.j.Owned {
		s.Owned[o.UUID] = o.Slot
	}
	s.Leaking = map[mig.Slot]string{}
	for _, l := range u.j.Leaks {
		s.Leaking[l.Slot] = l.Holder
	}
	if change != nil {
		change(&s)
	}
	next.GPUs[u.uuid] = s
	e.state.Set(next)
}

// intend writes what is about to be done. After an error nothing may be done.
func (e *Executor) intend(u *unit, f func(*journal)) *RefusalError {
	next := u.j.clone()
	next.Boot = e.cfg.BootID
	f(&next)
	if err := e.save(e.cfg.StateDir, u.uuid, next); err != nil {
		return refuse(CauseJournal, err, "%s is left as it is, since the journal cannot be written: %v", e.name(u.uuid), err)
	}
	u.j = next
	e.publish(u, nil)
	return nil
}

// record keeps what was done. A file that cannot be written still has the intent, and the next start finds out by looking.
func (e *Executor) record(u *unit, f func(*journal)) {
	u.j = u.j.clone()
	u.j.Boot = e.cfg.BootID
	f(&u.j)
	e.publish(u, nil)
	if err := e.save(e.cfg.StateDir, u.uuid, u.j); err != nil {
		e.cfg.Log.Error("the journal of a change that was made cannot be written", "gpu", u.uuid, "error", err)
	}
}

// load reads the journal once.
func (e *Executor) load(u *unit) {
	if u.loaded {
		return
	}
	j, err := loadJournal(e.cfg.StateDir, u.uuid)
	if err != nil {
		e.cfg.Log.Error("the journal cannot be read: every instance of this GPU counts as an administrator's from now on, and the file is kept aside",
			"gpu", u.uuid, "error", err)
	}
	u.j, u.loaded = j, true
	e.publish(u, nil)
}

// gone reports whether the driver says that something is not there any more.
func gone(err error) bool { return errors.Is(err, gpu.ErrNotFound) }

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}
