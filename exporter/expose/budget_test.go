package expose_test

import (
	"io"
	"testing"

	"github.com/prometheus/common/expfmt"

	"github.com/gpulet/gpulet/exporter/family"
)

// A scrape of a full node makes few pieces of garbage: labels are kept, and metrics are cut from larger pieces.
func TestScrapeBudget(t *testing.T) {
	o := options(family.Defaults())
	o.Repeat = true
	g := gatherer(denseNode(&o).Set, o)
	count := 0
	for _, f := range gather(t, g) {
		count += len(f.Metric)
	}
	if count < 1500 {
		t.Fatalf("only %d series", count)
	}
	got := testing.AllocsPerRun(20, func() { gather(t, g) })
	t.Logf("%d series, %v allocations", count, got)
	if got > 150 {
		t.Errorf("%v allocations for a scrape of %d series, want at most 150", got, count)
	}
}

func BenchmarkGather(b *testing.B) {
	o := options(family.Defaults())
	o.Repeat = true
	g := gatherer(denseNode(&o).Set, o)
	b.ReportAllocs()
	for b.Loop() {
		gather(b, g)
	}
}

// BenchmarkScrape gathers a node of 8 GPUs in 7 slices each and writes it as text.
func BenchmarkScrape(b *testing.B) {
	o := options(family.Defaults())
	o.Repeat = true
	g := gatherer(denseNode(&o).Set, o)
	b.ReportAllocs()
	var size counter
	for b.Loop() {
		size = 0
		encode(b, &size, expfmt.NewFormat(expfmt.TypeTextPlain), gather(b, g))
	}
	b.ReportMetric(float64(size), "page-bytes")
}

// BenchmarkNewLayout is a scrape that makes all labels anew.
func BenchmarkNewLayout(b *testing.B) {
	o := options(family.Defaults())
	set := denseNode(&o).Set
	g := gatherer(set, o)
	b.ReportAllocs()
	for b.Loop() {
		set.Generation++
		gather(b, g)
	}
}

type counter int

var _ io.Writer = (*counter)(nil)

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
