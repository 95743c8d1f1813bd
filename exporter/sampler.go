package exporter

import (
	"context"
	"sync"
	"time"

	"github.com/gpulet/gpulet/exporter/attribute"
	"github.com/gpulet/gpulet/exporter/dcgm"
	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/exporter/ledger"
	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
)

// sampler is all that Run knows. It belongs to Run's goroutine; the goroutines that read hand their results to it.
type sampler struct {
	*Exporter
	plan     *plan // nil while the exporter is off
	snapshot *gpu.Snapshot
	batch    *dcgm.Batch
	input    attribute.Input

	units    map[gpu.UUID]*unit
	entities map[gpu.Entity]*entity
	holds    []sample.Hold
	shared   map[gpu.UUID]bool // GPUs on which containers share something

	generation uint64
	wanted     []gpu.Field // what the engine was asked for last
	told       bool        // it was asked at all
	rethink    bool        // what it is needed for may have changed
	reasons    reasons
	engine     *gpu.Absence // why DCGM has nothing
	engineDown bool
	nvml, dcgm *gauge
	assigned   *gauge

	readers sync.WaitGroup
	results chan result
	// waiting are the GPUs whose answers the round that is under way waits for; none: there is no round.
	waiting map[*unit]struct{}
	ticker  *time.Ticker
	grace   *time.Timer
}

func newSampler(e *Exporter) *sampler {
	s := &sampler{
		Exporter: e, units: map[gpu.UUID]*unit{}, entities: map[gpu.Entity]*entity{}, waiting: map[*unit]struct{}{},
		results: make(chan result), nvml: newGauge(), dcgm: newGauge(), assigned: newGauge(),
		reasons: newReasons(),
		ticker:  time.NewTicker(time.Hour), grace: time.NewTimer(time.Hour),
	}
	s.ticker.Stop()
	s.grace.Stop()
	return s
}

// run is the loop. Each feed is looked at when it changes, and once at the beginning.
func (s *sampler) run(ctx context.Context) error {
	defer s.ticker.Stop()
	defer s.grace.Stop()
	settings, settingsChanged := get(s.cfg.Settings)
	snapshot, snapshotChanged := get(s.cfg.Snapshots)
	var batches *gpu.Feed[*dcgm.Batch]
	if s.cfg.Engine != nil {
		batches = s.cfg.Engine.Batches()
	}
	batch, batchChanged := get(batches)
	var claimsChanged, assignedChanged, podsChanged <-chan struct{}
	s.input.Claims, claimsChanged = get(s.cfg.Claims)
	s.input.Assigned, assignedChanged = get(s.cfg.Assigned)
	s.input.Pods, podsChanged = get(s.cfg.Pods)
	if s.input.Assigned != nil && s.input.Assigned.Synced { // otherwise it was not asked yet
		s.answered()
	}
	s.batch, s.snapshot = batch, snapshot
	s.heard()
	s.configure(ctx, settings)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.ticker.C:
			s.round(ctx, time.Now())
		case r := <-s.results:
			s.take(ctx, r)
		case <-s.grace.C:
			s.publish(time.Now())
		case <-settingsChanged:
			settings, settingsChanged = get(s.cfg.Settings)
			s.configure(ctx, settings)
		case <-snapshotChanged:
			s.snapshot, snapshotChanged = get(s.cfg.Snapshots)
			s.adopt(ctx)
		case <-batchChanged:
			s.batch, batchChanged = get(batches)
			s.heard()
			s.merge()
		case <-claimsChanged:
			s.input.Claims, claimsChanged = get(s.cfg.Claims)
			s.hold()
		case <-assignedChanged:
			s.input.Assigned, assignedChanged = get(s.cfg.Assigned)
			s.answered()
			s.hold()
		case <-podsChanged:
			s.input.Pods, podsChanged = get(s.cfg.Pods)
			s.hold()
		}
	}
}

// configure takes settings. What goes on being read keeps its values; what is new is read at once.
func (s *sampler) configure(ctx context.Context, settings Settings) {
	if settings.Off {
		s.off()
		return
	}
	next := newPlan(settings)
	next.succeed(s.plan, time.Now())
	s.plan, s.rethink = next, true
	if s.cfg.Engine != nil {
		s.cfg.Engine.Pace(next.settings.Fast)
	}
	s.parts.options(ledgerOptions(settings))
	s.ticker.Reset(s.plan.settings.Fast)
	for _, u := range s.units {
		u.layout = layout{} // fitted anew
	}
	s.adopt(ctx)
}

func ledgerOptions(s Settings) ledger.Options {
	return ledger.Options{IdleBelow: s.IdleBelow, CapacityType: s.CapacityType, Prices: s.Prices}
}

// off stops everything.
func (s *sampler) off() {
	s.plan = nil
	s.ticker.Stop()
	s.grace.Stop()
	clear(s.units)
	clear(s.entities)
	clear(s.waiting)
	s.want(nil)
	s.generation++
	s.set.Store(&sample.Set{At: time.Now(), Generation: s.generation})
}

// hold says anew who has what.
func (s *sampler) hold() {
	if s.plan == nil {
		return
	}
	s.input.Snapshot = s.snapshot
	holds := s.parts.holds(s.input)
	if !equal(holds, s.holds) {
		s.generation++
	}
	before := s.shared
	s.holds, s.shared = holds, map[gpu.UUID]bool{}
	first := map[gpu.Entity]sample.Container{}
	for _, h := range holds {
		c, there := first[h.Entity]
		if h.Entity == (gpu.Entity{}) {
			continue
		}
		if h.Sharing != sample.Exclusive || there && c != h.Container {
			s.shared[h.Entity.GPU] = true
		}
		first[h.Entity] = h.Container
	}
	for id, u := range s.units {
		switch {
		case !s.shared[id]:
			u.uses, u.used = nil, time.Time{}
		case !before[id]:
			u.hurry(1 << family.Process)
		}
	}
}

func equal(a, b []sample.Hold) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// answered notes what podresources said.
func (s *sampler) answered() {
	switch a := s.input.Assigned; {
	case a == nil:
	case a.Synced:
		s.assigned.last = a.At
	default:
		s.assigned.errors[gpu.Failed]++
	}
}
