package nvml_test

import (
	"math"
	"testing"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// Processes are listed with what each did, also where the driver measures nothing of them.
func TestUse(t *testing.T) {
	for _, node := range []string{"t4x4 470.256.02", "dgx-a100 550.54.15", "hgx-h100 580.65.06"} {
		t.Run(node, func(t *testing.T) {
			t.Parallel()
			simulated(t, node, "TestChildUse")
		})
	}
}

func (b *bench) use(tel gpu.Telemetry) map[int]gpu.ProcessUse {
	b.Helper()
	got, err := tel.Use()
	b.must(err)
	out := map[int]gpu.ProcessUse{}
	for _, p := range got {
		if _, twice := out[p.PID]; twice {
			b.Errorf("process %d is there twice", p.PID)
		}
		out[p.PID] = p
	}
	return out
}

func (b *bench) process(at model.Target, p model.ProcessSpec) int {
	b.Helper()
	pid, err := b.sim.StartProcess(b.Context(), at, p)
	b.must(err)
	return pid
}

// did checks a process.
func (b *bench) did(all map[int]gpu.ProcessUse, pid int, sm float64, memory uint64) {
	b.Helper()
	p, ok := all[pid]
	if !ok || !p.Measured || math.Abs(p.SM-sm) > 0.02 || p.MemoryBytes != memory || p.MPS {
		b.Errorf("process %d: %+v, want %v of the time with %d bytes", pid, p, sm, memory)
	}
}

func TestChildUse(t *testing.T) {
	b := start(t, false)
	_, tel := b.gpu(0)
	if got := b.use(tel); len(got) != 0 {
		t.Errorf("%v on an idle GPU", got)
	}
	x := b.process(sim.Whole(0), model.ProcessSpec{Memory: 1 << 30, SM: 60, Mem: 30})
	y := b.process(sim.Whole(0), model.ProcessSpec{Memory: 2 << 30, SM: 20, Mem: 10})
	idle := b.process(sim.Whole(0), model.ProcessSpec{Memory: 1 << 20})
	client := b.process(sim.Whole(0), model.ProcessSpec{Memory: 1 << 21, Kind: "mps"})
	b.clock.pass(2 * time.Second)
	got := b.use(tel)
	b.did(got, x, 0.6, 1<<30)
	b.did(got, y, 0.2, 2<<30)
	b.did(got, idle, 0, 1<<20)
	if p := got[client]; !p.MPS || p.Measured || p.MemoryBytes != 1<<21 {
		t.Errorf("MPS client: %+v", p)
	}
	if m := got[x].Memory; math.Abs(m-0.3) > 0.02 {
		t.Errorf("memory bandwidth %v", m)
	}
	// A process that started in the middle of the interval did half of it.
	b.must(b.sim.StopProcess(t.Context(), y))
	b.clock.pass(2 * time.Second)
	b.use(tel)
	b.clock.pass(time.Second / 2)
	z := b.process(sim.Whole(0), model.ProcessSpec{Memory: 1 << 22, SM: 40, Mem: 1})
	b.clock.pass(time.Second / 2)
	got = b.use(tel)
	if p, ok := got[z]; !ok || math.Abs(p.SM-0.2) > 0.05 || p.MemoryBytes != 1<<22 {
		t.Errorf("%+v", p)
	}
	if _, ok := got[y]; ok {
		t.Errorf("process %d has ended", y)
	}
	b.did(got, x, 0.6, 1<<30)
	for pid := range got {
		b.must(b.sim.StopProcess(t.Context(), pid))
	}
	b.clock.pass(2 * time.Second)
	if got := b.use(tel); len(got) != 0 {
		t.Errorf("%v after the end", got)
	}
	b.inInstances()
}

// inInstances: in MIG mode processes have their instances and are not measured.
func (b *bench) inInstances() {
	b.Helper()
	if b.sim.SetMIG(b.Context(), 1, true) != nil {
		return
	}
	ref := b.create(1, "2g.20gb")
	pid := b.process(sim.In(1, ref.ID), model.ProcessSpec{Memory: 1 << 30, SM: 50})
	_, tel := b.gpu(1)
	b.clock.pass(2 * time.Second)
	got := b.use(tel)
	if p := got[pid]; len(got) != 1 || p.GPUInstance != ref.ID || p.ComputeInstance != 0 || p.Measured || p.SM != 0 || p.MemoryBytes != 1<<30 {
		b.Errorf("%+v", got)
	}
}
