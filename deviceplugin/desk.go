package deviceplugin

import (
	"sync"
	"sync/atomic"

	"github.com/gpulet/gpulet/gpu"
)

// desk is what the RPCs of all resources share. They answer from it, their own table and the claims, all in memory.
type desk struct {
	cfg     Config
	metrics *metrics
	current atomic.Pointer[answers]
	wake    chan struct{} // of the manager

	// booking makes one step of looking at the newest table and the claims and opening new ones; current and tables change under it.
	booking sync.Mutex
	starts  starts
}

// answers is what the manager knows that the RPCs need. Immutable.
type answers struct {
	settings Settings
	topology *gpu.Topology
	// devices are all that are listed or claimed, by id; load is which part of its GPU a device is, in millionths.
	devices map[string]weighed
}

type weighed struct {
	device gpu.Device
	load   int
}

func newDesk(cfg Config) *desk {
	d := &desk{cfg: cfg, metrics: newMetrics(), wake: make(chan struct{}, 1)}
	d.current.Store(&answers{})
	return d
}

// poke makes the manager look again. It never blocks.
func (d *desk) poke() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// answers gathers what the RPCs need from the book.
func (b *book) answers(s Settings, f facts) *answers {
	a := &answers{settings: s, topology: f.snapshot.Topology, devices: make(map[string]weighed, len(b.spots))}
	for _, list := range b.held {
		for _, h := range list {
			a.devices[h.id] = weighed{h.device, load(h.device, 0, f.snapshot)}
		}
	}
	for _, sp := range b.spots {
		a.devices[sp.id] = weighed{sp.device, load(sp.device, sp.entry.replicas, f.snapshot)}
	}
	return a
}

// load is which part of its GPU a device is, in millionths.
func load(d gpu.Device, replicas int, s *gpu.Snapshot) int {
	const all = 1_000_000
	part := all
	if g := s.GPU(d.GPU); d.Kind == gpu.Slice && g != nil && g.Geometry.Axis > 0 {
		part = all * d.Slot.Placement.Size / g.Geometry.Axis
	}
	if d.Replica > 0 {
		part /= max(replicas, 1)
	}
	return part
}
