package model_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

func (r *rig) info(gi model.GPUInstance) model.GpuInstanceInfo {
	r.Helper()
	i, ret := r.c.GpuInstanceGetInfo(r.ctx, gi)
	return ok(r, i, ret)
}

func (r *rig) migUUID(ci model.ComputeInstance) string {
	r.Helper()
	i, ret := r.c.ComputeInstanceGetInfo(r.ctx, ci)
	r.want(ret, model.Success)
	u, ret := r.c.DeviceGetUUID(r.ctx, i.Device)
	return ok(r, u, ret)
}

// TestDefaultPlacement: the driver fills from the end, so the order of creation decides what fits.
func TestDefaultPlacement(t *testing.T) {
	r := start(t, "dgx-a100")
	d := r.mig(0)
	if at := r.info(r.gi(d, 19, -1)).Placement; at != (model.Placement{Start: 6, Size: 1}) {
		t.Errorf("the first 1g is at %v", at)
	}
	if at := r.info(r.gi(d, 14, -1)).Placement; at != (model.Placement{Start: 4, Size: 2}) {
		t.Errorf("the first 2g is at %v", at)
	}
	for _, c := range []struct {
		order []uint32
		fits  bool
	}{{[]uint32{19, 19, 14, 9}, false}, {[]uint32{9, 19, 14, 19}, true}} {
		r := start(t, "dgx-a100")
		d, last := r.mig(0), model.Success
		for _, p := range c.order {
			_, last = r.c.DeviceCreateGpuInstance(r.ctx, d, p)
		}
		if (last == model.Success) != c.fits {
			t.Errorf("order %v: %v", c.order, last)
		}
	}
}

// TestIDs: ids start at 7, 3, 1 and 0 by the instance's part of the GPU, and the lowest free one is used again; UUIDs never are.
func TestIDs(t *testing.T) {
	r := start(t, "dgx-a100")
	d := r.mig(0)
	for _, c := range []struct{ profile, id uint32 }{{9, 1}, {19, 7}, {14, 3}, {19, 8}} {
		if got := r.info(r.gi(d, c.profile, -1)).ID; got != c.id {
			t.Errorf("profile %d got id %d, want %d", c.profile, got, c.id)
		}
	}
	r = start(t, "dgx-a100")
	d = r.mig(0)
	if id := r.info(r.gi(d, 0, -1)).ID; id != 0 {
		t.Errorf("7g got id %d", id)
	}
	r = start(t, "dgx-a100")
	d = r.mig(0)
	seen := map[string]bool{}
	var first model.GPUInstance
	for i := range 3 {
		gi, ci := r.full(d, 19, i)
		if i == 0 {
			first = gi
		}
		seen[r.migUUID(ci)] = true
	}
	for range 20 {
		ci, ret := r.c.GpuInstanceGetComputeInstanceById(r.ctx, first, 0)
		r.want(ret, model.Success)
		r.want(r.c.ComputeInstanceDestroy(r.ctx, ci), model.Success)
		r.want(r.c.GpuInstanceDestroy(r.ctx, first), model.Success)
		r.want(r.c.GpuInstanceDestroy(r.ctx, first), model.InvalidArgument) // gone
		var again model.ComputeInstance
		first, again = r.full(d, 19, 5)
		if id := r.info(first).ID; id != 7 {
			t.Fatalf("id %d, want the freed 7", id)
		}
		if u := r.migUUID(again); seen[u] {
			t.Fatalf("MIG UUID %s came twice", u)
		} else {
			seen[u] = true
		}
	}
}

// TestErrors: each refusal has NVML's code.
func TestErrors(t *testing.T) {
	r := start(t, "mixed")
	a100, t4 := r.gpu(0), r.gpu(2)
	_, ret := r.c.DeviceCreateGpuInstance(r.ctx, a100, 19)
	r.want(ret, model.NotSupported) // MIG off
	_, ret = r.c.DeviceGetGpuInstanceRemainingCapacity(r.ctx, a100, 19)
	r.want(ret, model.NotSupported)
	_, ret = r.c.DeviceGetGpuInstances(r.ctx, a100, 19)
	r.want(ret, model.NotSupported)
	if got := r.placements(a100, 9); !slices.Equal(got, []model.Placement{{Start: 0, Size: 4}, {Start: 4, Size: 4}}) {
		t.Errorf("placements of 3g with MIG off: %v", got)
	}
	count, ret := r.c.DeviceGetMaxMigDeviceCount(r.ctx, a100)
	r.want(ret, model.Success)
	if count != 0 {
		t.Errorf("max MIG devices with MIG off: %d", count)
	}
	if _, _, ret = r.c.DeviceGetMigMode(r.ctx, t4); ret != model.NotSupported {
		t.Errorf("MIG mode of a T4: %v", ret)
	}
	_, ret = r.c.DeviceGetGpuInstanceProfileInfo(r.ctx, t4, 0)
	r.want(ret, model.NotSupported)

	r.mig(0)
	r.gi(a100, 9, 4)
	place := func(profile uint32, p model.Placement) model.Return {
		_, ret := r.c.DeviceCreateGpuInstanceWithPlacement(r.ctx, a100, profile, p)
		return ret
	}
	r.want(place(19, model.Placement{Start: 5, Size: 1}), model.InsufficientResources) // occupied
	r.want(place(0, model.Placement{Start: 0, Size: 8}), model.InsufficientResources)
	r.want(place(14, model.Placement{Start: 1, Size: 2}), model.InvalidArgument) // never a placement
	r.want(place(0, model.Placement{Start: 99, Size: 8}), model.InvalidArgument)
	r.want(place(9, model.Placement{Start: 0, Size: 3}), model.InvalidArgument)
	r.want(place(12345, model.Placement{Start: 0, Size: 1}), model.InvalidArgument)
	_, ret = r.c.DeviceGetGpuInstanceById(r.ctx, a100, 9)
	r.want(ret, model.NotFound)
	_, ret = r.c.DeviceGetMigDeviceHandleByIndex(r.ctx, a100, 0)
	r.want(ret, model.NotFound) // the instance has no compute instance: invisible
	_, ret = r.c.DeviceGetMigDeviceHandleByIndex(r.ctx, a100, 7)
	r.want(ret, model.InvalidArgument)
	_, ret = r.c.DeviceGetAttributes(r.ctx, a100)
	r.want(ret, model.NotSupported)
	_, ret = r.c.DeviceGetGpuInstanceId(r.ctx, a100)
	r.want(ret, model.InvalidArgument)
	_, ret = r.c.DeviceGetUtilizationRates(r.ctx, a100)
	r.want(ret, model.NotSupported)
	_, ret = r.c.DeviceGetName(r.ctx, model.Device(1<<40))
	r.want(ret, model.InvalidArgument)
}

// TestPermissions: changes and lists of instances are for administrators.
func TestPermissions(t *testing.T) {
	r := start(t, "dgx-a100")
	d := r.mig(0)
	gi, ci := r.full(d, 9, 0)
	c := r.connect(model.Caller{PID: 2, UID: 1000})
	for name, ret := range map[string]model.Return{
		"SetMigMode":        second(c.DeviceSetMigMode(r.ctx, d, 0)),
		"CreateGpuInstance": second(c.DeviceCreateGpuInstance(r.ctx, d, 19)),
		"GetGpuInstances":   second(c.DeviceGetGpuInstances(r.ctx, d, 19)),
		"GpuInstance":       c.GpuInstanceDestroy(r.ctx, gi),
		"ComputeInstance":   c.ComputeInstanceDestroy(r.ctx, ci),
		"CreateCompute":     second(c.GpuInstanceCreateComputeInstance(r.ctx, gi, 0)),
		"Capacity":          second(c.DeviceGetGpuInstanceRemainingCapacity(r.ctx, d, 19)),
		"Processes":         second(c.DeviceGetComputeRunningProcesses(r.ctx, d)),
		"Memory":            second(c.DeviceGetMemoryInfo(r.ctx, d)),
	} {
		if ret != model.NoPermission {
			t.Errorf("%s as user 1000: %v", name, ret)
		}
	}
	if _, ret := c.DeviceGetMigDeviceHandleByIndex(r.ctx, d, 0); ret != model.Success {
		t.Errorf("a user cannot see a MIG device: %v", ret)
	}
	admin := r.connect(model.Caller{PID: 3, UID: 1000, Admin: true})
	if _, ret := admin.DeviceGetGpuInstances(r.ctx, d, 19); ret != model.Success {
		t.Errorf("a user with the capability: %v", ret)
	}
}

func second[V any](_ V, ret model.Return) model.Return { return ret }

// TestInUse: what runs or is held is not destroyed.
func TestInUse(t *testing.T) {
	r := start(t, "dgx-a100")
	d := r.mig(0)
	gi, ci := r.full(d, 9, 0)
	id := r.info(gi).ID
	r.want(r.c.GpuInstanceDestroy(r.ctx, gi), model.InUse) // it has a compute instance
	pid, err := r.n.StartProcess(model.Target{GPU: 0, GI: id, CI: model.NoInstance}, model.ProcessSpec{Memory: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	r.want(r.c.ComputeInstanceDestroy(r.ctx, ci), model.InUse)
	if err := r.n.EndProcess(pid); err != nil {
		t.Fatal(err)
	}
	if err := r.n.LeakHandle(model.Target{GPU: 0, GI: id, CI: 0}); err != nil {
		t.Fatal(err)
	}
	r.want(r.c.ComputeInstanceDestroy(r.ctx, ci), model.InUse)
	r.n.DropLeaks(0)
	r.want(r.c.ComputeInstanceDestroy(r.ctx, ci), model.Success)
	if err := r.n.LeakHandle(model.Target{GPU: 0, GI: id, CI: model.NoInstance}); err != nil {
		t.Fatal(err)
	}
	r.want(r.c.GpuInstanceDestroy(r.ctx, gi), model.InUse) // its compute instance is gone already, and yet
	r.n.DropLeaks(0)
	r.want(r.c.GpuInstanceDestroy(r.ctx, gi), model.Success)
	if _, err := r.n.StartProcess(model.WholeGPU(0), model.ProcessSpec{}); err == nil {
		t.Error("a process starts on a whole GPU in MIG mode")
	}
}

// TestStrictHandles: with the option a MIG device handle of another client holds the instance until that client goes.
func TestStrictHandles(t *testing.T) {
	r := start(t, "dgx-a100", func(o *model.Options) { o.StrictHandles = true })
	d := r.mig(0)
	_, ci := r.full(d, 9, 0)
	other := r.connect(model.Caller{PID: 9})
	if _, ret := other.DeviceGetMigDeviceHandleByIndex(r.ctx, d, 0); ret != model.Success {
		t.Fatal(ret)
	}
	r.want(r.c.ComputeInstanceDestroy(r.ctx, ci), model.InUse)
	other.Close()
	r.want(r.c.ComputeInstanceDestroy(r.ctx, ci), model.Success)
}

// TestSubslices: compute instances share a GPU instance by compute slices.
func TestSubslices(t *testing.T) {
	r := start(t, "dgx-a100")
	d := r.mig(0)
	gi := r.gi(d, 0, 0)
	var starts [][]model.Placement
	for _, id := range []uint32{0, 1, 2, 3, 4} {
		p, ret := r.c.GpuInstanceGetComputeInstancePossiblePlacements(r.ctx, gi, id)
		starts = append(starts, ok(r, p, ret))
	}
	for i, want := range []int{7, 3, 2, 1, 1} {
		if len(starts[i]) != want {
			t.Errorf("compute profile %d has placements %v", i, starts[i])
		}
	}
	_, ret := r.c.GpuInstanceGetComputeInstanceProfileInfo(r.ctx, gi, 5, 0)
	r.want(ret, model.NotSupported)
	_, ret = r.c.GpuInstanceGetComputeInstanceProfileInfo(r.ctx, gi, 8, 0)
	r.want(ret, model.InvalidArgument)
	_, ret = r.c.GpuInstanceGetComputeInstanceProfileInfo(r.ctx, gi, 0, 1)
	r.want(ret, model.InvalidArgument)

	three, ret := r.c.GpuInstanceCreateComputeInstanceWithPlacement(r.ctx, gi, 2, model.Placement{Start: 4, Size: 3})
	r.want(ret, model.Success)
	_, ret = r.c.GpuInstanceCreateComputeInstanceWithPlacement(r.ctx, gi, 0, model.Placement{Start: 5, Size: 1})
	r.want(ret, model.InsufficientResources)
	_, ret = r.c.GpuInstanceCreateComputeInstance(r.ctx, gi, 4)
	r.want(ret, model.InsufficientResources)
	n, ret := r.c.GpuInstanceGetComputeInstanceRemainingCapacity(r.ctx, gi, 0)
	if ok(r, n, ret) != 4 {
		t.Errorf("%d more 1c fit, want 4", n)
	}
	info, ret := r.c.ComputeInstanceGetInfo(r.ctx, three)
	r.want(ret, model.Success)
	name, ret := r.c.DeviceGetName(r.ctx, info.Device)
	if ok(r, name, ret) != "NVIDIA A100-SXM4-80GB MIG 3c.7g.80gb" {
		t.Error(name)
	}
	a, ret := r.c.DeviceGetAttributes(r.ctx, info.Device)
	if a := ok(r, a, ret); a.MultiprocessorCount != 42 || a.GpuInstanceSliceCount != 7 || a.ComputeInstanceSliceCount != 3 || a.MemorySizeMB != 80896 {
		t.Errorf("%+v", a)
	}
	r.want(r.c.GpuInstanceDestroy(r.ctx, gi), model.InUse)
}

// TestMigDevices: handle, index, UUID, parent and ids of a MIG device agree; indices stay while others go.
func TestMigDevices(t *testing.T) {
	r := start(t, "dgx-a100")
	d := r.mig(0)
	var cis []model.ComputeInstance
	for i := range 3 {
		_, ci := r.full(d, 19, i)
		cis = append(cis, ci)
	}
	r.want(r.c.ComputeInstanceDestroy(r.ctx, cis[1]), model.Success)
	_, ret := r.c.DeviceGetMigDeviceHandleByIndex(r.ctx, d, 1)
	r.want(ret, model.NotFound)
	for _, index := range []uint32{0, 2} {
		m, ret := r.c.DeviceGetMigDeviceHandleByIndex(r.ctx, d, index)
		r.want(ret, model.Success)
		is, ret := r.c.DeviceIsMigDeviceHandle(r.ctx, m)
		if !ok(r, is, ret) {
			t.Error("not a MIG device")
		}
		i, ret := r.c.DeviceGetIndex(r.ctx, m)
		if ok(r, i, ret) != index {
			t.Errorf("index %d, want %d", i, index)
		}
		parent, ret := r.c.DeviceGetDeviceHandleFromMigDeviceHandle(r.ctx, m)
		if ok(r, parent, ret) != d {
			t.Error("wrong parent")
		}
		u, ret := r.c.DeviceGetUUID(r.ctx, m)
		r.want(ret, model.Success)
		again, ret := r.c.DeviceGetHandleByUUID(r.ctx, u)
		if ok(r, again, ret) != m {
			t.Errorf("%s leads elsewhere", u)
		}
		mem, ret := r.c.DeviceGetMemoryInfoV2(r.ctx, m)
		if ok(r, mem, ret).Total != 9728<<20 {
			t.Errorf("%+v", mem)
		}
	}
}

// TestCreateFailsHalfway: a compute instance that cannot be made leaves a GPU instance that enumeration by MIG device does not show.
func TestCreateFailsHalfway(t *testing.T) {
	r := start(t, "dgx-a100")
	d := r.mig(0)
	r.n.FailCalls(model.ErrorFault{Call: "nvmlGpuInstanceCreateComputeInstance", GPU: 0, At: 1, Times: 1, Return: model.InsufficientResources})
	gi := r.gi(d, 19, 0)
	_, ret := r.c.GpuInstanceCreateComputeInstance(r.ctx, gi, 0)
	r.want(ret, model.InsufficientResources)
	_, ret = r.c.DeviceGetMigDeviceHandleByIndex(r.ctx, d, 0)
	r.want(ret, model.NotFound)
	list, ret := r.c.DeviceGetGpuInstances(r.ctx, d, 19)
	if len(ok(r, list, ret)) != 1 {
		t.Error("the stranded instance is not listed")
	}
	_, ret = r.c.GpuInstanceCreateComputeInstance(r.ctx, gi, 0)
	r.want(ret, model.Success)
}

// TestAnswerLost: a call can take effect and fail all the same.
func TestAnswerLost(t *testing.T) {
	r := start(t, "dgx-a100")
	d := r.mig(0)
	r.n.FailCalls(model.ErrorFault{Call: "nvmlDeviceCreateGpuInstanceWithPlacement", GPU: -1, At: 2, Times: 1, Return: model.Unknown, AfterEffect: true})
	r.gi(d, 19, 0)
	_, ret := r.c.DeviceCreateGpuInstanceWithPlacement(r.ctx, d, 19, model.Placement{Start: 1, Size: 1})
	r.want(ret, model.Unknown)
	list, ret := r.c.DeviceGetGpuInstances(r.ctx, d, 19)
	if len(ok(r, list, ret)) != 2 {
		t.Errorf("%d instances, want 2", len(list))
	}
}

func TestMemoryRunsOut(t *testing.T) {
	r := start(t, "dgx-a100")
	_, err := r.n.StartProcess(model.WholeGPU(0), model.ProcessSpec{Memory: 90 << 30})
	if !errors.Is(err, model.ErrOutOfMemory) {
		t.Error(err)
	}
}
