package gpu

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gpulet/gpulet/gpu/mig"
)

// errRenew ends a session that is to be followed by another at once.
var errRenew = errors.New("a new session is wanted")

// slot is one index of the driver's enumeration in one session.
type slot struct {
	index   int
	key     string // of its queues
	poke    chan struct{}
	cancel  context.CancelFunc
	stopped chan struct{} // closed when its goroutines have let go of the GPU

	// These are guarded by Monitor.mu, empty until the GPU answered. Run's goroutine alone writes uuid, quiet and renewing.
	uuid     UUID
	handle   DriverGPU    // the prober writes it
	geometry mig.Geometry // of the handle
	teller   *teller      // of the handle
	quiet    bool         // somebody changes the GPU
	renewing bool         // it was quiet, and was not looked at since

	anew     atomic.Bool // the handle is to be looked up anew
	reported bool        // in this session; Run's goroutine
	err      error       // of the last report; Run's goroutine
}

// look makes the prober look now.
func (s *slot) look() {
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

// opened is what a session begins with.
type opened struct {
	info  DriverInfo
	gaps  []Gap
	count int
}

// session is one life of the driver: open, watch each GPU, close. It returns why it ended.
func (m *Monitor) session(ctx context.Context) error {
	born := birth{time.Now(), boundDevices(m.cfg.SysRoot)}
	o, err := Call(ctx, m.queues, Node, LaneInventory, "open the driver", m.cfg.CallTimeout, func() (opened, error) {
		var o opened
		err := m.cfg.Driver.Open()
		if err == nil {
			o.info, o.gaps, err = m.cfg.Driver.Info()
		}
		if err == nil {
			o.count, err = m.cfg.Driver.Count()
		}
		return o, err
	})
	if err != nil {
		return err
	}
	m.driver, m.gaps, m.module = o.info, o.gaps, moduleInode(m.cfg.SysRoot)
	ctx, cancel := context.WithCancel(ctx)
	g, ctx := errgroup.WithContext(ctx)
	in := inbox{reports: make(chan report), events: make(chan seen)}
	probe := func(s *slot) {
		var sctx context.Context
		sctx, s.cancel = context.WithCancel(ctx)
		stop, stopped := s.cancel, make(chan struct{})
		s.stopped = stopped
		g.Go(func() error {
			defer close(stopped)
			defer stop()
			m.prober(sctx, ctx, s, in)
			return nil
		})
	}
	m.doubt = false
	m.mu.Lock()
	for i := range o.count {
		s := &slot{index: i, key: fmt.Sprintf("#%d", i), poke: make(chan struct{}, 1), cancel: func() {}, stopped: make(chan struct{})}
		m.slots[i] = s
		if uuid := m.quietAt(i); uuid != "" { // somebody changes it: hands off
			s.uuid, s.quiet = uuid, true
			close(s.stopped)
			continue
		}
		probe(s)
	}
	m.mu.Unlock()
	err = m.watch(ctx, in, born, probe)
	cancel()
	_ = g.Wait() // probers return no error
	m.topology.wait()
	m.dismiss() //nolint:contextcheck // it ends after its context did
	m.mu.Lock()
	clear(m.slots)
	m.mu.Unlock()
	m.close() //nolint:contextcheck // it ends after its context did
	return err
}

// close ends the driver's session once no call is under way; with a call that hangs it is left open,
// since the library would wait for that call.
func (m *Monitor) close() {
	for range 20 {
		if !m.queues.Busy() {
			_ = m.queues.Do(context.Background(), Node, LaneInventory, "close the driver", 2*time.Second, m.cfg.Driver.Close)
			return
		}
		time.Sleep(50 * time.Millisecond) // calls that were left behind end by themselves
	}
}

// inbox is how a session's goroutines reach Run's.
type inbox struct {
	reports chan report
	events  chan seen
}

// seen is an event with the slot that it came from.
type seen struct {
	slot  *slot
	event Event
}

// watch takes what the session's goroutines tell until the session is over.
func (m *Monitor) watch(ctx context.Context, in inbox, born birth, probe func(*slot)) error {
	first := time.NewTimer(m.cfg.FirstAnswer)
	defer first.Stop()
	around := time.NewTicker(lookAround)
	defer around.Stop()
	waiting := len(m.slots) > 0 // for the first answer of each GPU
	topologies := make(chan measured, 1)
	if !waiting {
		m.begun()
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-first.C:
			if waiting {
				waiting = false
				m.begun()
				m.wantTopology(ctx, topologies)
			}
		case r := <-in.reports:
			if err := m.take(r); err != nil {
				return err
			}
			if m.spoiled() {
				return errRenew
			}
			if waiting && m.allReported() {
				waiting = false
				m.begun()
			} else if !waiting {
				m.settle()
			}
			if !waiting {
				m.shown(r.slot)
				m.wantTopology(ctx, topologies)
			}
		case e := <-in.events:
			m.event(e)
			if !waiting {
				m.publish()
			}
		case <-around.C:
			if m.wantsRenewal(born) {
				return errRenew
			}
		case t := <-topologies:
			m.topology.done(t)
			m.publish()
		case a := <-m.asks:
			a.do()
			close(a.done)
		case <-m.released:
			m.restore(probe)
		}
	}
}

// begun is the moment of a session's first snapshot.
func (m *Monitor) begun() {
	m.away = ""
	m.settle()
}

// settle takes account of GPUs that the driver does not list any more, and publishes.
func (m *Monitor) settle() {
	if m.allReported() {
		listed := map[UUID]bool{}
		nameless := false
		for _, s := range m.slots {
			listed[s.uuid] = true
			nameless = nameless || s.uuid == ""
		}
		for uuid, t := range m.known {
			if !listed[uuid] && !nameless {
				t.machine.Observe(Probe{At: time.Now(), Err: fmt.Errorf("the driver does not list it: %w", ErrLost)})
			}
		}
	}
	m.save()
	m.publish()
}

func (m *Monitor) allReported() bool {
	for _, s := range m.slots {
		if !s.reported && !s.quiet {
			return false
		}
	}
	return true
}

// allFailing reports whether every GPU answers with errors that are neither its own loss nor silence.
func (m *Monitor) allFailing() bool {
	for _, s := range m.slots {
		if s.err == nil || errors.Is(s.err, ErrLost) || errors.Is(s.err, ErrDeadline) {
			return false
		}
	}
	return true
}

// take takes a report. An error ends the session.
func (m *Monitor) take(r report) error {
	s := r.slot
	if r.static != nil {
		t := m.known[r.static.id.UUID]
		if t == nil {
			t = &tracked{machine: NewMachine(m.cfg.Health, nil)}
			m.known[r.static.id.UUID] = t
		}
		t.index, t.static = s.index, *r.static
		m.mu.Lock()
		s.uuid = r.static.id.UUID
		m.tellNews()
		m.mu.Unlock()
	}
	m.doubts(r)
	if err := r.probe.Err; errors.Is(err, ErrSessionLost) || errors.Is(err, ErrNoDriver) || errors.Is(err, ErrLibraryStale) {
		return err
	}
	s.reported, s.err = true, r.probe.Err
	t := m.trackedAt(s)
	if t == nil {
		return nil // nothing is known of it but its index
	}
	if r.probe.Err == nil {
		r.probe.Restarted = t.restarted
		r.probe.Layout = r.probe.Layout.over(t.probe.Layout)
		t.probe, t.gaps, t.answered, t.restarted = r.probe, r.gaps, true, false
	}
	t.machine.Observe(r.probe)
	t.probe.Condition = t.machine.Memory().Condition
	return nil
}

// trackedAt is the GPU of a slot: as it named itself in this session, otherwise the one that was there before.
func (m *Monitor) trackedAt(s *slot) *tracked {
	if s.uuid != "" {
		return m.known[s.uuid]
	}
	named := map[UUID]bool{}
	for _, o := range m.slots {
		named[o.uuid] = true
	}
	for _, uuid := range slices.Sorted(maps.Keys(m.known)) {
		if t := m.known[uuid]; t.index == s.index && !named[uuid] {
			return t
		}
	}
	return nil
}

// event takes an event; what it means for the layout the prober finds out.
func (m *Monitor) event(e seen) {
	if e.event.Kind != EventXID {
		e.slot.look()
		return
	}
	t := m.trackedAt(e.slot)
	if t == nil {
		return
	}
	now := time.Now()
	if m.hit(t, e.event, now, "driver") {
		e.slot.look()
	}
	m.cfg.XID(t.static.id.UUID, e.event, now)
}
