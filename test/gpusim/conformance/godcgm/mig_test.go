package godcgm

import (
	"math"
	"testing"
	"time"

	"github.com/NVIDIA/go-dcgm/pkg/dcgm"

	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

const blankNotSupported = 0x7ffffffffffffff2

func instance(id uint) []dcgm.GroupEntityPair {
	return []dcgm.GroupEntityPair{{EntityGroupId: dcgm.FE_GPU_I, EntityId: id}}
}

// divided is a node whose GPU 1 has a 3g and a 1g instance.
func divided(t *testing.T) (n *sim.Node, gi3, gi1 uint32, uuid3 string) {
	t.Helper()
	n = sim.New(t, sim.Options{Shape: "dgx-a100"})
	if err := n.SetMIG(t.Context(), 1, true); err != nil {
		t.Fatal(err)
	}
	s, err := n.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	three, one := "3g.40gb", "1g.10gb"
	if s.GPUs[1].Name == "NVIDIA A100-SXM4-40GB" {
		three, one = "3g.20gb", "1g.5gb"
	}
	if gi3, uuid3, err = n.CreateInstance(t.Context(), 1, three, nil); err != nil {
		t.Fatal(err)
	}
	if gi1, _, err = n.CreateInstance(t.Context(), 1, one, nil); err != nil {
		t.Fatal(err)
	}
	return n, gi3, gi1, uuid3
}

// Instances come with NVML's ids behind DCGM's own numbers; each has its own profiling and memory, and what only the GPU has is the
// GPU's. GPU utilization of a divided GPU is a blank with status OK.
func TestMIG(t *testing.T) {
	n, gi3, gi1, uuid3 := divided(t)
	p := newProgram(t, n, "")
	p.do(request{Call: "embedded"})
	list := p.do(request{Call: "hierarchy"}).MIG
	if len(list) != 4 || list[0].Entity.EntityGroupId != dcgm.FE_GPU_I || list[0].Parent != (dcgm.GroupEntityPair{EntityGroupId: dcgm.FE_GPU, EntityId: 1}) ||
		list[0].Info.NvmlInstanceId != uint(gi3) || list[2].Info.NvmlInstanceId != uint(gi1) || list[0].Info.NvmlProfileSlices != 3 ||
		list[1].Entity.EntityGroupId != dcgm.FE_GPU_CI || list[1].Parent != list[0].Entity || list[1].Info.NvmlComputeInstanceId != 0 {
		t.Fatalf("%+v", list)
	}
	three, one := list[0].Entity.EntityId, list[2].Entity.EntityId
	if three != 8 || one != 9 {
		t.Errorf("GPU 1's instances have the ids %d and %d", three, one)
	}
	if err := n.SetLoad(t.Context(), sim.In(1, gi3), model.Load{Level: 60}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.StartProcess(t.Context(), sim.In(1, gi3), model.ProcessSpec{Memory: 3 << 30}); err != nil {
		t.Fatal(err)
	}
	ci := []dcgm.GroupEntityPair{list[1].Entity}
	p.do(request{Call: "group", Entities: append(append(append(gpu(1), instance(three)...), instance(one)...), ci...)})
	p.do(request{Call: "watch", Group: 0, Period: 50 * time.Millisecond, Fields: []dcgm.Short{50, 54, 150, 203, 230, 252, 1001, 1002, 1005}})
	if v := p.one(gpu(1), 203); v.Status != 0 || v.Int != blankNotSupported {
		t.Errorf("utilization of a divided GPU: %+v", v)
	}
	if v := p.one(instance(three), 54); v.Text != uuid3 {
		t.Errorf("UUID of the instance: %+v, want %s", v, uuid3)
	}
	if v := p.one(instance(three), 50); v.Text[:3] != "3g." {
		t.Errorf("name of the instance: %+v", v)
	}
	if v := p.one(instance(three), 252); v.Int != 3<<10 {
		t.Errorf("memory of the instance: %+v", v)
	}
	if v := p.one(instance(one), 252); v.Int != 0 {
		t.Errorf("memory of the other: %+v", v)
	}
	if a, b := p.one(instance(three), 150), p.one(gpu(1), 150); a.Int != b.Int || a.Int < 20 {
		t.Errorf("temperature of the instance %+v, of its GPU %+v", a, b)
	}
	near := func(want float64) func(v value) bool {
		return func(v value) bool { return v.Status == 0 && math.Abs(v.Float-want) < 0.001 }
	}
	p.soon(instance(three), 1002, "its own activity", near(0.6))
	p.soon(instance(one), 1002, "no activity", near(0))
	p.soon(ci, 1002, "its own activity", near(0.6))
	p.soon(ci, 1005, "its instance's memory activity", near(0.36))
	if v := p.one(gpu(1), 1002); v.Float <= 0 || v.Float >= 0.6 {
		t.Errorf("activity of the GPU: %+v", v)
	}
	if err := n.XID(t.Context(), sim.In(1, gi1), 43); err != nil {
		t.Fatal(err)
	}
	p.soon(instance(one), 230, "the XID", func(v value) bool { return v.Int == 43 && v.Status == 0 })
	if v := p.one(instance(three), 230); v.Status != -14 {
		t.Errorf("the XID reaches the other instance: %+v", v)
	}
}

// After another layout the same number is another instance, and nobody watches it.
func TestRepartition(t *testing.T) {
	n, gi3, gi1, _ := divided(t)
	p := newProgram(t, n, "")
	p.do(request{Call: "embedded"})
	p.do(request{Call: "group", Entities: instance(8)})
	p.do(request{Call: "watch", Group: 0, Period: 20 * time.Millisecond, Fields: []dcgm.Short{252}})
	if v := p.one(instance(8), 252); v.Status != 0 {
		t.Fatalf("%+v", v)
	}
	if err := n.DestroyInstance(t.Context(), 1, gi3); err != nil {
		t.Fatal(err)
	}
	list := p.do(request{Call: "hierarchy"}).MIG
	if len(list) != 2 || list[0].Entity.EntityId != 8 || list[0].Info.NvmlInstanceId != uint(gi1) {
		t.Errorf("%+v", list)
	}
	if v := p.one(instance(8), 252); v.Status != -16 {
		t.Errorf("the other instance's value: %+v", v)
	}
}

// DCGM holds GPUs as any program does: only after it let go of the driver does the mode of an Ampere GPU change.
func TestDetach(t *testing.T) {
	n, p := embedded(t, sim.Options{Shape: "dgx-a100"})
	p.do(request{Call: "watch", Group: -1, Period: time.Second, Fields: []dcgm.Short{150}})
	if err := n.SetMIG(t.Context(), 0, true); err == nil {
		t.Error("the mode changes under DCGM")
	}
	p.do(request{Call: "detach"})
	if a, _ := p.try(request{Call: "values", Entities: gpu(0), Fields: []dcgm.Short{150}}); a.Code != -67 {
		t.Errorf("values while detached: %+v", a)
	}
	if err := n.SetMIG(t.Context(), 0, false); err != nil {
		t.Error(err)
	}
	if err := n.SetMIG(t.Context(), 0, true); err != nil {
		t.Error(err)
	}
	p.do(request{Call: "attach"})
	if v := p.one(gpu(0), 150); v.Status != 0 {
		t.Errorf("after attaching: %+v", v)
	}
}
