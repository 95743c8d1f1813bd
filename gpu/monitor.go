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
	// released says that a GPU is not quiet any more.
	released chan struct{}

	mu       sync.Mutex
	slots    map[int]*slot // guarded by mu for those outside Run's goroutine; Run's alone writes it
	quiet    map[UUID]bool // guarded by mu: somebody has them quiesced
	changing int           // guarded by mu: calls that rely on the session
	news     chan struct{} // guarded by mu: closed when a GPU came within reach

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
	stale     bool
	renewed   time.Time // when a session was last ended because every GPU failed
	doubt     bool      // a GPU does not answer after a change of its mode: perhaps it does in a new session
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
		news:  make(chan struct{}),
		wake:  make(chan struct{}, 1),
		last:  &Snapshot{Topology: NewTopology(nil, nil)},

		released: make(chan struct{}, 1),
	}
	m.feed = NewFeed(m.last)
	m.queues = NewQueues(m.returned)
	return m
}

// Snapshots is the feed of inventories. Reading costs nothing.
func (m *Monitor) Snapshots() *Feed[*Snapshot] { return m.feed }

// Queues are the queues of the driver's calls, to see what is stuck. The calls of the inventory itself are queued by index ("#0"),
// since a GPU that does not answer has no name; changes and measurements by UUID, through the Monitor's methods alone.
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

// slotOf finds the slot of a GPU. The caller is Run's goroutine or holds mu.
func (m *Monitor) slotOf(uuid UUID) *slot {
	for _, s := range m.slots {
		if s.uuid == uuid {
			return s
		}
	}
	return nil
}
