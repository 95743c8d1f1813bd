package expose_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/gpulet/gpulet/exporter/expose"
	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
)

const (
	util    = "DCGM_FI_DEV_GPU_UTIL"
	fbUsed  = "DCGM_FI_DEV_FB_USED"
	smClock = "DCGM_FI_DEV_SM_CLOCK"
	engine  = "DCGM_FI_PROF_GR_ENGINE_ACTIVE"
)

// denseNode has eight GPUs in seven slices each, most of them held.
func denseNode(o *expose.Options) node {
	var gpus []gpu.GPU
	for i := range 8 {
		gpus = append(gpus, a100(i, slices.Repeat([]string{"1g.10gb"}, 7)...))
	}
	n := node{newSet(o.Fields, gpus...)}
	for i, g := range gpus {
		for j, in := range g.Instances {
			if e := (gpu.Entity{GPU: g.UUID, Instance: in.ID}); j > 0 {
				c := container(fmt.Sprintf("pod-%d-%d", i, j))
				n.hold(e, c, sample.Exclusive)
				n.share(e, c, 0.5, 1<<30)
				n.Ledger = append(n.Ledger, sample.Account{Container: c, Resource: "nvidia.com/mig-1g.10gb", Allocated: 1})
			}
		}
	}
	return n
}

// A full node is scraped in both formats, with families of a GPU once for each GPU and those of slices once for each slice.
func TestNodeOfSlices(t *testing.T) {
	o := options(family.Defaults())
	n := denseNode(&o)
	families := gather(t, gatherer(n.Set, o))
	for name, want := range map[string]int{
		smClock: 8, util: 56, fbUsed: 56, engine: 56, "gpu_up": 8, "gpu_pod_info": 48, "gpu_health": 64,
	} {
		if got := series(t, families, name); len(got) != want || len(slices.Compact(got)) != want {
			t.Errorf("%d series of %s, want %d", len(got), name, want)
		}
	}
	if got := find(t, families, util, map[string]string{"namespace": "team", "pod": "pod-3-4", "GPU_I_ID": "11", "GPU_I_PROFILE": "1g.10gb", "gpu": "3"}); len(got) != 1 {
		t.Errorf("a pod finds its slice's utilization as %v", got)
	}
	if got := find(t, families, util, map[string]string{"pod": "", "GPU_I_ID": "7"}); len(got) != 8 {
		t.Errorf("slices that nobody has: %v", got)
	}
	openMetrics(t, families)
}

// Label sets are made once: the next scrape has the same ones. A new layout swaps them at once, and nothing of the old one stays.
func TestLayoutChange(t *testing.T) {
	o := options(selected(family.GREngine))
	before := newSet(o.Fields, a100(0, "3g.40gb", "4g.40gb"))
	after := newSet(o.Fields, a100(0, "7g.80gb"))
	after.Generation = 2
	var now atomic.Pointer[sample.Set]
	now.Store(before)
	g := expose.New(now.Load, func() expose.Options { return o })
	first, second := gather(t, g), gather(t, g)
	for i, f := range first {
		for j, m := range f.Metric {
			if &m.Label[0] != &second[i].Metric[j].Label[0] {
				t.Errorf("%s has new labels at the second scrape", f.GetName())
			}
			if m == second[i].Metric[j] {
				t.Errorf("%s: two scrapes share a metric", f.GetName())
			}
		}
	}
	now.Store(after)
	if got := find(t, gather(t, g), engine, map[string]string{"GPU_I_PROFILE": "7g.80gb"}); len(got) != 1 {
		t.Errorf("new layout: %v", got)
	}
	if page := text(t, gather(t, g)); strings.Contains(page, "3g.40gb") {
		t.Error("the old layout is still on the page")
	}
}

// A change of the options or of a text that is a label shows at the next scrape, in the same generation.
func TestOptionsAndTextsChange(t *testing.T) {
	o := options(selected(family.SMClock, vbios))
	n := node{newSet(o.Fields, a100(0))}
	g := expose.New(func() *sample.Set { return n.Set }, func() expose.Options { return o })
	gather(t, g)
	n.Values[n.Snapshot.GPUs[0].UUID.Whole()][vbios] = sample.Value{Text: "later"}
	if got := find(t, gather(t, g), smClock, map[string]string{"DCGM_FI_DEV_VBIOS_VERSION": "later"}); len(got) != 1 {
		t.Error("the text's change is not seen")
	}
	o.Hostname = expose.NoHostname
	if got := find(t, gather(t, g), smClock, map[string]string{"Hostname": ""}); len(got) != 1 {
		t.Error("the option's change is not seen")
	}
}

// Concurrent scrapes while sets change each see one set: all series of a page are of the same moment.
func TestConcurrentScrapes(t *testing.T) {
	o := options(selected(family.SMClock, family.GPUTemp))
	var now atomic.Pointer[sample.Set]
	sets := make([]*sample.Set, 4)
	for i := range sets {
		n := node{newSet(o.Fields, a100(0), a100(1))}
		n.Generation = uint64(i / 2)
		for _, g := range n.Snapshot.GPUs {
			n.set(g.UUID.Whole(), family.SMClock, float64(i))
			n.set(g.UUID.Whole(), family.GPUTemp, float64(i))
		}
		sets[i] = n.Set
	}
	now.Store(sets[0])
	g := expose.New(now.Load, func() expose.Options { return o })
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 50 {
				now.Store(sets[i%len(sets)])
				families, err := g.Gather()
				if err != nil {
					t.Error(err)
				}
				values := slices.Concat(find(t, families, smClock, nil), find(t, families, "DCGM_FI_DEV_GPU_TEMP", nil))
				if len(values) != 4 || slices.Min(values) != slices.Max(values) {
					t.Errorf("a page of several moments: %v", values)
				}
			}
		})
	}
	wg.Wait()
}

// Before the first sample the page is empty.
func TestNothingYet(t *testing.T) {
	for _, s := range []*sample.Set{nil, {}} {
		if got := gather(t, gatherer(s, options(nil))); len(got) > 0 {
			t.Errorf("%v", got)
		}
	}
}

// One page has the agent's own metrics and the GPUs', sorted; a clash of names is told and costs neither page.
func TestJoin(t *testing.T) {
	set, o := example()
	registry := prometheus.NewRegistry()
	for _, name := range []string{"AAA", "gpu_something", "zzz"} {
		registry.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: "x"}))
	}
	joined := expose.Join(registry, gatherer(set, o))
	families := gather(t, joined)
	names := make([]string, 0, len(families))
	for _, f := range families {
		names = append(names, f.GetName())
	}
	if !slices.IsSorted(names) || names[0] != "AAA" || !slices.Contains(names, "gpu_up") || names[len(names)-1] != "zzz" {
		t.Errorf("%v", names)
	}
	registry.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "gpu_up", Help: "another"}))
	families, err := joined.Gather()
	if err == nil || !strings.Contains(err.Error(), "gpu_up") || len(families) != len(names) {
		t.Errorf("%d families, %v", len(families), err)
	}
	if slices.ContainsFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == "gpu_up" && f.GetHelp() != "another" }) {
		t.Error("the registry's family did not stay")
	}
}
