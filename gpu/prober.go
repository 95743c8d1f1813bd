package gpu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gpulet/gpulet/gpu/mig"
)

// static is what is read of a GPU once in a session.
type static struct {
	id       Identity
	numa     int
	geometry mig.Geometry
	gaps     []Gap
}

// report is what a prober tells.
type report struct {
	slot   *slot
	static *static // when it was read anew
	probed bool    // probe holds an answer
	probe  Probe
	gaps   []Gap
}

// reading is the outcome of one look.
type reading struct {
	layout    Layout
	condition Condition
	gaps      []Gap
}

// prober looks at one GPU at each interval and whenever it is poked, until ctx ends; session outlives ctx when the GPU
// alone is let go. It waits for the GPU's watcher.
func (m *Monitor) prober(ctx, session context.Context, s *slot, in inbox) {
	var watcher sync.WaitGroup
	defer watcher.Wait()
	send := func(r report) {
		r.slot = s
		r.probe.At = time.Now()
		select {
		case in.reports <- r:
		case <-session.Done():
		}
	}
	var handle DriverGPU
	var st static
	look := func(r *report) (err error) {
		if s.anew.Swap(false) {
			handle = nil
		}
		if handle == nil {
			h, read, err := m.identify(ctx, s)
			if err != nil {
				return err
			}
			handle, st = h, read
			r.static = &read
			m.handled(ctx, s, read, h)
		}
		got, err := m.read(ctx, s, handle, st.geometry)
		r.probed = err == nil
		r.probe.Layout, r.probe.Condition, r.gaps = got.layout, got.condition, got.gaps
		return err
	}
	watched := false
	var last time.Time
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-s.poke:
			if !breathe(ctx, last.Add(pokeSpacing)) {
				return
			}
		}
		last = time.Now()
		r := report{}
		r.probe.Err = look(&r)
		if r.probed && r.static == nil && r.probe.Layout.MIG.Enabled && len(st.geometry.Profiles) == 0 {
			// Drivers tell no profiles while MIG is off, or could not tell: without them no instance is seen.
			handle, r = nil, report{}
			r.probe.Err = look(&r)
		}
		if ctx.Err() != nil {
			return // the call was given up
		}
		if r.probe.Err != nil && !errors.Is(r.probe.Err, ErrDeadline) {
			handle = nil // looked up anew: after a reset the old one does not answer
		}
		send(r)
		if r.probed && !watched {
			watched = true
			watcher.Go(func() { m.watcher(ctx, session, s, in) })
		}
		timer.Reset(m.cfg.Interval)
	}
}

// pokeSpacing is between two looks at a GPU that events ask for: a storm of events is not one of looks.
const pokeSpacing = 50 * time.Millisecond

// breathe waits until a time; false when ctx has ended.
func breathe(ctx context.Context, until time.Time) bool {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// identify looks the GPU up and reads what is fixed.
func (m *Monitor) identify(ctx context.Context, s *slot) (DriverGPU, static, error) {
	type found struct {
		handle DriverGPU
		static static
	}
	f, err := Call(ctx, m.queues, s.key, LaneInventory, "identify the GPU", m.cfg.CallTimeout, func() (f found, err error) {
		if f.handle, err = m.cfg.Driver.GPU(s.index); err != nil {
			return f, err
		}
		var gaps []Gap
		if f.static.id, gaps, err = f.handle.Identity(); err != nil {
			return f, err
		}
		if f.static.id.UUID == "" {
			return f, errors.New("the driver does not tell its UUID")
		}
		f.static.gaps = gaps
		f.static.geometry, gaps, err = f.handle.Geometry()
		f.static.gaps = append(f.static.gaps, gaps...)
		return f, err
	})
	if err != nil {
		return nil, static{}, err
	}
	var gap error
	f.static.numa, gap = numaNode(m.cfg.SysRoot, f.static.id.PCI)
	if gap != nil {
		f.static.gaps = append(f.static.gaps, Gap{"NUMA node", gap.Error()})
	}
	return f.handle, f.static, nil
}

// read looks at what changes.
func (m *Monitor) read(ctx context.Context, s *slot, h DriverGPU, g mig.Geometry) (reading, error) {
	return Call(ctx, m.queues, s.key, LaneInventory, "read the layout and condition", m.cfg.CallTimeout, func() (r reading, err error) {
		var gaps []Gap
		if r.layout, r.gaps, err = h.Layout(g); err != nil {
			return r, err
		}
		r.condition, gaps, err = h.Condition()
		r.gaps = append(r.gaps, gaps...)
		return r, err
	})
}

// watcher waits for events of one GPU until ctx ends. Errors make it register anew, later and later.
func (m *Monitor) watcher(ctx, session context.Context, s *slot, in inbox) {
	// A wait cannot be ended from outside, and who wants to change the GPU's mode waits for it. Shorter ones cost CPU at rest:
	// of 500 ms nearly twice as much in all.
	const slice, first, most = 2 * time.Second, time.Second, time.Minute
	pause := first
	for ctx.Err() == nil {
		src, err := m.register(ctx, s)
		if errors.Is(err, ErrMissing) || errors.Is(err, ErrNotSupported) {
			m.cfg.Log.Info("no events from this GPU", "index", s.index, "reason", err)
			return
		}
		if err == nil {
			began := time.Now()
			err = m.listen(ctx, session, s, src, slice, in)
			_ = m.queues.Do(context.WithoutCancel(ctx), s.key, LaneEvents, "free the event set", m.cfg.CallTimeout, src.Close)
			if time.Since(began) > most {
				pause = first
			}
		}
		if ctx.Err() != nil {
			return
		}
		m.cfg.Log.Debug("events are registered anew", "index", s.index, "reason", err, "in", pause)
		s.look() // what was missed, a probe finds
		_ = breathe(ctx, time.Now().Add(pause))
		pause = min(2*pause, most)
	}
}

// register registers the events of a slot's GPU. The registration keeps others from changing the GPU's mode, so one that
// comes after we stopped waiting for it is given back.
func (m *Monitor) register(ctx context.Context, s *slot) (EventSource, error) {
	m.mu.Lock()
	h := s.handle
	m.mu.Unlock()
	var abandoned atomic.Bool
	src, err := Call(context.WithoutCancel(ctx), m.queues, s.key, LaneEvents, "register events", m.cfg.CallTimeout, func() (EventSource, error) {
		src, err := h.Watch()
		if err == nil && abandoned.Load() {
			err = errors.Join(ErrDeadline, src.Close())
		}
		return src, err
	})
	if err != nil {
		abandoned.Store(true)
	}
	return src, err
}

// listen hands events over until an error.
func (m *Monitor) listen(ctx, session context.Context, s *slot, src EventSource, slice time.Duration, in inbox) error {
	for {
		next := time.Now().Add(slice)
		e, err := Call(ctx, m.queues, s.key, LaneEvents, "wait for events", slice+m.cfg.CallTimeout, func() (Event, error) { return src.Wait(slice) })
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, ErrTimeout):
			if !breathe(ctx, next) { // some drivers do not wait
				return ctx.Err()
			}
			continue
		case err != nil:
			return err
		}
		select {
		case in.events <- seen{s, e}:
		case <-session.Done():
			return session.Err()
		}
	}
}

// numaNode reads a device's NUMA node from sysfs; -1 when the machine does not tell one.
func numaNode(sysRoot string, pci PCIAddress) (int, error) {
	if pci == "" {
		return -1, errors.New("the PCI address is not known")
	}
	root, err := os.OpenRoot(sysRoot)
	if err != nil {
		return -1, fmt.Errorf("open the sys root: %w", err)
	}
	defer func() { _ = root.Close() }()
	data, err := root.ReadFile(path.Join("bus/pci/devices", string(pci), "numa_node"))
	if err != nil {
		return -1, fmt.Errorf("read its sysfs entry: %w", err)
	}
	return parseNUMA(data)
}

// parseNUMA reads the content of a numa_node file; the kernel writes -1 for "none".
func parseNUMA(data []byte) (int, error) {
	n, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || n < -1 || n > 4095 {
		return -1, fmt.Errorf("its sysfs entry says %.20q", data)
	}
	return n, nil
}
