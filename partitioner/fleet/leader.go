package fleet

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gpulet/gpulet/apiserver"
	"github.com/gpulet/gpulet/kubelet"
)

// PodEvents tells people what became of a pod. It never blocks; partitioner.Events is one.
type PodEvents interface {
	Pod(namespace, name string, uid kubelet.UID, warning bool, reason, message string)
}

// LeaderConfig is what a Leader needs. Zero values stand for the usual ones.
type LeaderConfig struct {
	Cluster Cluster
	// Name is of this agent, for people.
	Name string
	// Events is nil where nobody is to be told.
	Events PodEvents
	// Window is the least time between two rounds, 200 ms: what comes meanwhile is planned together.
	Window time.Duration
	// TTL is how long a node believes a demand, 60 s.
	TTL time.Duration
	// Fresh is how long a node counts after its report changed last, 150 s.
	Fresh time.Duration
	// WritesPerSecond and WritesAtOnce spare the API server: 40 and 80.
	WritesPerSecond, WritesAtOnce int
	// EvictCooldown is between two evictions for one pod, and on one node, 60 s.
	EvictCooldown time.Duration
	Log           *slog.Logger
}

// Leader plans for the cluster while it holds the Lease. Whatever it knows is in the documents: another can go on at any moment.
type Leader struct {
	cfg     LeaderConfig
	metrics *leaderMetrics
}

// NewLeader makes a Leader; nothing happens before Run.
func NewLeader(cfg LeaderConfig) *Leader {
	def := func(d *time.Duration, usual time.Duration) {
		if *d <= 0 {
			*d = usual
		}
	}
	def(&cfg.Window, 200*time.Millisecond)
	def(&cfg.TTL, time.Minute)
	def(&cfg.Fresh, 150*time.Second)
	def(&cfg.EvictCooldown, time.Minute)
	if cfg.WritesPerSecond <= 0 {
		cfg.WritesPerSecond = 40
	}
	if cfg.WritesAtOnce <= 0 {
		cfg.WritesAtOnce = 80
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Leader{cfg: cfg, metrics: newLeaderMetrics()}
}

// Run takes part in the election and plans when it is elected, until ctx ends.
func (l *Leader) Run(ctx context.Context) error { return l.cfg.Cluster.Lead(ctx, l.lead) }

// lead is one term. It returns when ctx ends.
func (l *Leader) lead(ctx context.Context) error {
	l.cfg.Log.Info("this agent plans for the cluster")
	l.metrics.leading.Set(1)
	defer l.metrics.leading.Set(0)
	defer l.metrics.waiting.Reset()
	t := newTerm(l)
	if !t.takeOver(ctx) {
		return nil
	}
	views := &inbox{came: make(chan struct{}, 1)}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		for pause := retryFirst; ctx.Err() == nil; pause = min(2*pause, retryMost) {
			began := time.Now()
			if err := l.cfg.Cluster.Watch(ctx, views.put); err != nil && ctx.Err() == nil {
				l.cfg.Log.Warn("the cluster is not watched", "err", err)
			}
			views.put(nil)
			if time.Since(began) > time.Minute {
				pause = retryFirst
			}
			sleep(ctx, pause)
		}
		return nil
	})
	g.Go(func() error {
		t.loop(ctx, views)
		return nil
	})
	return g.Wait()
}

// inbox holds the newest view; nil while the cluster is not watched.
type inbox struct {
	came chan struct{}

	mu   sync.Mutex
	view *apiserver.ClusterView // guarded by mu
}

func (i *inbox) put(v *apiserver.ClusterView) {
	i.mu.Lock()
	i.view = v
	i.mu.Unlock()
	select {
	case i.came <- struct{}{}:
	default:
	}
}

func (i *inbox) get() *apiserver.ClusterView {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.view
}

// loop plans whenever something changed: at once after a rest, at most each Window otherwise, and as often as time itself changes
// something.
func (t *term) loop(ctx context.Context, views *inbox) {
	next := time.Hour
	for ctx.Err() == nil {
		await(ctx, next, []<-chan struct{}{views.came})
		if ctx.Err() != nil {
			return
		}
		view := views.get()
		if view == nil || !view.Synced {
			next = time.Hour
			continue
		}
		began := time.Now()
		next = t.round(ctx, view)
		// A round that takes long leaves as much time again to others on this machine, within a second.
		took := time.Since(began)
		if rest := max(t.cfg.Window-took, min(took, time.Second-took)); rest > 0 {
			sleep(ctx, rest)
		}
	}
}
