package dcgm

import (
	"strings"
	"testing"
	"time"

	"github.com/gpulet/gpulet/gpu"
	simdcgm "github.com/gpulet/gpulet/test/gpusim/dcgm"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// What goes wrong inside libdcgm costs the worker, says why, and passes.
func TestLibraryFaults(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault simdcgm.Fault
		code  gpu.AbsenceCode
		why   string
	}{
		{"hang", simdcgm.Fault{Call: "dcgmEntitiesGetLatestValues", Kind: "hang"}, gpu.NoAnswer, "did not answer"},
		{"abort", simdcgm.Fault{Call: "dcgmEntitiesGetLatestValues", Kind: "abort", Times: 1}, gpu.Failed, "crashed"},
		{"segfault", simdcgm.Fault{Call: "dcgmEntitiesGetLatestValues", Kind: "segfault", Times: 1}, gpu.Failed, "crashed"},
		{"leak", simdcgm.Fault{Call: "dcgmEntitiesGetLatestValues", Kind: "leak", MiB: 64}, gpu.Failed, "MiB of memory, more than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			node := sim.New(t, sim.Options{Shape: "hgx-h100"})
			e := firstGPU(t, node)
			client := simulated(t, node, Config{AnswerTimeout: 2 * time.Second, StartTimeout: 10 * time.Second})
			within(t, client, 30*time.Second, "up", fresh(e, 155, time.Second))
			if err := node.FailDCGM(t.Context(), c.fault); err != nil {
				t.Fatal(err)
			}
			got, _ := within(t, client, 30*time.Second, "down", down(c.code, c.why))
			t.Log(got.State.Reason)
			if err := node.ClearDCGM(t.Context()); err != nil {
				t.Fatal(err)
			}
			within(t, client, 30*time.Second, "up again", fresh(e, 155, time.Second))
		})
	}
}

// An engine that hangs while it starts is ended, and the next one may do better.
func TestHangingStart(t *testing.T) {
	t.Parallel()
	node := sim.New(t, sim.Options{Shape: "hgx-h100"})
	if err := node.FailDCGM(t.Context(), simdcgm.Fault{Call: "dcgmUpdateAllFields", Kind: "hang"}); err != nil {
		t.Fatal(err)
	}
	c := simulated(t, node, Config{StartTimeout: 2 * time.Second})
	within(t, c, 20*time.Second, "down", down(gpu.NoAnswer, "did not answer within 2s"))
	if err := node.ClearDCGM(t.Context()); err != nil {
		t.Fatal(err)
	}
	within(t, c, 20*time.Second, "up", fresh(firstGPU(t, node), 155, time.Second))
}

// A GPU that is lost costs itself.
func TestGPULost(t *testing.T) {
	t.Parallel()
	node := sim.New(t, sim.Options{Shape: "hgx-h100"})
	s, err := node.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	well, ill := gpu.UUID(s.GPUs[0].UUID).Whole(), gpu.UUID(s.GPUs[1].UUID).Whole()
	c := simulated(t, node, Config{})
	within(t, c, 30*time.Second, "up", fresh(ill, 155, time.Second))
	if err := node.SetLost(t.Context(), 1, true); err != nil {
		t.Fatal(err)
	}
	got, _ := within(t, c, 10*time.Second, "lost", func(b *Batch) bool {
		r := find1(b, ill, 155)
		return b.State.Up && r != nil && r.Absent != nil && r.Absent.Code == gpu.Lost
	})
	if !fresh(well, 155, time.Second)(got) || got.State.Restarts != 0 {
		t.Errorf("%+v", got.State)
	}
}

// A driver that is replaced takes the engine with it; the next worker finds the new one.
func TestDriverReplaced(t *testing.T) {
	t.Parallel()
	node := sim.New(t, sim.Options{Shape: "hgx-h100"})
	e := firstGPU(t, node)
	c := simulated(t, node, Config{})
	within(t, c, 30*time.Second, "up", fresh(e, 155, time.Second))
	if err := node.UnloadDriver(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	got, _ := within(t, c, 20*time.Second, "down", func(b *Batch) bool { return !b.State.Up && b.State.Reason != "" })
	t.Log(got.State.Code, got.State.Reason)
	if err := node.LoadDriver(t.Context(), "580.65.06"); err != nil {
		t.Fatal(err)
	}
	within(t, c, 30*time.Second, "up again", fresh(e, 155, time.Second))
}

// Values that are blank with status OK, too old or in error are told apart from numbers, and cost nothing else.
func TestFieldFaults(t *testing.T) {
	t.Parallel()
	node := sim.New(t, sim.Options{Shape: "hgx-h100"})
	e := firstGPU(t, node)
	c := simulated(t, node, Config{})
	c.Want([]gpu.Field{150, 155, 203, 1001})
	within(t, c, 30*time.Second, "up", fresh(e, 1001, time.Second))
	for _, f := range []simdcgm.FieldFault{
		{Field: 155, GPU: 0, Kind: "blank", Blank: 2},
		{Field: 150, GPU: 0, Kind: "status", Status: -18},
		{Field: 203, GPU: 0, Kind: "stale"},
	} {
		if err := node.FailDCGMField(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	absent := func(f gpu.Field, code gpu.AbsenceCode) func(*Batch) bool {
		return func(b *Batch) bool {
			r := find1(b, e, f)
			return b.State.Up && r != nil && r.Absent != nil && r.Absent.Code == code && r.Value == 0
		}
	}
	within(t, c, 10*time.Second, "not supported", absent(155, gpu.NotSupported))
	within(t, c, 10*time.Second, "lost", absent(150, gpu.Lost))
	within(t, c, 10*time.Second, "old", func(b *Batch) bool {
		r := find1(b, e, 203)
		return b.State.Up && r != nil && r.Absent == nil && time.Since(r.At) > 2*time.Second
	})
	within(t, c, 10*time.Second, "the rest goes on", fresh(e, 1001, time.Second))
}

// Libraries that lack functions or fields are used as far as they go, and refused with the function's name otherwise.
func TestOldLibraries(t *testing.T) {
	t.Parallel()
	node := sim.New(t, sim.Options{Shape: "hgx-h100", HostEngine: "4.4.2"})
	e := firstGPU(t, node)
	t.Run("lacks what is needed", func(t *testing.T) {
		c := simulated(t, node, Config{Library: simLibrary(t, node, "broken")})
		within(t, c, 20*time.Second, "down", down(gpu.NoFunction, "lacks dcgmEntitiesGetLatestValues"))
	})
	t.Run("lacks fields", func(t *testing.T) {
		c := simulated(t, node, Config{Library: simLibrary(t, node, "4.5")})
		c.Want([]gpu.Field{155, 1085})
		up := fresh(e, 155, time.Second)
		got, _ := within(t, c, 20*time.Second, "up, and the missing field told", func(b *Batch) bool { return up(b) && find1(b, e, 1085) != nil })
		if r := find1(got, e, 1085); r.Absent == nil || r.Absent.Code != gpu.NoFunction {
			t.Errorf("%+v", r)
		}
	})
	t.Run("cannot detach", func(t *testing.T) {
		c := simulated(t, node, Config{Library: simLibrary(t, node, "4.4"), Host: "unix://" + node.EngineSocket()})
		within(t, c, 20*time.Second, "up", fresh(e, 155, time.Second))
		if _, err := c.Quiesce(t.Context(), e.GPU); err == nil || !strings.Contains(err.Error(), "dcgmDetachDriver") {
			t.Errorf("%v", err)
		}
	})
}

// A GPU's mode can be changed while DCGM has given it up, and afterwards the instances are there under NVML's ids.
func TestModeChange(t *testing.T) {
	for _, engine := range []string{"", "4.6.1"} {
		t.Run("engine "+engine, func(t *testing.T) {
			t.Parallel()
			node := sim.New(t, sim.Options{Shape: "hgx-h100", HostEngine: engine})
			e := firstGPU(t, node)
			cfg := Config{}
			if engine != "" {
				cfg.Host = "unix://" + node.EngineSocket()
			}
			c := simulated(t, node, cfg)
			c.Want([]gpu.Field{155, 252, 1001})
			within(t, c, 30*time.Second, "up", fresh(e, 1001, time.Second))
			release, err := c.Quiesce(t.Context(), e.GPU)
			if err != nil {
				t.Fatal(err)
			}
			// A kernel closes the files of a process before others learn of its end; the simulated one hears of it by its socket.
			for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
				err := node.SetMIG(t.Context(), 0, true)
				if err == nil {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("something holds the GPU: %v", err)
				}
			}
			id, _, err := node.CreateInstance(t.Context(), 0, "1g.10gb", nil)
			if err != nil {
				t.Fatal(err)
			}
			release()
			in := gpu.Entity{GPU: e.GPU, Instance: id}
			within(t, c, 30*time.Second, "the instance", fresh(in, 1001, time.Second))
			b, _ := within(t, c, 5*time.Second, "the instance", fresh(in, 252, time.Second))
			if find1(b, e, 252) != nil || find1(b, in, 155) != nil || find1(b, e, 155) == nil {
				t.Error("a field is told of the wrong level")
			}
			second, _, err := node.CreateInstance(t.Context(), 0, "2g.20gb", nil)
			if err != nil {
				t.Fatal(err)
			}
			within(t, c, 10*time.Second, "a second instance", fresh(gpu.Entity{GPU: e.GPU, Instance: second}, 1001, time.Second))
		})
	}
}
