package ledger

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
)

// TestAccountsAddUp: whatever comes and goes, counters never fall, idle is a part of allocated, the seconds of all are those of
// their devices, and the cost of a shared GPU is its price.
func TestAccountsAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const price = 3600 // a dollar each second
		l := New(Options{IdleBelow: 0.1, Prices: []Price{{Model: "*", DollarsPerHour: price}}})
		now := after(time.Hour)
		last := map[series]sample.Account{}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			step := time.Duration(rapid.IntRange(-5000, 90_000).Draw(t, "milliseconds")) * time.Millisecond
			now = now.Add(step)
			set := drawSet(t)
			got := l.Step(now, set)
			if !slices.IsSortedFunc(got, func(a, b sample.Account) int {
				return strings.Compare(key(a), key(b))
			}) {
				t.Fatal("the accounts are not in order")
			}
			counted := min(max(step, 0), longest).Seconds()
			if l.steps == 1 {
				counted = 0
			}
			var seconds, dollars float64
			seen := map[series]sample.Account{}
			for _, a := range got {
				k := series{a.Namespace, a.Pod, a.Container.Container, a.Resource}
				if _, twice := seen[k]; twice {
					t.Fatalf("two accounts have the labels %v", k)
				}
				seen[k] = a
				was := last[k]
				if a.Allocated < was.Allocated || a.Idle < was.Idle || a.Dollars < was.Dollars {
					t.Fatalf("a counter fell from %+v to %+v", was, a)
				}
				if a.Idle > a.Allocated {
					t.Fatalf("more is idle than allocated: %+v", a)
				}
				seconds += a.Allocated - was.Allocated
				dollars += max(a.Dollars, 0) - max(was.Dollars, 0)
			}
			if want := counted * float64(len(set.Holds)); math.Abs(seconds-want) > 1e-6 {
				t.Fatalf("%v seconds were counted, want %v", seconds, want)
			}
			if held := len(set.Holds) > 0; held && math.Abs(dollars-counted) > 1e-6 {
				t.Fatalf("the GPU cost %v dollars, want %v", dollars, counted)
			}
			last = seen
			if len(l.growths) > len(set.Holds) {
				t.Fatalf("%d memories are kept for %d holds", len(l.growths), len(set.Holds))
			}
		}
	})
}

// drawSet draws replicas of one GPU in the hands of some containers.
func drawSet(t *rapid.T) *sample.Set {
	set := node()
	for replica := range rapid.IntRange(0, 6).Draw(t, "replicas") {
		c := pod(fmt.Sprintf("p%d", rapid.IntRange(0, 3).Draw(t, "pod")))
		set.Holds = append(set.Holds, hold(c, replica+1))
		if rapid.Bool().Draw(t, "known") {
			set.Shares = append(set.Shares, sample.Share{
				Container: c, Entity: whole.Whole(),
				Part: uses(rapid.Float64Range(0, 0.3).Draw(t, "utilization"), rapid.Float64Range(0, 1<<36).Draw(t, "memory")),
			})
		}
	}
	if rapid.Bool().Draw(t, "down") {
		set.Down = map[gpu.UUID]string{whole: "it is lost"}
	}
	return set
}

func key(a sample.Account) string {
	return fmt.Sprintf("%s\x00%s\x00%s\x00%s", a.Namespace, a.Pod, a.Container.Container, a.Resource)
}
