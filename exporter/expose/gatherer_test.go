package expose_test

import (
	"fmt"
	"math"
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

// The parts of a shared GPU add up to it, in each profile; a part that is not known is no series, and never 0.
func TestSharesAddUp(t *testing.T) {
	o := options(selected(family.GPUUtil, family.FBUsed, family.SMClock))
	n := node{newSet(o.Fields, a100(0))}
	e := n.Snapshot.GPUs[0].UUID.Whole()
	n.set(e, family.GPUUtil, 85)
	n.set(e, family.FBUsed, 1000)
	for _, name := range []string{"a", "b", "c"} {
		n.hold(e, container(name), sample.TimeSlicing)
	}
	n.share(e, container("a"), 0.6, 300*(1<<20))
	n.share(e, container("b"), 0.2, 200*(1<<20))
	unknown := &gpu.Absence{Code: gpu.Unattributed}
	n.Shares = append(n.Shares, sample.Share{Container: container("c"), Entity: e, Part: sample.Part{NoUtil: unknown, NoMB: unknown}})
	o.Profile = family.Both
	families := gather(t, gatherer(n.Set, o))
	for _, c := range []struct {
		name          string
		a, b, rest    float64
		whole, factor float64
	}{
		{util, 60, 20, 5, 85, 1},
		{"DCGM_FI_DEV_GPU_UTIL_RATIO", 0.6, 0.2, 0.05, 0.85, 1},
		{fbUsed, 300, 200, 500, 1000, 1},
		{"DCGM_FI_DEV_FB_USED_BYTES", 300, 200, 500, 1000, 1 << 20},
	} {
		sum := 0.0
		for pod, want := range map[string]float64{"a": c.a, "b": c.b, "": c.rest} {
			got := find(t, families, c.name, map[string]string{"pod": pod})
			if len(got) != 1 || math.Abs(got[0]-want*c.factor) > 1e-9*c.whole*c.factor {
				t.Errorf("%s of pod %q is %v, want %v", c.name, pod, got, want*c.factor)
				continue
			}
			sum += got[0]
		}
		if got := find(t, families, c.name, nil); len(got) != 3 || math.Abs(sum-c.whole*c.factor) > 1e-9*sum {
			t.Errorf("%d series of %s add up to %v, want %v", len(got), c.name, sum, c.whole*c.factor)
		}
	}
	if got := find(t, families, smClock, map[string]string{"pod": "", "namespace": "", "container": ""}); len(got) != 1 {
		t.Errorf("what has no parts has no pod: %v", got)
	}
	if got := find(t, families, "gpu_field_unavailable", map[string]string{"field": "gpu_pod_utilization_ratio", "reason": "not_attributed"}); !slices.Equal(got, []float64{1}) {
		t.Errorf("unknown parts: %v", got)
	}
}

// A pod that follows another of its name under a new UID, as in a StatefulSet, makes no second series.
func TestPodsOfOneName(t *testing.T) {
	o := options(selected(family.GPUUtil, family.FBUsed))
	n := node{newSet(o.Fields, a100(0))}
	e := n.Snapshot.GPUs[0].UUID.Whole()
	old, young, other := container("db-0"), container("db-0"), container("web")
	young.UID = "uid-2"
	for _, c := range []sample.Container{old, young, other} {
		n.hold(e, c, sample.TimeSlicing)
		n.share(e, c, 0.1, 1<<20)
		n.Ledger = append(n.Ledger, sample.Account{Container: c, Resource: "nvidia.com/gpu", Allocated: 5})
	}
	families := gather(t, prometheus.Gatherers{gatherer(n.Set, o)})
	for name, want := range map[string]float64{util: 20, fbUsed: 2, "gpu_pod_utilization_ratio": 0.2, "gpu_allocated_seconds_total": 10} {
		if got := find(t, families, name, map[string]string{"pod": "db-0"}); !slices.Equal(got, []float64{want}) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	if got := find(t, families, "gpu_pod_info", map[string]string{"pod": "db-0"}); len(got) != 2 {
		t.Errorf("gpu_pod_info tells the UIDs apart: %v", got)
	}
}

// What is absent, stale or no number has no series; it is counted by its reason.
func TestNoValueNoSeries(t *testing.T) {
	o := options(selected(family.SMClock, family.MemClock, family.GPUTemp, family.PowerUsage, vbios))
	n := node{newSet(o.Fields, a100(0))}
	values := n.Values[n.Snapshot.GPUs[0].UUID.Whole()]
	values[family.SMClock] = sample.Value{V: 7, Absent: &gpu.Absence{Code: gpu.Stale}}
	values[family.MemClock] = sample.Value{V: math.NaN()}
	values[family.GPUTemp] = sample.Value{V: math.Inf(1)}
	values[vbios] = sample.Value{Absent: &gpu.Absence{Code: gpu.NoPermission}}
	delete(values, family.PowerUsage)
	families := gather(t, gatherer(n.Set, o))
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "DCGM_") {
			t.Errorf("%s is on the page: %v", f.GetName(), f)
		}
	}
	for field, reason := range map[string]gpu.AbsenceCode{
		smClock: gpu.Stale, "DCGM_FI_DEV_MEM_CLOCK": gpu.Failed, "DCGM_FI_DEV_GPU_TEMP": gpu.Failed,
		"DCGM_FI_DEV_POWER_USAGE": gpu.NoData, "DCGM_FI_DEV_VBIOS_VERSION": gpu.NoPermission,
	} {
		if got := find(t, families, "gpu_field_unavailable", map[string]string{"field": field, "reason": string(reason)}); !slices.Equal(got, []float64{1}) {
			t.Errorf("%s is not counted as %s: %v", field, reason, got)
		}
	}
}

// A value below zero is a value: a margin of temperature that is used up.
func TestValuesBelowZero(t *testing.T) {
	const margin gpu.Field = 153
	o := options(selected(margin))
	n := node{newSet(o.Fields, a100(0))}
	n.set(n.Snapshot.GPUs[0].UUID.Whole(), margin, -3)
	if got := find(t, gather(t, gatherer(n.Set, o)), "DCGM_FI_DEV_GPU_TEMP_LIMIT", nil); !slices.Equal(got, []float64{-3}) {
		t.Errorf("%v", got)
	}
}

// In MIG mode DCGM_FI_DEV_GPU_UTIL is there for slices when it is wanted, and nobody misses the GPU's own.
func TestUtilizationOfSlices(t *testing.T) {
	o := options(selected(family.GPUUtil, family.GREngine))
	n := node{newSet(o.Fields, a100(0, "3g.40gb"))}
	e := gpu.Entity{GPU: n.Snapshot.GPUs[0].UUID, Instance: 7}
	n.set(e, family.GREngine, 0.4)
	missing := map[string]string{"field": util}
	families := gather(t, gatherer(n.Set, o))
	if got := find(t, families, util, map[string]string{"GPU_I_ID": "7"}); !slices.Equal(got, []float64{40}) {
		t.Errorf("synthesized: %v", got)
	}
	if got := find(t, families, "gpu_field_unavailable", missing); len(got) > 0 {
		t.Errorf("missed: %v", got)
	}
	o.Synthesize = false
	families = gather(t, gatherer(n.Set, o))
	if got := find(t, families, util, nil); len(got) > 0 {
		t.Errorf("not wanted, and there: %v", got)
	}
	if got := find(t, families, "gpu_field_unavailable", missing); len(got) != 1 {
		t.Errorf("not explained: %v", got)
	}
}

// Values of the GPU are repeated for its slices, with the slice's pod, when that is wanted.
func TestRepeat(t *testing.T) {
	o := options(selected(family.SMClock))
	o.Repeat = true
	n := node{newSet(o.Fields, a100(0, "3g.40gb", "4g.40gb"))}
	n.hold(gpu.Entity{GPU: n.Snapshot.GPUs[0].UUID, Instance: 8}, container("x"), sample.Exclusive)
	families := gather(t, gatherer(n.Set, o))
	if got := find(t, families, smClock, nil); !slices.Equal(got, []float64{100, 100, 100}) {
		t.Errorf("repeated: %v", got)
	}
	if got := find(t, families, smClock, map[string]string{"GPU_I_ID": "8", "pod": "x"}); len(got) != 1 {
		t.Errorf("of the slice's pod: %v", got)
	}
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
