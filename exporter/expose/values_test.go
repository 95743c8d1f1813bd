package expose_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
)

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

// A pod that is the only one known on a time-sliced GPU has its own part, as later beside others: not all that the GPU does.
func TestOneOnASharedGPU(t *testing.T) {
	o := options(selected(family.GPUUtil, family.SMClock))
	n := node{newSet(o.Fields, a100(0))}
	e := n.Snapshot.GPUs[0].UUID.Whole()
	n.set(e, family.GPUUtil, 80)
	n.hold(e, container("one"), sample.TimeSlicing)
	n.share(e, container("one"), 0.5, 0)
	families := gather(t, gatherer(n.Set, o))
	for pod, want := range map[string]float64{"one": 50, "": 30} {
		if got := find(t, families, util, map[string]string{"pod": pod}); !slices.Equal(got, []float64{want}) {
			t.Errorf("pod %q: %v, want %v", pod, got, want)
		}
	}
	if got := find(t, families, smClock, map[string]string{"pod": ""}); len(got) != 1 {
		t.Errorf("the clock is the pod's: %v", got)
	}
}

// Errors are told of the GPU, in MIG mode too. The total is there from the start, so that an alert sees the first error.
func TestXIDs(t *testing.T) {
	o := options(selected(family.XIDErrors))
	n := node{newSet(o.Fields, a100(0, "7g.80gb"))}
	id := n.Snapshot.GPUs[0].UUID
	n.set(id.Whole(), family.XIDErrors, 31)
	n.XIDs = []sample.XID{{GPU: id, Class: "any"}, {GPU: id, Code: 31, Class: "application", Count: 2, Last: now()}, {GPU: "GPU-gone", Code: 79, Count: 1}}
	families := gather(t, gatherer(n.Set, o))
	for name, c := range map[string]struct {
		labels map[string]string
		want   []float64
	}{
		"DCGM_FI_DEV_XID_ERRORS":         {map[string]string{"GPU_I_ID": ""}, []float64{31}},
		"gpu_xid_last_timestamp_seconds": {map[string]string{"xid": "31", "gpu": "0", "UUID": string(id)}, []float64{float64(now().Unix())}},
		"gpu_xid_errors_total":           {map[string]string{"xid": "any"}, []float64{0}},
	} {
		if got := find(t, families, name, c.labels); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	if got := find(t, families, "gpu_xid_errors_total", map[string]string{"UUID": "GPU-gone", "gpu": ""}); !slices.Equal(got, []float64{1}) {
		t.Errorf("a GPU that is gone: %v", got)
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

// A container whose slice does not exist yet is told with the slice's profile, and one on a GPU that is gone with its UUID.
func TestPodInfoWithoutInstance(t *testing.T) {
	o := options(nil)
	n := node{newSet(nil, a100(0, "3g.40gb"))}
	d := gpu.Device{Kind: gpu.Slice, GPU: n.Snapshot.GPUs[0].UUID, Slot: n.Snapshot.GPUs[0].Instances[0].Slot}
	n.Holds = []sample.Hold{
		{Container: container("early"), Resource: "nvidia.com/mig-3g.40gb", Device: d, Sharing: sample.Exclusive},
		{Container: container("late"), Resource: "nvidia.com/gpu", Device: gpu.Device{GPU: "GPU-gone"}, Sharing: sample.Exclusive},
	}
	families := gather(t, gatherer(n.Set, o))
	for pod, labels := range map[string]map[string]string{
		"early": {"gpu": "0", "GPU_I_PROFILE": "3g.40gb", "GPU_I_ID": ""},
		"late":  {"gpu": "", "UUID": "GPU-gone"},
	} {
		labels["pod"] = pod
		if got := find(t, families, "gpu_pod_info", labels); !slices.Equal(got, []float64{1}) {
			t.Errorf("%s: %v in %q", pod, got, series(t, families, "gpu_pod_info"))
		}
	}
}

// gpu_info says how a GPU is divided.
func TestMIGMode(t *testing.T) {
	for want, state := range map[string]gpu.MIGState{
		"unsupported": {}, "disabled": {Capable: true}, "enabled": {Capable: true, Enabled: true, Pending: true},
		"pending": {Capable: true, Pending: true},
	} {
		g := a100(0)
		g.MIG = state
		families := gather(t, gatherer(newSet(nil, g), options(nil)))
		if got := find(t, families, "gpu_info", map[string]string{"mig_mode": want, "Hostname": "node-1", "device": "nvidia0", "pci_bus_id": "00000000:A7:00.0"}); len(got) != 1 {
			t.Errorf("%s: %q", want, series(t, families, "gpu_info"))
		}
	}
}
