package deviceplugin

import (
	"context"
	"sync"

	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"github.com/gpulet/gpulet/gpu"
)

// list is one resource towards the kubelet: the newest table, and how far it came.
type list struct {
	resource string
	desk     *desk
	tables   *gpu.Feed[*table]

	mu      sync.Mutex
	streams map[*stream]struct{} // guarded by mu
}

// stream is one open ListAndWatch; sent is the version that it sent last.
type stream struct{ sent uint64 }

func newList(resource string, d *desk, t *table) *list {
	return &list{resource: resource, desk: d, tables: gpu.NewFeed(t), streams: map[*stream]struct{}{}}
}

// handler is what is registered for a resource. A new one takes its place when its options change.
type handler struct {
	*list
	preStart bool
}

// Options implements plugin.Handler.
func (h *handler) Options() *api.DevicePluginOptions {
	return &api.DevicePluginOptions{PreStartRequired: h.preStart, GetPreferredAllocationAvailable: true}
}

// ListAndWatch implements plugin.Handler.
func (l *list) ListAndWatch(ctx context.Context, send func([]*api.Device) error) error {
	s := &stream{}
	l.note(func() { l.streams[s] = struct{}{} })
	defer l.note(func() { delete(l.streams, s) })
	for {
		t, changed := l.tables.Get()
		if t.version != s.sent {
			if err := send(t.wire); err != nil {
				return err
			}
			l.note(func() { s.sent = t.version })
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// note changes what is known of the streams and tells the manager.
func (l *list) note(change func()) {
	l.mu.Lock()
	change()
	l.mu.Unlock()
	l.desk.poke()
}

// delivered tells how far the lists came. A stream that has sent nothing yet holds the version back.
func (l *list) delivered() delivery {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := delivery{open: len(l.streams)}
	first := true
	for s := range l.streams {
		if first || s.sent < d.version {
			d.version, first = s.sent, false
		}
	}
	return d
}
