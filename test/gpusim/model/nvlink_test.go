package model_test

import (
	"testing"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

// TestBridges: GPUs of one model are bridged in pairs, GPUs of different models and the odd one out are not.
func TestBridges(t *testing.T) {
	r := start(t, "mixed") // two A100, two T4, one H100
	for i, want := range []model.Return{model.Success, model.Success, model.NotSupported, model.NotSupported} {
		p, ret := r.c.DeviceGetNvLinkRemotePciInfo(r.ctx, r.gpu(uint32(i)), 0)
		r.want(ret, want)
		if ret == model.Success && p.Sysfs() != r.n.Status().GPUs[i^1].PCI {
			t.Errorf("GPU %d is bridged to %s", i, p.Sysfs())
		}
	}
	up, ret := r.c.DeviceGetNvLinkState(r.ctx, r.gpu(4), 0)
	if ok(r, up, ret) {
		t.Error("a GPU without a neighbour is bridged")
	}
}
