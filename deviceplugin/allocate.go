package deviceplugin

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"github.com/gpulet/gpulet/kubelet"
)

// Allocate implements plugin.Handler. The kubelet has decided which devices and fails the pod for good when it gets an error,
// so it gets one only where a container would have no device or somebody else's.
func (l *list) Allocate(_ context.Context, r *api.AllocateRequest) (*api.AllocateResponse, error) {
	for {
		t, _ := l.tables.Get()
		g, err := l.give(t, r)
		if err != nil {
			return nil, l.refuse("an allocation was refused", err)
		}
		booked, err := l.book(t, g)
		switch {
		case err != nil:
			return nil, l.refuse("an allocation was refused", err)
		case !booked:
			continue // what may be given changed meanwhile
		}
		l.desk.metrics.allocations.WithLabelValues(t.resource).Add(float64(len(g.entries)))
		for _, e := range g.entries {
			if !e.healthy {
				l.desk.tellUnhealthy(t.resource, e)
			}
		}
		return g.resp, nil
	}
}

// gift is what an Allocate is answered with.
type gift struct {
	resp    *api.AllocateResponse
	ids     []string
	entries []entry
}

// give makes the answer by a table.
func (l *list) give(t *table, r *api.AllocateRequest) (gift, error) {
	a := l.desk.current.Load()
	g := gift{resp: &api.AllocateResponse{}}
	for _, c := range r.GetContainerRequests() {
		entries, err := t.pick(c.GetDevicesIds())
		if err != nil {
			return gift{}, err
		}
		answer, err := l.desk.answer(a.settings, t.resource, entries)
		if err != nil {
			return gift{}, err
		}
		g.resp.ContainerResponses = append(g.resp.ContainerResponses, answer)
		g.ids = append(g.ids, c.GetDevicesIds()...)
		g.entries = append(g.entries, entries...)
	}
	return g, nil
}

// pick finds the devices of a request.
func (t *table) pick(ids []string) ([]entry, error) {
	entries := make([]entry, 0, len(ids))
	shares := 0
	for _, id := range ids {
		e, ok := t.find(id)
		switch {
		case !ok:
			return nil, &RefusalError{codes.NotFound, refusedUnknown, fmt.Sprintf("%s has no device %q", t.resource, id)}
		case !e.givable:
			return nil, &RefusalError{codes.FailedPrecondition, refusedGone, fmt.Sprintf("%s %s cannot be given: %s", t.resource, id, e.reason)}
		}
		if e.one {
			shares++
		}
		entries = append(entries, e)
	}
	if shares > 1 {
		return nil, &RefusalError{codes.InvalidArgument, refusedShare, fmt.Sprintf(
			"a container may ask for 1 %s at most, not %d: each is a share of a GPU, and a second gives no more of it", t.resource, shares)}
	}
	return entries, nil
}

// book opens the claims unless another name's claim has the hardware. It does nothing, and says so, when the table is not
// the newest: a device that was let go of since must not be given.
func (l *list) book(t *table, g gift) (bool, error) {
	d := l.desk
	d.booking.Lock()
	defer d.booking.Unlock()
	if newest, _ := l.tables.Get(); newest != t {
		return false, nil
	}
	a := d.current.Load()
	claims, _ := d.cfg.Claims.Feed().Get()
	for _, e := range g.entries {
		if e.released && !claimed(claims, t.resource, e.id) {
			return false, &RefusalError{codes.FailedPrecondition, refusedGone, fmt.Sprintf("%s %s cannot be given: %s", t.resource, e.id, e.reason)}
		}
	}
	for id, list := range claims.ByID {
		other, ok := a.devices[id]
		if !ok {
			continue
		}
		for _, c := range list {
			theirs := key{c.Resource, id}
			for _, e := range g.entries {
				if !collides(key{t.resource, e.id}, e.device, theirs, other.device) {
					continue
				}
				return false, &RefusalError{codes.FailedPrecondition, refusedOverlap, fmt.Sprintf(
					"%s %s cannot be given: %s has the same hardware as %s %s", t.resource, e.id, who(c), c.Resource, id)}
			}
		}
	}
	d.cfg.Claims.Open(t.resource, g.ids)
	return true, nil
}

// claimed reports whether somebody has an id of a resource.
func claimed(claims *kubelet.ClaimSet, resource, id string) bool {
	return slices.ContainsFunc(claims.ByID[id], func(c kubelet.Claim) bool { return c.Resource == resource })
}

func (l *list) refuse(what string, err error) error {
	reason := refusedNodes
	if r, ok := err.(*RefusalError); ok { //nolint:errorlint // it was made here, unwrapped
		reason = r.Reason
	}
	l.desk.metrics.refusals.WithLabelValues(l.resource, reason).Inc()
	l.desk.cfg.Log.Warn(what, "resource", l.resource, "reason", err)
	return err
}

// tellUnhealthy says that the kubelet gave a device away that turned bad meanwhile.
func (d *desk) tellUnhealthy(resource string, e entry) {
	d.cfg.Log.Warn("the kubelet gave a device that is unhealthy", "resource", resource, "device", e.id, "reason", e.reason)
	if d.cfg.Events != nil {
		d.cfg.Events.Node(true, "UnhealthyDeviceGiven", strings.Join([]string{resource, e.id, "was given to a container as it turned unhealthy:", e.reason}, " "))
	}
}
