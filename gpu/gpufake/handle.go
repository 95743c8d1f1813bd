package gpufake

import (
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

// handle is a GPU in one session.
type handle struct {
	g       *GPU
	session int
}

// call runs f under the lock unless the GPU hangs, is lost or fails.
func (h *handle) call(name string, f func()) error {
	d := h.g.driver
	d.mu.Lock()
	defer d.mu.Unlock()
	for h.g.hang != nil {
		c := h.g.hang
		d.mu.Unlock()
		<-c
		d.mu.Lock()
	}
	if err := d.alive(name); err != nil {
		return err
	}
	switch {
	case h.session != d.session:
		return refuse(name, "invalid argument", gpu.ErrEnd)
	case h.g.lost:
		return refuse(name, "the GPU is lost", gpu.ErrLost)
	case h.g.err != nil:
		return h.g.err
	}
	f()
	return nil
}

func (h *handle) Identity() (id gpu.Identity, gaps []gpu.Gap, err error) {
	err = h.call("Identity", func() { id, gaps = h.g.ID, h.g.Gaps })
	return id, gaps, err
}

func (h *handle) Geometry() (g mig.Geometry, gaps []gpu.Gap, err error) {
	err = h.call("Geometry", func() { g = h.g.Profiles })
	return g, nil, err
}

func (h *handle) Layout(mig.Geometry) (l gpu.Layout, gaps []gpu.Gap, err error) {
	err = h.call("Layout", func() { l = h.g.layout })
	return l, nil, err
}

func (h *handle) Condition() (c gpu.Condition, gaps []gpu.Gap, err error) {
	err = h.call("Condition", func() { c = h.g.condition })
	return c, nil, err
}

func (h *handle) Processes() (p []gpu.Holder, err error) {
	err = h.call("Processes", func() { p = h.g.holders })
	return p, err
}

func (h *handle) Links() (l []gpu.Link, err error) {
	err = h.call("Links", func() { l = h.g.links })
	return l, err
}

func (h *handle) Ancestor(peer gpu.DriverGPU) (a gpu.Ancestor, err error) {
	err = h.call("Ancestor", func() {
		var ok bool
		if a, ok = h.g.ancestors[peer.(*handle).g.ID.UUID]; !ok {
			a = gpu.AncestorSystem
		}
	})
	return a, err
}

func (h *handle) Watch() (gpu.EventSource, error) {
	s := &source{g: h.g, events: make(chan gpu.Event, 64), gone: make(chan struct{})}
	var none error
	err := h.call("Watch", func() {
		if h.g.noEvents {
			none = refuse("Watch", "not supported", gpu.ErrNotSupported)
			return
		}
		h.g.sources = append(h.g.sources, s)
	})
	if err == nil {
		err = none
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// source is a registration.
type source struct {
	g      *GPU
	events chan gpu.Event
	gone   chan struct{}
}

func (s *source) Wait(timeout time.Duration) (gpu.Event, error) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case e := <-s.events:
		return e, nil
	case <-s.gone:
		return gpu.Event{}, refuse("Wait", "the driver was restarted", gpu.ErrSessionLost)
	case <-timer.C:
		return gpu.Event{}, refuse("Wait", "timed out", gpu.ErrTimeout)
	}
}

func (s *source) Close() error {
	s.g.do(func() {
		for i, o := range s.g.sources {
			if o == s {
				s.g.sources = append(s.g.sources[:i:i], s.g.sources[i+1:]...)
				return
			}
		}
	})
	return nil
}
