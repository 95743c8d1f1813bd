package ledger

import (
	"fmt"
	"testing"
	"time"

	"github.com/gpulet/gpulet/exporter/sample"
)

// BenchmarkStep is a second of a node with eight GPUs in seven slices each, and a price list.
func BenchmarkStep(b *testing.B) {
	var holds []sample.Hold
	for i := range 56 {
		holds = append(holds, slice(pod(fmt.Sprintf("pod-%d", i)), "1g.10gb", uint32(i)))
	}
	set := with(node(holds...), uses(0.5, gib))
	var prices []Price
	for i := range 20 {
		prices = append(prices, Price{Model: fmt.Sprintf("*X%d00*", i), Profile: "*", DollarsPerHour: 1})
	}
	l := New(Options{IdleBelow: 0.05, Prices: append(prices, Price{Model: "*A100*", Profile: "1g.*", DollarsPerHour: 0.5})})
	b.ReportAllocs()
	now := start()
	for b.Loop() {
		now = now.Add(time.Second)
		l.Step(now, set)
	}
}
