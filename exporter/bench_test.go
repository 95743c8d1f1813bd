package exporter

import (
	"testing"
	"time"

	"github.com/gpulet/gpulet/gpu"
)

// BenchmarkRound is one second of 8 GPUs in 7 instances each with all default fields: reading, merging and publishing, without
// the driver's own time. Nobody shares a GPU.
func BenchmarkRound(b *testing.B) {
	var gpus []gpu.GPU
	for i := range 8 {
		gpus = append(gpus, divided(i, 7, 1))
	}
	r := newRig(b, gpus...)
	s := newSampler(r.Exporter)
	ctx := b.Context()
	s.snapshot, _ = r.snapshots.Get()
	s.heard()
	settings, _ := r.settings.Get()
	s.configure(ctx, settings)
	s.ticker.Stop()
	for len(s.waiting) > 0 {
		s.take(ctx, <-s.results)
	}
	if n := len(r.Set().Values); n != 64 {
		b.Fatalf("%d entities", n)
	}
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		r.driver.do(func() { clear(r.driver.asks) })
		now = now.Add(time.Second)
		s.round(ctx, now)
		for len(s.waiting) > 0 {
			s.take(ctx, <-s.results)
		}
	}
}
