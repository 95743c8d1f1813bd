package apply

import (
	"context"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

// idle proves that nobody can be hurt by the end of a GPU instance. Only the two functions of this file make one, and only finish,
// which is what destroys, takes one.
type idle struct {
	slot     mig.Slot
	instance uint32
	// compute is the compute instance that fills it; nil of one that has none, which nobody can use.
	compute *owned
	id      uint32 // of the compute instance
}

// patience is how long somebody who is about to answer is waited for: the kubelet's list, pods on their way in; at the start, the account of claims.
const (
	patience        = 2 * time.Second
	restorePatience = 10 * time.Second
)

// proveEmpty looks at a GPU instance of ours that lost its compute instance. Without one it cannot be used by anybody.
func proveEmpty(l gpu.Layout, slot mig.Slot, instance uint32) (idle, bool) {
	in := find(l, slot)
	if in == nil || in.ID != instance || len(in.Compute) > 0 {
		return idle{}, false
	}
	return idle{slot: slot, instance: instance}, true
}

// prove withdraws an instance of ours and proves that it is idle: everybody is asked, then the gate is closed, then everybody is
// asked again. After a refusal the gate is open again.
func (e *Executor) prove(ctx context.Context, u *unit, slot mig.Slot) (idle, *RefusalError) {
	if r := e.newcomers(ctx, u, slot); r != nil {
		return idle{}, r
	}
	if _, r := e.free(ctx, u, slot); r != nil {
		return idle{}, r
	}
	d := deviceAt(u.uuid, slot)
	if err := e.cfg.Withdrawer.Withdraw(d); err != nil {
		e.cfg.Withdrawer.Restore(d)
		return idle{}, refuse(CauseFailed, err, "%s stays: %v", e.at(u.uuid, slot), err)
	}
	proof, r := e.free(ctx, u, slot)
	if r != nil {
		e.cfg.Withdrawer.Restore(d)
	}
	return proof, r
}

// free asks everybody whether an instance is ours and in use.
func (e *Executor) free(ctx context.Context, u *unit, slot mig.Slot) (idle, *RefusalError) {
	where := e.at(u.uuid, slot)
	l, r := e.layout(ctx, u.uuid)
	if r != nil {
		return idle{}, r
	}
	in := find(l, slot)
	if in == nil {
		return idle{}, refuse(CauseUnknown, nil, "%s stays: it cannot be seen at the moment", where)
	}
	o, ours := u.j.owner(*in)
	if !ours {
		return idle{}, refuse(CauseForeign, nil, "%s stays: it was not made by gpulet", where)
	}
	is := func(d target) bool { return d.unclear || d.whole || d.slot == slot }
	// The list first: what was given before it has a claim by now.
	if r := e.unlisted(u.uuid, where, is); r != nil {
		return idle{}, r
	}
	if r := e.unclaimed(u, where, is); r != nil {
		return idle{}, r
	}
	holders, err := e.holders(ctx, u.uuid)
	if err != nil {
		return idle{}, refuse(CauseUnknown, err, "%s stays: its processes cannot be told: %v", where, err)
	}
	if on := onInstance(holders, in.ID); len(on) > 0 {
		return idle{}, refuse(CauseInUse, nil, "%s is in use by %s", where, e.users(on))
	}
	return idle{slot: slot, instance: in.ID, compute: &o, id: in.Compute[0].ID}, nil
}
