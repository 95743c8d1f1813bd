package apply

import (
	"context"
	"slices"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

// recover settles what the journal says and restores what a reboot took.
func (e *Executor) recover(ctx context.Context, u *unit) *RefusalError {
	e.load(u)
	if u.j.Boot != "" && e.cfg.BootID != "" && u.j.Boot != e.cfg.BootID {
		if r := e.intend(u, rebooted); r != nil {
			return r
		}
	}
	if r := e.settle(ctx, u); r != nil {
		return r
	}
	r := e.remake(ctx, u)
	if r != nil && (u.j.Intent != nil || open(r.Cause) || r.Cause == CauseJournal || r.Cause == CauseUnknown) {
		return r // it is tried again before the next step
	}
	if u.j.Restore != nil {
		e.record(u, func(j *journal) { j.Restore = nil })
	}
	u.settled = true
	return r
}

// rebooted makes of a journal of another boot what is to be restored: no instance outlives a reboot.
func rebooted(j *journal) {
	r := restore{MIG: len(j.Owned) > 0 || j.Mode != nil && *j.Mode}
	if j.Restore != nil { // the one before was cut short
		r.MIG = r.MIG || j.Restore.MIG
		r.Slots = slices.Clone(j.Restore.Slots)
	}
	for _, o := range j.Owned {
		if !slices.Contains(r.Slots, o.Slot) {
			r.Slots = append(r.Slots, o.Slot)
		}
	}
	j.Restore, j.Owned, j.Leaks, j.Intent, j.Mode = nil, nil, nil, nil, nil
	if r.MIG {
		j.Restore = &r
	}
}

// remake makes the layout of before a reboot again, at the same places. One that cannot be made does not keep the others from it.
func (e *Executor) remake(ctx context.Context, u *unit) (first *RefusalError) {
	if u.j.Restore == nil {
		return nil
	}
	l, r := e.layout(ctx, u.uuid)
	if r != nil {
		return r
	}
	if !l.MIG.Enabled {
		if r := e.mode(ctx, u, true, false); r != nil {
			return r
		}
	}
	for _, slot := range u.j.Restore.Slots {
		slot = e.renamed(u.uuid, slot)
		if in := find(l, slot); in != nil && len(in.Compute) > 0 {
			continue // made before a crash, or by an administrator's own service at boot
		}
		r := e.create(ctx, u, slot)
		if r != nil && (u.j.Intent != nil || open(r.Cause)) {
			return r // nothing new is begun before this is known
		}
		if r != nil && first == nil {
			first = r
		}
	}
	return first
}

// renamed is a slot as this driver names it: a newer one may name the same profile otherwise, such as 3g.93gb that was 3g.95gb.
func (e *Executor) renamed(uuid gpu.UUID, slot mig.Slot) mig.Slot {
	profiles := e.geometry(uuid).Profiles
	if slices.ContainsFunc(profiles, func(p mig.ProfileInfo) bool { return p.Profile == slot.Profile }) {
		return slot
	}
	for _, p := range profiles {
		if p.Profile.Slices == slot.Profile.Slices && p.Profile.Attributes == slot.Profile.Attributes && slices.Contains(p.Placements, slot.Placement) {
			slot.Profile = p.Profile
		}
	}
	return slot
}

// settle finds out what became of a step that was cut short, tries again what leaks, and forgets what an administrator destroyed.
func (e *Executor) settle(ctx context.Context, u *unit) *RefusalError {
	if u.j.Intent == nil && len(u.j.Leaks) == 0 && len(u.j.Owned) == 0 && u.j.Mode == nil {
		return nil
	}
	changed := u.j.Intent != nil || len(u.j.Leaks) > 0
	if u.j.Intent != nil {
		if r := e.returned(ctx, u); r != nil {
			return r
		}
	}
	l, r := e.layout(ctx, u.uuid)
	if r != nil {
		return r
	}
	if in := u.j.Intent; in != nil {
		if in.Op != intendMode && slices.Contains(l.Unread, in.Slot.Profile) {
			return refuse(CauseUnknown, nil, "%s: it cannot be seen at the moment what became of the last step", e.at(u.uuid, in.Slot))
		}
		switch in.Op {
		case intendCreate:
			r = e.settleCreate(ctx, u, l, *in)
		case intendDestroy:
			r = e.settleDestroy(ctx, u, l, *in)
		case intendMode:
			e.settleMode(u, l, *in)
		}
		if u.j.Intent != nil {
			return r // nothing new is begun before this is known
		}
	}
	for _, k := range slices.Clone(u.j.Leaks) {
		if r := e.settleLeak(ctx, u, l, k); u.j.Intent != nil {
			return r
		}
	}
	if changed {
		if l, r = e.layout(ctx, u.uuid); r != nil {
			return r
		}
	}
	e.forget(u, l)
	return nil
}

// returned asks whether the last change has returned: only then looking tells what became of it. It asks for a place that no GPU has,
// which gets no farther than to its turn.
func (e *Executor) returned(ctx context.Context, u *unit) *RefusalError {
	_, err := call(ctx, e, "turn", func(ctx context.Context) (uint32, error) {
		return e.cfg.Hardware.CreateInstance(ctx, u.uuid, mig.Slot{})
	})
	if c := causeOf(ctx, err); err != nil && (c == CauseNoAnswer || c == CauseInterrupted) {
		return failed(ctx, err, "%s: the last step has not returned from the driver", e.name(u.uuid))
	}
	return nil
}

// forget drops what an administrator destroyed or changed.
func (e *Executor) forget(u *unit, l gpu.Layout) {
	lost := slices.DeleteFunc(slices.Clone(u.j.Owned), func(o owned) bool {
		in := find(l, o.Slot)
		if in == nil {
			return slices.Contains(l.Unread, o.Slot.Profile)
		}
		_, ours := u.j.owner(*in)
		return ours
	})
	stale := u.j.Mode != nil && *u.j.Mode != l.MIG.Enabled && *u.j.Mode != l.MIG.Pending
	if len(lost) == 0 && !stale {
		return
	}
	e.record(u, func(j *journal) {
		for _, o := range lost {
			j.disown(o.UUID)
		}
		if stale {
			j.Mode = nil
		}
	})
	for _, o := range lost {
		e.cfg.Log.Info("an instance of gpulet was destroyed by somebody else", "gpu", u.uuid, "slot", o.Slot.String(), "uuid", o.UUID)
	}
}

// settleCreate adopts, finishes or gives up a creation. A compute instance is made only after the id of its GPU instance was written
// down: where one is found without that, somebody else made both.
func (e *Executor) settleCreate(ctx context.Context, u *unit, l gpu.Layout, step intent) *RefusalError {
	in := find(l, step.Slot)
	ours := in != nil && (step.Instance == nil || *step.Instance == in.ID)
	switch {
	case ours && len(in.Compute) == 0:
		if r := e.intend(u, func(j *journal) { j.Intent = &intent{Op: intendCreate, Slot: step.Slot, Instance: &in.ID} }); r != nil {
			return r
		}
		return e.fill(ctx, u, step.Slot, in.ID)
	case ours && step.Instance != nil && len(in.Compute) == 1 && !in.Compute[0].Profile.IsSlice():
		e.own(u, step.Slot, in.ID, in.Compute[0].UUID)
	default:
		e.record(u, func(j *journal) { j.Intent = nil })
	}
	return nil
}

// settleDestroy finishes a destruction whose compute instance is gone, and gives up any other.
func (e *Executor) settleDestroy(ctx context.Context, u *unit, l gpu.Layout, step intent) *RefusalError {
	if proof, ok := proveEmpty(l, step.Slot, *step.Instance); ok {
		return e.finish(ctx, u, proof)
	}
	in := find(l, step.Slot)
	e.record(u, func(j *journal) {
		if in == nil || len(in.Compute) != 1 || in.Compute[0].UUID != step.UUID {
			j.disown(step.UUID)
		}
		j.Intent = nil
	})
	if in != nil {
		e.restore(u, step.Slot)
	} else {
		e.publish(u, func(s *GPUState) { s.Changed = time.Now() })
	}
	return nil
}

func (e *Executor) settleMode(u *unit, l gpu.Layout, step intent) {
	e.record(u, func(j *journal) {
		j.Intent = nil
		if l.MIG.Enabled == step.On {
			j.Mode = &step.On
		}
	})
}

// settleLeak tries once more to destroy a GPU instance that was held.
func (e *Executor) settleLeak(ctx context.Context, u *unit, l gpu.Layout, k leak) *RefusalError {
	if slices.Contains(l.Unread, k.Slot.Profile) {
		return nil
	}
	if proof, ok := proveEmpty(l, k.Slot, k.Instance); ok {
		if r := e.intend(u, func(j *journal) { j.Intent = &intent{Op: intendDestroy, Slot: k.Slot, Instance: &k.Instance} }); r != nil {
			return r
		}
		return e.finish(ctx, u, proof)
	}
	e.record(u, func(j *journal) { j.stanch(k.Slot) }) // it is gone, or somebody else's now
	return nil
}

// deviceAt is the device that a slot is.
func deviceAt(uuid gpu.UUID, slot mig.Slot) gpu.Device {
	return gpu.Device{Kind: gpu.Slice, GPU: uuid, Slot: slot}
}
