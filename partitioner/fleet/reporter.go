package fleet

import (
	"bytes"
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/kubelet"
	"github.com/gpulet/gpulet/partitioner"
)

const (
	// gather is how long a change waits for others that come with it; spacing is between two reports that follow each other.
	gather, spacing = 20 * time.Millisecond, 250 * time.Millisecond
	// later is how long a change of free CPU and memory alone waits: it changes with every pod of the node.
	later = 5 * time.Second
	// heartbeat is the longest time between two reports; up to a fourth of it is taken off at random, so that nodes spread.
	heartbeat = 60 * time.Second
	// retryFirst and retryMost are pauses after a failure.
	retryFirst, retryMost = time.Second, 30 * time.Second
)

// ReporterConfig is what a Reporter needs.
type ReporterConfig struct {
	Cluster Cluster
	Node    string
	// View is nil until the partitioner has looked at the GPUs.
	View        *gpu.Feed[*partitioner.View]
	Pods        *gpu.Feed[*kubelet.Pods]
	Resources   *gpu.Feed[map[string]mig.Profile]
	Settings    *gpu.Feed[partitioner.Settings]
	Allocatable *gpu.Feed[Allocatable]
	Log         *slog.Logger
}

// Reporter is a node's side: it writes the report and follows the demand.
type Reporter struct {
	cfg     ReporterConfig
	follow  *follow
	metrics *reporterMetrics
}

// NewReporter makes a Reporter; nothing happens before Run.
func NewReporter(cfg ReporterConfig) *Reporter {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Reporter{cfg: cfg, follow: newFollow(cfg.Resources, cfg.Log), metrics: newReporterMetrics()}
}

// Demands are what the planner of the cluster asks of this node. Each lives for its time from when it came, whether or not the API
// server can be reached.
func (r *Reporter) Demands() *gpu.Feed[*partitioner.Demands] { return r.follow.feed }

// Run works until ctx ends. It returns nil; while the API server is away it tries again.
func (r *Reporter) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { r.report(ctx); return nil })
	g.Go(func() error { r.follow.run(ctx); return nil })
	g.Go(func() error {
		pause := retryFirst
		for ctx.Err() == nil {
			began := time.Now()
			if err := r.cfg.Cluster.WatchDemand(ctx, r.follow.hear); err != nil && ctx.Err() == nil {
				r.cfg.Log.Debug("the demand of this node is not watched", "err", err)
			}
			if time.Since(began) > time.Minute {
				pause = retryFirst
			}
			sleep(ctx, pause)
			pause = min(2*pause, retryMost)
		}
		return nil
	})
	return g.Wait()
}

// facts reads all feeds; changed is closed at the next change of any.
func (r *Reporter) facts() (f Facts, changed []<-chan struct{}) {
	f.Node = r.cfg.Node
	add := func(c <-chan struct{}) { changed = append(changed, c) }
	var c <-chan struct{}
	f.Demand, c = r.follow.generation.Get()
	add(c)
	f.View, c = r.cfg.View.Get()
	add(c)
	f.Pods, c = r.cfg.Pods.Get()
	add(c)
	f.Resources, c = r.cfg.Resources.Get()
	add(c)
	f.Settings, c = r.cfg.Settings.Get()
	add(c)
	f.Allocatable, c = r.cfg.Allocatable.Get()
	add(c)
	return f, changed
}

// report writes the report when it is due.
func (r *Reporter) report(ctx context.Context) {
	var (
		said, free []byte // what was written last, and of it what may wait
		generation = uint64(max(time.Now().UnixMilli(), 1))
		written    time.Time
		beat       time.Duration
		pause      time.Duration
	)
	for ctx.Err() == nil {
		f, changed := r.facts()
		report := BuildReport(f)
		now, small := split(report)
		due := written.Add(beat)
		switch {
		case written.IsZero():
			due = time.Now()
		case !bytes.Equal(now, said):
			due = latest(written.Add(spacing), time.Now().Add(gather))
		case !bytes.Equal(small, free):
			due = earlier(due, written.Add(later))
		}
		if pause > 0 {
			due = latest(due, written.Add(pause))
		}
		if wait := time.Until(due); wait > 0 {
			if urgent := !bytes.Equal(now, said); urgent {
				sleep(ctx, wait) // what comes meanwhile comes with it
			} else {
				await(ctx, wait, changed)
				continue
			}
			f, _ = r.facts()
			report = BuildReport(f)
			now, small = split(report)
		}
		if ctx.Err() != nil {
			return
		}
		generation++
		report.Generation = generation
		data, err := EncodeReport(report)
		if err == nil {
			err = r.cfg.Cluster.WriteReport(ctx, data)
		}
		written = time.Now()
		beat = heartbeat - time.Duration(rand.Int64N(int64(heartbeat/4))) //nolint:gosec // it spreads load
		if r.metrics.wrote(err); err != nil {
			pause = min(max(2*pause, retryFirst), retryMost)
			said, free = nil, nil
			r.cfg.Log.Debug("the report of this node was not written", "err", err)
			continue
		}
		said, free, pause = now, small, 0
	}
}

// split encodes what is told at once and what may wait.
func split(r *Report) (now, small []byte) {
	x := *r
	x.FreeMilliCPU, x.FreeMemoryBytes, x.FreePods = 0, 0, 0
	now, _ = EncodeReport(&x)
	small, _ = EncodeReport(&Report{FreeMilliCPU: r.FreeMilliCPU, FreeMemoryBytes: r.FreeMemoryBytes, FreePods: r.FreePods})
	return now, small
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// sleep waits, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) { await(ctx, d, nil) }

// await waits for any of some channels, for no longer than d.
func await(ctx context.Context, d time.Duration, woken []<-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	var c [6]<-chan struct{}
	copy(c[:], woken)
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-c[0]:
	case <-c[1]:
	case <-c[2]:
	case <-c[3]:
	case <-c[4]:
	case <-c[5]:
	}
}
