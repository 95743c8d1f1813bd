package model_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

func (r *rig) load(t model.Target, l model.Load) {
	r.Helper()
	if err := r.n.SetLoad(t, l); err != nil {
		r.Fatal(err)
	}
}

func near(t *testing.T, what string, got, want, off float64) {
	t.Helper()
	if math.Abs(got-want) > off || math.IsNaN(got) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// TestLoads: utilisation follows the kind of the load as the clock moves.
func TestLoads(t *testing.T) {
	r := start(t, "dgx-a100")
	d := r.gpu(0)
	util := func() float64 {
		t.Helper()
		u, ret := r.c.DeviceGetUtilizationRates(r.ctx, d)
		return float64(ok(r, u, ret).GPU)
	}
	near(t, "at rest", util(), 0, 0)
	r.load(model.WholeGPU(0), model.Load{Level: 40})
	near(t, "constant", util(), 40, 0)
	r.load(model.WholeGPU(0), model.Load{Kind: "ramp", From: 10, Level: 90, Period: 8 * time.Second})
	for _, want := range []float64{10, 30, 50, 70, 90, 90} {
		near(t, "ramp", util(), want, 0)
		r.clock.add(2 * time.Second)
	}
	r.load(model.WholeGPU(0), model.Load{Kind: "sine", Level: 50, Amplitude: 40, Period: 4 * time.Second})
	for _, want := range []float64{50, 90, 50, 10, 50} {
		near(t, "sine", util(), want, 0)
		r.clock.add(time.Second)
	}
	r.load(model.WholeGPU(0), model.Load{Kind: "trace", Points: []float64{5, 95, 150, -3}, Period: time.Second})
	for _, want := range []float64{5, 95, 100, 0, 5} {
		near(t, "trace", util(), want, 0)
		r.clock.add(time.Second)
	}
	r.load(model.WholeGPU(0), model.Load{})
	near(t, "removed", util(), 0, 0)
	for _, bad := range []model.Load{{Kind: "ramp"}, {Kind: "trace", Period: 1}, {Kind: "squiggle"}} {
		if r.n.SetLoad(model.WholeGPU(0), bad) == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

// TestPower: energy is the integral of power; the limit caps it, shows in the reasons and the violation time; temperature follows.
func TestPower(t *testing.T) {
	r := start(t, "dgx-a100")
	d := r.gpu(0)
	power := func() float64 {
		t.Helper()
		p, ret := r.c.DeviceGetPowerUsage(r.ctx, d)
		return float64(ok(r, p, ret))
	}
	energy := func() float64 {
		t.Helper()
		e, ret := r.c.DeviceGetTotalEnergyConsumption(r.ctx, d)
		return float64(ok(r, e, ret))
	}
	temperature := func() float64 {
		t.Helper()
		c, ret := r.c.DeviceGetTemperature(r.ctx, d, 0)
		return float64(ok(r, c, ret))
	}
	near(t, "idle power", power(), 52000, 1)
	cold := temperature()
	r.clock.add(10 * time.Second)
	near(t, "idle energy", energy(), 520000, 1)
	r.load(model.WholeGPU(0), model.Load{Level: 100})
	busy := power()
	if busy < 300000 || busy > 400000 {
		t.Errorf("busy power %v", busy)
	}
	r.clock.add(10 * time.Second)
	near(t, "busy energy", energy(), 520000+busy*10, 20)
	r.clock.add(5 * time.Minute)
	if hot := temperature(); hot < cold+20 || hot > 75 {
		t.Errorf("%v after 5 minutes of work, %v before", hot, cold)
	}
	r.want(r.c.DeviceSetPowerManagementLimit(r.ctx, d, 50000), model.InvalidArgument)
	r.want(r.c.DeviceSetPowerManagementLimit(r.ctx, d, 200000), model.Success)
	near(t, "capped power", power(), 200000, 1)
	reasons, ret := r.c.DeviceGetCurrentClocksEventReasons(r.ctx, d)
	if ok(r, reasons, ret)&4 == 0 {
		t.Errorf("reasons %x", reasons)
	}
	clock, ret := r.c.DeviceGetClockInfo(r.ctx, d, 1)
	if ok(r, clock, ret) >= 1410 {
		t.Errorf("SM clock %d under a power cap", clock)
	}
	before := r.field(d, 74, 0)
	r.clock.add(3 * time.Second)
	near(t, "violation", float64(r.field(d, 74, 0)-before), 3e9, 1e3)
	if got := r.field(d, 186, 0); got != 200000 {
		t.Errorf("power by field: %d", got)
	}
	if r.n.DriverVersion() != "550.54.15" {
		t.Error(r.n.DriverVersion())
	}
}

// TestGPM: the mean between two samples, for the GPU and per instance, where the instance's part of the GPU counts.
func TestGPM(t *testing.T) {
	r := start(t, "hgx-h100", driver("580.65.06"))
	sample := func(get func(s model.GpmSample) model.Return) model.GpmSample {
		t.Helper()
		s, ret := r.c.GpmSampleAlloc(r.ctx)
		r.want(ret, model.Success)
		r.want(get(s), model.Success)
		return s
	}
	metric := func(a, b model.GpmSample, id uint32) model.GpmMetric {
		t.Helper()
		m, ret := r.c.GpmMetricsGet(r.ctx, a, b, []model.GpmMetric{{ID: id}})
		return ok(r, m, ret)[0]
	}
	d := r.gpu(0)
	whole := func(s model.GpmSample) model.Return { return r.c.GpmSampleGet(r.ctx, d, s) }
	r.load(model.WholeGPU(0), model.Load{Kind: "ramp", Level: 100, Period: 10 * time.Second})
	a := sample(whole)
	r.clock.add(time.Microsecond)
	a2 := sample(whole)
	r.clock.add(10 * time.Second)
	b := sample(whole)
	near(t, "SM of a ramp", metric(a, b, 2).Value, 50, 0.01)
	near(t, "DRAM of a ramp", metric(a, b, 10).Value, 30, 0.01)
	near(t, "PCIe received", metric(a, b, 21).Value, 0.5*0.05*3.938e9*16/(1<<20), 1)
	near(t, "NVLink sent", metric(a, b, 61).Value, 0.5*0.1*18*26562e6/(1<<20), 5)
	if m := metric(a, b, 97); m.Return != model.Success {
		t.Errorf("link 17: %+v", m)
	}
	if m := metric(a, b, 100); m.Return != model.NotSupported {
		t.Errorf("C2C: %+v", m)
	}
	elapsed := metric(a, b, 248).Value - metric(a, a2, 248).Value
	near(t, "SM cycles of a ramp", (metric(a, b, 249).Value-metric(a, a2, 249).Value)/elapsed, 0.5, 0.001)
	near(t, "PCIe bytes of a ramp", metric(a, b, 256).Value, 0.5*0.05*3.938e9*16*10, 1e6)
	_, ret := r.c.GpmMetricsGet(r.ctx, a, a, nil)
	r.want(ret, model.InvalidArgument)

	m := r.mig(1)
	gi3, _ := r.full(m, 9, 0)
	gi1, _ := r.full(m, 19, 6)
	id3, id1 := r.info(gi3).ID, r.info(gi1).ID
	r.load(model.Target{GPU: 1, GI: id3, CI: model.NoInstance}, model.Load{Level: 80})
	of := func(id uint32) func(model.GpmSample) model.Return {
		return func(s model.GpmSample) model.Return { return r.c.GpmMigSampleGet(r.ctx, m, id, s) }
	}
	s3, s1, sg := sample(of(id3)), sample(of(id1)), sample(func(s model.GpmSample) model.Return { return r.c.GpmSampleGet(r.ctx, m, s) })
	r.clock.add(time.Second)
	near(t, "SM of 3g", metric(s3, sample(of(id3)), 2).Value, 80, 0.01)
	near(t, "SM of 1g", metric(s1, sample(of(id1)), 2).Value, 0, 0.01)
	near(t, "SM of the GPU", metric(sg, sample(func(s model.GpmSample) model.Return { return r.c.GpmSampleGet(r.ctx, m, s) }), 2).Value, 80*60.0/132, 0.01)
	if got := metric(s3, sample(of(id3)), 61); got.Return != model.NotSupported {
		t.Errorf("NVLink of an instance: %+v", got)
	}
	gi2 := r.gi(m, 14, 4)
	for range 2 {
		if _, ret := r.c.GpuInstanceCreateComputeInstance(r.ctx, gi2, 0); ret != model.Success {
			t.Fatal(ret)
		}
	}
	id2 := r.info(gi2).ID
	r.load(model.Target{GPU: 1, GI: id2, CI: 1}, model.Load{Level: 60})
	s2 := sample(of(id2))
	r.clock.add(time.Second)
	near(t, "SM of 2g with one of two 1c at work", metric(s2, sample(of(id2)), 2).Value, 30, 0.01)
	_, ret = r.c.GpmMetricsGet(r.ctx, s3, s1, nil)
	r.want(ret, model.InvalidArgument)
	s, ret := r.c.GpmSampleAlloc(r.ctx)
	r.want(ret, model.Success)
	r.want(r.c.GpmMigSampleGet(r.ctx, m, 99, s), model.NotFound)
	r = start(t, "dgx-a100")
	is, ret := r.c.GpmQueryDeviceSupport(r.ctx, r.gpu(0))
	if ok(r, is, ret) {
		t.Error("an A100 has GPM")
	}
}

// TestProcesses: lists with instance ids, memory, and utilisation by process.
func TestProcesses(t *testing.T) {
	r := start(t, "dgx-a100")
	d := r.gpu(0)
	run := func(target model.Target, p model.ProcessSpec) int {
		t.Helper()
		pid, err := r.n.StartProcess(target, p)
		if err != nil {
			t.Fatal(err)
		}
		return pid
	}
	r.want(r.c.DeviceSetAccountingMode(r.ctx, d, true), model.Success)
	run(model.WholeGPU(0), model.ProcessSpec{PID: 100, Name: "train", Memory: 2 << 30, SM: 60})
	run(model.WholeGPU(0), model.ProcessSpec{PID: 50, Memory: 1 << 30, SM: 20, Kind: "graphics"})
	r.clock.add(time.Second)
	procs, ret := r.c.DeviceGetComputeRunningProcesses(r.ctx, d)
	if procs = ok(r, procs, ret); len(procs) != 1 || procs[0] != (model.ProcessInfo{PID: 100, UsedGpuMemory: 2 << 30, GpuInstanceID: model.NoInstance, ComputeInstanceID: model.NoInstance}) {
		t.Errorf("%+v", procs)
	}
	all, ret := r.c.DeviceGetRunningProcessDetailList(r.ctx, d, 3)
	if len(ok(r, all, ret)) != 2 {
		t.Errorf("%+v", all)
	}
	v2, ret := r.c.DeviceGetMemoryInfoV2(r.ctx, d)
	v1, ret1 := r.c.DeviceGetMemoryInfo(r.ctx, d)
	r.want(ret1, model.Success)
	if v2 = ok(r, v2, ret); v2.Used != 3<<30 || v2.Free+v2.Used+v2.Reserved != v2.Total || v1.Used != v2.Used+v2.Reserved || v1.Free+v1.Used != v1.Total {
		t.Errorf("v1 %+v, v2 %+v", v1, v2)
	}
	per, ret := r.c.DeviceGetProcessUtilization(r.ctx, d, 0)
	if per = ok(r, per, ret); len(per) < 4 || per[0].PID != 50 || per[0].SmUtil != 20 || per[1].SmUtil != 60 || per[2].PID != 50 || per[2].TimeStamp <= per[1].TimeStamp {
		t.Errorf("two processes, several samples, oldest first: %+v", per)
	}
	rest, ret := r.c.DeviceGetProcessUtilization(r.ctx, d, per[1].TimeStamp)
	if rest = ok(r, rest, ret); !slices.Equal(rest, per[2:]) {
		t.Errorf("after the oldest sample: %+v", rest)
	}
	_, ret = r.c.DeviceGetProcessUtilization(r.ctx, d, per[len(per)-1].TimeStamp)
	r.want(ret, model.NotFound)
	run(model.WholeGPU(0), model.ProcessSpec{PID: 200, SM: 100}) // 180 % wanted
	u, ret := r.c.DeviceGetUtilizationRates(r.ctx, d)
	if ok(r, u, ret).GPU != 100 {
		t.Errorf("%+v", u)
	}
	r.clock.add(time.Second)
	per, ret = r.c.DeviceGetProcessUtilization(r.ctx, d, 0)
	if per = ok(r, per, ret)[max(0, len(per)-3):]; len(per) != 3 || per[0].SmUtil != 11 || per[1].SmUtil != 33 || per[2].SmUtil != 56 {
		t.Errorf("shared: %+v", per)
	}
	r.load(model.WholeGPU(0), model.Load{Level: 90})
	per, ret = r.c.DeviceGetProcessUtilization(r.ctx, d, 0)
	if per = ok(r, per, ret)[max(0, len(per)-3):]; len(per) != 3 || per[0].SmUtil != 10 || per[1].SmUtil != 30 || per[2].SmUtil != 50 {
		t.Errorf("a load of 90 shared by 20, 60 and 100: %+v", per)
	}
	r.load(model.WholeGPU(0), model.Load{})
	if _, err := r.n.StartProcess(model.WholeGPU(0), model.ProcessSpec{SM: 101}); err == nil {
		t.Error("a process takes 101 %")
	}
	if err := r.n.EndProcess(100); err != nil {
		t.Fatal(err)
	}
	stats, ret := r.c.DeviceGetAccountingStats(r.ctx, d, 100)
	if stats = ok(r, stats, ret); stats.IsRunning || stats.Time != 2000 || stats.MaxMemoryUsage != 2<<30 || stats.GpuUtilization != 47 {
		t.Errorf("%+v", stats)
	}
	if name, ret := r.c.SystemGetProcessName(r.ctx, 50); ok(r, name, ret) != "python3" {
		t.Error(name)
	}
	r.want(r.c.DeviceSetComputeMode(r.ctx, d, 3), model.Success)
	if _, err := r.n.StartProcess(model.WholeGPU(0), model.ProcessSpec{}); err == nil {
		t.Error("a second process starts in exclusive mode")
	}

	m := r.mig(1)
	gi, _ := r.full(m, 9, 4)
	id := r.info(gi).ID
	run(model.Target{GPU: 1, GI: id, CI: 0}, model.ProcessSpec{PID: 300, Memory: 5 << 30})
	procs, ret = r.c.DeviceGetComputeRunningProcesses(r.ctx, m)
	if procs = ok(r, procs, ret); len(procs) != 1 || procs[0].GpuInstanceID != id || procs[0].ComputeInstanceID != 0 {
		t.Errorf("%+v", procs)
	}
	_, ret = r.c.DeviceGetProcessUtilization(r.ctx, m, 0)
	r.want(ret, model.NotSupported)
	dev, ret := r.c.DeviceGetMigDeviceHandleByIndex(r.ctx, m, 0)
	r.want(ret, model.Success)
	mem, ret := r.c.DeviceGetMemoryInfoV2(r.ctx, dev)
	if ok(r, mem, ret).Used != 5<<30 {
		t.Errorf("%+v", mem)
	}
}

// TestTopology: NVSwitch, hybrid mesh, PCIe and what MIG mode does to them.
func TestTopology(t *testing.T) {
	r := start(t, "v100x8")
	want := [8][8]int{{0, 1, 1, 2, 2}, {1, 0, 2, 1, 0, 2}, {1, 2, 0, 2, 0, 0, 1}, {2, 1, 2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 1, 1, 2}, {0, 2, 0, 0, 1, 0, 2, 1}, {0, 0, 1, 0, 1, 2, 0, 2}, {0, 0, 0, 1, 2, 1, 2}}
	for i := range uint32(8) {
		var row [8]int
		for l := range uint32(6) {
			p, ret := r.c.DeviceGetNvLinkRemotePciInfo(r.ctx, r.gpu(i), l)
			r.want(ret, model.Success)
			other, ret := r.c.DeviceGetHandleByPciBusId(r.ctx, p.BusID)
			r.want(ret, model.Success)
			index, ret := r.c.DeviceGetIndex(r.ctx, other)
			row[ok(r, index, ret)]++
		}
		if row != want[i] {
			t.Errorf("GPU %d: %v, want %v", i, row, want[i])
		}
	}
	_, ret := r.c.DeviceGetNvLinkState(r.ctx, r.gpu(0), 6)
	r.want(ret, model.InvalidArgument)
	r = start(t, "dgx-a100")
	level := func(a, b uint32) uint32 {
		t.Helper()
		l, ret := r.c.DeviceGetTopologyCommonAncestor(r.ctx, r.gpu(a), r.gpu(b))
		return ok(r, l, ret)
	}
	if got := [3]uint32{level(0, 0), level(0, 1), level(0, 2)}; got != [3]uint32{0, 10, 50} {
		t.Errorf("levels %v", got)
	}
	kind, ret := r.c.DeviceGetNvLinkRemoteDeviceType(r.ctx, r.gpu(0), 11)
	if ok(r, kind, ret) != 2 {
		t.Errorf("the other end is %d, want an NVSwitch", kind)
	}
	p2p := func() uint32 {
		t.Helper()
		s, ret := r.c.DeviceGetP2PStatus(r.ctx, r.gpu(0), r.gpu(7), 2)
		return ok(r, s, ret)
	}
	if p2p() != 0 {
		t.Error("no NVLink P2P")
	}
	r.mig(0)
	if p2p() == 0 {
		t.Error("NVLink P2P with MIG mode on")
	}
	up, ret := r.c.DeviceGetNvLinkState(r.ctx, r.gpu(0), 0)
	if ok(r, up, ret) {
		t.Error("a link is up in MIG mode")
	}
	if err := r.n.SetNvLinkDown(1, 3, true); err != nil {
		t.Fatal(err)
	}
	up, ret = r.c.DeviceGetNvLinkState(r.ctx, r.gpu(1), 3)
	if ok(r, up, ret) {
		t.Error("a link is up that was taken down")
	}
	if err := r.n.InjectNvLinkErrors(1, 4, 2, 17); err != nil {
		t.Fatal(err)
	}
	if r.field(r.gpu(1), 38, 0) != 17 || r.field(r.gpu(1), 36, 0) != 17 {
		t.Error("CRC errors do not show in fields 38 and 36")
	}
}

// TestFields: each field has its own code.
func TestFields(t *testing.T) {
	r := start(t, "dgx-a100")
	v, ret := r.c.DeviceGetFieldValues(r.ctx, r.gpu(0), []model.FieldValue{{FieldID: 83}, {FieldID: 29}, {FieldID: 9999}, {FieldID: 164, ScopeID: 99}, {FieldID: 230}, {FieldID: 82}})
	r.want(ret, model.Success)
	for i, want := range []model.Return{model.Success, model.NotSupported, model.InvalidArgument, model.InvalidArgument, model.InvalidArgument, model.Success} {
		if v[i].Return != want {
			t.Errorf("field %d: %v, want %v", v[i].FieldID, v[i].Return, want)
		}
	}
	r = start(t, "hgx-b200")
	if err := r.n.SetRecoveryAction(0, 2); err != nil {
		t.Fatal(err)
	}
	if got := r.field(r.gpu(0), 230, 0); got != 2 {
		t.Errorf("recovery action %d", got)
	}
}
