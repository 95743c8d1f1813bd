package fakekubelet

import (
	"fmt"
	"maps"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	pluginapi "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"github.com/gpulet/gpulet/test/fakekubelet/checkpoint"
)

// allocate gives one container of a pod its devices. Init containers come before the others, and what they had is used again.
func (d *devices) allocate(pod *corev1.Pod, c *corev1.Container) error {
	uid := string(pod.UID)
	d.mu.Lock()
	if d.reusePod != uid {
		d.reusePod, d.reuse = uid, map[string]set{}
	}
	d.mu.Unlock()
	if err := d.allocateResources(uid, c); err != nil {
		return err
	}
	kind, _ := kindOf(pod, c.Name)
	d.mu.Lock()
	defer d.mu.Unlock()
	for r, v := range d.held[uid][c.Name] {
		if kind != Init {
			d.reuse[r] = minus(d.reuse[r], v.ids.IDs())
			continue
		}
		if d.reuse[r] == nil {
			d.reuse[r] = set{}
		}
		maps.Copy(d.reuse[r], v.ids.IDs())
	}
	return nil
}

func (d *devices) allocateResources(uid string, c *corev1.Container) error {
	collected, changed := false, false
	for name, q := range c.Resources.Limits {
		r := string(name)
		if !d.known(r) {
			continue
		}
		if !collected {
			d.collect()
			collected = true
		}
		ids, err := d.pick(uid, c.Name, r, int(q.Value()))
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			continue
		}
		changed = true
		if err := d.ask(uid, c.Name, r, ids); err != nil {
			return err
		}
	}
	if changed {
		d.write()
	}
	return nil
}

// ask calls Allocate, which has no deadline, and keeps the first answer.
func (d *devices) ask(uid, container, r string, ids set) error {
	d.mu.Lock()
	e := d.endpoints[r]
	if e == nil {
		d.allocated = d.held.allocated()
		d.mu.Unlock()
		return fmt.Errorf("unknown Device Plugin %s", r)
	}
	d.mu.Unlock()
	var resp *pluginapi.AllocateResponse
	err := d.rpc(e, "Allocate", keys(ids), func(devs []string) (err error) {
		resp, err = e.api.Allocate(d.p.ctx, &pluginapi.AllocateRequest{ContainerRequests: []*pluginapi.ContainerAllocateRequest{{DevicesIds: devs}}})
		return err
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		d.allocated = d.held.allocated()
		return err
	}
	if len(resp.ContainerResponses) == 0 {
		return fmt.Errorf("no containers return in allocation response %v", resp)
	}
	byNode := checkpoint.DevicesPerNUMA{}
	for id := range ids {
		dev := d.all[r][id]
		switch {
		case dev == nil && !d.p.k.opts.MendedMissingID:
			d.p.die(fmt.Sprintf("nil pointer dereference: %s was not in the list of %s when its Allocate returned", id, r))
			return ErrDown
		case len(dev.GetTopology().GetNodes()) == 0:
			byNode[checkpoint.NoNUMA] = append(byNode[checkpoint.NoNUMA], id)
		default:
			for _, n := range dev.Topology.Nodes {
				byNode[n.ID] = append(byNode[n.ID], id)
			}
		}
	}
	d.held.put(uid, container, r, holding{byNode, resp.ContainerResponses[0]})
	return nil
}

// pick chooses devices for a container and marks them allocated; none when it has what it needs.
func (d *devices) pick(uid, container, r string, required int) (set, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	needed := required
	had := d.held.ids(uid, container, r)
	if had != nil {
		if needed -= len(had); needed != 0 {
			return nil, fmt.Errorf("pod %q container %q changed request for resource %q from %d to %d", uid, container, r, len(had), required)
		}
	}
	if !d.p.ready.Load() && d.p.k.runs(uid, container) {
		return nil, nil // the kubelet restarted and the container did not
	}
	switch h := d.healthy[r]; {
	case h == nil:
		return nil, fmt.Errorf("cannot allocate unregistered device %s", r)
	case len(h) == 0:
		return nil, fmt.Errorf("no healthy devices present; cannot allocate unhealthy devices %s", r)
	case len(minus(had, h)) > 0:
		return nil, fmt.Errorf("previously allocated devices are no longer healthy; cannot allocate unhealthy devices %s", r)
	case needed == 0:
		return nil, nil
	}
	picked := set{}
	take := func(from set) bool {
		if d.allocated[r] == nil {
			d.allocated[r] = set{}
		}
		for id := range from {
			if needed > 0 && !picked[id] {
				d.allocated[r][id], picked[id] = true, true
				needed--
			}
		}
		return needed == 0
	}
	if take(d.reuse[r]) {
		return picked, nil
	}
	available := minus(d.healthy[r], d.allocated[r])
	if len(available) < needed {
		return nil, fmt.Errorf("requested number of devices unavailable for %s. Requested: %d, Available: %d", r, needed, len(available))
	}
	preferred, err := d.preferred(r, available, picked, required)
	if err != nil {
		return nil, err
	}
	if take(both(preferred, available)) || take(available) {
		return picked, nil
	}
	return nil, fmt.Errorf("unexpectedly allocated less resources than required. Requested: %d, Got: %d", required, required-needed)
}

// preferred asks the plugin which devices it would give. It is called with mu held and gives it up for the call.
func (d *devices) preferred(r string, available, include set, size int) (set, error) {
	e := d.endpoints[r]
	if e == nil {
		return nil, fmt.Errorf("endpoint not found in cache for a registered resource: %s", r)
	}
	if e.options == nil || !e.options.GetPreferredAllocationAvailable {
		return nil, nil
	}
	from := maps.Clone(available)
	maps.Copy(from, include)
	d.mu.Unlock()
	var resp *pluginapi.PreferredAllocationResponse
	err := d.rpc(e, "GetPreferredAllocation", keys(from), func(devs []string) (err error) {
		resp, err = e.api.GetPreferredAllocation(d.p.ctx, &pluginapi.PreferredAllocationRequest{
			ContainerRequests: []*pluginapi.ContainerPreferredAllocationRequest{
				{AvailableDeviceIDs: devs, MustIncludeDeviceIDs: keys(include), AllocationSize: int32(size)}, //nolint:gosec // a count of devices
			},
		})
		return err
	})
	d.mu.Lock()
	if err != nil {
		return nil, fmt.Errorf("device plugin GetPreferredAllocation rpc failed with err: %w", err)
	}
	out := set{}
	if len(resp.GetContainerResponses()) > 0 {
		for _, id := range resp.ContainerResponses[0].DeviceIDs {
			out[id] = true
		}
	}
	return out, nil
}

// rpc makes a call with ids in no order.
func (d *devices) rpc(e *client, method string, ids []string, do func(ids []string) error) error {
	d.mu.Lock()
	stopped := !e.stopped.IsZero()
	d.mu.Unlock()
	if stopped {
		return fmt.Errorf("endpoint %s has been stopped", filepath.Base(e.socket))
	}
	return d.p.k.call(Call{Method: method, Resource: e.resource, Socket: filepath.Base(e.socket), IDs: ids}, func() error {
		unordered := set{}
		for _, id := range ids {
			unordered[id] = true
		}
		var out []string
		for id := range unordered {
			out = append(out, id)
		}
		return do(out)
	})
}

func both(a, b set) set {
	out := set{}
	for id := range a {
		if b[id] {
			out[id] = true
		}
	}
	return out
}
