package model_test

import (
	"testing"
	"time"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

func (r *rig) mode(d model.Device) [2]uint32 {
	r.Helper()
	current, pending, ret := r.c.DeviceGetMigMode(r.ctx, d)
	r.want(ret, model.Success)
	return [2]uint32{current, pending}
}

func (r *rig) setMode(d model.Device, mode uint32) model.Return {
	r.Helper()
	activation, ret := r.c.DeviceSetMigMode(r.ctx, d, mode)
	return ok(r, activation, ret)
}

// TestModeOnAmpere: at once when idle, pending with holders, activated by a retry, a reset or a reboot.
func TestModeOnAmpere(t *testing.T) {
	r := start(t, "dgx-a100")
	d := r.gpu(0)
	r.want(r.setMode(d, 1), model.Success)
	if got := r.mode(d); got != [2]uint32{1, 1} {
		t.Errorf("idle: %v", got)
	}
	r.want(r.setMode(d, 0), model.Success)

	other := r.connect(model.Caller{PID: 2})
	if _, ret := other.DeviceGetHandleByIndex(r.ctx, 0); ret != model.Success {
		t.Fatal(ret)
	}
	r.want(r.setMode(d, 1), model.ResetRequired)
	if got := r.mode(d); got != [2]uint32{0, 1} {
		t.Errorf("with another client: %v", got)
	}
	r.want(r.n.ResetGPU(0), model.InUse)
	other.Close()
	r.want(r.setMode(d, 1), model.Success) // the retry

	gi := r.gi(d, 19, 0)
	r.want(r.setMode(d, 0), model.InUse)
	if got := r.mode(d); got != [2]uint32{1, 0} {
		t.Errorf("with an instance: %v", got)
	}
	r.want(r.setMode(d, 1), model.Success) // takes the pending change back
	if got := r.mode(d); got != [2]uint32{1, 1} {
		t.Errorf("taken back: %v", got)
	}
	r.want(r.c.GpuInstanceDestroy(r.ctx, gi), model.Success)

	set, ret := r.c.EventSetCreate(r.ctx)
	r.want(ret, model.Success)
	r.want(r.c.DeviceRegisterEvents(r.ctx, d, model.EventXidCritical, set), model.Success)
	r.want(r.setMode(d, 0), model.ResetRequired) // one's own event set is a client too
	r.want(r.c.EventSetFree(r.ctx, set), model.Success)
	r.want(r.c.Shutdown(r.ctx), model.Success)
	r.want(r.n.ResetGPU(0), model.Success)
	r.want(r.c.InitWithFlags(r.ctx, 0), model.Success)
	if got := r.mode(r.gpu(0)); got != [2]uint32{0, 0} {
		t.Errorf("after the reset: %v", got)
	}
}

// TestModeOnHopper: immediate or not at all.
func TestModeOnHopper(t *testing.T) {
	r := start(t, "hgx-h100")
	d := r.gpu(0)
	sample, ret := r.c.GpmSampleAlloc(r.ctx)
	r.want(ret, model.Success)
	r.want(r.c.GpmSampleGet(r.ctx, d, sample), model.Success)
	r.want(r.setMode(d, 1), model.InUse)
	if got := r.mode(d); got != [2]uint32{0, 0} {
		t.Errorf("with a GPM sample: %v", got)
	}
	r.want(r.c.GpmSampleFree(r.ctx, sample), model.Success)
	r.want(r.setMode(d, 1), model.Success)
	if f, ret := r.c.DeviceGetGpuFabricInfo(r.ctx, d); ok(r, f, ret).State != 1 {
		t.Errorf("fabric in MIG mode: %+v", f)
	}
	r.want(r.setMode(d, 0), model.Success)
	if f, ret := r.c.DeviceGetGpuFabricInfo(r.ctx, d); ok(r, f, ret).State != 2 {
		t.Errorf("fabric just after MIG mode: %+v", f)
	}
	r.clock.add(3 * time.Second)
	if f, ret := r.c.DeviceGetGpuFabricInfoV(r.ctx, d, 2); ok(r, f, ret).State != 3 || f.Status != model.Success {
		t.Errorf("fabric later: %+v", f)
	}
	pid, err := r.n.StartProcess(model.WholeGPU(0), model.ProcessSpec{})
	if err != nil {
		t.Fatal(err)
	}
	r.want(r.setMode(d, 1), model.InUse)
	if err := r.n.EndProcess(pid); err != nil {
		t.Fatal(err)
	}
	if err := r.n.LeakHandle(model.WholeGPU(0)); err != nil {
		t.Fatal(err)
	}
	r.want(r.setMode(d, 1), model.InUse)
}

// TestPassthrough: in a virtual machine an Ampere mode waits for the reboot.
func TestPassthrough(t *testing.T) {
	r := startShape(t, model.Shape{Name: "vm", Driver: "550.54.15", Passthrough: true, GPUs: []model.GPUShape{{Model: "a100-80"}}})
	r.want(r.setMode(r.gpu(0), 1), model.ResetRequired)
	r.n.Reboot()
	r.want(r.c.InitWithFlags(r.ctx, 0), model.Success)
	if got := r.mode(r.gpu(0)); got != [2]uint32{1, 1} {
		t.Errorf("after the reboot: %v", got)
	}
}

// TestReboot: instances go, the mode stays on Ampere only, handles and sessions end, the boot id is new.
func TestReboot(t *testing.T) {
	r := start(t, "mixed")
	a100, h100 := r.mig(0), r.mig(4)
	gi, _ := r.full(a100, 9, 0)
	r.full(h100, 9, 0)
	before := r.n.Status().BootID
	r.n.Reboot()
	if r.n.Status().BootID == before {
		t.Error("same boot id")
	}
	_, ret := r.c.DeviceGetCount(r.ctx)
	r.want(ret, model.Uninitialized)
	r.want(r.c.InitWithFlags(r.ctx, 0), model.Success)
	_, ret = r.c.GpuInstanceGetInfo(r.ctx, gi)
	r.want(ret, model.InvalidArgument)
	if got := r.mode(r.gpu(0)); got != [2]uint32{1, 1} {
		t.Errorf("Ampere: %v", got)
	}
	if got := r.mode(r.gpu(4)); got != [2]uint32{0, 0} {
		t.Errorf("Hopper: %v", got)
	}
	list, ret := r.c.DeviceGetGpuInstances(r.ctx, r.gpu(0), 9)
	if len(ok(r, list, ret)) != 0 {
		t.Error("an instance survived")
	}
}

// TestDriverVersions: an unloaded driver, one that does not know a GPU, a library of another version, a symbol that is not there.
func TestDriverVersions(t *testing.T) {
	r := start(t, "mixed")
	if err := r.n.UnloadDriver(false); err != nil {
		t.Fatal(err) // nobody took a handle
	}
	r.want(r.c.InitWithFlags(r.ctx, 0), model.DriverNotLoaded)
	if err := r.n.LoadDriver("470.256.02"); err != nil {
		t.Fatal(err)
	}
	r.want(r.c.InitWithFlags(r.ctx, 0), model.Success)
	count, ret := r.c.DeviceGetCount(r.ctx)
	if ok(r, count, ret) != 4 {
		t.Errorf("470 shows %d GPUs of 5, want 4: it does not know the H100", count)
	}
	d := r.gpu(0)
	_, ret = r.c.DeviceGetMemoryInfoV2(r.ctx, d)
	r.want(ret, model.FunctionNotFound)
	_, ret = r.c.DeviceGetGpuInstanceProfileInfoV(r.ctx, d, 0, 2)
	r.want(ret, model.ArgumentVersionMismatch)
	if v, ret := r.c.SystemGetDriverVersion(r.ctx); ok(r, v, ret) != "470.256.02" {
		t.Error(v)
	}
	if v, ret := r.c.SystemGetCudaDriverVersion(r.ctx); ok(r, v, ret) != 11040 {
		t.Error(v)
	}
	if err := r.n.UnloadDriver(false); err == nil {
		t.Error("the driver unloads under a client that holds a GPU")
	}
	if err := r.n.LoadDriver("550.54.15"); err != nil {
		t.Fatal(err)
	}
	old := r.n.Connect(model.Caller{PID: 5, Library: "470.256.02"})
	defer old.Close()
	r.want(old.InitWithFlags(r.ctx, 0), model.LibRMVersionMismatch)
	r.want(r.c.InitWithFlags(r.ctx, 0), model.Success)
	_, ret = r.c.DeviceGetGpuInstanceProfileInfoV(r.ctx, r.gpu(0), 0, 3)
	r.want(ret, model.Success)
	_, ret = r.c.DeviceGetGpuInstanceProfileInfoV(r.ctx, r.gpu(0), 0, 4)
	r.want(ret, model.ArgumentVersionMismatch)
}

func TestSymbols(t *testing.T) {
	for _, c := range []struct {
		name  string
		since model.Branch
	}{
		{"nvmlInit_v2", 470},
		{"nvmlDeviceGetMemoryInfo_v2", 525},
		{"nvmlGpmMigSampleGet", 525},
		{"nvmlSystemGetConfComputeState", 535},
		{"nvmlDeviceGetGpuFabricInfoV", 550},
		{"nvmlDeviceGetTemperatureV", 580},
		{"nvmlDeviceGetGpuFabricInfo_v4", 600},
	} {
		for _, b := range []model.Branch{470, 525, 535, 550, 580} {
			if got := b.HasSymbol(c.name); got != (b >= c.since) {
				t.Errorf("%s in %d: %v", c.name, b, got)
			}
		}
	}
}
