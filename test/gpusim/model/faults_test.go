package model_test

import (
	"context"
	"testing"
	"time"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

// TestHang: every call to that GPU blocks until it is cleared or the caller goes; others go on.
func TestHang(t *testing.T) {
	r := start(t, "dgx-a100")
	d, other := r.gpu(0), r.gpu(1)
	if err := r.n.Hang(0, model.HangFault{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(r.ctx)
	gone, back := make(chan model.Return, 1), make(chan model.Return, 2)
	go func() { gone <- second(r.c.DeviceGetName(ctx, d)) }()
	go func() { back <- second(r.c.DeviceGetTemperature(r.ctx, d, 0)) }()
	go func() { back <- second(r.c.DeviceGetTopologyCommonAncestor(r.ctx, other, d)) }()
	for range 100 {
		r.want(second(r.c.DeviceGetName(r.ctx, other)), model.Success)
	}
	r.want(second(r.c.DeviceGetHandleByIndex(r.ctx, 0)), model.Success) // the handle is free
	cancel()
	if ret := <-gone; ret == model.Success {
		t.Error("a call to a hung GPU succeeded")
	}
	select {
	case ret := <-back:
		t.Errorf("a call to a hung GPU came back: %v", ret)
	default:
	}
	if err := r.n.Unhang(0); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if ret := <-back; ret != model.Success {
			t.Error(ret)
		}
	}
}

// TestHangAtInit: a wedged driver blocks Init and the handle calls too.
func TestHangAtInit(t *testing.T) {
	r := start(t, "dgx-a100")
	if err := r.n.Hang(0, model.HangFault{Init: true}); err != nil {
		t.Fatal(err)
	}
	c := r.n.Connect(model.Caller{PID: 2})
	defer c.Close()
	back := make(chan model.Return, 2)
	go func() { back <- c.InitWithFlags(r.ctx, 0) }()
	go func() { back <- second(r.c.DeviceGetHandleByIndex(r.ctx, 5)) }()
	ctx, cancel := context.WithCancel(r.ctx)
	cancel()
	if ret := second(r.c.DeviceGetHandleByIndex(ctx, 1)); ret == model.Success {
		t.Error("a handle call succeeded")
	}
	select {
	case ret := <-back:
		t.Errorf("came back: %v", ret)
	default:
	}
	r.n.Reboot()
	if ret := <-back; ret != model.Success && ret != model.Uninitialized {
		t.Error(ret)
	}
	t.Log("the other call:", <-back)
}

// TestErrorAtCall counts calls by name with and without version, by GPU, and for a number of times.
func TestErrorAtCall(t *testing.T) {
	r := start(t, "dgx-a100")
	d, other := r.gpu(0), r.gpu(1)
	r.n.FailCalls(model.ErrorFault{Call: "nvmlDeviceGetPciInfo", GPU: 0, At: 3, Times: 2, Return: model.Unknown})
	for i, want := range []model.Return{0, 0, model.Unknown, model.Unknown, 0, 0} {
		if ret := second(r.c.DeviceGetPciInfo(r.ctx, d)); ret != want {
			t.Errorf("call %d: %v, want %v", i+1, ret, want)
		}
		r.want(second(r.c.DeviceGetPciInfo(r.ctx, other)), model.Success)
	}
	r.n.FailCalls(model.ErrorFault{Call: "nvmlDeviceGetPciInfo_v2", GPU: -1, Return: model.Timeout})
	r.want(second(r.c.DeviceGetPciInfo(r.ctx, d)), model.Success) // it is _v3
	r.want(second(r.c.DeviceGetPciInfo(model.WithSymbol(r.ctx, "nvmlDeviceGetPciInfo_v2"), d)), model.Timeout)
	r.n.FailCalls(model.ErrorFault{Call: "*", GPU: -1, Return: model.Unknown})
	r.want(second(r.c.DeviceGetCount(r.ctx)), model.Unknown)
	r.n.ClearFaults(-1)
	r.want(second(r.c.DeviceGetCount(r.ctx)), model.Success)
	if got := r.n.Calls()["nvmlDeviceGetPciInfo_v2"]; got != 1 {
		t.Errorf("%d calls counted", got)
	}
}

// TestLatency: a slow call does not slow calls to other GPUs, and ends with its caller.
func TestLatency(t *testing.T) {
	r := start(t, "dgx-a100")
	d, other := r.gpu(0), r.gpu(1)
	r.n.SlowCalls(model.LatencyFault{Call: "nvmlDeviceGetName", GPU: 0, Delay: time.Hour})
	ctx, cancel := context.WithCancel(r.ctx)
	back := make(chan model.Return, 1)
	go func() { back <- second(r.c.DeviceGetName(ctx, d)) }()
	r.want(second(r.c.DeviceGetName(r.ctx, other)), model.Success)
	r.want(second(r.c.DeviceGetUUID(r.ctx, d)), model.Success)
	cancel()
	if ret := <-back; ret == model.Success {
		t.Error("it came back early with success")
	}
	r.n.ClearFaults(0)
	r.n.SlowCalls(model.LatencyFault{Call: "*", GPU: -1, Delay: time.Millisecond})
	before := time.Now()
	r.want(second(r.c.DeviceGetName(r.ctx, d)), model.Success)
	if time.Since(before) < time.Millisecond {
		t.Error("not slow")
	}
}

// TestErrorState: ECC counts, row remaps and retired pages, and what a reset clears.
func TestErrorState(t *testing.T) {
	r := start(t, "mixed")
	d, t4 := r.gpu(0), r.gpu(2)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(r.n.InjectECC(0, model.EccFault{Uncorrected: true, Location: model.EccSRAM, Count: 3}))
	must(r.n.SetRowRemap(0, model.RemappedRows{Correctable: 1, Uncorrectable: 2, Pending: true}))
	must(r.n.SetRecoveryAction(0, 1))
	total := func(aggregate bool) uint64 {
		t.Helper()
		v, ret := r.c.DeviceGetTotalEccErrors(r.ctx, d, true, aggregate)
		return ok(r, v, ret)
	}
	if total(false) != 3 || total(true) != 3 {
		t.Errorf("%d volatile, %d aggregate", total(false), total(true))
	}
	h, ret := r.c.DeviceGetRowRemapperHistogram(r.ctx, d)
	if ok(r, h, ret) != (model.RowRemapperHistogram{Max: 637, High: 3}) {
		t.Errorf("%+v", h)
	}
	if got := r.field(d, 144, 0); got != 1 {
		t.Errorf("pending remap in field 144: %d", got)
	}
	if got := r.field(d, 4, 0); got != 3 {
		t.Errorf("double bit errors in field 4: %d", got)
	}
	_, ret = r.c.DeviceGetMemoryErrorCounter(r.ctx, d, true, false, model.EccRegister)
	r.want(ret, model.NotSupported)
	_, ret = r.c.DeviceGetRemappedRows(r.ctx, t4)
	r.want(ret, model.NotSupported)
	must(r.n.RetirePages(2, true, 2))
	pages, ret := r.c.DeviceGetRetiredPages(r.ctx, t4, 1)
	if len(ok(r, pages, ret)) != 2 {
		t.Errorf("%v", pages)
	}
	pending, ret := r.c.DeviceGetRetiredPagesPendingStatus(r.ctx, t4)
	if !ok(r, pending, ret) {
		t.Error("no page is pending")
	}
	r.want(r.c.Shutdown(r.ctx), model.Success)
	r.want(r.n.ResetGPU(0), model.Success)
	r.want(r.c.InitWithFlags(r.ctx, 0), model.Success)
	d = r.gpu(0)
	if total(false) != 0 || total(true) != 3 {
		t.Errorf("after a reset %d volatile, %d aggregate", total(false), total(true))
	}
	rows, ret := r.c.DeviceGetRemappedRows(r.ctx, d)
	if ok(r, rows, ret) != (model.RemappedRows{Correctable: 1, Uncorrectable: 2}) {
		t.Errorf("%+v", rows)
	}
	r.mig(0)
	r.gi(d, 19, 0)
	_, ret = r.c.DeviceGetRemappedRows(r.ctx, d)
	r.want(ret, model.NotSupported) // with instances
}

func (r *rig) field(d model.Device, id, scope uint32) uint64 {
	r.Helper()
	v, ret := r.c.DeviceGetFieldValues(r.ctx, d, []model.FieldValue{{FieldID: id, ScopeID: scope}})
	r.want(ret, model.Success)
	r.want(v[0].Return, model.Success)
	return v[0].Bits
}
