package apiserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/utils/ptr"
)

// errLost: another holds the Lease.
var errLost = errors.New("the Lease was lost")

// election is this agent's part in electing the one that plans for the cluster. It keeps a Lease as tools/leaderelection of
// client-go does, with one difference: those who do not lead watch the Lease rather than read it each 2 s, which 5,000 nodes would
// do 1,500 times a second, and which makes them see up to 4 s late that it was renewed for the last time.
// No clock but one's own decides: a Lease may be taken when its time has passed since this process saw it change.
type election struct {
	api      coordinationv1client.LeaseInterface
	name, id string
	duration time.Duration // of the Lease
	renew    time.Duration // who could not renew for this long leads no more; half of it is between two renewals
	retry    time.Duration // between two attempts
	did      func(error) error
	log      *slog.Logger
	seen     latest[leaseSeen]
}

// leaseSeen is the Lease as the watch has it.
type leaseSeen struct {
	known bool // false while it is not watched: nobody takes what may have changed
	lease *coordinationv1.Lease
	at    time.Time // when this version of it came
}

// run leads whenever it can until ctx ends.
func (e *election) run(ctx context.Context, lead func(context.Context) error) {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { e.look(ctx); return nil })
	g.Go(func() error { e.compete(ctx, lead); return nil })
	_ = g.Wait() // neither fails
}

// look watches the Lease.
func (e *election) look(ctx context.Context) {
	f := follower[*coordinationv1.Lease]{objects: objects[*coordinationv1.Lease]{
		fields: fields.OneTermEqualSelector(metav1.ObjectNameField, e.name).String(),
		list: func(ctx context.Context, opts metav1.ListOptions) ([]*coordinationv1.Lease, string, error) {
			l, err := e.api.List(ctx, opts)
			if err != nil {
				return nil, "", err
			}
			var items []*coordinationv1.Lease
			for i := range l.Items {
				items = append(items, &l.Items[i])
			}
			return items, l.ResourceVersion, nil
		},
		watch: e.api.Watch,
	}}
	pause := backoff{first: e.retry / 2}
	var now leaseSeen
	told := false
	for {
		err := f.follow(ctx, func(l *coordinationv1.Lease, gone bool) {
			switch {
			case gone:
				now.lease = nil
			case now.lease == nil || now.lease.ResourceVersion != l.ResourceVersion:
				now.lease, now.at = l, time.Now()
			}
			e.seen.set(now)
		}, func() {
			pause.reset()
			now.known, told = true, false
			e.seen.set(now)
		})
		if ctx.Err() != nil {
			return
		}
		now.known = false
		e.seen.set(now)
		if !told {
			e.log.Warn("who plans for the cluster is not known", "lease", e.name, "err", err)
		}
		told = true
		if !pause.pause(ctx) {
			return
		}
	}
}

// compete takes the Lease when it is free, and holds it.
func (e *election) compete(ctx context.Context, lead func(context.Context) error) {
	pause := backoff{first: e.retry}
	for {
		old, ok := e.await(ctx)
		if !ok {
			return
		}
		began := time.Now()
		held, err := e.write(ctx, began, old, e.taken(old, began))
		if err != nil { // mostly because another was faster, and the watch is about to say so
			if !sleep(ctx, e.retry) {
				return
			}
			continue
		}
		e.log.Info("this agent plans for the cluster", "lease", e.name, "identity", e.id)
		err = e.hold(ctx, held, began, lead)
		e.log.Info("this agent plans for the cluster no more", "lease", e.name, "reason", err)
		if time.Since(began) > e.duration {
			pause.reset()
		}
		if !pause.pause(ctx) { // let another try
			return
		}
	}
}

// await waits until the Lease is free and gives it as it was last seen, nil when there is none; false when ctx has ended.
func (e *election) await(ctx context.Context) (*coordinationv1.Lease, bool) {
	for {
		seen, changed := e.seen.get()
		free := make(<-chan time.Time)
		var timer *time.Timer
		if seen.known {
			// All see at the same moment that it is free: one that comes a little earlier spares the others the attempt.
			timer = time.NewTimer(max(0, time.Until(e.free(seen))) + rand.N(e.retry/4+1)) //nolint:gosec // it spreads load
			free = timer.C
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-free:
			return seen.lease, true
		}
		if timer != nil {
			timer.Stop()
		}
		if ctx.Err() != nil {
			return nil, false
		}
	}
}

// free is when a Lease may be taken.
func (e *election) free(seen leaseSeen) time.Time {
	if seen.lease == nil || seen.lease.Spec.LeaseDurationSeconds == nil {
		return time.Time{}
	}
	if by := ptr.Deref(seen.lease.Spec.HolderIdentity, ""); by == "" || by == e.id { // ours: the answer to an attempt was lost
		return time.Time{}
	}
	return seen.at.Add(time.Duration(*seen.lease.Spec.LeaseDurationSeconds) * time.Second)
}

// taken is what the Lease says when it is ours from now on.
func (e *election) taken(old *coordinationv1.Lease, now time.Time) coordinationv1.LeaseSpec {
	spec := coordinationv1.LeaseSpec{
		HolderIdentity:       &e.id,
		LeaseDurationSeconds: ptr.To(int32(e.duration / time.Second)),
		AcquireTime:          ptr.To(metav1.NewMicroTime(now)),
		RenewTime:            ptr.To(metav1.NewMicroTime(now)),
		LeaseTransitions:     ptr.To(int32(0)),
	}
	if old != nil {
		*spec.LeaseTransitions = ptr.Deref(old.Spec.LeaseTransitions, 0) + 1
	}
	return spec
}

// write makes one attempt to replace the Lease that was seen; the API server refuses it when it is not the newest.
func (e *election) write(ctx context.Context, began time.Time, seen *coordinationv1.Lease, spec coordinationv1.LeaseSpec) (*coordinationv1.Lease, error) {
	ctx, cancel := context.WithDeadline(ctx, began.Add(min(callTimeout, e.renew/2)))
	defer cancel()
	var l *coordinationv1.Lease
	var err error
	if seen == nil {
		l = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: e.name, Labels: map[string]string{labelName: component}}, Spec: spec}
		l, err = e.api.Create(ctx, l, metav1.CreateOptions{})
	} else {
		l = seen.DeepCopy()
		l.Spec = spec
		l, err = e.api.Update(ctx, l, metav1.UpdateOptions{})
	}
	return l, e.did(err)
}

// hold leads until ctx ends, lead does, or the Lease is lost, and says which. The Lease is free when it returns, if the API server
// can be told.
func (e *election) hold(ctx context.Context, l *coordinationv1.Lease, began time.Time, lead func(context.Context) error) error {
	leading, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- lead(leading) }()
	l, err := e.keep(ctx, l, began, done)
	ended := &endedError{}
	if !errors.As(err, &ended) {
		stop()
		if late := <-done; late != nil { // nobody else may lead before
			err = errors.Join(err, late)
		}
	}
	if !errors.Is(err, errLost) {
		e.release(ctx, l)
	}
	return err
}

// endedError is the end of lead.
type endedError struct{ err error }

func (e *endedError) Error() string { return fmt.Sprintf("planning ended: %v", e.err) }
func (e *endedError) Unwrap() error { return e.err }

// keep renews the Lease. It gives the newest version, and why it is not kept any longer.
func (e *election) keep(ctx context.Context, l *coordinationv1.Lease, began time.Time, done <-chan error) (*coordinationv1.Lease, error) {
	until, next := began.Add(e.renew), began.Add(e.renew/2)
	for {
		timer := time.NewTimer(time.Until(next))
		select {
		case <-ctx.Done():
			timer.Stop()
			return l, ctx.Err()
		case err := <-done:
			timer.Stop()
			return l, &endedError{err}
		case <-timer.C:
		}
		now := time.Now()
		if !now.Before(until) {
			return l, fmt.Errorf("%w: it could not be renewed for %s", errLost, e.renew)
		}
		newer, err := e.again(ctx, now, until, l)
		switch {
		case err == nil:
			l, until, next = newer, now.Add(e.renew), now.Add(e.renew/2)
		case errors.Is(err, errLost):
			return l, err
		default:
			e.log.Warn("the planner's Lease was not renewed", "lease", e.name, "err", err)
			if next = time.Now().Add(e.retry); next.After(until) {
				next = until
			}
		}
	}
}

// again renews once.
func (e *election) again(ctx context.Context, now, until time.Time, l *coordinationv1.Lease) (*coordinationv1.Lease, error) {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	spec := l.Spec.DeepCopy()
	spec.RenewTime = ptr.To(metav1.NewMicroTime(now))
	newer, err := e.write(ctx, now, l, *spec)
	if !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
		return newer, err
	}
	// It changed: by an attempt of ours whose answer was lost, by somebody who edits it, or another has taken it.
	newer, err = e.api.Get(ctx, e.name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("%w: it was deleted", errLost)
	case err != nil:
		return nil, err
	case ptr.Deref(newer.Spec.HolderIdentity, "") != e.id:
		return nil, fmt.Errorf("%w: %s has it", errLost, ptr.Deref(newer.Spec.HolderIdentity, ""))
	}
	spec = newer.Spec.DeepCopy()
	spec.RenewTime = ptr.To(metav1.NewMicroTime(now))
	return e.write(ctx, now, newer, *spec)
}

// release gives the Lease to whoever is first, also when ctx has ended: a planned exit hands over at once.
func (e *election) release(ctx context.Context, l *coordinationv1.Lease) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout/2)
	defer cancel()
	for {
		spec := l.Spec.DeepCopy()
		spec.HolderIdentity = ptr.To("")
		_, err := e.write(ctx, time.Now(), l, *spec)
		if apierrors.IsConflict(err) { // a renewal arrived whose answer did not
			newer, getErr := e.api.Get(ctx, e.name, metav1.GetOptions{})
			if getErr == nil && ptr.Deref(newer.Spec.HolderIdentity, "") == e.id {
				l = newer
				continue
			}
		}
		if err != nil {
			e.log.Warn("the planner's Lease was not released: others wait until its time has passed", "lease", e.name, "err", err)
		}
		return
	}
}

// sleep waits for d and up to as much again; false when ctx has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d + rand.N(d+1)) //nolint:gosec // it spreads load
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
