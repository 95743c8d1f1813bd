package fakekubelet

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	pluginapi "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"github.com/gpulet/gpulet/test/fakekubelet/checkpoint"
)

type set map[string]bool

// devices is the device manager: which devices there are and which are taken.
type devices struct {
	p       *process
	writing sync.Mutex // orders the writes of the checkpoint
	mu      sync.Mutex // guards all below; not held during a call to a plugin
	// endpoints are the plugins that calls go to; connections all of them, by resource and socket.
	endpoints   map[string]*client
	connections map[string]map[string]*client
	// all is what the last list of a resource said, whoever sent it; healthy and unhealthy split its ids.
	all                map[string]map[string]*pluginapi.Device
	healthy, unhealthy map[string]set
	// allocated are the ids that are not given again: those of held and picks whose Allocate is under way.
	allocated map[string]set
	held      holdings
	// reuse are the devices of a pod's init containers by resource, for the pod that is being admitted.
	reuse    map[string]set
	reusePod string
}

func newDevices(p *process) *devices {
	return &devices{
		p: p, endpoints: map[string]*client{}, connections: map[string]map[string]*client{},
		all: map[string]map[string]*pluginapi.Device{}, healthy: map[string]set{}, unhealthy: map[string]set{},
		allocated: map[string]set{}, held: holdings{},
	}
}

// connected asks a plugin for its options and makes it the one that calls go to.
func (d *devices) connected(ctx context.Context, c *client) error {
	call := Call{Method: "GetDevicePluginOptions", Resource: c.resource, Socket: filepath.Base(c.socket)}
	var options *pluginapi.DevicePluginOptions
	if err := d.p.k.call(call, func() (err error) {
		options, err = c.api.GetDevicePluginOptions(ctx, &pluginapi.Empty{})
		return err
	}); err != nil {
		return fmt.Errorf("failed to get device plugin options: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.connections[c.resource][c.socket] != nil {
		return fmt.Errorf("device plugin already connected: %s", c.socket)
	}
	if d.connections[c.resource] == nil {
		d.connections[c.resource] = map[string]*client{}
	}
	c.options = options
	d.connections[c.resource][c.socket] = c
	d.endpoints[c.resource] = c
	return nil
}

// disconnected makes a resource unhealthy when its last plugin went, and promotes any other plugin otherwise.
func (d *devices) disconnected(resource, socket string) {
	defer d.p.k.change()
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.connections[resource][socket]
	if c == nil {
		return
	}
	c.stopped = d.p.k.opts.Clock.Now()
	delete(d.connections[resource], socket)
	for _, other := range d.connections[resource] {
		d.endpoints[resource] = other
		return
	}
	delete(d.connections, resource)
	if d.unhealthy[resource] == nil {
		d.unhealthy[resource] = set{}
	}
	maps.Copy(d.unhealthy[resource], d.healthy[resource])
	d.healthy[resource] = set{}
}

// list replaces what is known of a resource.
func (d *devices) list(c *client, list []*pluginapi.Device) {
	l := List{At: d.p.k.opts.Clock.Now(), Socket: filepath.Base(c.socket), Health: map[string]string{}}
	d.mu.Lock()
	r := c.resource
	d.all[r], d.healthy[r], d.unhealthy[r] = map[string]*pluginapi.Device{}, set{}, set{}
	for _, dev := range list {
		l.Health[dev.ID] = dev.Health
		d.all[r][dev.ID] = dev
		if dev.Health == healthy {
			d.healthy[r][dev.ID] = true
		} else {
			d.unhealthy[r][dev.ID] = true
		}
	}
	d.mu.Unlock()
	d.write()
	d.p.k.listed(r, l)
}

// capacity is what the Node object shall say. Resources whose plugins are gone for longer than the grace are forgotten.
func (d *devices) capacity() (counts map[string]Count, forgotten []string) {
	now := d.p.k.opts.Clock.Now()
	counts = map[string]Count{}
	d.mu.Lock()
	for r := range d.healthy {
		e := d.endpoints[r]
		if e == nil || !e.stopped.IsZero() && now.Sub(e.stopped) > d.p.k.opts.Grace {
			forgotten = append(forgotten, r)
			continue
		}
		counts[r] = Count{Capacity: int64(len(d.healthy[r]) + len(d.unhealthy[r])), Allocatable: int64(len(d.healthy[r]))}
	}
	for _, r := range forgotten {
		delete(d.endpoints, r)
		delete(d.healthy, r)
		delete(d.unhealthy, r)
	}
	d.mu.Unlock()
	if len(forgotten) > 0 {
		d.write()
	}
	return counts, forgotten
}

// known reports whether the kubelet takes a resource for one of a device plugin.
func (d *devices) known(resource string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.healthy[resource] != nil || d.allocated[resource] != nil
}

// collect frees the devices of pods that are not active any more. Whenever it does, what is allocated is counted anew from what
// containers have, which loses picks whose Allocate is under way.
func (d *devices) collect() {
	active := d.p.k.active()
	if !d.p.ready.Load() {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	picks := d.picks()
	freed := false
	for uid := range d.held {
		if !active[uid] {
			delete(d.held, uid)
			freed = true
		}
	}
	if !freed {
		return
	}
	d.allocated = d.held.allocated()
	if d.p.k.opts.MendedRebuild {
		for r, ids := range picks {
			if d.allocated[r] == nil {
				d.allocated[r] = set{}
			}
			maps.Copy(d.allocated[r], ids)
		}
	}
}

// picks are the allocated ids that no container has yet.
func (d *devices) picks() map[string]set {
	has := d.held.allocated()
	out := map[string]set{}
	for r, ids := range d.allocated {
		out[r] = minus(ids, has[r])
	}
	return out
}

// write writes the checkpoint. A process that has ended writes nothing.
func (d *devices) write() {
	d.writing.Lock()
	defer d.writing.Unlock()
	d.mu.Lock()
	registered := map[string][]string{}
	for r, ids := range d.healthy {
		registered[r] = keys(ids)
	}
	entries := d.held.entries()
	d.mu.Unlock()
	if d.p.ctx.Err() != nil {
		return
	}
	if err := checkpoint.Write(d.p.k.DevicePlugins(), entries, registered); err != nil {
		d.p.k.opts.Log.Error("the kubelet cannot write its checkpoint", "error", err)
	}
}

// restore takes in a checkpoint: what containers have, and the resources without a device until their plugins register.
func (d *devices) restore(entries []checkpoint.PodDevicesEntry, registered map[string][]string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.held.restore(entries)
	d.allocated = d.held.allocated()
	for r := range registered {
		d.healthy[r], d.unhealthy[r] = set{}, set{}
		d.endpoints[r] = &client{resource: r, stopped: d.p.k.opts.Clock.Now().Add(-time.Nanosecond)}
	}
}

// Devices are the ids of a resource as the kubelet has them now, sorted.
func (k *Kubelet) Devices(resource string) (healthy, unhealthy []string) {
	p := k.current()
	if p == nil {
		return nil, nil
	}
	p.devices.mu.Lock()
	defer p.devices.mu.Unlock()
	return keys(p.devices.healthy[resource]), keys(p.devices.unhealthy[resource])
}

func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func minus(a, b set) set {
	out := set{}
	for id := range a {
		if !b[id] {
			out[id] = true
		}
	}
	return out
}
