package xids

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/xid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func at(second int) time.Time { return time.Date(2026, 5, 1, 12, 0, second, 0, time.UTC) }

// told are counts as lines of "GPU code class count".
func told(counts []sample.XID) []string {
	var out []string
	for _, c := range counts {
		out = append(out, fmt.Sprintf("%s %d %s %d", c.GPU, c.Code, c.Class, c.Count))
	}
	return out
}

func TestCounts(t *testing.T) {
	type seen struct {
		gpu  gpu.UUID
		code uint64
	}
	fell, fault := seen{"GPU-1", 79}, seen{"GPU-1", 31}
	for _, c := range []struct {
		name           string
		events, kernel []seen
		want           []string
	}{
		{"nothing yet: each GPU has a total to increase from", nil, nil, []string{"GPU-1 0 any 0", "GPU-2 0 any 0"}},
		{"both sources see the same error", []seen{fell}, []seen{fell}, []string{"GPU-1 0 any 1", "GPU-1 79 node reboot 1", "GPU-2 0 any 0"}},
		{"three codes in one wait of the driver", []seen{fell}, []seen{fault, {"GPU-1", 48}, fell}, []string{
			"GPU-1 0 any 3", "GPU-1 31 application error 1", "GPU-1 48 GPU reset 1", "GPU-1 79 node reboot 1", "GPU-2 0 any 0",
		}},
		{"the same code twice in one wait", []seen{fault}, []seen{fault, fault}, []string{"GPU-1 0 any 2", "GPU-1 31 application error 2", "GPU-2 0 any 0"}},
		{"no kernel log", []seen{fault, fault, fell}, nil, []string{"GPU-1 0 any 3", "GPU-1 31 application error 2", "GPU-1 79 node reboot 1", "GPU-2 0 any 0"}},
		{"no events", nil, []seen{fault}, []string{"GPU-1 0 any 1", "GPU-1 31 application error 1", "GPU-2 0 any 0"}},
		{"each missed something else", []seen{fault, fell}, []seen{fault, fault}, []string{"GPU-1 0 any 3", "GPU-1 31 application error 2", "GPU-1 79 node reboot 1", "GPU-2 0 any 0"}},
		{"GPUs are told apart", []seen{fault, {"GPU-2", 31}}, []seen{{"GPU-2", 31}}, []string{
			"GPU-1 0 any 1", "GPU-1 31 application error 1", "GPU-2 0 any 1", "GPU-2 31 application error 1",
		}},
		{"a code that nobody knows", []seen{{"GPU-2", 4711}}, nil, []string{"GPU-1 0 any 0", "GPU-2 0 any 1", "GPU-2 4711 notice 1"}},
		{"a GPU that was not named", []seen{{"GPU-3", 31}}, nil, []string{"GPU-1 0 any 0", "GPU-2 0 any 0", "GPU-3 0 any 1", "GPU-3 31 application error 1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := New(xid.Catalogue{}, nil)
			n.SetGPUs([]gpu.UUID{"GPU-2", "GPU-1"})
			for _, s := range c.events {
				n.Event(s.gpu, s.code, at(0))
			}
			for _, s := range c.kernel {
				n.Kmsg(s.gpu, s.code, at(0))
			}
			if got := told(n.Counts()); !slices.Equal(got, c.want) {
				t.Errorf("the counts are\n%q, want\n%q", got, c.want)
			}
		})
	}
}

func TestLastIsTheNewestOfBothSources(t *testing.T) {
	n := New(xid.Catalogue{}, nil)
	n.Kmsg("GPU-1", 31, at(5))
	n.Event("GPU-1", 31, at(3))
	n.Event("GPU-1", 79, at(4))
	want := []time.Time{at(5), at(5), at(4)}
	for i, c := range n.Counts() {
		if !c.Last.Equal(want[i]) {
			t.Errorf("code %d was last seen at %v, want %v", c.Code, c.Last, want[i])
		}
	}
}

func TestGPUsThatAreNotNamedAgainKeepTheirCounts(t *testing.T) {
	n := New(xid.Catalogue{}, nil)
	n.SetGPUs([]gpu.UUID{"GPU-1"})
	n.Event("GPU-1", 31, at(0))
	n.SetGPUs([]gpu.UUID{"GPU-2"})
	if got, want := told(n.Counts()), []string{"GPU-1 0 any 1", "GPU-1 31 application error 1", "GPU-2 0 any 0"}; !slices.Equal(got, want) {
		t.Errorf("the counts are %q, want %q", got, want)
	}
}

func TestInventedCodesTakeNoMemory(t *testing.T) {
	n := New(xid.Catalogue{}, nil)
	for code := range uint64(5000) {
		n.Kmsg("GPU-1", code+1, at(0))
	}
	got := n.Counts()
	if len(got) != maxCodes+1 || got[0].Count != 5000 {
		t.Errorf("there are %d rows and a total of %d, want %d and 5000", len(got), got[0].Count, maxCodes+1)
	}
}

// TestCountsNeverFall: after any events, each count is that of the source that saw more, the total is their sum, and nothing falls.
func TestCountsNeverFall(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := New(xid.Catalogue{}, nil)
		type row struct {
			gpu  gpu.UUID
			code uint64
		}
		var model [2]map[row]uint64
		model[0], model[1] = map[row]uint64{}, map[row]uint64{}
		last := map[row]uint64{}
		for i := range rapid.IntRange(0, 60).Draw(t, "errors") {
			r := row{gpu.UUID(fmt.Sprintf("GPU-%d", rapid.IntRange(0, 2).Draw(t, "GPU"))), rapid.Uint64Range(1, 4).Draw(t, "code")}
			source := rapid.IntRange(0, 1).Draw(t, "source")
			model[source][r]++
			if source == 0 {
				n.Event(r.gpu, r.code, at(i))
			} else {
				n.Kmsg(r.gpu, r.code, at(i))
			}
			totals, sums := map[gpu.UUID]uint64{}, map[gpu.UUID]uint64{}
			for _, c := range n.Counts() {
				k := row{c.GPU, c.Code}
				if c.Count < last[k] {
					t.Fatalf("%v fell from %d to %d", k, last[k], c.Count)
				}
				last[k] = c.Count
				if c.Code == 0 {
					totals[c.GPU] = c.Count
					continue
				}
				sums[c.GPU] += c.Count
				if want := max(model[0][k], model[1][k]); c.Count != want {
					t.Fatalf("%v is %d, want %d", k, c.Count, want)
				}
			}
			for g, sum := range sums {
				if totals[g] != sum {
					t.Fatalf("the total of %s is %d, its codes add up to %d", g, totals[g], sum)
				}
			}
		}
	})
}
