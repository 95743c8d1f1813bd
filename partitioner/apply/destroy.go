package apply

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

// destroy ends an instance of ours that is idle.
func (e *Executor) destroy(ctx context.Context, u *unit, slot mig.Slot) (r *RefusalError) {
	defer func() { count(e.metrics.destroys, r) }()
	if k, leaks := u.j.leak(slot); leaks { // it was tried again just now
		return refuse(CauseInUse, nil, "%s has no compute instance any more and cannot go: it is held by %s", e.at(u.uuid, slot), k.Holder)
	}
	l, r := e.layout(ctx, u.uuid)
	if r != nil {
		return r
	}
	e.forget(u, l)
	if find(l, slot) == nil && !slices.Contains(l.Unread, slot.Profile) {
		return nil // it is gone already
	}
	proof, r := e.prove(ctx, u, slot)
	if r != nil {
		return r
	}
	r = e.intend(u, func(j *journal) {
		j.Intent = &intent{Op: intendDestroy, Slot: slot, Instance: &proof.instance, UUID: proof.compute.UUID}
	})
	if r != nil {
		e.restore(u, slot)
		return r
	}
	return e.finish(ctx, u, proof)
}

// restore opens the gate of a slot whose instance stays.
func (e *Executor) restore(u *unit, slot mig.Slot) {
	e.cfg.Withdrawer.Restore(deviceAt(u.uuid, slot))
}

// finish is the one function that destroys. The intent is on file already. Where it is not known what became of a call, the intent
// stays there.
func (e *Executor) finish(ctx context.Context, u *unit, p idle) *RefusalError {
	where := e.at(u.uuid, p.slot)
	if p.compute != nil {
		_, err := call(ctx, e, "destroy-compute", func(ctx context.Context) (struct{}, error) {
			return struct{}{}, e.cfg.Hardware.DestroyCompute(ctx, u.uuid, p.instance, p.id)
		})
		if err != nil && !gone(err) {
			r := failed(ctx, err, "%s stays", where)
			if open(r.Cause) {
				return r
			}
			if r.Cause == CauseInUse {
				r.Reason = where + " is in use by " + e.usersOf(ctx, u.uuid, p.instance)
			}
			e.record(u, func(j *journal) { j.Intent = nil })
			e.restore(u, p.slot)
			return r
		}
	}
	_, err := call(ctx, e, "destroy-instance", func(ctx context.Context) (struct{}, error) {
		return struct{}{}, e.cfg.Hardware.DestroyInstance(ctx, u.uuid, p.instance)
	})
	if gone(err) { // the instance, or the GPU: looking tells
		l, r := e.layout(ctx, u.uuid)
		if r != nil {
			return r
		}
		if in := find(l, p.slot); in != nil && in.ID == p.instance {
			return failed(ctx, err, "%s stays", where)
		}
	} else if err != nil {
		return e.leftover(ctx, u, p, err)
	}
	e.record(u, func(j *journal) {
		if p.compute != nil {
			j.disown(p.compute.UUID)
		} else if j.Intent != nil && j.Intent.Op == intendDestroy {
			j.disown(j.Intent.UUID)
		}
		j.stanch(p.slot)
		j.Intent = nil
	})
	e.publish(u, func(s *GPUState) { s.Changed = time.Now() })
	return nil
}

// leftover is for a GPU instance that stays although its compute instance is gone: it gets one again, so that it can be used, or its
// slot leaks until whoever holds it lets go.
func (e *Executor) leftover(ctx context.Context, u *unit, p idle, err error) *RefusalError {
	where := e.at(u.uuid, p.slot)
	r := failed(ctx, err, "%s cannot go", where)
	if open(r.Cause) {
		return r
	}
	holder := err.Error()
	if r.Cause == CauseInUse {
		holder = e.usersOf(ctx, u.uuid, p.instance)
		r.Reason = where + " cannot go: it is held by " + holder
	}
	if p.compute != nil {
		// From here on it is a creation: a crash in between is settled by adopting what is found.
		e.record(u, func(j *journal) {
			j.disown(p.compute.UUID)
			j.Intent = &intent{Op: intendCreate, Slot: p.slot, Instance: &p.instance}
		})
		ci, again := e.createCompute(ctx, u.uuid, p.instance)
		switch {
		case again == nil:
			e.own(u, p.slot, p.instance, ci.UUID)
			r.Reason += "; it has a new compute instance"
			return r
		case open(causeOf(ctx, again)):
			r.Err = errors.Join(r.Err, again)
			return r
		}
	}
	e.record(u, func(j *journal) {
		if j.Intent != nil && j.Intent.Op == intendDestroy {
			j.disown(j.Intent.UUID)
		}
		j.stanch(p.slot)
		j.Leaks = append(j.Leaks, leak{Slot: p.slot, Instance: p.instance, Holder: holder})
		j.Intent = nil
	})
	return r
}

// own records an instance as ours, and opens its gate.
func (e *Executor) own(u *unit, slot mig.Slot, instance uint32, uuid gpu.UUID) {
	e.record(u, func(j *journal) {
		j.Owned = append(j.Owned, owned{Slot: slot, Instance: instance, UUID: uuid})
		j.stanch(slot)
		j.Intent = nil
	})
	e.publish(u, func(s *GPUState) { s.Changed = time.Now() })
	e.restore(u, slot)
}
