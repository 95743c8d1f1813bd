package deviceplugin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
)

// The times of a start. The kubelet gives it 30 s, and an error costs the container 10 to 15 s until the next try.
const (
	startBudget = 25 * time.Second
	// strangers is how long processes that belong to no pod are waited for.
	strangers = 20 * time.Second
	startLook = 500 * time.Millisecond
)

// PreStart implements plugin.Handler: it returns when the devices of a container are there and nobody else is on them.
// It waits rather than fails. It is no guarantee: the kubelet leaves it out at times, so the CDI spec is the gate.
func (l *list) PreStart(ctx context.Context, r *api.PreStartContainerRequest) (*api.PreStartContainerResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, startBudget)
	defer cancel()
	s := &start{list: l, ids: r.GetDevicesIds(), begun: time.Now()}
	s.owner, s.owned = l.desk.cfg.Claims.Owner(ctx, l.resource, s.ids)
	for {
		written := l.written()
		t, listed := l.tables.Get()
		claims, claimed := l.desk.cfg.Claims.Feed().Get()
		err := s.obstacle(ctx, t, claims)
		if err == nil {
			l.desk.starts.succeeded(bases(t, s.ids))
			return &api.PreStartContainerResponse{}, nil
		}
		timer := time.NewTimer(startLook)
		select {
		case <-ctx.Done():
			timer.Stop()
			if !errors.Is(ctx.Err(), context.DeadlineExceeded) { // the kubelet went, or this agent leaves: the device is not to blame
				return nil, err
			}
			l.desk.starts.failed(bases(t, s.ids), err.Text, time.Now())
			l.desk.poke()
			return nil, l.refuse("a container's start was refused", err)
		case <-listed:
		case <-claimed:
		case <-written:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// written is closed at the next change of the specs; nil where there are none.
func (l *list) written() <-chan struct{} {
	if l.desk.cfg.Specs == nil {
		return nil
	}
	return l.desk.cfg.Specs.Changed()
}

// start is one container's start.
type start struct {
	list  *list
	ids   []string
	begun time.Time
	owner kubelet.Claim
	owned bool // owner is known
	real  bool // the hardware was made
	told  bool // of strangers
}

// obstacle is what the start waits for; nil when it may go on.
func (s *start) obstacle(ctx context.Context, t *table, claims *kubelet.ClaimSet) *RefusalError {
	a := s.list.desk.current.Load()
	entries := make([]entry, 0, len(s.ids))
	for _, id := range s.ids {
		e, ok := t.find(id)
		switch {
		case !ok:
			return &RefusalError{codes.NotFound, refusedUnknown, fmt.Sprintf("%s has no device %q", t.resource, id)}
		case e.unusable != "":
			return &RefusalError{codes.Unavailable, refusedStart, fmt.Sprintf("%s %s: %s", t.resource, id, e.unusable)}
		}
		if who := s.other(a, claims, e); who != "" {
			return &RefusalError{codes.Unavailable, refusedOverlap, fmt.Sprintf("%s %s: %s", t.resource, id, who)}
		}
		entries = append(entries, e)
	}
	if why := s.realize(ctx, a.settings, entries); why != "" {
		return &RefusalError{codes.Unavailable, refusedStart, why}
	}
	if why := s.leftovers(ctx, a, claims, entries); why != "" {
		return &RefusalError{codes.Unavailable, refusedLeftover, why}
	}
	return nil
}

// other names another pod that has the same hardware and has not ended.
func (s *start) other(a *answers, claims *kubelet.ClaimSet, e entry) string {
	mine := key{s.list.resource, e.id}
	var pod kubelet.UID
	if s.owned {
		pod = s.owner.Pod
	}
	for _, c := range claims.ByID[e.id] {
		switch {
		case c.Resource != mine.resource || c.Pod == "":
		case pod == "":
			pod = c.Pod // nobody says whose start it is: the first holder is as good as any
		case c.Pod != pod:
			return who(c) + " still has it"
		}
	}
	for id, list := range claims.ByID {
		for _, c := range list {
			if collides(mine, e.device, key{c.Resource, id}, a.devices[id].device) {
				return who(c) + " still has the same hardware as " + c.Resource + " " + id
			}
		}
	}
	return ""
}

// bases are the ids of devices without their replicas.
func bases(t *table, ids []string) (out []string) {
	for _, id := range ids {
		if e, ok := t.find(id); ok {
			out = append(out, e.device.Base().ID())
		}
	}
	return out
}

// realize makes the hardware exist and waits for its specs.
func (s *start) realize(ctx context.Context, settings Settings, entries []entry) (why string) {
	d := s.list.desk
	var slices []string
	for _, e := range entries {
		if e.device.Kind == gpu.Slice {
			slices = append(slices, e.device.Base().ID())
		}
	}
	if !s.real && len(slices) > 0 && d.cfg.Realizer != nil {
		if err := d.cfg.Realizer.Ensure(ctx, slices); err != nil {
			return err.Error()
		}
	}
	s.real = true
	if !settings.cdi() {
		return ""
	}
	for _, e := range entries {
		if err := d.cfg.Specs.Ready(e.device.Base()); err != nil {
			return fmt.Sprintf("%s: %v", e.id, err)
		}
	}
	return ""
}
