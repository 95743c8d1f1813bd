package exporter

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
)

// gauge is how a source does.
type gauge struct {
	last   time.Time
	errors map[gpu.AbsenceCode]uint64
	stale  uint64
	counts []uint64
	sum    float64
}

// bounds are those of the histograms, in seconds.
func bounds() []float64 {
	return []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}
}

func newGauge() *gauge {
	return &gauge{errors: map[gpu.AbsenceCode]uint64{}, counts: make([]uint64, len(bounds())+1)}
}

// took counts a duration.
func (g *gauge) took(d time.Duration) {
	i, _ := slices.BinarySearch(bounds(), d.Seconds())
	g.counts[i]++
	g.sum += d.Seconds()
}

// source is a copy for a set.
func (g *gauge) source(name string) sample.Source {
	s := sample.Source{Name: name, Last: g.last, Stale: g.stale, Errors: maps.Clone(g.errors)}
	s.Latency = sample.Histogram{Bounds: bounds(), Counts: slices.Clone(g.counts), Sum: g.sum}
	return s
}

// codeOf turns an error of a GPU as a whole into a reason.
func codeOf(err error) gpu.AbsenceCode {
	switch {
	case errors.Is(err, gpu.ErrDeadline), errors.Is(err, context.DeadlineExceeded):
		return gpu.NoAnswer
	case errors.Is(err, gpu.ErrLost), errors.Is(err, gpu.ErrSessionLost), errors.Is(err, gpu.ErrUnknownGPU), errors.Is(err, gpu.ErrNoDriver):
		return gpu.Lost
	default:
		return gpu.Failed
	}
}
