package plugin

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
)

// View is what the kubelet believes: the ids of the healthy devices by resource. kubelet.Resources asks podresources for it.
type View interface {
	Allocatable(ctx context.Context) (map[string][]string, error)
}

// Config is what a Registrar needs. Zero durations get defaults.
type Config struct {
	// Dir is the kubelet's device-plugins directory as this process sees it.
	Dir string
	// Gate is entered around Allocate and GetPreferredAllocation. Nil: nobody else looks at it.
	Gate *kubelet.Gate
	// View is asked by the watchdog. Nil: there is none.
	View View
	// Clock is for what is shown and judged; time.Now when nil.
	Clock func() time.Time
	Log   *slog.Logger
	// Poll is between two looks at the kubelet's socket, 1 s; changes of the directory make it look at once.
	Poll time.Duration
	// WithoutEvents leaves it at polling, as when the machine has no inotify instance left.
	WithoutEvents bool
	// Watch is between two looks at the kubelet's view, 5 s. Settle is how old a list must be to be compared with it, 5 s.
	Watch, Settle time.Duration
	// FirstList is how long the kubelet may take from accepting a registration to its first list, 10 s.
	FirstList time.Duration
	// Drain is how long a replaced socket waits for the calls that still run on it, 30 s.
	Drain time.Duration
}

func (c Config) withDefaults() Config {
	set := func(d *time.Duration, to time.Duration) {
		if *d <= 0 {
			*d = to
		}
	}
	set(&c.Poll, time.Second)
	set(&c.Watch, 5*time.Second)
	set(&c.Settle, 5*time.Second)
	set(&c.FirstList, 10*time.Second)
	set(&c.Drain, 30*time.Second)
	if c.Gate == nil {
		c.Gate = &kubelet.Gate{}
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Registrar keeps resources registered with the kubelet: one socket for each, a new one for each registration.
type Registrar struct {
	cfg     Config
	metrics *metrics
	board   *board
	watcher *watcher
	wanted  *gpu.Feed[map[string]Handler]

	mu      sync.Mutex
	keepers map[string]*keeper // guarded by mu; written by reconcile alone
}

// NewRegistrar makes a registrar without resources. It does nothing before Run.
func NewRegistrar(cfg Config) *Registrar {
	cfg = cfg.withDefaults()
	m := newMetrics()
	return &Registrar{
		cfg:     cfg,
		metrics: m,
		board:   newBoard(m.registered),
		watcher: newWatcher(cfg),
		wanted:  gpu.NewFeed[map[string]Handler](nil),
		keepers: map[string]*keeper{},
	}
}

// Run keeps the resources registered until ctx ends. Then it closes the streams and removes its sockets. It returns nil.
func (r *Registrar) Run(ctx context.Context) error {
	removeStale(r.cfg)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { r.watcher.run(ctx); return nil })
	g.Go(func() error { r.reconcile(ctx, g); return nil })
	if r.cfg.View != nil {
		g.Go(func() error { r.watchdog(ctx); return nil })
	}
	return g.Wait()
}

// Set says which resources there are, by name. New ones are registered in parallel. The stream of a missing one ends: what its
// handler sent last is what the kubelet keeps until then. Another handler of the same name takes over on a new socket, without
// a gap; handlers are compared with ==, so they are pointers.
func (r *Registrar) Set(handlers map[string]Handler) {
	wanted := make(map[string]Handler, len(handlers))
	for resource, h := range handlers {
		if h != nil {
			wanted[resource] = h
		}
	}
	r.wanted.Set(wanted)
}

// Renew registers a resource on a new socket and closes the old one once the new one has sent its list. The kubelet asks for a
// handler's options only then. It does not wait, and does nothing for a resource that is not set.
func (r *Registrar) Renew(resource, reason string) {
	r.mu.Lock()
	k := r.keepers[resource]
	r.mu.Unlock()
	if k != nil {
		k.tell(func(o *order) { o.renewals++; o.reason = reason })
	}
}

// States tells where each registration stands, ordered by resource.
func (r *Registrar) States() *gpu.Feed[[]State] { return r.board.feed }

// Collectors are this component's metrics.
func (r *Registrar) Collectors() []prometheus.Collector { return r.metrics.collectors() }

// reconcile has one keeper for each resource that is wanted.
func (r *Registrar) reconcile(ctx context.Context, g *errgroup.Group) {
	stops := map[string]context.CancelFunc{}
	for {
		wanted, changed := r.wanted.Get()
		r.mu.Lock()
		for resource := range r.keepers {
			if wanted[resource] == nil {
				stops[resource]()
				delete(stops, resource)
				delete(r.keepers, resource)
				r.board.remove(resource)
			}
		}
		for resource, h := range wanted {
			if k := r.keepers[resource]; k != nil {
				k.tell(func(o *order) { o.handler = h })
				continue
			}
			k := newKeeper(r, resource, h, func(f func()) { g.Go(func() error { f(); return nil }) })
			kctx, stop := context.WithCancel(ctx)
			stops[resource] = stop
			r.keepers[resource] = k
			g.Go(func() error { defer stop(); k.run(kctx); return nil })
		}
		r.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}
