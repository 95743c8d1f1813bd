package apply

import (
	"context"
	"fmt"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/kubelet"
)

// mode changes the MIG mode of a GPU that nobody uses. reset says that the change may stay pending until the GPU is reset.
func (e *Executor) mode(ctx context.Context, u *unit, on, reset bool) (r *RefusalError) {
	l, r := e.layout(ctx, u.uuid)
	if r != nil {
		return r
	}
	if l.MIG.Enabled == on && l.MIG.Pending == on {
		return nil
	}
	defer func() { count(e.metrics.modes, r) }()
	where := e.name(u.uuid)
	if !l.MIG.Capable {
		return refuse(CauseUnsupported, nil, "%s cannot be divided", where)
	}
	e.forget(u, l)
	if !u.listed { // no kubelet of this boot has counted anything here, but it may go on with pods of before
		await(ctx, e.cfg.Claims, restorePatience, func(c *kubelet.ClaimSet) bool { return c != nil && c.Complete })
	} else if r := e.newcomers(ctx, u, mig.Slot{}); r != nil {
		return r
	}
	if r := e.quiet(ctx, u, on); r != nil {
		return r
	}
	whole := gpu.Device{Kind: gpu.Whole, GPU: u.uuid}
	defer func() {
		if r != nil || !on { // the gate of the whole GPU stays closed in MIG mode alone
			e.cfg.Withdrawer.Restore(whole)
		}
	}()
	if on {
		if err := e.cfg.Withdrawer.Withdraw(whole); err != nil {
			return refuse(CauseFailed, err, "%s stays as it is: %v", where, err)
		}
	}
	release, r := e.quiesce(ctx, u)
	defer release()
	if r != nil {
		return r
	}
	if r := e.quiet(ctx, u, on); r != nil {
		return r
	}
	if r := e.intend(u, func(j *journal) { j.Intent = &intent{Op: intendMode, On: on} }); r != nil {
		return r
	}
	return e.switchMode(ctx, u, on, reset)
}

// switchMode asks the driver once.
func (e *Executor) switchMode(ctx context.Context, u *unit, on, reset bool) *RefusalError {
	where := e.name(u.uuid)
	act, err := e.setMode(ctx, u.uuid, on)
	var r *RefusalError
	switch {
	case err != nil:
		r = failed(ctx, err, "%s: MIG mode was not turned %s", where, onOff(on))
		if open(r.Cause) {
			return r
		}
		if r.Cause == CauseInUse {
			r.Reason = fmt.Sprintf("%s: MIG mode was not turned %s, the GPU is in use by %s", where, onOff(on), e.usersOf(ctx, u.uuid, gpu.NoInstance))
		}
	case act == gpu.Activated:
		e.record(u, func(j *journal) { j.Intent, j.Mode = nil, &on })
		e.publish(u, func(s *GPUState) { s.ModeChanged = time.Now() })
		return nil
	case act == gpu.NeedsReset:
		r = refuse(CauseNeedsReset, nil, "%s: MIG mode %s is pending until a reset of the GPU; it is held by %s",
			where, onOff(on), e.usersOf(ctx, u.uuid, gpu.NoInstance))
	case act == gpu.BlockedByUse:
		r = refuse(CauseInUse, nil, "%s: MIG mode was not turned %s, the GPU is in use by %s", where, onOff(on), e.usersOf(ctx, u.uuid, gpu.NoInstance))
	default:
		r = refuse(CauseFailed, nil, "%s: the driver accepted MIG mode %s and did not make it so", where, onOff(on))
	}
	if l, unseen := e.layout(ctx, u.uuid); unseen == nil && l.MIG.Pending != l.MIG.Enabled && !reset {
		if _, err := e.setMode(ctx, u.uuid, l.MIG.Enabled); err != nil {
			r.Reason += "; it is still pending, since taking it back failed: " + err.Error()
		} else {
			r.Reason += "; it was taken back"
		}
	}
	e.record(u, func(j *journal) { j.Intent = nil })
	return r
}

// quiet asks everybody whether a GPU is used in the mode that it has.
//
// What is claimed or offered for the other mode does not exist yet and waits for the change.
func (e *Executor) quiet(ctx context.Context, u *unit, on bool) *RefusalError {
	where := e.name(u.uuid)
	l, r := e.layout(ctx, u.uuid)
	if r != nil {
		return r
	}
	if len(l.Unread) > 0 {
		return refuse(CauseUnknown, nil, "%s stays as it is: its instances cannot all be read", where)
	}
	if len(l.Instances) > 0 {
		cause, what := CauseInUse, "instances"
		for _, in := range l.Instances {
			if _, ours := u.j.owner(in); !ours {
				cause, what = CauseForeign, in.Slot.String()+", which was not made by gpulet"
			}
		}
		return refuse(cause, nil, "%s stays as it is: it has %s", where, what)
	}
	is := func(t target) bool { return t.unclear || t.whole == on }
	if u.listed { // before the claims: what was given before has one by now
		if r := e.unlisted(u.uuid, where, is); r != nil {
			return r
		}
	}
	if r := e.unclaimed(u, where, is); r != nil {
		return r
	}
	holders, err := e.holders(ctx, u.uuid)
	if err != nil {
		return refuse(CauseUnknown, err, "%s stays as it is: its processes cannot be told: %v", where, err)
	}
	if len(holders) > 0 {
		return refuse(CauseInUse, nil, "%s is in use by %s", where, e.users(holders))
	}
	return nil
}

// quiesce has everybody of ours give up the GPU. release is never nil.
func (e *Executor) quiesce(ctx context.Context, u *unit) (release func(), r *RefusalError) {
	var all []func()
	release = func() {
		for _, f := range all {
			f()
		}
	}
	for _, q := range e.cfg.Quiescers {
		f, err := q.Quiesce(ctx, u.uuid)
		if err != nil {
			r := failed(ctx, err, "%s stays as it is: its own monitoring does not let go of it", e.name(u.uuid))
			if r.Cause != CauseInterrupted {
				r.Cause = CauseUnknown
			}
			return release, r
		}
		all = append(all, f)
	}
	return release, nil
}
