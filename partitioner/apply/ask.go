package apply

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/kubelet"
)

// target is what a device is about on one GPU.
type target struct {
	whole   bool
	unclear bool     // it is on this GPU, and it is not known where
	slot    mig.Slot // with the profile of the GPU instance
}

// unclaimed refuses while a pod has a device that is.
//
// A claim on another slot that shares slices with this one is none on this instance: what is claimed there does not exist while this
// does, and its pod waits for it to go.
func (e *Executor) unclaimed(u *unit, where string, is func(target) bool) *RefusalError {
	claims, _ := e.cfg.Claims.Get()
	if claims == nil || !claims.Complete {
		return refuse(CauseUnknown, nil, "%s stays: it is not known yet which pods have what", where)
	}
	for id, list := range claims.ByID {
		t, here := e.resolve(u, id)
		if !here || !is(t) || len(list) == 0 {
			continue
		}
		return refuse(CauseClaimed, nil, "%s is claimed by %s", where, claimant(list[0]))
	}
	return nil
}

// unlisted refuses while the kubelet may still give a device that is.
func (e *Executor) unlisted(uuid gpu.UUID, where string, is func(target) bool) *RefusalError {
	listing, _ := e.cfg.Listing.Get()
	if listing == nil || listing.Offers < e.cfg.Offers() {
		return refuse(CauseUnknown, nil, "%s stays: the kubelet's list does not follow what is offered yet", where)
	}
	for d, why := range listing.Pickable {
		if d.GPU == uuid && is(targetOf(d)) {
			return refuse(CauseOffered, nil, "%s may still be given to a pod: %s", where, why)
		}
	}
	return nil
}

func targetOf(d gpu.Device) target {
	d.Slot.Profile = d.Slot.Profile.Instance()
	return target{whole: d.Kind == gpu.Whole, slot: d.Slot}
}

// resolve says what of this GPU an id means, if it is about this GPU. What cannot be understood may be about it.
func (e *Executor) resolve(u *unit, id string) (t target, here bool) {
	uuid := u.uuid
	for _, o := range u.j.Owned { // other plugins name devices so
		if strings.Contains(id, string(o.UUID)) {
			return target{slot: o.Slot}, true
		}
	}
	parts, err := gpu.ParseDeviceID(id)
	if err != nil {
		return target{unclear: true}, strings.Contains(id, string(uuid)) || strings.Contains(id, gpu.ShortUUID(uuid))
	}
	if parts.GPU != string(uuid) && parts.GPU != gpu.ShortUUID(uuid) {
		return target{}, false
	}
	if parts.Kind == gpu.Whole {
		return target{whole: true}, true
	}
	profile := parts.Profile.Instance()
	for _, p := range e.geometry(uuid).Profiles {
		if p.Profile != profile {
			continue
		}
		for _, at := range p.Placements {
			if at.Start == parts.Start {
				return target{slot: mig.Slot{Profile: profile, Placement: at}}, true
			}
		}
	}
	return target{unclear: true}, true
}

func (e *Executor) geometry(uuid gpu.UUID) mig.Geometry {
	if s, _ := e.cfg.Snapshots.Get(); s != nil {
		if g := s.GPU(uuid); g != nil {
			return g.Geometry
		}
	}
	return mig.Geometry{}
}

// couldGet reports whether a pod that asks for a resource could be given a slot, or the whole GPU for the zero slot. Resources may be
// named anything: only one that bears the name of another profile of this GPU could not.
func (e *Executor) couldGet(uuid gpu.UUID, resource string, slot mig.Slot) bool {
	_, name, _ := strings.Cut(resource, "/")
	name = strings.TrimSuffix(name, ".shared")
	return !slices.ContainsFunc(e.geometry(uuid).Profiles, func(p mig.ProfileInfo) bool {
		return p.Profile != slot.Profile && p.Profile.Resource() == name
	})
}

// newcomers waits for the kubelet's list to follow the offers, and for the pods that are bound to this node and on their way in:
// they were bound before the kubelet forgot the device, perhaps. Those that come later cannot get it.
func (e *Executor) newcomers(ctx context.Context, u *unit, slot mig.Slot) *RefusalError {
	late := time.NewTimer(patience)
	defer late.Stop()
	var waiting map[kubelet.UID]bool
	for {
		listing, relisted := e.cfg.Listing.Get()
		pods, changed := e.cfg.Pods.Get()
		var r *RefusalError
		switch {
		case listing == nil || listing.Offers < e.cfg.Offers():
			r = refuse(CauseUnknown, nil, "%s stays as it is: the kubelet's list does not follow what is offered yet", e.name(u.uuid))
		case pods == nil || !pods.Synced:
			r = refuse(CauseUnknown, nil, "%s stays as it is: the pods of this node are not known at the moment", e.name(u.uuid))
		default:
			waiting, r = e.bound(u, pods, waiting, slot)
		}
		if r == nil {
			return nil
		}
		select {
		case <-relisted:
		case <-changed:
		case <-late.C:
			return r
		case <-ctx.Done():
			return refuse(CauseInterrupted, ctx.Err(), "%s stays as it is: the agent is ending", e.name(u.uuid))
		}
	}
}

// bound refuses while a pod is on its way in. The pods that are waited for are those of the first call.
func (e *Executor) bound(u *unit, pods *kubelet.Pods, waiting map[kubelet.UID]bool, slot mig.Slot) (map[kubelet.UID]bool, *RefusalError) {
	first := waiting == nil
	if first {
		waiting = map[kubelet.UID]bool{}
	}
	var r *RefusalError
	for uid, p := range pods.ByUID {
		if p.Admitted || p.Ended || !first && !waiting[uid] || !e.asks(u.uuid, p, slot) {
			continue
		}
		waiting[uid] = true
		r = refuse(CauseBound, nil, "%s stays as it is: pod %s is bound to this node and may still be given a part of it", e.name(u.uuid), p.Ref())
	}
	return waiting, r
}

func (e *Executor) asks(uuid gpu.UUID, p kubelet.Pod, slot mig.Slot) bool {
	for _, c := range p.Containers {
		for resource, n := range c.Requests {
			if n > 0 && e.couldGet(uuid, resource, slot) {
				return true
			}
		}
	}
	return false
}

// await waits for a value of a feed that will do, for a limited time. Whether it came is seen by whoever uses it.
func await[T any](ctx context.Context, feed *gpu.Feed[T], limit time.Duration, ok func(T) bool) {
	late := time.NewTimer(limit)
	defer late.Stop()
	for {
		v, changed := feed.Get()
		if ok(v) {
			return
		}
		select {
		case <-changed:
		case <-late.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
