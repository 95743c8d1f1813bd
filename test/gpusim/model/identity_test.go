package model_test

import (
	"testing"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

// TestLookups: by index, UUID, PCI address in each spelling, and serial lead to the same GPU.
func TestLookups(t *testing.T) {
	r := start(t, "dgx-a100")
	d := r.gpu(1)
	uuid, ret := r.c.DeviceGetUUID(r.ctx, d)
	r.want(ret, model.Success)
	serial, ret := r.c.DeviceGetSerial(r.ctx, d)
	r.want(ret, model.Success)
	pci, ret := r.c.DeviceGetPciInfo(r.ctx, d)
	r.want(ret, model.Success)
	if pci.BusID != "00000000:0F:00.0" || pci.BusIDLegacy != "0000:0F:00.0" || pci.Sysfs() != "0000:0f:00.0" || pci.Bus != 15 {
		t.Errorf("%+v", pci)
	}
	for _, id := range []string{pci.BusID, pci.BusIDLegacy, pci.Sysfs(), "0f:00.0", "0F:00", "0000:0f:00"} {
		if got, ret := r.c.DeviceGetHandleByPciBusId(r.ctx, id); ret != model.Success || got != d {
			t.Errorf("%s leads to %v, %v", id, got, ret)
		}
	}
	for _, id := range []string{"", "zz:00.0", "0f", "0f:00.1", "0:0:0:0", "1ff:00.0"} {
		if _, ret := r.c.DeviceGetHandleByPciBusId(r.ctx, id); ret != model.InvalidArgument {
			t.Errorf("%q: %v", id, ret)
		}
	}
	_, ret = r.c.DeviceGetHandleByPciBusId(r.ctx, "0000:99:00.0")
	r.want(ret, model.NotFound)
	if got, ret := r.c.DeviceGetHandleByUUID(r.ctx, uuid); ret != model.Success || got != d {
		t.Error(got, ret)
	}
	if got, ret := r.c.DeviceGetHandleBySerial(r.ctx, serial); ret != model.Success || got != d {
		t.Error(got, ret)
	}
	_, ret = r.c.DeviceGetHandleByUUID(r.ctx, "nonsense")
	r.want(ret, model.InvalidArgument)
	_, ret = r.c.DeviceGetHandleByIndex(r.ctx, 8)
	r.want(ret, model.InvalidArgument)
	words, ret := r.c.DeviceGetCpuAffinity(r.ctx, d, 4)
	if words = ok(r, words, ret); words[0] != 0 || words[1] != 0xFFFFFFFF<<32 || words[2] != 0 {
		t.Errorf("CPUs 96 to 127 are near, told %x", words)
	}
	for sel, want := range map[string]int{"1": 1, uuid: 1, "0000:0f:00.0": 1, "7": 7} {
		if got, err := r.n.FindGPU(sel); err != nil || got != want {
			t.Errorf("%s: %d, %v", sel, got, err)
		}
	}
	if _, err := r.n.FindGPU("8"); err == nil {
		t.Error("GPU 8 is found")
	}
}

// TestSessions: calls need Init; Shutdown counts; what is left behind goes.
func TestSessions(t *testing.T) {
	r := start(t, "t4x4")
	c := r.n.Connect(model.Caller{PID: 2})
	defer c.Close()
	_, ret := c.DeviceGetCount(r.ctx)
	r.want(ret, model.Uninitialized)
	r.want(c.Shutdown(r.ctx), model.Uninitialized)
	r.want(c.InitWithFlags(r.ctx, 0), model.Success)
	r.want(c.InitWithFlags(r.ctx, 0), model.Success)
	set, ret := c.EventSetCreate(r.ctx)
	r.want(ret, model.Success)
	r.want(c.Shutdown(r.ctx), model.Success)
	r.want(c.EventSetFree(r.ctx, set), model.Success)
	r.want(c.Shutdown(r.ctx), model.Success)
	_, ret = c.DeviceGetCount(r.ctx)
	r.want(ret, model.Uninitialized)

	empty := startEmpty(t)
	defer empty.Close()
	r.want(empty.InitWithFlags(r.ctx, 0), model.DriverNotLoaded)
	r.want(empty.InitWithFlags(r.ctx, 1), model.Success) // NVML_INIT_FLAG_NO_GPUS
}

func startEmpty(t *testing.T) *model.Client {
	t.Helper()
	n, err := model.New(model.Shape{Driver: "550.54.15"}, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return n.Connect(model.Caller{PID: 1})
}
