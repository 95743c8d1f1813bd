package gpu

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Quiesce makes the monitor let go of a GPU, so that its mode can be changed: its last state stays published until release, which
// has it looked up anew, as handles from before a mode change are not valid after it. Other GPUs and the driver's session are not
// touched: NVIDIA's library asks of the caller of nvmlDeviceSetMigMode to query the device again, and no more. Should the GPU not
// answer then, a new session follows as soon as nobody changes any other.
// Until release Read and Use answer ErrChanging, and changes wait. A second Quiesce answers ErrChanging.
func (m *Monitor) Quiesce(ctx context.Context, uuid UUID) (release func(), err error) {
	var s *slot
	var stopped <-chan struct{}
	var told *teller
	e := m.ask(ctx, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.quiet[uuid] {
			err = ErrChanging
			return
		}
		if s = m.slotOf(uuid); s == nil {
			err = ErrUnknownGPU
			return
		}
		m.quiet[uuid], s.quiet = true, true
		if told = s.teller; told != nil {
			told.close(ErrChanging)
		}
		s.cancel()
		stopped = s.stopped
	})
	if err = errors.Join(e, err); err != nil {
		return nil, err
	}
	release = sync.OnceFunc(func() {
		m.mu.Lock()
		delete(m.quiet, uuid)
		m.mu.Unlock()
		select {
		case m.released <- struct{}{}:
		default:
		}
	})
	select {
	case <-stopped:
	case <-ctx.Done():
		release()
		return nil, ctx.Err()
	}
	if err := m.drain(ctx, s.key, uuid, told); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// drain waits for the calls that are left of a GPU that nobody starts new ones of, and gives back what its telemetry holds.
func (m *Monitor) drain(ctx context.Context, key string, uuid UUID, told *teller) error {
	nothing := func() error { return nil }
	for _, l := range []Lane{LaneEvents, LaneInventory, LaneTopology} {
		if err := m.queues.Do(ctx, key, l, "let go of the GPU", m.cfg.CallTimeout, nothing); err != nil {
			return err
		}
	}
	if told != nil {
		if err := m.release(ctx, told); err != nil {
			return err
		}
	}
	return m.queues.Do(ctx, string(uuid), LaneChange, "let go of the GPU", m.cfg.ChangeTimeout, nothing)
}

// quietAt is the quiesced GPU that was last seen at an index. The caller is Run's goroutine and holds mu.
func (m *Monitor) quietAt(index int) UUID {
	for uuid := range m.quiet {
		if t := m.known[uuid]; t != nil && t.index == index {
			return uuid
		}
	}
	return ""
}

// restore takes up again what was released. probe starts a slot's goroutines.
func (m *Monitor) restore(probe func(*slot)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.slots {
		if !s.quiet || m.quiet[s.uuid] {
			continue
		}
		s.quiet, s.handle, s.teller = false, nil, nil
		s.reported, s.err, s.renewing = false, nil, true
		probe(s)
	}
}

// doubts notes that a GPU which was taken up again does not answer.
func (m *Monitor) doubts(r report) {
	if err := r.probe.Err; r.slot.renewing && err != nil && !errors.Is(err, ErrDeadline) {
		m.doubt = true
	}
}

// shown ends the waiting for a GPU that was taken up again: what was found is published.
func (m *Monitor) shown(s *slot) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.renewing {
		s.renewing = false
		m.tellNews()
	}
}

// spoiled reports whether a new session might answer better than this one, and nobody needs this one.
func (m *Monitor) spoiled() bool {
	if !m.calm() {
		return false
	}
	if m.doubt {
		m.doubt = false
		return true
	}
	if m.allFailing() && time.Since(m.renewed) > time.Minute {
		m.renewed = time.Now() // a session may be spoiled without the driver's saying so
		return true
	}
	return false
}
