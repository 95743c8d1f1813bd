package gpu

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// ErrUnknownGPU is wrapped by errors about a GPU that is not in the inventory or out of reach.
var ErrUnknownGPU = errors.New("no such GPU within reach")

// Monitor watches the node's GPUs and publishes what it sees. Each GPU has its own goroutines and queues,
// so that one that hangs is listed as such while the others go on.
type Monitor struct {
	cfg    MonitorConfig
	feed   *Feed[*Snapshot]
	queues *Queues
	asks   chan ask
	saves  chan state
	wake   chan struct{} // ends the pause between two sessions

	mu    sync.Mutex
	slots map[int]*slot // guarded by mu for those outside Run's goroutine; Run's alone writes it

	// The rest belongs to Run's goroutine.
	known     map[UUID]*tracked
	driver    DriverInfo
	gaps      []Gap  // of the node
	away      string // why there is no session, empty while there is one
	topology  topologyState
	last      *Snapshot
	lastSaved string
	bootID    string
	module    uint64 // see state
	quiet     map[UUID]bool
	stale     bool
	renewed   time.Time // when a session was last ended because every GPU failed
}

// tracked is what is known of a GPU, over sessions.
type tracked struct {
	index    int
	static   static
	probe    Probe // the last answered one
	gaps     []Gap // of the last answered probe
	machine  *Machine
	answered bool // in this process
	// restarted: the driver was restarted since the last answer.
	restarted bool
}

// ask is a request from outside to Run's goroutine.
type ask struct {
	do   func()
	done chan struct{}
}

// NewMonitor makes a monitor; nothing happens before Run.
func NewMonitor(cfg MonitorConfig) *Monitor {
	m := &Monitor{
		cfg:   cfg.withDefaults(),
		asks:  make(chan ask),
		saves: make(chan state, 1),
		slots: map[int]*slot{},
		known: map[UUID]*tracked{},
		quiet: map[UUID]bool{},
		wake:  make(chan struct{}, 1),
		last:  &Snapshot{Topology: NewTopology(nil, nil)},
	}
	m.feed = NewFeed(m.last)
	m.queues = NewQueues(m.returned)
	return m
}

// Snapshots is the feed of inventories. Reading costs nothing.
func (m *Monitor) Snapshots() *Feed[*Snapshot] { return m.feed }

// Queues are the queues of the driver's calls, for whoever else calls it: by UUID, in the lanes of change and telemetry.
func (m *Monitor) Queues() *Queues { return m.queues }

// Run watches until ctx ends. It never gives up: without a driver it publishes an inventory that says so, and tries again.
func (m *Monitor) Run(ctx context.Context) error {
	m.bootID = m.readBootID()
	s, err := loadState(m.cfg.StateDir, m.bootID)
	if err != nil {
		m.cfg.Log.Warn("health of earlier runs is not known", "reason", err)
	}
	m.module = moduleInode(m.cfg.SysRoot)
	for _, g := range s.GPUs {
		t := &tracked{
			index: g.Index, static: static{id: g.Identity, numa: -1}, probe: Probe{Layout: g.Layout},
			machine:   NewMachine(m.cfg.Health, g.Causes),
			restarted: s.Module != 0 && m.module != 0 && s.Module != m.module,
		}
		if g.Memory != nil {
			t.machine.Remember(*g.Memory)
		}
		m.known[g.Identity.UUID] = t
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return m.sessions(ctx) })
	g.Go(func() error { return m.saver(ctx) })
	return g.Wait()
}

func (m *Monitor) readBootID() string {
	root, err := os.OpenRoot(m.cfg.ProcRoot)
	if err != nil {
		return ""
	}
	defer func() { _ = root.Close() }()
	data, err := root.ReadFile("sys/kernel/random/boot_id")
	if err != nil {
		m.cfg.Log.Warn("the boot id cannot be read", "reason", err)
	}
	return strings.TrimSpace(string(data))
}

// sessions opens the driver again and again.
func (m *Monitor) sessions(ctx context.Context) error {
	const first, most = time.Second, 5 * time.Second
	pause := first
	for {
		began := time.Now()
		err := m.session(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // a session that was told to end has done what it should
		}
		if errors.Is(err, errRenew) {
			continue
		}
		m.outage(err)
		if time.Since(began) > most {
			pause = first
		}
		if !m.idle(ctx, pause) {
			return nil
		}
		pause = min(2*pause, most)
	}
}

// outage publishes that the driver is out of reach, and why.
func (m *Monitor) outage(err error) {
	why := "the GPU driver is out of reach: " + err.Error()
	if errors.Is(err, ErrLibraryStale) {
		why = "the GPU driver was replaced: " + err.Error() + "; the agent has to start anew"
		if !m.stale {
			m.stale = true
			m.cfg.Stale()
		}
	}
	if m.away != why {
		m.cfg.Log.Warn("no GPU driver", "reason", why)
	}
	m.away = why
	if errors.Is(err, ErrSessionLost) || errors.Is(err, ErrNoDriver) || errors.Is(err, ErrLibraryStale) {
		for _, t := range m.known {
			t.restarted = true
		}
	}
	m.publish()
}

// idle waits between two sessions; a Refresh ends it.
func (m *Monitor) idle(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-m.wake:
			return true
		case a := <-m.asks:
			a.do()
			close(a.done)
		}
	}
}

// ask runs f in Run's goroutine.
func (m *Monitor) ask(ctx context.Context, f func()) error {
	a := ask{do: f, done: make(chan struct{})}
	select {
	case m.asks <- a:
	case <-ctx.Done():
		return ctx.Err()
	}
	<-a.done
	return nil
}

// returned hears from the queues that a stuck call came back: its GPU is looked at anew.
func (m *Monitor) returned(Stuck) { m.Refresh() }

// Refresh looks at all GPUs now rather than at the next interval.
func (m *Monitor) Refresh() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.slots {
		s.look()
	}
	if len(m.slots) == 0 {
		select {
		case m.wake <- struct{}{}:
		default:
		}
	}
}

// Clear ends the recorded reasons for a GPU's bad health: an administrator has seen to it.
func (m *Monitor) Clear(ctx context.Context, uuid UUID) error {
	known := false
	err := m.ask(ctx, func() {
		if t := m.known[uuid]; t != nil {
			known = true
			t.machine.Clear()
			m.save()
			m.publish()
		}
	})
	if err == nil && !known {
		err = ErrUnknownGPU
	}
	return err
}

// Holders lists the processes that use a GPU or its instances, from the driver, through the telemetry lane.
func (m *Monitor) Holders(ctx context.Context, uuid UUID) ([]Holder, error) {
	m.mu.Lock()
	var h DriverGPU
	if s := m.slotOf(uuid); s != nil {
		h = s.handle
	}
	m.mu.Unlock()
	if h == nil {
		return nil, ErrUnknownGPU
	}
	return Call(ctx, m.queues, string(uuid), LaneTelemetry, "list the processes", m.cfg.CallTimeout, h.Processes)
}

// Quiesce makes the monitor let go of a GPU, so that its mode can be changed: its last state stays published until
// release, which starts a new session of the driver, as handles from before a mode change are not valid after it.
// Until then Read and Use answer ErrChanging.
func (m *Monitor) Quiesce(ctx context.Context, uuid UUID) (release func(), err error) {
	var stopped <-chan struct{}
	var told *teller
	e := m.ask(ctx, func() {
		s := m.slotOf(uuid)
		if s == nil || m.quiet[uuid] {
			err = ErrUnknownGPU
			return
		}
		m.quiet[uuid] = true
		m.mu.Lock()
		s.quiet = true
		if told = s.teller; told != nil {
			told.close(ErrChanging)
		}
		m.mu.Unlock()
		s.cancel()
		stopped = s.stopped
	})
	if err = errors.Join(e, err); err != nil {
		return nil, err
	}
	release = sync.OnceFunc(func() {
		// Run may have ended; then there is nothing to renew.
		c, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.cfg.CallTimeout)
		defer cancel()
		_ = m.ask(c, func() { delete(m.quiet, uuid) })
	})
	select {
	case <-stopped:
	case <-ctx.Done():
		release()
		return nil, ctx.Err()
	}
	if told != nil {
		if err := m.release(ctx, told); err != nil {
			release()
			return nil, err
		}
	}
	return release, nil
}

// slotOf finds the slot of a GPU. The caller is Run's goroutine or holds mu.
func (m *Monitor) slotOf(uuid UUID) *slot {
	for _, s := range m.slots {
		if s.uuid == uuid {
			return s
		}
	}
	return nil
}
