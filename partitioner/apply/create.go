package apply

import (
	"context"
	"fmt"
	"strings"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

// create makes an instance at a slot. What is ours and there already is done.
func (e *Executor) create(ctx context.Context, u *unit, slot mig.Slot) (r *RefusalError) {
	where := e.at(u.uuid, slot)
	l, r := e.layout(ctx, u.uuid)
	if r != nil {
		return r
	}
	e.forget(u, l)
	in := find(l, slot)
	if in != nil {
		if _, ours := u.j.owner(*in); ours {
			return nil
		}
	}
	defer func() { count(e.metrics.creates, r) }()
	switch {
	case !l.MIG.Enabled:
		return refuse(CauseUnsupported, nil, "%s cannot be made: the GPU is not in MIG mode", where)
	case in != nil:
		if k, leaks := u.j.leak(slot); leaks && k.Instance == in.ID && len(in.Compute) == 0 {
			if r := e.intend(u, func(j *journal) { j.Intent = &intent{Op: intendCreate, Slot: slot, Instance: &in.ID} }); r != nil {
				return r
			}
			return e.fill(ctx, u, slot, in.ID)
		}
		return refuse(CauseForeign, nil, "%s exists already and was not made by gpulet", where)
	}
	if r := e.occupied(u, l, slot); r != nil {
		return r
	}
	if r := e.intend(u, func(j *journal) { j.Intent = &intent{Op: intendCreate, Slot: slot} }); r != nil {
		return r
	}
	id, err := e.createInstance(ctx, u.uuid, slot)
	if err != nil {
		return e.notCreated(ctx, u, slot, err)
	}
	if r := e.intend(u, func(j *journal) { j.Intent = &intent{Op: intendCreate, Slot: slot, Instance: &id} }); r != nil {
		return e.undo(ctx, u, slot, id, r)
	}
	return e.fill(ctx, u, slot, id)
}

// occupied refuses a slot whose slices an instance has, with its name.
func (e *Executor) occupied(u *unit, l gpu.Layout, slot mig.Slot) *RefusalError {
	var all []string
	cause := CauseNoRoom
	for _, in := range l.Instances {
		if !in.Slot.Placement.Overlaps(slot.Placement) {
			continue
		}
		text := in.Slot.String()
		if _, ours := u.j.owner(in); !ours {
			if _, leaks := u.j.leak(in.Slot); !leaks {
				text, cause = text+", which was not made by gpulet,", CauseForeign
			}
		}
		all = append(all, text)
	}
	if len(all) == 0 {
		return nil
	}
	return refuse(cause, nil, "%s has no room: %s has its slices", e.at(u.uuid, slot), strings.Join(all, " and "))
}

// notCreated tells why the driver did not make a GPU instance. It does not say itself whether there is no room or it exists already.
func (e *Executor) notCreated(ctx context.Context, u *unit, slot mig.Slot, err error) *RefusalError {
	where := e.at(u.uuid, slot)
	r := failed(ctx, err, "%s was not made", where)
	if open(r.Cause) {
		return r
	}
	if r.Cause == CauseNoRoom {
		l, unseen := e.layout(ctx, u.uuid)
		switch {
		case unseen != nil:
		case find(l, slot) != nil: // our own step did not make it, and those before were settled
			r = refuse(CauseForeign, err, "%s exists already and was not made by gpulet", where)
		default:
			if o := e.occupied(u, l, slot); o != nil {
				r = o
				r.Err = err
			} else {
				r.Reason = fmt.Sprintf("%s was not made: the driver has no room for it, although its slices are free (media engines, perhaps)", where)
			}
		}
	}
	e.record(u, func(j *journal) { j.Intent = nil })
	return r
}

// fill makes the compute instance of an empty GPU instance of ours. When there can be none, the GPU instance goes too.
func (e *Executor) fill(ctx context.Context, u *unit, slot mig.Slot, instance uint32) *RefusalError {
	ci, err := e.createCompute(ctx, u.uuid, instance)
	if err == nil {
		e.own(u, slot, instance, ci.UUID)
		return nil
	}
	r := failed(ctx, err, "%s got no compute instance", e.at(u.uuid, slot))
	if open(r.Cause) {
		return r
	}
	return e.undo(ctx, u, slot, instance, r)
}

// undo takes back a GPU instance that stayed empty for a reason.
func (e *Executor) undo(ctx context.Context, u *unit, slot mig.Slot, instance uint32, r *RefusalError) *RefusalError {
	l, unseen := e.layout(ctx, u.uuid)
	if unseen != nil {
		return r // the intent stays, and whoever settles it looks again
	}
	if proof, ok := proveEmpty(l, slot, instance); ok {
		if kept := e.finish(ctx, u, proof); kept != nil {
			r.Reason += "; " + kept.Reason
		}
	}
	return r
}
