package direct_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/drivertest"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/test/gpusim/direct"
	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/shapes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func node(t *testing.T, shape string) *model.Node {
	t.Helper()
	s, err := shapes.Load(shape)
	if err != nil {
		t.Fatal(err)
	}
	n, err := model.New(s, model.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// process is a driver with a session, and GPU 0 of it with its geometry.
func process(t *testing.T, n *model.Node, pid int) (*direct.Driver, gpu.DriverGPU, mig.Geometry) {
	t.Helper()
	d := direct.New(n, model.Caller{PID: pid})
	must(t, d.Open())
	t.Cleanup(d.Kill)
	g, err := d.GPU(0)
	must(t, err)
	geometry, _, err := g.Geometry()
	must(t, err)
	return d, g, geometry
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wants(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) || got == nil {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// profile finds a profile by its name.
func profile(t *testing.T, g mig.Geometry, name string) mig.ProfileInfo {
	t.Helper()
	for _, p := range g.Profiles {
		if p.Profile.String() == name {
			return p
		}
	}
	t.Fatalf("no profile %s", name)
	return mig.ProfileInfo{}
}

// create makes an instance that is ready for use.
func create(t *testing.T, g gpu.DriverGPU, p mig.ProfileInfo, at mig.Placement) (uint32, gpu.ComputeInstance) {
	t.Helper()
	id, err := g.CreateInstance(p, at)
	must(t, err)
	ci, err := g.CreateCompute(id)
	must(t, err)
	return id, ci
}

func TestContract(t *testing.T) {
	for _, shape := range shapes.Names() {
		t.Run(shape, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { drivertest.Run(t, direct.New(node(t, shape), model.Caller{PID: 1})) })
			synctest.Test(t, func(t *testing.T) {
				n := node(t, shape)
				if d, _, geometry := process(t, n, 1); geometry.Axis > 0 && !n.Status().GPUs[0].MIG {
					d.Kill()
					drivertest.Change(t, direct.New(n, model.Caller{PID: 2}), 0)
				}
			})
		})
	}
}

// A slot is made, used, and goes only when nobody uses it; the inventory and the kernel's events tell of each step.
func TestChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := node(t, "hgx-h100")
		_, g, geometry := process(t, n, 7)
		half := profile(t, geometry, "3g.40gb")
		_, err := g.CreateInstance(half, half.Placements[1])
		wants(t, "create with MIG off", err, gpu.ErrNotSupported)
		if a, err := g.SetMode(true); a != gpu.Activated || err != nil {
			t.Fatal(a, err)
		}
		src, err := g.Watch()
		must(t, err)
		id, ci := create(t, g, half, half.Placements[1])
		for range 2 { // one for each instance
			if e, err := src.Wait(time.Minute); err != nil || e.Kind != gpu.EventMIGChange {
				t.Errorf("%+v %v", e, err)
			}
		}
		_, err = src.Wait(time.Minute)
		wants(t, "no more events", err, gpu.ErrTimeout)
		must(t, src.Close())
		_, err = g.CreateInstance(half, half.Placements[1])
		wants(t, "the place is taken", err, gpu.ErrNoRoom)
		_, err = g.CreateCompute(id)
		wants(t, "it is filled already", err, gpu.ErrNoRoom)
		l, gaps, err := g.Layout(geometry)
		if err != nil || len(gaps) > 0 || len(l.Instances) != 1 {
			t.Fatal(l, gaps, err)
		}
		in := l.Instances[0]
		if in.ID != id || in.Slot.String() != "3g.40gb@4" || len(in.Compute) != 1 || in.Compute[0] != ci || ci.Profile != half.Profile || ci.UUID == "" {
			t.Errorf("%+v, created %+v", in, ci)
		}
		pid, err := n.StartProcess(model.Target{GPU: 0, GI: id, CI: ci.ID}, model.ProcessSpec{})
		must(t, err)
		wants(t, "a process uses it", g.DestroyCompute(id, ci.ID), gpu.ErrInUse)
		if h, err := g.Processes(); err != nil || len(h) != 1 || h[0].PID != pid || h[0].GPUInstance != id {
			t.Errorf("%+v %v", h, err)
		}
		must(t, n.EndProcess(pid))
		wants(t, "it has a compute instance", g.DestroyInstance(id), gpu.ErrInUse)
		if a, err := g.SetMode(false); a != gpu.BlockedByUse || err != nil {
			t.Error(a, err)
		}
		must(t, g.DestroyCompute(id, ci.ID))
		wants(t, "it is gone", g.DestroyCompute(id, ci.ID), gpu.ErrNotFound)
		must(t, g.DestroyInstance(id))
		wants(t, "it is gone", g.DestroyInstance(id), gpu.ErrNotFound)
	})
}

// What the process itself holds stands in the way of a mode change until it gives it back.
func TestOwnHandlesBlockTheMode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, g, _ := process(t, node(t, "hgx-h100"), 7)
		src, err := g.Watch()
		must(t, err)
		if a, err := g.SetMode(true); a != gpu.BlockedByUse || err != nil {
			t.Error(a, err)
		}
		must(t, src.Close())
		tel := g.Telemetry()
		if _, err := tel.Read(gpu.Ask{Whole: []gpu.Field{1001}}); err != nil {
			t.Error(err)
		}
		if a, err := g.SetMode(true); a != gpu.BlockedByUse || err != nil {
			t.Error(a, err)
		}
		must(t, tel.Release())
		if a, err := g.SetMode(true); a != gpu.Activated || err != nil {
			t.Error(a, err)
		}
	})
}

func TestLossesOfTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := node(t, "dgx-a100")
		d, g, geometry := process(t, n, 7)
		must(t, n.SetLost(0, true))
		_, _, err := g.Layout(geometry)
		wants(t, "a lost GPU", err, gpu.ErrLost)
		must(t, n.SetLost(0, false))

		src, err := g.Watch()
		must(t, err)
		go func() { time.Sleep(time.Second); n.Reboot() }()
		began := time.Now()
		_, err = src.Wait(time.Hour)
		if time.Since(began) != time.Second || err == nil || errors.Is(err, gpu.ErrTimeout) {
			t.Errorf("a wait over a reboot: %v after %s", err, time.Since(began))
		}
		_, _, err = g.Identity()
		wants(t, "after a reboot", err, gpu.ErrSessionLost)
		must(t, d.Open())
		g, err = d.GPU(0)
		must(t, err)
		_, _, err = g.Identity()
		must(t, err)

		must(t, n.UnloadDriver(true))
		_, _, err = g.Condition()
		wants(t, "after the driver went", err, gpu.ErrSessionLost)
		wants(t, "no driver", d.Open(), gpu.ErrNoDriver)
		must(t, n.LoadDriver("570.124.06"))
		wants(t, "another driver", d.Open(), gpu.ErrLibraryStale)
		d.Kill()
		process(t, n, 8)
	})
}

// A call takes the time that the test says, other GPUs' calls go on, and a killed process leaves what it had done.
func TestLatencyAndKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := node(t, "hgx-h100")
		d, g, _ := process(t, n, 7)
		other, err := d.GPU(1)
		must(t, err)
		n.SlowCalls(model.LatencyFault{Call: "nvmlDeviceSetMigMode", GPU: -1, Delay: 3 * time.Second})
		began := time.Now()
		done := make(chan error, 1)
		go func() { _, err := g.SetMode(true); done <- err }()
		synctest.Wait()
		if _, _, err := other.Identity(); err != nil || time.Since(began) != 0 {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		must(t, <-done)
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("the mode took %s", took)
		}
		go func() { _, err := other.SetMode(true); done <- err }()
		synctest.Wait()
		d.Kill()
		if err := <-done; err == nil || time.Since(began) != 3*time.Second {
			t.Errorf("a call of a killed process: %v after %s", err, time.Since(began))
		}
		if _, err := d.Count(); err == nil || d.Open() == nil {
			t.Error("a killed process goes on")
		}
		s := n.Status()
		if !s.GPUs[0].MIG || s.GPUs[1].MIG || len(s.Clients) != 0 {
			t.Errorf("%+v", s)
		}
	})
}
