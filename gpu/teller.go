package gpu

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// ErrChanging is wrapped by the error of a measurement of a GPU that somebody has quiesced.
var ErrChanging = errors.New("the GPU is being changed")

// teller is a session's Telemetry of one GPU, until it is shut. All calls of the Telemetry are made in the telemetry lane.
type teller struct {
	uuid      UUID
	telemetry Telemetry
	mu        sync.Mutex
	shut      error // guarded by mu: why nothing is read any more
}

// why is the reason for which nothing is read, nil while the teller is open.
func (t *teller) why() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.shut
}

// close makes every later call answer why. What is under way gives the GPU back when it returns.
func (t *teller) close(why error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.shut == nil {
		t.shut = why
	}
}

// tell makes one call in the telemetry lane.
func tell[T any](ctx context.Context, m *Monitor, uuid UUID, call string, f func(Telemetry) (T, error)) (T, error) {
	var none T
	t, err := m.teller(uuid)
	if err != nil {
		return none, fmt.Errorf("%s: %w", call, err)
	}
	return Call(ctx, m.queues, string(uuid), LaneTelemetry, call, m.cfg.TelemetryTimeout, func() (T, error) {
		if err := t.why(); err != nil {
			return none, fmt.Errorf("%s: %w", call, err)
		}
		v, err := f(t.telemetry)
		if why := t.why(); why != nil { // who shut it may have given up waiting for this call
			_ = t.telemetry.Release()
			return none, fmt.Errorf("%s: %w", call, why)
		}
		return v, err
	})
}

// release makes a shut teller let go of its GPU, in the lane.
func (m *Monitor) release(ctx context.Context, t *teller) error {
	return m.queues.Do(ctx, string(t.uuid), LaneTelemetry, "let go of the GPU", m.cfg.TelemetryTimeout, t.telemetry.Release)
}

// teller finds the open teller of a GPU.
func (m *Monitor) teller(uuid UUID) (*teller, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.slotOf(uuid)
	switch {
	case s == nil:
		return nil, ErrUnknownGPU
	case s.quiet:
		return nil, ErrChanging
	case s.teller == nil:
		return nil, ErrUnknownGPU
	}
	return s.teller, nil
}

// Read measures a GPU and its instances, through the telemetry lane. The error is about the GPU as a whole: ErrUnknownGPU,
// ErrChanging while it is quiesced, ErrDeadline, ErrLost, ErrSessionLost or the driver's.
func (m *Monitor) Read(ctx context.Context, uuid UUID, ask Ask) ([]Reading, error) {
	return tell(ctx, m, uuid, "read the measurements", func(t Telemetry) ([]Reading, error) { return t.Read(ask) })
}

// Use tells what each process of a GPU did since the last call, through the telemetry lane. Errors are those of Read.
// There is one "last call" for all callers.
func (m *Monitor) Use(ctx context.Context, uuid UUID) ([]ProcessUse, error) {
	return tell(ctx, m, uuid, "read the use of the processes", Telemetry.Use)
}

// handled notes a slot's new handle. Whatever the telemetry of the old one holds is given back.
func (m *Monitor) handled(ctx context.Context, s *slot, st static, h DriverGPU) {
	m.mu.Lock()
	old := s.teller
	s.handle, s.geometry, s.teller = h, st.geometry, &teller{uuid: st.id.UUID, telemetry: h.Telemetry()}
	if s.quiet {
		s.teller.close(ErrChanging)
	}
	m.mu.Unlock()
	if old != nil {
		old.close(ErrSessionLost)
		_ = m.release(context.WithoutCancel(ctx), old) // when it cannot, the call that is under way does
	}
}

// dismiss shuts the tellers of a session that ends. Its own goroutines have ended.
func (m *Monitor) dismiss() {
	m.mu.Lock()
	var tellers []*teller
	for _, s := range m.slots {
		if s.teller != nil {
			tellers = append(tellers, s.teller)
			s.teller.close(ErrSessionLost)
		}
	}
	m.mu.Unlock()
	var group sync.WaitGroup
	for _, t := range tellers {
		group.Go(func() { _ = m.release(context.Background(), t) })
	}
	group.Wait()
}
