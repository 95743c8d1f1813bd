package deviceplugin

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
	"github.com/gpulet/gpulet/kubelet/plugin"
)

// Config is what a Manager needs.
type Config struct {
	Log       *slog.Logger
	Settings  *gpu.Feed[Settings]
	Offers    *gpu.Feed[*gpu.Offers]
	Claims    Claims
	Registrar Registrar
	Specs     Specs
	// Node is nil where no API server is to be told. One that is away returns errors.
	Node Node
	// Pods are this node's pods; nil: nobody tells.
	Pods *gpu.Feed[*kubelet.Pods]
	// Events is nil where nobody is to be told.
	Events Events
	// Resources is what the kubelet counts; nil: it is not asked, and withdrawals take a little longer.
	Resources kubelet.Assignments
	// Realizer is nil while every offer exists already.
	Realizer Realizer
	// Holders and Processes tell who is left on a GPU; without both no start waits for it.
	Holders   Holders
	Processes Processes
}

// Manager keeps the kubelet's resources in line with the offers. One goroutine owns the book; RPCs read what it publishes.
type Manager struct {
	cfg   Config
	desk  *desk
	view  *gpu.Feed[View]
	tasks chan task // for the courier
	done  chan report

	// The rest belongs to Run's goroutine.
	asked    time.Time // the kubelet, last
	book     *book
	handlers map[string]*handler
	open     map[string]bool // resources with a stream
	patched  map[string]patched
	busy     bool      // the courier is on the way
	retry    time.Time // after the API server refused
	pause    time.Duration
	started  bool      // something was listed
	waits    time.Time // since when the first list waits
	naming   Naming
	named    [2]<-chan struct{} // what naming was made from
	last     View
}

// New makes a manager. Nothing is registered before Run.
func New(cfg Config) *Manager {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	m := &Manager{
		cfg: cfg, desk: newDesk(cfg), tasks: make(chan task, 1), done: make(chan report, 1),
		book: newBook(), handlers: map[string]*handler{}, open: map[string]bool{}, patched: map[string]patched{},
		last: View{Waiting: "it is starting"},
	}
	m.view = gpu.NewFeed(m.last)
	return m
}

// View is what is listed, withheld and moving, for status.
func (m *Manager) View() *gpu.Feed[View] { return m.view }

// Run works until ctx ends. What is registered stays so: ending registrations is the registrar's.
func (m *Manager) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return m.loop(ctx) })
	g.Go(func() error { return m.courier(ctx) })
	return g.Wait()
}

func (m *Manager) loop(ctx context.Context) error {
	pods := m.cfg.Pods
	if pods == nil {
		pods = gpu.NewFeed[*kubelet.Pods](nil)
	}
	counts := gpu.NewFeed[*kubelet.Assigned](nil)
	if m.cfg.Resources != nil {
		counts = m.cfg.Resources.Feed()
	}
	for {
		settings, s := m.cfg.Settings.Get()
		offers, o := m.cfg.Offers.Get()
		claims, c := m.cfg.Claims.Feed().Get()
		podSet, p := pods.Get()
		_, counted := counts.Get()
		var specs <-chan struct{}
		if m.cfg.Specs != nil {
			specs = m.cfg.Specs.Changed()
		}
		if m.named != [2]<-chan struct{}{s, o} && offers != nil && offers.Snapshot != nil {
			m.named, m.naming = [2]<-chan struct{}{s, o}, NameOffers(settings, offers)
		}
		var timer <-chan time.Time
		if wait := m.pass(time.Now(), settings, offers, claims, podSet); wait > 0 {
			timer = time.After(wait)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s:
		case <-o:
		case <-c:
		case <-p:
		case <-counted:
		case <-specs:
		case <-m.desk.wake:
		case r := <-m.done:
			m.report(r, time.Now())
		case <-timer:
		}
	}
}

// unready says why nothing may be offered yet.
func unready(offers *gpu.Offers, claims *kubelet.ClaimSet) string {
	switch {
	case offers == nil || offers.Snapshot == nil || offers.Snapshot.Version == 0:
		return "the GPUs were not looked at yet"
	case claims == nil || !claims.Complete:
		return "it is not known yet who holds which device"
	}
	return ""
}

// pass brings everything up to what is known now. It returns when to look again, 0 for at the next change.
func (m *Manager) pass(now time.Time, settings Settings, offers *gpu.Offers, claims *kubelet.ClaimSet, pods *kubelet.Pods) time.Duration {
	if why := unready(offers, claims); why != "" {
		m.show(View{Waiting: why})
		return 0
	}
	f := m.facts(settings, offers, claims, pods)
	if wait, why := m.first(f, now); wait > 0 {
		m.show(View{Waiting: why})
		return wait
	}
	m.book.step(f, now)
	v := m.book.view(f)
	if f.unheard() && now.Before(m.waits.Add(trusted)) {
		v.Offers = 0
		m.book.wake(m.waits.Add(trusted))
	}
	m.publish(m.book.answers(settings, f))
	m.register()
	next := m.send(f, now)
	m.show(v)
	if next.IsZero() || !m.book.next.IsZero() && m.book.next.Before(next) {
		next = m.book.next
	}
	if next.IsZero() {
		return 0
	}
	return max(next.Sub(now), time.Millisecond)
}

// first is how long the first list still waits, and for what: without the specs it would take healthy devices from a kubelet that
// has them from the agent before this one; without the kubelet's word it could give under a new name what that one still gives.
func (m *Manager) first(f facts, now time.Time) (time.Duration, string) {
	const longest, look = 2 * time.Second, 20 * time.Millisecond
	if m.waits.IsZero() {
		m.waits = now
	}
	missing := func(n Named) bool { return f.ready != nil && n.Health.Allocatable() && f.ready(n) != nil }
	switch {
	case m.started || now.Sub(m.waits) >= longest:
	case f.counted != nil && f.counted.At.IsZero() && !f.counted.Absent:
		return look, "the kubelet has not said yet what it counts"
	case slices.ContainsFunc(f.naming.Devices, missing):
		return look, "the CDI specs are not written yet"
	}
	m.started = true
	return 0, ""
}

func (m *Manager) facts(settings Settings, offers *gpu.Offers, claims *kubelet.ClaimSet, pods *kubelet.Pods) facts {
	f := facts{
		naming: m.naming, version: offers.Version, snapshot: offers.Snapshot, claims: claims, pods: pods,
		patched: m.patched, streams: map[string]delivery{}, trouble: m.desk.starts.trouble,
	}
	for resource, h := range m.handlers {
		d := h.delivered()
		f.streams[resource] = d
		if d.open > 0 && !m.open[resource] {
			delete(m.patched, resource) // a kubelet that comes back has put the Node to 0
		}
		m.open[resource] = d.open > 0
	}
	if m.cfg.Node != nil {
		f.api = true
		if node, known := m.cfg.Node.Allocatable(); known {
			f.node = node
			if f.node == nil {
				f.node = map[string]int64{}
			}
		}
	}
	if m.cfg.Resources != nil {
		f.counted, _ = m.cfg.Resources.Feed().Get()
	}
	f.late = settings.delivers(CDICRI) && len(settings.Deliveries) == 1
	if (settings.cdi() || settings.DeviceSpecs) && m.cfg.Specs != nil {
		f.ready = func(n Named) error {
			if n.Device.Kind == gpu.Slice && n.Realized == nil {
				return nil // its spec is written when a container starts
			}
			return m.cfg.Specs.Ready(n.Device)
		}
	}
	return f
}

// publish hands what was worked out to the RPCs. An Allocate that was not answered by then is answered by it, and what one opened
// before is among the claims of everybody who learns from the view that a device is free of the kubelet.
func (m *Manager) publish(a *answers) {
	m.desk.booking.Lock()
	defer m.desk.booking.Unlock()
	m.desk.current.Store(a)
	for resource, sh := range m.book.shelves {
		h := m.handlers[resource]
		if h == nil {
			continue
		}
		if t, _ := h.tables.Get(); t != sh.table {
			h.tables.Set(sh.table)
		}
	}
}

// register tells the registrar when resources come, go or change their options.
func (m *Manager) register() {
	changed := false
	for resource, sh := range m.book.shelves {
		h := m.handlers[resource]
		switch {
		case h == nil:
			h = &handler{list: newList(resource, m.desk, sh.table), preStart: sh.preStart}
			m.handlers[resource], changed = h, true
			m.cfg.Log.Info("resource begins", "resource", resource, "devices", len(sh.table.order))
		case sh.preStart && !h.preStart:
			m.handlers[resource], changed = &handler{list: h.list, preStart: true}, true
		}
	}
	for resource := range m.handlers {
		if m.book.shelves[resource] == nil {
			delete(m.handlers, resource)
			delete(m.open, resource)
			changed = true
			m.cfg.Log.Info("resource ends", "resource", resource, "reason", "it has no device any more")
		}
	}
	if !changed {
		return
	}
	set := make(map[string]plugin.Handler, len(m.handlers))
	for resource, h := range m.handlers {
		set[resource] = h
	}
	m.cfg.Registrar.Set(set)
}
