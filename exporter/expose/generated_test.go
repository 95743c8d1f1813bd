package expose_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"github.com/gpulet/gpulet/exporter/expose"
	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
)

// ugly values are what labels must survive.
func ugly() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom([]string{"", "a", "b", `"`, `\`, "x\ny", "\xff", "\xfe", `}`, "é", `a"} 1`, "\x00"}),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 8), func(b []byte) string { return string(b) }),
	)
}

func number() *rapid.Generator[float64] {
	return rapid.OneOf(rapid.Float64Range(0, 100), rapid.SampledFrom([]float64{0, math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, -1}))
}

func absence() *rapid.Generator[*gpu.Absence] {
	return rapid.SampledFrom([]*gpu.Absence{nil, nil, nil, {Code: gpu.Stale}, {Code: gpu.Unattributed}, {}})
}

func containers() *rapid.Generator[sample.Container] {
	return rapid.Custom(func(t *rapid.T) sample.Container {
		return sample.Container{
			Namespace: ugly().Draw(t, "namespace"), Pod: ugly().Draw(t, "pod"), Container: rapid.SampledFrom([]string{"", "a", "\xff"}).Draw(t, "container"),
			UID: kubelet.UID(rapid.SampledFrom([]string{"1", "2"}).Draw(t, "uid")),
		}
	})
}

// drawn is any set that the sampler could publish, and many that it never should.
func drawn(t *rapid.T, fields []family.Selected) *sample.Set {
	var gpus []gpu.GPU
	for i := range rapid.IntRange(0, 3).Draw(t, "gpus") {
		g := a100(i, slices.Repeat([]string{"1g.10gb"}, rapid.IntRange(0, 3).Draw(t, "slices"))...)
		g.Model = ugly().Draw(t, "model")
		g.Health = gpu.Health{State: gpu.State(rapid.IntRange(0, 4).Draw(t, "state")), Reason: ugly().Draw(t, "reason")}
		gpus = append(gpus, g)
	}
	n := node{newSet(fields, gpus...)}
	n.Snapshot.Driver.Version = ugly().Draw(t, "driver")
	entities := []gpu.Entity{{}, gpu.UUID("GPU-other\xff").Whole()}
	for _, g := range gpus {
		entities = append(entities, g.UUID.Whole())
		for _, in := range g.Instances {
			entities = append(entities, gpu.Entity{GPU: g.UUID, Instance: in.ID})
		}
	}
	entity := rapid.SampledFrom(entities)
	for _, e := range entities {
		for _, f := range fields {
			if n.Values[e] != nil && rapid.Bool().Draw(t, "read") {
				n.Values[e][f.Field] = sample.Value{V: number().Draw(t, "value"), Text: ugly().Draw(t, "text"), Absent: absence().Draw(t, "absent")}
			}
		}
	}
	part := func() sample.Part {
		return sample.Part{
			Utilization: number().Draw(t, "utilization"), MemoryBytes: number().Draw(t, "memory"),
			NoUtil: absence().Draw(t, "no utilization"), NoMB: absence().Draw(t, "no memory"),
		}
	}
	pods := rapid.SampledFrom(rapid.SliceOfN(containers(), 1, 4).Draw(t, "pods"))
	for range rapid.IntRange(0, 6).Draw(t, "parts") {
		c, e := pods.Draw(t, "pod"), entity.Draw(t, "entity")
		n.Holds = append(n.Holds, sample.Hold{Container: c, Entity: e, Device: gpu.Device{GPU: e.GPU}, Resource: ugly().Draw(t, "resource"), Sharing: sample.MPS})
		n.Shares = append(n.Shares, sample.Share{Container: c, Entity: e, Part: part()})
		n.Rests = append(n.Rests, sample.Rest{Entity: e, Part: part()})
		n.Ledger = append(n.Ledger, sample.Account{Container: c, Resource: "r", Allocated: number().Draw(t, "s"), Idle: number().Draw(t, "i"), Dollars: number().Draw(t, "d")})
		n.XIDs = append(n.XIDs, sample.XID{GPU: e.GPU, Code: 79, Class: ugly().Draw(t, "class"), Count: 1, Last: now()})
		n.Sources = append(n.Sources, sample.Source{Name: ugly().Draw(t, "source"), Latency: sample.Histogram{Bounds: []float64{1}, Counts: []uint64{1, 2}}})
		n.Windows[e] = sample.Windows{Power: [2]float64{number().Draw(t, "w"), -1}}
	}
	return n.Set
}

// Whatever is sampled and whatever things are called: a page parses, no series is there twice, labels are sorted and valid, and
// no value is a NaN or infinite. Under sharing the known parts never come to more series than containers.
func TestAnySetMakesAPage(t *testing.T) {
	fields := selected(family.DriverVersion, family.SMClock, family.GPUUtil, family.FBUsed, family.GREngine, family.TotalEnergy, vbios)
	rapid.Check(t, func(rt *rapid.T) {
		o := options(fields)
		o.Node = ugly().Draw(rt, "node")
		o.Profile = rapid.SampledFrom([]family.Profile{family.Classic, family.DCGM47, family.Both}).Draw(rt, "profile")
		o.Hostname = rapid.SampledFrom([]expose.HostnameLabel{expose.UpperHostname, expose.LowerHostname, expose.BothHostnames, expose.NoHostname}).Draw(rt, "hostname")
		o.OldNamespace, o.Repeat = rapid.Bool().Draw(rt, "old namespace"), rapid.Bool().Draw(rt, "repeat")
		o.DriverLabel, o.Synthesize = rapid.Bool().Draw(rt, "driver label"), rapid.Bool().Draw(rt, "synthesize")
		g := gatherer(drawn(rt, fields), o)
		families, err := prometheus.Gatherers{g}.Gather() // looks for duplicates, names and UTF-8
		if err != nil {
			rt.Fatal(err)
		}
		again := gather(t, g)
		if a, b := text(t, gather(t, g)), text(t, again); a != b {
			rt.Fatalf("two scrapes of one set differ:\n%s\n%s", a, b)
		}
		parsed := parse(rt, text(t, families))
		for _, f := range again {
			p := parsed[f.GetName()]
			if p == nil || len(p.Metric) != len(f.Metric) {
				rt.Fatalf("%s does not come back", f.GetName())
			}
			for _, m := range f.Metric {
				if v := m.GetGauge().GetValue() + m.GetCounter().GetValue(); math.IsNaN(v) || math.IsInf(v, 0) {
					rt.Fatalf("%s: %v", f.GetName(), m)
				}
				for i := 1; i < len(m.Label); i++ {
					if m.Label[i-1].GetName() >= m.Label[i].GetName() {
						rt.Fatalf("%s: labels are not sorted: %v", f.GetName(), m)
					}
				}
			}
		}
	})
}

// The series of a shared GPU add up to what the GPU does, whoever shares it, as long as the parts do not exceed it.
func TestAnySharesAddUp(t *testing.T) {
	fields := selected(family.GPUUtil, family.FBUsed)
	rapid.Check(t, func(rt *rapid.T) {
		n := node{newSet(fields, a100(0))}
		e := n.Snapshot.GPUs[0].UUID.Whole()
		n.set(e, family.GPUUtil, 100)
		n.set(e, family.FBUsed, 1000)
		for _, c := range rapid.SliceOfN(containers(), 0, 6).Draw(rt, "pods") {
			n.hold(e, c, sample.TimeSlicing)
			n.Shares = append(n.Shares, sample.Share{Container: c, Entity: e, Part: sample.Part{
				Utilization: rapid.Float64Range(0, 1.0/6).Draw(rt, "u"), MemoryBytes: rapid.Float64Range(0, 100*(1<<20)).Draw(rt, "m"),
				NoUtil: absence().Draw(rt, "no utilization"), NoMB: absence().Draw(rt, "no memory"),
			}})
		}
		families := gather(t, gatherer(n.Set, options(fields)))
		for name, want := range map[string]float64{util: 100, fbUsed: 1000} {
			sum := 0.0
			for _, v := range find(t, families, name, nil) {
				sum += v
			}
			if math.Abs(sum-want) > 1e-6*want {
				rt.Fatalf("%s adds up to %v, want %v", name, sum, want)
			}
		}
	})
}

// Any string comes back from a page as it was, but for bytes that are not UTF-8.
func FuzzLabels(f *testing.F) {
	for _, s := range []string{"", "plain", `"`, "\\", "a\nb", "\r", "\xff\xfe", "é\u2028", `x"} 1`, "#", "\x00", "\\n", "a\tb "} {
		f.Add(s, s+"2", s)
	}
	fields := selected(family.SMClock, family.GPUUtil, vbios)
	f.Fuzz(func(t *testing.T, pod, other, model string) {
		n := node{newSet(fields, a100(0))}
		g := &n.Snapshot.GPUs[0]
		g.Model = model
		g.Health = gpu.Health{State: gpu.Suspect, Reason: other}
		n.Values[g.UUID.Whole()][vbios] = sample.Value{Text: other}
		n.hold(g.UUID.Whole(), sample.Container{Namespace: other, Pod: pod, Container: model, UID: kubelet.UID(other)}, sample.Exclusive)
		parsed := parse(t, text(t, gather(t, gatherer(n.Set, options(fields)))))
		clean := func(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
		want := map[string]string{"pod": clean(pod), "namespace": clean(other), "container": clean(model)}
		for name, more := range map[string]map[string]string{
			smClock:        {"modelName": clean(model), "DCGM_FI_DEV_VBIOS_VERSION": clean(other)},
			util:           {"modelName": clean(model)},
			"gpu_pod_info": {"pod_uid": clean(other)},
		} {
			f := parsed[name]
			if f == nil || len(f.Metric) != 1 || !has(f.Metric[0], want) || !has(f.Metric[0], more) {
				t.Errorf("%s came back as %v, want %q and %q", name, f, want, more)
			}
		}
		if f := parsed["gpu_health"]; f == nil || len(f.Metric) != 1 {
			t.Errorf("health came back as %v", f)
		}
	})
}
