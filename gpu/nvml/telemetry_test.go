package nvml_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/nvml"
	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// Measurements follow the hardware in the right units, on each driver branch and kind of GPU.
func TestTelemetry(t *testing.T) {
	for _, node := range []string{
		"v100x8 470.256.02", "t4x4 470.256.02", "dgx-a100 470.256.02", "dgx-a100 525.147.05", "a30x4 535.183.01", "hgx-h100 525.147.05",
		"hgx-h100 550.54.15", "dgx-a100 570.86.10", "t4x4 580.65.06", "hgx-h100 580.65.06",
	} {
		t.Run(node, func(t *testing.T) {
			t.Parallel()
			simulated(t, node, "TestChildWhole")
		})
	}
}

const whole = gpu.NoInstance

func TestChildWhole(t *testing.T) {
	b := start(t, false)
	g, tel := b.gpu(0)
	id, _, err := g.Identity()
	b.must(err)
	if _, err := b.sim.StartProcess(t.Context(), sim.Whole(0), model.ProcessSpec{Memory: 3 << 30}); err != nil {
		t.Fatal(err)
	}
	b.must(b.sim.SetLoad(t.Context(), sim.Whole(0), model.Load{Kind: "constant", Level: 50}))
	ask := gpu.Ask{Whole: append(nvml.Fields(), 230, 60000)}
	first := b.read(tel, ask)
	if len(first.at) != 1 || len(first.at[id.UUID.Whole()]) != len(nvml.Fields()) {
		t.Errorf("%d fields of %d entities for %d", len(first.at[id.UUID.Whole()]), len(first.at), len(nvml.Fields()))
	}
	b.clock.pass(2 * time.Second)
	got := b.read(tel, ask)

	c, ctx, d := b.client, t.Context(), b.model(0)
	watts, _ := c.DeviceGetPowerUsage(ctx, d)
	got.about(whole, 155, float64(watts)/1000)
	got.about(whole, 157, float64(watts)/1000)
	joules, _ := c.DeviceGetTotalEnergyConsumption(ctx, d)
	got.about(whole, 156, float64(joules))
	if grown := got.of(whole, 156).Value - first.of(whole, 156).Value; math.Abs(grown-2*float64(watts)) > 0.1*float64(watts) {
		t.Errorf("%v mJ in 2 s at %d mW", grown, watts)
	}
	memory, ret := c.DeviceGetMemoryInfoV2(ctx, d)
	if ret != model.Success {
		memory, _ = c.DeviceGetMemoryInfo(ctx, d)
	}
	const mebi = 1 << 20
	got.about(whole, 250, float64(memory.Total)/mebi)
	got.about(whole, 251, float64(memory.Free)/mebi)
	if b.branch == "470" { // its only form counts the reserved memory as used
		got.about(whole, 252, float64(memory.Used)/mebi)
		got.absent(whole, 253, gpu.NotSupported, "driver 470.256.02 counts reserved memory as used")
	} else {
		got.about(whole, 252, 3<<10)
		got.about(whole, 253, float64(memory.Reserved)/mebi)
		got.about(whole, 254, float64(memory.Used)/float64(memory.Total-memory.Reserved))
	}
	got.about(whole, 203, 50)
	got.about(whole, 204, 30)
	sm, _ := c.DeviceGetClockInfo(ctx, d, 1)
	got.about(whole, 100, float64(sm))
	core, _ := c.DeviceGetTemperature(ctx, d, 0)
	got.about(whole, 150, float64(core))
	limit, _ := c.DeviceGetPowerManagementLimit(ctx, d)
	got.about(whole, 160, float64(limit)/1000)
	got.about(whole, 162, float64(limit)/1000)
	if name := got.of(whole, 50); name.Text != id.Model || got.of(whole, 54).Text != string(id.UUID) || got.of(whole, 1).Text == "" {
		t.Errorf("%+v", name)
	}
	b.differences(got, id)
	b.repeated(tel, ask)
	b.lost(tel)
}

// differences are what models and driver branches have and have not.
func (b *bench) differences(got readings, id gpu.Identity) {
	b.Helper()
	switch id.Architecture {
	case "hopper":
		got.about(whole, 1001, 0.5)
		got.about(whole, 1002, 0.5)
		got.about(whole, 1004, 0.25)
		got.about(whole, 1005, 0.3)
	default:
		got.absent(whole, 1001, gpu.NoSource, "profiling before Hopper needs DCGM")
		got.absent(whole, 1085, gpu.NoSource, "DCGM")
	}
	if id.Architecture == "volta" || id.Architecture == "turing" {
		got.about(whole, 390, 0)
		got.absent(whole, 393, gpu.NotSupported, "nvmlDeviceGetRemappedRows")
	} else {
		got.about(whole, 393, 0)
		got.absent(whole, 390, gpu.NotSupported, "nvmlDeviceGetRetiredPages")
	}
	if id.Architecture == "turing" {
		got.absent(whole, 140, gpu.NotSupported, "field value 82")
	} else if r := got.of(whole, 140); r.Value < 20 || r.Value > 100 {
		b.Errorf("memory at %v C", r.Value)
	}
	switch {
	case b.branch >= "570":
		got.about(whole, 1523, 0)
		got.about(whole, 1422, 0)
	default:
		got.absent(whole, 1523, gpu.NoFunction, "does not know the field value 230")
	}
	if b.branch >= "550" {
		if sent, received := got.of(whole, 1009), got.of(whole, 1010); received.Value < 1e6 || math.Abs(sent.Value-0.4*received.Value) > 1e4 {
			b.Errorf("PCIe %v and %v B/s", sent.Value, received.Value)
		}
	}
	if id.Architecture == "ampere" && id.MemoryBytes > 70<<30 { // 12 links of 25000 MB/s, 10 % of half of it, both ways
		got.about(whole, 449, 2*12*25000*0.1*0.5)
		got.about(whole, 1011, 12*25000*0.1*0.5*1e6)
	}
}

// repeated checks that what is not there is asked once: a second reading makes fewer calls, and no failing ones.
func (b *bench) repeated(tel gpu.Telemetry, ask gpu.Ask) {
	b.Helper()
	b.clock.pass(time.Second)
	before := b.read(tel, ask)
	b.clock.pass(time.Second)
	var after readings
	n, each := b.calls(func() { after = b.read(tel, ask) })
	if each["nvmlDeviceGetFieldValues"] != 1 {
		b.Errorf("%d calls for the field values", each["nvmlDeviceGetFieldValues"])
	}
	b.Logf("%d calls for all %d fields: %v", n, len(ask.Whole), each)
	for e, fields := range before.at {
		for f, r := range fields {
			if now := after.at[e][f]; (now.Absent == nil) != (r.Absent == nil) || r.Absent != nil && *now.Absent != *r.Absent {
				b.Errorf("field %d: %+v, then %+v", f, r.Absent, now.Absent)
			}
		}
	}
	for f, name := range map[gpu.Field]string{346: "nvmlDeviceGetSramEccErrorStatus", 191: "nvmlDeviceGetFanSpeed", 393: "nvmlDeviceGetRemappedRows", 153: "nvmlDeviceGetMarginTemperature"} {
		if after.of(whole, f).Absent != nil && each[name] > 0 {
			b.Errorf("%s was called again for field %d: %+v", name, f, after.of(whole, f).Absent)
		}
	}
}

// lost checks that a lost GPU is an error, and that it can come back.
func (b *bench) lost(tel gpu.Telemetry) {
	b.Helper()
	b.must(b.sim.SetLost(b.Context(), 0, true))
	if _, err := tel.Read(gpu.Ask{Whole: []gpu.Field{203}}); !errors.Is(err, gpu.ErrLost) {
		b.Errorf("Read of a lost GPU: %v", err)
	}
	if _, err := tel.Read(gpu.Ask{Whole: []gpu.Field{156}}); !errors.Is(err, gpu.ErrLost) {
		b.Errorf("Read of a lost GPU: %v", err)
	}
	if _, err := tel.Use(); !errors.Is(err, gpu.ErrLost) {
		b.Errorf("Use of a lost GPU: %v", err)
	}
	b.must(b.sim.SetLost(b.Context(), 0, false))
	b.read(tel, gpu.Ask{Whole: []gpu.Field{203, 156}})
	b.must(b.driver.Close())
	if _, err := tel.Read(gpu.Ask{Whole: []gpu.Field{203}}); !errors.Is(err, gpu.ErrSessionLost) {
		b.Errorf("Read after the session's end: %v", err)
	}
}
