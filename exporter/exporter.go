package exporter

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gpulet/gpulet/exporter/attribute"
	"github.com/gpulet/gpulet/exporter/expose"
	"github.com/gpulet/gpulet/exporter/ledger"
	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
)

// Exporter samples in the background and hands out what it has. Its methods but Run may be called from any goroutine and
// never wait.
type Exporter struct {
	cfg      Config
	set      atomic.Pointer[sample.Set]
	gatherer *expose.Gatherer
	parts    parts
}

// parts are the packages that the sampler joins, so that tests can stand in for them.
type parts struct {
	holds   func(attribute.Input) []sample.Hold
	shares  func(*sample.Set, map[gpu.UUID][]gpu.ProcessUse) ([]sample.Share, []sample.Rest)
	account func(time.Time, *sample.Set) []sample.Account
	options func(ledger.Options)
}

// New makes an Exporter; nothing is read before Run.
func New(cfg Config) *Exporter {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Processes == nil {
		cfg.Processes = noProcesses{}
	}
	e := &Exporter{cfg: cfg}
	book := ledger.New(ledger.Options{})
	resolver := attribute.NewResolver(cfg.Processes, time.Now)
	e.parts = parts{
		holds: attribute.Holds, account: book.Step, options: book.SetOptions,
		shares: func(set *sample.Set, uses map[gpu.UUID][]gpu.ProcessUse) ([]sample.Share, []sample.Rest) {
			resolver.Keep(uses)
			return attribute.Shares(set, uses, resolver)
		},
	}
	e.set.Store(&sample.Set{})
	e.gatherer = expose.New(e.Set, e.options)
	return e
}

// noProcesses is for a host whose processes cannot be seen.
type noProcesses struct{}

func (noProcesses) Container(int) (kubelet.UID, string, bool) { return "", "", false }

// Set is the newest set, never nil. All that is read of one set is of one moment.
func (e *Exporter) Set() *sample.Set { return e.set.Load() }

// Gatherer formats the newest set for a scrape.
func (e *Exporter) Gatherer() prometheus.Gatherer { return e.gatherer }

func (e *Exporter) options() expose.Options {
	s, _ := e.cfg.Settings.Get()
	s.Expose.Node = e.cfg.Node
	return s.Expose
}

// get reads a feed that may be missing.
func get[T any](f *gpu.Feed[T]) (value T, changed <-chan struct{}) {
	if f == nil {
		return value, nil
	}
	return f.Get()
}

// Run samples until ctx ends.
func (e *Exporter) Run(ctx context.Context) error {
	s := newSampler(e)
	defer s.readers.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return s.run(ctx)
}
