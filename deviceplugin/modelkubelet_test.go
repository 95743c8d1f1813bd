package deviceplugin

import (
	"fmt"
	"maps"
	"slices"
	"time"

	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"github.com/gpulet/gpulet/kubelet"
)

// kubeResource is what the kubelet knows of a resource.
type kubeResource struct {
	devices map[string]bool // id -> healthy
	used    map[string]string
	from    *list
	stream  *stream
	left    time.Time // when its plugin left
}

// lost is the end of a stream: everything is unhealthy.
func (k *kubeResource) lost() {
	for id := range k.devices {
		k.devices[id] = false
	}
	k.from, k.stream = nil, nil
}

// deliver brings the newest list of a resource to the kubelet.
func (w *world) deliver(resource string) {
	k := w.kubelet[resource]
	h, _ := w.regs.handler(resource).(*handler)
	if h == nil {
		if k != nil && k.from != nil {
			k.lost()
			k.left = w.now
		}
		return
	}
	if k == nil {
		k = &kubeResource{devices: map[string]bool{}, used: map[string]string{}}
		w.kubelet[resource] = k
	}
	if k.from != h.list {
		k.from, k.stream = h.list, &stream{}
		h.streams[k.stream] = struct{}{}
	}
	t, _ := h.tables.Get()
	if t.version == k.stream.sent {
		return
	}
	k.devices = map[string]bool{}
	for _, d := range t.wire {
		k.devices[d.ID] = d.Health == api.Healthy
	}
	k.stream.sent = t.version
	for id := range k.used {
		if _, ok := k.devices[id]; !ok {
			w.t.Fatalf("the kubelet panics: %s %s is in use and not in the list", resource, id)
		}
	}
}

func (w *world) deliverAll() {
	handlers, _ := w.regs.feed.Get()
	for _, resource := range slices.Sorted(maps.Keys(handlers)) {
		w.deliver(resource)
	}
	for resource := range w.kubelet {
		w.deliver(resource)
	}
}

// sync is the kubelet's node status period: it writes what it counts.
func (w *world) sync() {
	if w.now.Sub(w.synced) < 10*time.Second {
		return
	}
	w.synced = w.now
	for resource, k := range w.kubelet {
		var healthy int64
		if k.from == nil && w.now.Sub(k.left) > 5*time.Minute {
			delete(w.kubelet, resource)
		}
		for _, ok := range k.devices {
			if ok {
				healthy++
			}
		}
		w.node.set(resource, healthy)
	}
}

// pick is what the kubelet takes for a container: healthy ids that it counts as free, by the plugin's preference.
func (w *world) pick(resource string, n int, choose func(n int) int) []string {
	k := w.kubelet[resource]
	if k == nil || k.from == nil {
		return nil
	}
	var free []string
	for _, id := range slices.Sorted(maps.Keys(k.devices)) {
		if k.devices[id] && k.used[id] == "" {
			free = append(free, id)
		}
	}
	if len(free) < n {
		return nil
	}
	for i := range n {
		j := i + choose(len(free)-i)
		free[i], free[j] = free[j], free[i]
	}
	return free[:n]
}

// allocate is the kubelet's Allocate for a pod. It checks that no hardware is given twice.
func (w *world) allocate(pod, resource string, ids []string) error {
	w.t.Helper()
	h, _ := w.regs.handler(resource).(*handler)
	if h == nil {
		return fmt.Errorf("%s is not registered", resource)
	}
	view, _ := w.manager.View().Get()
	before, _ := w.claims.Feed().Get()
	w.claims.pod = kubelet.UID(pod)
	_, err := h.Allocate(nil, &api.AllocateRequest{ContainerRequests: []*api.ContainerAllocateRequest{{DevicesIds: ids}}}) //nolint:staticcheck // it answers from memory
	w.claims.pod = ""
	if err != nil {
		return err
	}
	t, _ := h.tables.Get()
	got := holder{resource: resource, ids: ids}
	k := w.kubelet[resource]
	for _, id := range ids {
		e, _ := t.find(id)
		got.devices = append(got.devices, e.device)
		if !claimed(before, resource, id) && !slices.ContainsFunc(view.Pickable, func(p Pickable) bool { return p.Device == e.device.Base() }) {
			w.t.Fatalf("%s gets %s %s, which nobody can pick: %+v", pod, resource, id, view.Pickable)
		}
		if _, ok := k.devices[id]; !ok {
			w.t.Fatalf("the kubelet panics: %s %s left the list before its Allocate ended", resource, id)
		}
		k.used[id] = pod
		for other, o := range w.holders {
			for i, d := range o.devices {
				if overlap(d, e.device) && !coexist(key{o.resource, o.ids[i]}, d, key{resource, id}, e.device) {
					w.t.Fatalf("%s has %s %s, and %s gets %s %s", other, o.resource, o.ids[i], pod, resource, id)
				}
			}
		}
	}
	w.holders[pod] = got
	return nil
}
