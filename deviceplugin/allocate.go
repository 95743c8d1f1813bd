package deviceplugin

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

// Allocate implements plugin.Handler. The kubelet has decided which devices and fails the pod for good when it gets an error,
// so it gets one only where a container would have no device or somebody else's.
func (l *list) Allocate(_ context.Context, r *api.AllocateRequest) (*api.AllocateResponse, error) {
	t, _ := l.tables.Get()
	a := l.desk.current.Load()
	resp := &api.AllocateResponse{}
	var ids []string
	var given []entry
	for _, c := range r.GetContainerRequests() {
		entries, err := t.pick(c.GetDevicesIds())
		if err != nil {
			return nil, l.refuse("an allocation was refused", err)
		}
		answer, err := l.desk.answer(a.settings, t.resource, entries)
		if err != nil {
			return nil, l.refuse("an allocation was refused", err)
		}
		resp.ContainerResponses = append(resp.ContainerResponses, answer)
		ids = append(ids, c.GetDevicesIds()...)
		given = append(given, entries...)
	}
	if err := l.desk.book(a, t.resource, given, ids); err != nil {
		return nil, l.refuse("an allocation was refused", err)
	}
	l.desk.metrics.allocations.WithLabelValues(t.resource).Add(float64(len(given)))
	for _, e := range given {
		if !e.healthy {
			l.desk.tellUnhealthy(t.resource, e)
		}
	}
	return resp, nil
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

// book opens the claims unless another name's claim has the hardware.
func (d *desk) book(a *answers, resource string, given []entry, ids []string) error {
	d.booking.Lock()
	defer d.booking.Unlock()
	claims, _ := d.cfg.Claims.Feed().Get()
	for id, list := range claims.ByID {
		other, ok := a.devices[id]
		if !ok {
			continue
		}
		for _, c := range list {
			theirs := key{c.Resource, id}
			for i := range given {
				if !collides(key{resource, given[i].id}, given[i].device, theirs, other.device) {
					continue
				}
				return &RefusalError{codes.FailedPrecondition, refusedOverlap, fmt.Sprintf(
					"%s %s cannot be given: %s has the same hardware as %s %s", resource, given[i].id, who(c), c.Resource, id)}
			}
		}
	}
	d.cfg.Claims.Open(resource, ids)
	return nil
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
