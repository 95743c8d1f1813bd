package nvml_test

import (
	"testing"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// GPU instances have memory and, from Hopper on, profiling of their own; a change of the layout swaps them and leaves nothing behind.
func TestInstances(t *testing.T) {
	for _, node := range []string{"dgx-a100 470.256.02", "dgx-a100 550.54.15", "a30x4 535.183.01", "hgx-h100 550.54.15", "hgx-h100 580.65.06"} {
		t.Run(node, func(t *testing.T) {
			t.Parallel()
			simulated(t, node, "TestChildInstances")
		})
	}
}

// create makes an instance and gives its reference.
func (b *bench) create(index int, profile string) gpu.InstanceRef {
	b.Helper()
	id, uuid, err := b.sim.CreateInstance(b.Context(), index, profile, nil)
	b.must(err)
	return gpu.InstanceRef{ID: id, MIG: gpu.UUID(uuid)}
}

// instanceFields are those that instances have by themselves, and one that they have not.
func instanceFields() []gpu.Field {
	return []gpu.Field{50, 54, 250, 251, 252, 253, 254, 1001, 1002, 1005, 1084, 1085, 1009, 155}
}

func TestChildInstances(t *testing.T) {
	b := start(t, false)
	ctx := t.Context()
	b.must(b.sim.SetMIG(ctx, 0, true))
	one, two := "1g.10gb", "2g.20gb"
	if _, tel := b.gpu(0); b.read(tel, gpu.Ask{Whole: []gpu.Field{50}}).of(whole, 50).Text == "NVIDIA A30" {
		one, two = "1g.6gb", "2g.12gb"
	}
	big, small := b.create(0, two), b.create(0, one)
	g, tel := b.gpu(0)
	id, _, err := g.Identity()
	b.must(err)
	if _, err := b.sim.StartProcess(ctx, sim.In(0, big.ID), model.ProcessSpec{Memory: 2 << 30}); err != nil {
		t.Fatal(err)
	}
	b.must(b.sim.SetLoad(ctx, sim.In(0, big.ID), model.Load{Kind: "constant", Level: 80}))
	b.must(b.sim.SetLoad(ctx, sim.In(0, small.ID), model.Load{Kind: "constant", Level: 20}))
	none := gpu.InstanceRef{ID: 77, MIG: "MIG-00000000-0000-4000-8000-000000000000"}
	bare := gpu.InstanceRef{ID: 78}
	ask := gpu.Ask{Whole: []gpu.Field{203, 204, 206, 207, 155, 252}, Instance: instanceFields(), Instances: []gpu.InstanceRef{big, small, none, bare}}
	first := b.read(tel, ask)
	hopper := id.Architecture == "hopper"
	if hopper {
		first.absent(big.ID, 1001, gpu.NoData, "two readings")
	}
	b.clock.pass(time.Second)
	got := b.read(tel, ask)
	for _, f := range []gpu.Field{203, 204, 206, 207} {
		got.absent(whole, f, gpu.NotSupported, "the driver measures no utilization of a GPU in MIG mode")
	}
	if got.of(big.ID, 54).Text != string(big.MIG) || got.of(big.ID, 50).Text == "" {
		t.Errorf("%+v %+v", got.of(big.ID, 54), got.of(big.ID, 50))
	}
	if used := got.of(big.ID, 252).Value - got.of(small.ID, 252).Value; used != 2<<10 {
		t.Errorf("%v MiB are used by the process", used)
	}
	if b, s := got.of(big.ID, 250).Value, got.of(small.ID, 250).Value; b < 1.8*s || b > 2.2*s {
		t.Errorf("%v and %v MiB", b, s)
	}
	got.absent(big.ID, 155, gpu.NotSupported, "the GPU as a whole only")
	got.absent(none.ID, 252, gpu.Lost, "gone")
	got.absent(bare.ID, 252, gpu.NoData, "no compute instance")
	if hopper {
		got.about(big.ID, 1001, 0.8)
		got.about(small.ID, 1001, 0.2)
		got.about(small.ID, 1005, 0.12)
		got.absent(big.ID, 1009, gpu.NotSupported, "whole only")
		got.absent(none.ID, 1001, gpu.Lost, "gone")
	} else {
		got.absent(big.ID, 1001, gpu.NoSource, "profiling before Hopper needs DCGM")
	}
	b.soon(tel, ask, big, hopper)
	b.passes(g, ask, big)
	b.asksAgain(g, tel)
	b.swap(tel, ask, big, small, one)
}

// soon checks that a reading within 100 ms of the last gives its values again, and that nothing is looked up twice.
func (b *bench) soon(tel gpu.Telemetry, ask gpu.Ask, big gpu.InstanceRef, hopper bool) {
	b.Helper()
	b.must(b.sim.SetLoad(b.Context(), sim.In(0, big.ID), model.Load{Kind: "constant", Level: 30}))
	b.clock.pass(50 * time.Millisecond)
	var got readings
	_, each := b.calls(func() { got = b.read(tel, ask) })
	if hopper {
		got.about(big.ID, 1001, 0.8)
		if r := got.of(big.ID, 1001); b.clock.Now().Sub(r.At) != 50*time.Millisecond {
			b.Errorf("a value of before is told as of %s", r.At)
		}
	}
	if each["nvmlDeviceGetHandleByUUID"] != 0 || each["nvmlGpmSampleGet"]+each["nvmlGpmMigSampleGet"] != 0 {
		b.Errorf("%v", each)
	}
	b.clock.pass(950 * time.Millisecond)
	got = b.read(tel, ask)
	if hopper {
		got.about(big.ID, 1001, 0.3)
	}
}

// passes checks that a failure to look an instance up is over soon, without another layout.
func (b *bench) passes(g gpu.DriverGPU, ask gpu.Ask, big gpu.InstanceRef) {
	b.Helper()
	tel := g.Telemetry()
	defer func() { b.must(tel.Release()) }()
	b.must(b.sim.FailCalls(b.Context(), model.ErrorFault{Call: "nvmlDeviceGetHandleByUUID", GPU: -1, Times: 2, Return: model.Unknown}))
	b.read(tel, ask).absent(big.ID, 252, gpu.Failed, "unknown")
	b.clock.pass(10 * time.Second)
	b.read(tel, ask)
	b.clock.pass(10 * time.Second)
	if r := b.read(tel, ask).of(big.ID, 252); r.Absent != nil {
		b.Errorf("%+v", r.Absent)
	}
}

// asksAgain checks that what was not there is asked for once more when the inventory has seen another layout.
func (b *bench) asksAgain(g gpu.DriverGPU, tel gpu.Telemetry) {
	b.Helper()
	geometry, _, err := g.Geometry()
	b.must(err)
	look := func() {
		b.Helper()
		if _, gaps, err := g.Layout(geometry); err != nil || len(gaps) > 0 {
			b.Fatalf("%v %v", gaps, err)
		}
	}
	asked := func() uint64 {
		b.Helper()
		_, each := b.calls(func() {
			b.read(tel, gpu.Ask{Whole: []gpu.Field{191}}).absent(whole, 191, gpu.NotSupported, "nvmlDeviceGetFanSpeed")
		})
		return each["nvmlDeviceGetFanSpeed"]
	}
	look()
	if first, second := asked(), asked(); first != 1 || second != 0 {
		b.Errorf("asked %d and %d times", first, second)
	}
	look()
	if n := asked(); n != 0 {
		b.Errorf("asked %d times in the same layout", n)
	}
	b.clock.pass(10 * time.Minute)
	if first, second := asked(), asked(); first != 1 || second != 0 {
		b.Errorf("asked %d and %d times after ten minutes", first, second)
	}
	_, uuid, err := b.sim.CreateInstance(b.Context(), 0, geometry.Profiles[0].Profile.String(), nil)
	b.must(err)
	look()
	if n := asked(); n != 1 {
		b.Errorf("asked %d times after %s was made", n, uuid)
	}
}

// swap replaces an instance, as another program may.
func (b *bench) swap(tel gpu.Telemetry, ask gpu.Ask, big, small gpu.InstanceRef, profile string) {
	b.Helper()
	b.must(b.sim.DestroyInstance(b.Context(), 0, small.ID)) // its id is the next to be given
	b.clock.pass(time.Second)
	gone := b.read(tel, ask)
	gone.absent(small.ID, 252, gpu.Lost, "gone")
	renewed := b.create(0, profile)
	if renewed.ID != small.ID || renewed.MIG == small.MIG {
		b.Fatalf("%v replaces %v", renewed, small)
	}
	ask.Instances = []gpu.InstanceRef{big, renewed}
	b.clock.pass(time.Second)
	got := b.read(tel, ask)
	if got.of(renewed.ID, 54).Text != string(renewed.MIG) || got.of(renewed.ID, 252).Absent != nil {
		b.Errorf("%+v", got.of(renewed.ID, 54))
	}
	if a := got.of(renewed.ID, 1001).Absent; a == nil || a.Code != gpu.NoData && a.Code != gpu.NoSource {
		b.Errorf("the new instance has a value of the old: %+v", got.of(renewed.ID, 1001))
	}
	b.must(tel.Release())
	b.clock.pass(time.Second)
	got = b.read(tel, ask)
	if got.of(renewed.ID, 252).Absent != nil || got.of(big.ID, 252).Absent != nil {
		b.Errorf("after Release: %+v", got.of(renewed.ID, 252))
	}
}

// Samples keep an instance from being destroyed by others, in a driver that is strict: they are given back as soon as
// an instance is not read any more, or on Release.
func TestSamplesAreGivenBack(t *testing.T) {
	simulated(t, "hgx-h100 580.65.06", "TestChildSamples")
}

func TestChildSamples(t *testing.T) {
	b := start(t, true)
	ctx := t.Context()
	b.must(b.sim.SetMIG(ctx, 0, true))
	one, two := b.create(0, "1g.10gb"), b.create(0, "2g.20gb")
	_, tel := b.gpu(0)
	ask := gpu.Ask{Instance: []gpu.Field{1001}, Instances: []gpu.InstanceRef{one, two}}
	for range 2 {
		b.read(tel, ask)
		b.clock.pass(time.Second)
	}
	if err := b.sim.DestroyInstance(ctx, 0, one.ID); err == nil {
		t.Fatal("samples do not hold an instance: this test shows nothing")
	}
	b.read(tel, gpu.Ask{Instance: ask.Instance, Instances: []gpu.InstanceRef{two}})
	b.must(b.sim.DestroyInstance(ctx, 0, one.ID))
	b.must(tel.Release())
	b.must(b.sim.DestroyInstance(ctx, 0, two.ID))
}
