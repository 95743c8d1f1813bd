package model_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

// TestFaultAtChange: the k-th change of whatever kind fails, of one process alone where it says so, and nothing else does.
func TestFaultAtChange(t *testing.T) {
	r := start(t, "hgx-h100")
	other := r.connect(model.Caller{PID: 2})
	r.n.FailCalls(model.ErrorFault{Call: "change", GPU: -1, PID: 1, At: 3, Times: 1, Return: model.Unknown})
	d := r.mig(0)
	gi := r.gi(d, 19, 0)
	r.want(second(other.DeviceCreateGpuInstance(r.ctx, d, 19)), model.Success) // of another process: it does not count
	r.want(second(r.c.GpuInstanceCreateComputeInstance(r.ctx, gi, 0)), model.Unknown)
	r.want(second(r.c.GpuInstanceCreateComputeInstance(r.ctx, gi, 0)), model.Success)
	r.n.FailCalls(model.ErrorFault{Call: "change", GPU: -1, Return: model.Unknown, AfterEffect: true})
	ci, ret := r.c.GpuInstanceGetComputeInstanceById(r.ctx, gi, 0)
	r.want(ret, model.Success)
	r.want(r.c.ComputeInstanceDestroy(r.ctx, ci), model.Unknown)
	r.want(r.c.GpuInstanceDestroy(r.ctx, gi), model.Unknown)
	r.want(second(r.c.DeviceSetMigMode(r.ctx, r.gpu(1), 1)), model.Unknown)
	if s := r.n.Status(); len(s.GPUs[0].Instances) != 1 || !s.GPUs[1].MIG {
		t.Errorf("%+v", s.GPUs[:2])
	}
}

// TestHold: a call stands still before or after it took effect; its caller can die there, and others go on.
func TestHold(t *testing.T) {
	r := start(t, "hgx-h100")
	d := r.mig(0)
	instances := func() int { return len(r.n.Status().GPUs[0].Instances) }
	for _, after := range []bool{false, true} {
		for _, death := range []bool{false, true} {
			had, effect := instances(), 0
			ctx, cancel := context.WithCancel(r.ctx)
			h := r.n.HoldCall(model.HoldFault{Call: "change", GPU: -1, PID: 1, AfterEffect: after})
			back := make(chan model.Return, 1)
			go func() { back <- second(r.c.DeviceCreateGpuInstance(ctx, d, 19)) }()
			<-h.Reached()
			if after {
				effect = 1
			}
			if got := instances() - had; got != effect {
				t.Errorf("%d new instances while it stands, after: %t", got, after)
			}
			r.want(second(r.c.DeviceGetName(r.ctx, d)), model.Success)
			want := model.Success
			if death {
				cancel()
				want = model.Unknown
			} else {
				h.Release()
				effect = 1
			}
			if got := <-back; got != want || instances()-had != effect {
				t.Errorf("after %t, death %t: %v, %d new instances", after, death, got, instances()-had)
			}
			cancel()
		}
	}
	h := r.n.HoldCall(model.HoldFault{Call: "nvmlDeviceGetName", GPU: -1, At: 2})
	r.want(second(r.c.DeviceGetName(r.ctx, d)), model.Success)
	back := make(chan model.Return, 1)
	go func() { back <- second(r.c.DeviceGetName(r.ctx, d)) }()
	<-h.Reached()
	r.want(second(r.c.DeviceGetName(r.ctx, d)), model.Success) // the third
	r.n.Reboot()
	r.want(<-back, model.Uninitialized)
	taken := r.n.HoldCall(model.HoldFault{Call: "nvmlDeviceGetCount", GPU: -1})
	taken.Release()
	r.want(r.c.InitWithFlags(r.ctx, 0), model.Success)
	r.want(second(r.c.DeviceGetCount(r.ctx)), model.Success)
}

// TestSlowChanges: changes take their time, and neither other GPUs nor the reading of this one wait for them.
func TestSlowChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, "hgx-h100")
		d, other := r.gpu(0), r.gpu(1)
		began := time.Now()
		took := func(what string, want time.Duration) {
			t.Helper()
			if got := time.Since(began); got != want {
				t.Errorf("%s took %s, want %s", what, got, want)
			}
			began = time.Now()
		}
		r.n.SlowChanges(model.ChangeTimes{Mode: 3 * time.Second, Create: time.Hour})
		r.n.SlowChanges(model.ChangeTimes{Mode: 3 * time.Second, Create: 300 * time.Millisecond, Destroy: time.Second}) // instead of that
		r.mig(1)
		took("the mode", 3*time.Second)
		ctx, cancel := context.WithCancel(r.ctx)
		back := make(chan model.Return, 1)
		go func() { back <- second(r.c.DeviceSetMigMode(ctx, d, 1)) }()
		synctest.Wait()
		r.want(second(r.c.DeviceGetName(r.ctx, d)), model.Success)
		r.want(second(r.c.DeviceGetGpuInstances(r.ctx, other, 19)), model.Success)
		took("reading beside it", 0)
		gi, ci := r.full(other, 19, 0)
		took("an instance", 300*time.Millisecond)
		r.want(r.c.ComputeInstanceDestroy(r.ctx, ci), model.Success)
		r.want(r.c.GpuInstanceDestroy(r.ctx, gi), model.Success)
		took("its end", time.Second)
		cancel()
		if ret := <-back; ret == model.Success || r.n.Status().GPUs[0].MIG {
			t.Errorf("a change whose caller died: %v", ret)
		}
		took("the death of the caller", 0)
	})
}
