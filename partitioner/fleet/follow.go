package fleet

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/gpulet/gpulet/apiserver"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/partitioner"
	"github.com/gpulet/gpulet/partitioner/plan"
)

// follow keeps the demand of this node.
type follow struct {
	resources  *gpu.Feed[map[string]mig.Profile]
	feed       *gpu.Feed[*partitioner.Demands]
	generation *gpu.Feed[uint64] // the highest that was heard
	log        *slog.Logger
	heard      chan struct{} // capacity 1

	mu      sync.Mutex
	demand  *Demand   // nil: none; guarded by mu
	expires time.Time // guarded by mu
}

func newFollow(resources *gpu.Feed[map[string]mig.Profile], log *slog.Logger) *follow {
	return &follow{
		resources: resources, feed: gpu.NewFeed(&partitioner.Demands{}), generation: gpu.NewFeed[uint64](0), log: log, heard: make(chan struct{}, 1),
	}
}

// hear takes a document: a lower generation than one that was heard is an old planner's word, and one that cannot be read is none.
func (f *follow) hear(doc *apiserver.Document) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if doc == nil {
		f.demand = nil
		f.wake()
		return
	}
	d, err := DecodeDemand(doc.Data)
	known, _ := f.generation.Get()
	switch {
	case err != nil:
		f.log.Warn("the demand of this node cannot be read", "err", err)
		return
	case d.Generation < known:
		f.log.Info("a demand of an earlier planner is ignored", "generation", d.Generation, "known", known, "leader", d.Leader)
		return
	case d.Generation > known:
		f.generation.Set(d.Generation)
	}
	// It is believed from when it came, by this machine's own clock: other clocks may be wrong.
	came := doc.Received
	if came.IsZero() {
		came = time.Now()
	}
	f.demand, f.expires = d, came.Add(d.TTL)
	f.wake()
}

func (f *follow) wake() {
	select {
	case f.heard <- struct{}{}:
	default:
	}
}

// run publishes until ctx ends.
func (f *follow) run(ctx context.Context) {
	for ctx.Err() == nil {
		resources, changed := f.resources.Get()
		f.mu.Lock()
		wait := time.Hour
		if f.demand != nil {
			if wait = time.Until(f.expires); wait <= 0 {
				f.demand = nil
			}
		}
		now := f.demands(resources)
		f.mu.Unlock()
		if before, _ := f.feed.Get(); !same(before, now) {
			f.feed.Set(now)
		}
		if wait > 0 {
			await(ctx, wait, []<-chan struct{}{changed, f.heard})
		}
	}
}

// demands needs mu.
func (f *follow) demands(resources map[string]mig.Profile) *partitioner.Demands {
	out := &partitioner.Demands{}
	out.Generation, _ = f.generation.Get()
	if f.demand == nil {
		return out
	}
	out.Source = f.demand.Leader
	for _, p := range f.demand.Pods {
		d := partitioner.Demand{
			Demand:    plan.Demand{ID: p.UID, Name: "pod " + p.Namespace + "/" + p.Name, Priority: int(p.Priority), Age: p.WaitedSeconds},
			Namespace: p.Namespace, Pod: p.Name,
		}
		for _, name := range slices.Sorted(maps.Keys(p.Requests)) {
			if profile, known := resources[name]; known {
				d.Asks = append(d.Asks, plan.Ask{Resource: plan.Resource{Profile: profile}, Count: int(p.Requests[name])})
			}
		}
		if len(d.Asks) > 0 {
			out.Pods = append(out.Pods, d)
		}
	}
	return out
}

func same(a, b *partitioner.Demands) bool {
	return a.Generation == b.Generation && a.Source == b.Source && slices.EqualFunc(a.Pods, b.Pods, func(x, y partitioner.Demand) bool {
		return x.ID == y.ID && x.Age == y.Age && x.Priority == y.Priority && slices.Equal(x.Asks, y.Asks)
	})
}
