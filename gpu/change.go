package gpu

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gpulet/gpulet/gpu/mig"
)

// errStale is the answer of a call that found itself with what belongs to an earlier session: nothing was done.
var errStale = errors.New("the session of the driver has changed")

// grip is a GPU within reach in the present session.
type grip struct {
	index    int
	key      string // of its queues by index
	handle   DriverGPU
	geometry mig.Geometry
}

// errand is one call to a GPU for somebody else.
type errand struct {
	uuid    UUID
	call    string
	lane    Lane
	quiet   bool // whoever calls has quiesced the GPU; otherwise nobody may have
	timeout time.Duration
}

// reach makes a call to a GPU, in its lane, with a handle of the present session. A session that is being renewed, and somebody
// who has the GPU quiesced, are waited for. The timeout is for all of it.
func reach[T any](ctx context.Context, m *Monitor, e errand, f func(grip) (T, error)) (T, error) {
	var none T
	until := time.Now().Add(e.timeout)
	for {
		g, err := m.hold(ctx, e, until)
		if err != nil {
			return none, fmt.Errorf("%s: %w", e.call, err)
		}
		key := string(e.uuid)
		if e.lane == LaneInventory {
			key = g.key
		}
		v, err := Call(ctx, m.queues, key, e.lane, e.call, time.Until(until), func() (T, error) {
			g, ok := m.within(e)
			if !ok {
				return none, errStale
			}
			return f(g)
		})
		m.mu.Lock()
		m.changing--
		m.mu.Unlock()
		if !errors.Is(err, errStale) {
			return v, err
		}
	}
}

// hold waits until a GPU is within reach and keeps its session from being renewed; the caller ends that by m.changing.
func (m *Monitor) hold(ctx context.Context, e errand, until time.Time) (grip, error) {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	lookUp := time.NewTimer(2 * m.cfg.CallTimeout) // what a renewal of the session may take
	defer lookUp.Stop()
	waited := false
	for {
		m.mu.Lock()
		s, news, complete := m.slotOf(e.uuid), m.news, m.complete()
		quiet := s != nil && s.quiet && !e.quiet
		g, ok := m.gripOf(s, e)
		if ok {
			m.changing++
		}
		m.mu.Unlock()
		switch {
		case ok:
			return g, nil
		case s == nil && complete:
			return g, ErrUnknownGPU
		}
		if quiet || waited { // its time begins when nobody has the GPU any more
			lookUp.Reset(2 * m.cfg.CallTimeout)
		}
		waited = quiet
		late := lookUp.C
		if quiet {
			late = nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return g, ctx.Err()
		case <-late:
			return g, ErrUnknownGPU
		case <-timer.C:
			if quiet {
				return g, ErrChanging
			}
			return g, ErrUnknownGPU
		}
	}
}

// within is hold for who has its turn.
func (m *Monitor) within(e errand) (grip, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.gripOf(m.slotOf(e.uuid), e)
}

// gripOf is the grip on a slot, if it is as the errand needs it. The caller holds mu.
func (m *Monitor) gripOf(s *slot, e errand) (grip, bool) {
	if s == nil || s.quiet != e.quiet || s.handle == nil && !e.quiet {
		return grip{}, false
	}
	return grip{s.index, s.key, s.handle, s.geometry}, true
}

// complete reports whether every GPU of the session has said who it is. The caller holds mu.
func (m *Monitor) complete() bool {
	for _, s := range m.slots {
		if s.uuid == "" {
			return false
		}
	}
	return len(m.slots) > 0
}

// calm reports whether a new session would disturb nobody.
func (m *Monitor) calm() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changing == 0 && len(m.quiet) == 0
}

// tellNews wakes those who wait for a GPU. The caller holds mu.
func (m *Monitor) tellNews() {
	close(m.news)
	m.news = make(chan struct{})
}

// changed has a GPU looked at now: somebody changed it, or tried to.
func (m *Monitor) changed(uuid UUID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.slotOf(uuid); s != nil {
		s.look()
	}
}

// alter makes a call that changes a GPU.
func alter[T any](ctx context.Context, m *Monitor, uuid UUID, call string, f func(grip) (T, error)) (T, error) {
	e := errand{uuid: uuid, call: call, lane: LaneChange, timeout: m.cfg.ChangeTimeout}
	return reach(ctx, m, e, func(g grip) (T, error) {
		defer m.changed(uuid) // also when nobody waits for it any more
		return f(g)
	})
}

// Layout reads a GPU's mode and instances from the driver. Errors are ErrUnknownGPU, ErrChanging, ErrDeadline or the driver's.
func (m *Monitor) Layout(ctx context.Context, uuid UUID) (Layout, error) {
	e := errand{uuid: uuid, call: "read the layout", lane: LaneInventory, timeout: m.cfg.CallTimeout}
	return reach(ctx, m, e, func(g grip) (Layout, error) {
		l, _, err := g.handle.Layout(g.geometry)
		return l, err
	})
}

// CreateInstance makes a GPU instance at a slot of the GPU's geometry, without a compute instance, and gives its id. Errors of
// this and the other changes are ErrUnknownGPU, ErrChanging while somebody has the GPU quiesced, ErrDeadline when the driver
// does not answer in ChangeTimeout (what it does after that, the inventory shows), ErrNotSupported or the driver's.
func (m *Monitor) CreateInstance(ctx context.Context, uuid UUID, slot mig.Slot) (uint32, error) {
	return alter(ctx, m, uuid, "create "+slot.String(), func(g grip) (uint32, error) {
		for _, p := range g.geometry.Profiles {
			if p.Profile == slot.Profile && slices.Contains(p.Placements, slot.Placement) {
				return g.handle.CreateInstance(p, slot.Placement)
			}
		}
		return 0, fmt.Errorf("this GPU has no place %s: %w", slot, ErrNotSupported)
	})
}

// CreateCompute makes the compute instance that fills a GPU instance.
func (m *Monitor) CreateCompute(ctx context.Context, uuid UUID, instance uint32) (ComputeInstance, error) {
	call := fmt.Sprintf("create the compute instance of GPU instance %d", instance)
	return alter(ctx, m, uuid, call, func(g grip) (ComputeInstance, error) { return g.handle.CreateCompute(instance) })
}

// DestroyCompute destroys a compute instance; ErrInUse while anything holds it, ErrNotFound when it is gone.
func (m *Monitor) DestroyCompute(ctx context.Context, uuid UUID, instance, compute uint32) error {
	call := fmt.Sprintf("destroy compute instance %d of GPU instance %d", compute, instance)
	_, err := alter(ctx, m, uuid, call, func(g grip) (struct{}, error) {
		return struct{}{}, g.handle.DestroyCompute(instance, compute)
	})
	return err
}

// DestroyInstance destroys a GPU instance; ErrInUse while it has compute instances or anything holds it, ErrNotFound when it is gone.
func (m *Monitor) DestroyInstance(ctx context.Context, uuid UUID, instance uint32) error {
	_, err := alter(ctx, m, uuid, fmt.Sprintf("destroy GPU instance %d", instance), func(g grip) (struct{}, error) {
		return struct{}{}, g.handle.DestroyInstance(instance)
	})
	return err
}

// Holders lists the processes that use a GPU or its instances, from the driver, through the telemetry lane.
func (m *Monitor) Holders(ctx context.Context, uuid UUID) ([]Holder, error) {
	e := errand{uuid: uuid, call: "list the processes", lane: LaneTelemetry, timeout: m.cfg.CallTimeout}
	return reach(ctx, m, e, func(g grip) ([]Holder, error) { return g.handle.Processes() })
}

// SetMode changes the MIG mode of a GPU. The monitor lets go of it first and looks it up anew after; its last state stays
// published meanwhile, and other GPUs are not touched. When SetMode returns, the inventory has seen what became of it, or tried to.
func (m *Monitor) SetMode(ctx context.Context, uuid UUID, on bool) (Activation, error) {
	e := errand{uuid: uuid, call: "switch MIG mode off", lane: LaneChange, timeout: m.cfg.ChangeTimeout}
	if on {
		e.call = "switch MIG mode on"
	}
	fail := func(err error) (Activation, error) { return NotActivated, fmt.Errorf("%s: %w", e.call, err) }
	if _, err := m.hold(ctx, e, time.Now().Add(e.timeout)); err != nil {
		return fail(err)
	}
	defer func() {
		m.mu.Lock()
		m.changing--
		m.mu.Unlock()
	}()
	release, err := m.Quiesce(ctx, uuid)
	if err != nil {
		return fail(err)
	}
	e.quiet = true
	a, err := reach(ctx, m, e, func(g grip) (Activation, error) {
		defer m.anew(uuid)
		h, err := m.named(g.index, uuid)
		if err != nil {
			return NotActivated, err
		}
		return h.SetMode(on)
	})
	release()
	m.awaitLook(ctx, uuid)
	return a, err
}

// named looks a GPU up and makes sure that it is the one.
func (m *Monitor) named(index int, uuid UUID) (DriverGPU, error) {
	h, err := m.cfg.Driver.GPU(index)
	if err != nil {
		return nil, err
	}
	id, _, err := h.Identity()
	if err == nil && id.UUID != uuid {
		err = fmt.Errorf("the driver has %s in its place: %w", id.UUID, ErrUnknownGPU)
	}
	return h, err
}

// anew has a GPU looked up anew that was taken up again before its mode was changed: nobody waited for the change any more.
func (m *Monitor) anew(uuid UUID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.slotOf(uuid); s != nil && !s.quiet {
		s.anew.Store(true)
		s.look()
	}
}

// awaitLook waits until a GPU that was released has been looked at.
func (m *Monitor) awaitLook(ctx context.Context, uuid UUID) {
	timer := time.NewTimer(2 * m.cfg.CallTimeout)
	defer timer.Stop()
	for {
		m.mu.Lock()
		s, news := m.slotOf(uuid), m.news
		seen := s != nil && !s.quiet && !s.renewing
		m.mu.Unlock()
		if seen {
			return
		}
		select {
		case <-news:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
