package model_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

func (r *rig) set(c *model.Client, d model.Device, types uint64) model.EventSet {
	r.Helper()
	set, ret := c.EventSetCreate(r.ctx)
	r.want(ret, model.Success)
	r.want(c.DeviceRegisterEvents(r.ctx, d, types, set), model.Success)
	return set
}

// TestEvents: only registered GPUs and types, each once per set, in order, with instance ids.
func TestEvents(t *testing.T) {
	r := start(t, "dgx-a100")
	d := r.gpu(0)
	one := r.set(r.c, d, model.EventXidCritical|model.EventDoubleBitEcc)
	two := r.set(r.connect(model.Caller{PID: 2}), d, model.EventDoubleBitEcc)
	_ = two
	none := func() {
		t.Helper()
		_, ret := r.c.EventSetWait(r.ctx, one, 0)
		r.want(ret, model.Timeout)
	}
	none()
	if err := errors.Join(r.n.InjectXID(1, 79, model.NoInstance, model.NoInstance), r.n.InjectECC(0, model.EccFault{Location: model.EccSRAM})); err != nil {
		t.Fatal(err)
	}
	none() // another GPU, another type
	if err := errors.Join(r.n.InjectXID(0, 48, model.NoInstance, model.NoInstance), r.n.InjectXID(0, 94, 7, 0),
		r.n.InjectECC(0, model.EccFault{Uncorrected: true, Location: model.EccDevice})); err != nil {
		t.Fatal(err)
	}
	for _, want := range []model.EventData{
		{Device: d, EventType: model.EventXidCritical, EventData: 48, GpuInstanceID: model.NoInstance, ComputeInstanceID: model.NoInstance},
		{Device: d, EventType: model.EventXidCritical, EventData: 94, GpuInstanceID: 7, ComputeInstanceID: 0},
		{Device: d, EventType: model.EventDoubleBitEcc, GpuInstanceID: model.NoInstance, ComputeInstanceID: model.NoInstance},
	} {
		got, ret := r.c.EventSetWait(r.ctx, one, 1000)
		if ok(r, got, ret) != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	none()
	r.want(r.c.DeviceRegisterEvents(r.ctx, d, 1<<40, one), model.NotSupported)
	r.want(r.c.DeviceRegisterEvents(r.ctx, d, model.EventXidCritical, 12345), model.InvalidArgument)
	_, ret := r.c.EventSetWait(r.ctx, two, 0)
	r.want(ret, model.InvalidArgument) // another client's
}

// TestMigEvents: every change of the layout is told, and a user without privileges hears only of whole GPUs.
func TestMigEvents(t *testing.T) {
	r := start(t, "dgx-a100")
	d := r.mig(0)
	user := r.connect(model.Caller{PID: 2, UID: 1000})
	set := r.set(r.c, d, model.EventMigConfigChange|model.EventXidCritical)
	theirs := r.set(user, d, model.EventXidCritical)
	r.full(d, 19, 0)
	for range 2 {
		e, ret := r.c.EventSetWait(r.ctx, set, 1000)
		if ok(r, e, ret).EventType != model.EventMigConfigChange {
			t.Errorf("%+v", e)
		}
	}
	if err := r.n.InjectXID(0, 31, 7, 0); err != nil {
		t.Fatal(err)
	}
	_, ret := r.c.EventSetWait(r.ctx, set, 1000)
	r.want(ret, model.Success)
	_, ret = user.EventSetWait(r.ctx, theirs, 0)
	r.want(ret, model.Timeout)
}

// TestWait blocks until an event, the freeing of the set, the loss of a GPU or the end of the context.
func TestWait(t *testing.T) {
	r := start(t, "dgx-a100")
	d := r.gpu(0)
	type answer struct {
		e   model.EventData
		ret model.Return
	}
	wait := func(ctx context.Context, set model.EventSet) <-chan answer {
		out := make(chan answer, 1)
		go func() {
			e, ret := r.c.EventSetWait(ctx, set, 600_000)
			out <- answer{e, ret}
		}()
		return out
	}
	take := func(c <-chan answer) answer {
		t.Helper()
		select {
		case a := <-c:
			return a
		case <-time.After(10 * time.Second):
			t.Fatal("still waiting")
			return answer{}
		}
	}
	set := r.set(r.c, d, model.EventXidCritical)
	a := wait(r.ctx, set)
	if err := r.n.InjectXID(0, 13, model.NoInstance, model.NoInstance); err != nil {
		t.Fatal(err)
	}
	if got := take(a); got.ret != model.Success || got.e.EventData != 13 {
		t.Errorf("%+v", got)
	}
	a = wait(r.ctx, set)
	if err := r.n.SetLost(0, true); err != nil {
		t.Fatal(err)
	}
	if got := take(a); got.ret != model.Success || got.e.EventData != 79 {
		t.Errorf("%+v, want XID 79 before the loss", got)
	}
	_, ret := r.c.EventSetWait(r.ctx, set, 600_000)
	r.want(ret, model.GPUIsLost)
	if err := r.n.SetLost(0, false); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(r.ctx)
	a = wait(ctx, set)
	cancel()
	if got := take(a); got.ret != model.Timeout {
		t.Errorf("%+v", got)
	}
	a = wait(r.ctx, set)
	r.want(r.c.EventSetFree(r.ctx, set), model.Success)
	if got := take(a); got.ret != model.InvalidArgument {
		t.Errorf("%+v", got)
	}
	set = r.set(r.c, d, model.EventXidCritical)
	a = wait(r.ctx, set)
	r.n.Reboot()
	if got := take(a); got.ret == model.Success || got.ret == model.Timeout {
		t.Errorf("%+v after a reboot", got)
	}
}

// TestLost: calls to that GPU alone answer GPUIsLost, and it comes back.
func TestLost(t *testing.T) {
	r := start(t, "dgx-a100")
	d, other := r.gpu(3), r.gpu(4)
	uuid, ret := r.c.DeviceGetUUID(r.ctx, d)
	r.want(ret, model.Success)
	if err := r.n.SetLost(3, true); err != nil {
		t.Fatal(err)
	}
	for name, ret := range map[string]model.Return{
		"name":   second(r.c.DeviceGetName(r.ctx, d)),
		"index":  second(r.c.DeviceGetHandleByIndex(r.ctx, 3)),
		"uuid":   second(r.c.DeviceGetHandleByUUID(r.ctx, uuid)),
		"memory": second(r.c.DeviceGetMemoryInfo(r.ctx, d)),
		"p2p":    second(r.c.DeviceGetP2PStatus(r.ctx, other, d, 0)),
	} {
		if ret != model.GPUIsLost {
			t.Errorf("%s: %v", name, ret)
		}
	}
	count, ret := r.c.DeviceGetCount(r.ctx)
	if ok(r, count, ret) != 8 {
		t.Errorf("%d GPUs", count)
	}
	_, ret = r.c.DeviceGetName(r.ctx, other)
	r.want(ret, model.Success)
	_, ret = r.c.DeviceGetHandleByUUID(r.ctx, "GPU-00000000-0000-0000-0000-000000000000")
	r.want(ret, model.GPUIsLost) // it may be the lost one's
	r.n.ClearFaults(3)
	_, ret = r.c.DeviceGetHandleByUUID(r.ctx, "GPU-00000000-0000-0000-0000-000000000000")
	r.want(ret, model.NotFound)
	_, ret = r.c.DeviceGetName(r.ctx, d)
	r.want(ret, model.Success)
}
