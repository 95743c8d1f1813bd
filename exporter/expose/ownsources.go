package expose

import (
	"maps"
	"slices"

	dto "github.com/prometheus/client_model/go"

	"github.com/gpulet/gpulet/exporter/sample"
)

// sources calls f for each source in use.
func (p *page) sources(f func(*sample.Source, about)) {
	for i := range p.set.Sources {
		if s := &p.set.Sources[i]; !s.Unused {
			f(s, about{}.with("source", s.Name))
		}
	}
}

func (p *page) sourceUp(c *column) {
	p.sources(func(s *sample.Source, a about) { p.put(c, a, flag(s.Reason == "")) })
}

func (p *page) sourceLast(c *column) {
	p.sources(func(s *sample.Source, a about) {
		if !s.Last.IsZero() {
			p.put(c, a, float64(s.Last.UnixMilli())/1e3)
		}
	})
}

func (p *page) sourceErrors(c *column) {
	p.sources(func(s *sample.Source, a about) {
		for _, code := range slices.Sorted(maps.Keys(s.Errors)) {
			p.put(c, a.with("reason", string(code)), float64(s.Errors[code]))
		}
	})
}

func (p *page) sourceStale(c *column) {
	p.sources(func(s *sample.Source, a about) { p.put(c, a, float64(s.Stale)) })
}

func (p *page) sourceRestarts(c *column) {
	p.sources(func(s *sample.Source, a about) {
		if s.Name == "dcgm" || s.Restarts > 0 { // the others have no process of their own
			p.put(c, a, float64(s.Restarts))
		}
	})
}

func (p *page) sourceDuration(c *column) {
	p.sources(func(s *sample.Source, a about) {
		h := histogram(s.Latency)
		series := p.series(c, a)
		if h == nil || series.scrape == p.plan.scrapes {
			return
		}
		series.scrape = p.plan.scrapes
		p.out = append(p.out, &dto.Metric{Label: series.labels, Histogram: h})
	})
}

// histogram adds up the buckets, as Prometheus counts them; nil for one that was never filled.
func histogram(h sample.Histogram) *dto.Histogram {
	if len(h.Counts) == 0 || len(h.Counts) != len(h.Bounds)+1 || !finite(h.Sum) {
		return nil
	}
	var total uint64
	out := &dto.Histogram{SampleSum: &h.Sum}
	for i, n := range h.Counts {
		total += n
		if i < len(h.Bounds) {
			cumulative := total
			out.Bucket = append(out.Bucket, &dto.Bucket{UpperBound: &h.Bounds[i], CumulativeCount: &cumulative})
		}
	}
	out.SampleCount = &total
	return out
}
