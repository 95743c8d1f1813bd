package model_test

import (
	"strings"
	"testing"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

// TestXIDLog: the kernel's log has each XID in order, with the address and a process of the GPU, and starts anew with a boot.
func TestXIDLog(t *testing.T) {
	r := start(t, "dgx-a100")
	if _, err := r.n.StartProcess(model.WholeGPU(1), model.ProcessSpec{PID: 42, Name: "train"}); err != nil {
		t.Fatal(err)
	}
	for gpu, code := range []uint64{79, 31} {
		if err := r.n.InjectXID(gpu, code, model.NoInstance, model.NoInstance); err != nil {
			t.Fatal(err)
		}
	}
	all, boot := r.n.XIDs(0)
	if len(all) != 2 || all[0].Code != 79 || all[0].Seq != 1 || all[1].GPU != 1 || !strings.HasPrefix(all[0].Record, "4,1,") ||
		!strings.HasSuffix(all[0].Record, "\n") || !strings.Contains(all[1].Record, "-;NVRM: Xid (PCI:0000:0f:00): 31, pid=42, name=train, ") {
		t.Errorf("%+v", all)
	}
	if rest, _ := r.n.XIDs(1); len(rest) != 1 || rest[0].Code != 31 {
		t.Errorf("after the first: %+v", rest)
	}
	r.n.Reboot()
	if all, next := r.n.XIDs(0); len(all) != 0 || next == boot {
		t.Errorf("after a boot: %+v", all)
	}
}

// TestCollapsedXIDs: between two waits only the last XID of a GPU is told.
func TestCollapsedXIDs(t *testing.T) {
	r := start(t, "dgx-a100", func(o *model.Options) { o.CollapseXIDs = true })
	set := r.set(r.c, r.gpu(0), model.EventXidCritical)
	for _, code := range []uint64{31, 43, 79} {
		if err := r.n.InjectXID(0, code, model.NoInstance, model.NoInstance); err != nil {
			t.Fatal(err)
		}
	}
	e, ret := r.c.EventSetWait(r.ctx, set, 1000)
	if ok(r, e, ret).EventData != 79 {
		t.Errorf("%+v", e)
	}
	_, ret = r.c.EventSetWait(r.ctx, set, 0)
	r.want(ret, model.Timeout)
}
