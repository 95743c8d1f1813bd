package nvml_test

import (
	"errors"
	"testing"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/drivertest"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// Every profile of every kind of GPU can be made where the driver says, and what is in use cannot be hurt.
func TestChanges(t *testing.T) {
	for _, node := range []string{"dgx-a100 470.256.02", "dgx-a100 550.54.15", "a30x4 535.183.01", "hgx-h100 550.54.15", "hgx-b200 580.65.06", "rtx6000x4 580.65.06"} {
		t.Run(node, func(t *testing.T) { simulated(t, node, "TestChildChanges", "TestChildInUse") })
	}
}

func TestChildChanges(t *testing.T) {
	b := start(t, false)
	drivertest.Change(t, b.driver, 1)
}

// divided is a GPU with its first profile at its first place.
func (b *bench) divided(index int) (g gpu.DriverGPU, p mig.ProfileInfo, id uint32, ci gpu.ComputeInstance) {
	b.Helper()
	g, _ = b.gpu(index)
	if a, err := g.SetMode(true); err != nil || a != gpu.Activated {
		b.Fatal(a, err)
	}
	g, _ = b.gpu(index)
	geometry, _, err := g.Geometry()
	b.must(err)
	p = geometry.Profiles[0]
	id, err = g.CreateInstance(p, p.Placements[0])
	b.must(err)
	ci, err = g.CreateCompute(id)
	b.must(err)
	return g, p, id, ci
}

func TestChildInUse(t *testing.T) {
	b := start(t, false)
	ctx := t.Context()
	g, p, id, ci := b.divided(0)
	pid, err := b.sim.StartProcess(ctx, sim.In(0, id), model.ProcessSpec{Memory: 1 << 20})
	b.must(err)
	if err := g.DestroyCompute(id, ci.ID); !errors.Is(err, gpu.ErrInUse) {
		t.Errorf("with a process: %v", err)
	}
	b.must(b.sim.StopProcess(ctx, pid))
	b.must(g.DestroyCompute(id, ci.ID))
	b.must(b.sim.Leak(ctx, sim.In(0, id)))
	if err := g.DestroyInstance(id); !errors.Is(err, gpu.ErrInUse) {
		t.Errorf("with a leaked handle: %v", err)
	}
	b.must(b.sim.DropLeaks(ctx, 0))
	b.must(g.DestroyInstance(id))

	// A call that fails halfway leaves an instance that the layout shows.
	b.must(b.sim.FailCalls(ctx, model.ErrorFault{Call: "nvmlGpuInstanceCreateComputeInstance", GPU: -1, Times: 1, Return: model.InsufficientResources}))
	id, err = g.CreateInstance(p, p.Placements[0])
	b.must(err)
	if _, err := g.CreateCompute(id); !errors.Is(err, gpu.ErrNoRoom) {
		t.Errorf("no room: %v", err)
	}
	geometry, _, err := g.Geometry()
	b.must(err)
	if l, _, err := g.Layout(geometry); err != nil || len(l.Instances) != 1 || len(l.Instances[0].Compute) > 0 {
		t.Errorf("%+v %v", l, err)
	}
	again, err := g.CreateCompute(id)
	b.must(err)
	if again.UUID == ci.UUID || again.UUID == "" {
		t.Errorf("the MIG device is %q again", again.UUID)
	}
	b.must(errors.Join(g.DestroyCompute(id, again.ID), g.DestroyInstance(id)))
	b.modes(g)
}

// modes checks what stands in the way of a change of mode: the event set of our own, a process.
func (b *bench) modes(g gpu.DriverGPU) {
	b.Helper()
	id, _, err := g.Identity()
	b.must(err)
	blocked := gpu.BlockedByUse
	if id.Architecture == "ampere" {
		blocked = gpu.NeedsReset // it is pending
	}
	src, err := g.Watch()
	b.must(err)
	if a, err := g.SetMode(false); err != nil || a != blocked {
		b.Errorf("with an event set: %d %v", a, err)
	}
	b.must(src.Close())
	if a, err := g.SetMode(true); err != nil || a != gpu.Activated {
		b.Errorf("taken back: %d %v", a, err)
	}
	if a, err := g.SetMode(false); err != nil || a != gpu.Activated {
		b.Errorf("with nothing in the way: %d %v", a, err)
	}
	if _, err := b.sim.StartProcess(b.Context(), sim.Whole(0), model.ProcessSpec{}); err != nil {
		b.Fatal(err)
	}
	if a, err := g.SetMode(true); err != nil || a != gpu.BlockedByUse {
		b.Errorf("with a process: %d %v", a, err)
	}
}
