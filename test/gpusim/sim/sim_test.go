package sim_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Actions work on a node in this process and through the control socket alike.
func TestActions(t *testing.T) {
	own := sim.New(t, sim.Options{Shape: "hgx-h100"})
	attached, err := sim.Attach(t.Context(), own.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = attached.Stop() }()
	for name, n := range map[string]*sim.Node{"own": own, "attached": attached} {
		t.Run(name, func(t *testing.T) { play(t, n) })
	}
}

func play(t *testing.T, n *sim.Node) {
	ctx := t.Context()
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	refused := func(err error) {
		t.Helper()
		if err == nil {
			t.Error("it is done")
		}
	}
	gpu := func(i int) model.GPUStatus {
		t.Helper()
		s, err := n.Status(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return s.GPUs[i]
	}
	do(n.Reboot(ctx))
	do(n.SetMIG(ctx, 1, true))
	start := uint32(4)
	id, uuid, err := n.CreateInstance(ctx, 1, "3g.40gb", &start)
	do(err)
	if g := gpu(1); len(g.Instances) != 1 || g.Instances[0].GI != id || g.Instances[0].Placement.Start != 4 || g.Instances[0].Compute[0].UUID != uuid {
		t.Errorf("%+v", g)
	}
	_, _, err = n.CreateInstance(ctx, 1, "3g.40gb", &start)
	refused(err)
	if n.Model != nil && !errors.Is(err, model.InsufficientResources) {
		t.Error(err)
	}
	_, _, err = n.CreateInstance(ctx, 1, "9g.40gb", nil)
	refused(err)
	pid, err := n.StartProcess(ctx, sim.In(1, id), model.ProcessSpec{Memory: 1 << 20})
	do(err)
	refused(n.DestroyInstance(ctx, 1, id))
	do(n.StopProcess(ctx, pid))
	do(n.Leak(ctx, sim.In(1, id)))
	refused(n.DestroyInstance(ctx, 1, id))
	do(n.DropLeaks(ctx, -1))
	do(n.DestroyInstance(ctx, 1, id))
	id, err = n.CreateBare(ctx, 1, "1g.10gb", &start)
	do(err)
	if g := gpu(1); len(g.Instances) != 1 || g.Instances[0].GI != id || len(g.Instances[0].Compute) > 0 {
		t.Errorf("%+v", g)
	}
	do(n.DestroyInstance(ctx, 1, id))
	do(n.SetMIG(ctx, 1, false))

	do(n.SlowChanges(ctx, model.ChangeTimes{Create: time.Millisecond}))
	do(n.FailCalls(ctx, model.ErrorFault{Call: "change", GPU: 3, At: 2, Times: 1, Return: model.Unknown}))
	hold, err := n.Hold(ctx, model.HoldFault{Call: "change", GPU: 3, AfterEffect: true})
	do(err)
	switched := make(chan error, 1)
	go func() { switched <- n.SetMIG(ctx, 3, true) }()
	do(n.AwaitHold(ctx, hold))
	if !gpu(3).MIG {
		t.Error("held before it took effect")
	}
	do(n.Release(ctx, hold))
	do(<-switched)
	refused(n.Release(ctx, hold+1))
	refused(n.SetMIG(ctx, 3, false)) // the second change
	do(n.SetMIG(ctx, 3, false))

	do(n.SetLoad(ctx, sim.Whole(0), model.Load{Kind: "sine", Level: 50, Amplitude: 10, Period: time.Second}))
	refused(n.SetLoad(ctx, sim.Whole(0), model.Load{Kind: "noise"}))
	do(n.XID(ctx, sim.Whole(0), 79))
	do(n.ECC(ctx, 0, model.EccFault{Uncorrected: true, Location: model.EccDevice}))
	do(n.SetRowRemap(ctx, 0, model.RemappedRows{Pending: true}))
	do(n.SetRecoveryAction(ctx, 0, 1))
	do(n.SetNVLinkDown(ctx, 0, 3, true))
	do(n.SetLost(ctx, 0, true))
	if !gpu(0).Lost {
		t.Error("not lost")
	}
	do(n.Hang(ctx, 2, false))
	if !gpu(2).Hung {
		t.Error("not hung")
	}
	do(n.Unhang(ctx, 2))
	do(n.FailCalls(ctx, model.ErrorFault{Call: "nvmlDeviceGetCount", GPU: -1, Return: model.Unknown}))
	do(n.SlowCalls(ctx, model.LatencyFault{Call: "nvmlDeviceGetCount", GPU: -1, Delay: time.Millisecond}))
	do(n.ClearFaults(ctx, -1))
	do(n.ResetGPU(ctx, 0))
	if g := gpu(0); g.Lost || g.Hung {
		t.Errorf("%+v", g)
	}
	do(n.UnloadDriver(ctx, false))
	refused(n.SetMIG(ctx, 1, true))
	do(n.LoadDriver(ctx, ""))
	calls, err := n.Calls(ctx)
	do(err)
	if calls["nvmlDeviceSetMigMode"] == 0 {
		t.Errorf("%v", calls)
	}
}

// What the product is started with is there.
func TestFlags(t *testing.T) {
	n := sim.New(t, sim.Options{Shape: "a30x4"})
	flags := n.Flags()
	for i := 1; i < len(flags); i += 2 {
		if _, err := os.Stat(flags[i]); err != nil {
			t.Errorf("%s: %v", flags[i-1], err)
		}
	}
}

func TestBadOptions(t *testing.T) {
	for _, o := range []sim.Options{{Shape: "none"}, {Shape: "./none.yaml"}, {Shape: "a30x4", Driver: "x"}} {
		o.Dir = t.TempDir()
		if _, err := sim.Start(t.Context(), o); err == nil {
			t.Errorf("%+v starts", o)
		}
	}
	if _, err := sim.Attach(t.Context(), filepath.Join(t.TempDir())); err == nil {
		t.Error("attached to nothing")
	}
}
