package expose

import (
	"cmp"
	"sync"

	dto "github.com/prometheus/client_model/go"

	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/exporter/sample"
)

// Gatherer is a prometheus.Gatherer over the newest sample set. No registry stands between: what it gives is sorted by name,
// without duplicates, with labels sorted and in valid UTF-8. Concurrent calls are served one after the other.
type Gatherer struct {
	set     func() *sample.Set
	options func() Options
	own     []family.Own

	mu   sync.Mutex // guards kept
	kept *plan
	// driver is the last known version: without a driver, the series that go on keep their labels; guarded by mu.
	driver string
}

// New makes a Gatherer. Both functions are called once for each Gather and must not block; a nil set gives nothing.
func New(set func() *sample.Set, options func() Options) *Gatherer {
	return &Gatherer{set: set, options: options, own: family.OwnFamilies()}
}

// Gather formats the set. The metrics belong to the caller; their labels are shared between calls and are not to be changed.
// It never returns an error.
func (g *Gatherer) Gather() ([]*dto.MetricFamily, error) {
	set, options := g.set(), g.options()
	if set == nil || set.Snapshot == nil {
		return nil, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.driver = cmp.Or(set.Snapshot.Driver.Version, g.driver)
	if g.kept == nil || !g.kept.fits(set, options) {
		g.kept = newPlan(set, options, g.own, g.driver)
	}
	return newPage(g.kept, set).families(), nil
}
