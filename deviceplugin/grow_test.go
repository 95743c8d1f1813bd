package deviceplugin

import (
	"testing"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
)

// A pod that is scheduled before the kubelet has worked on the list fails, so the Node says more only when the kubelet does.
func TestTheNodeGrowsAfterTheKubelet(t *testing.T) {
	w := newWorld(t, mixed(), node(""))
	resources := gpu.NewFeed(&kubelet.Assigned{At: w.now, Synced: true})
	w.manager.cfg.Resources = assignments{resources}
	w.pass(time.Second, true)
	if n := patchedTo(w); n != 0 {
		t.Errorf("the Node says %d, the kubelet 0", n)
	}
	resources.Set(&kubelet.Assigned{At: w.now, Synced: true, Allocatable: map[string][]string{GPUResource: {"GPU-0"}}})
	w.pass(10*time.Millisecond, true)
	if n := patchedTo(w); n != 1 {
		t.Errorf("the Node says %d, the kubelet 1", n)
	}
}

// patchedTo is what the Node was told last of whole GPUs.
func patchedTo(w *world) (n int64) {
	for _, p := range w.node.patches {
		if c, ok := p[GPUResource]; ok {
			n = c.Allocatable
		}
	}
	return n
}

func TestTheNodeGrowsInTheEnd(t *testing.T) {
	w := newWorld(t, mixed(), node(""))
	w.manager.cfg.Resources = assignments{gpu.NewFeed(&kubelet.Assigned{At: w.now, Synced: true})}
	w.pass(3*time.Second, true)
	if n := patchedTo(w); n != 1 {
		t.Errorf("the Node says %d although the kubelet was told long ago", n)
	}
}

// A device whose pod lives and which the kubelet does not know to be given is not offered.
func TestAnUnrecordedClaimKeepsItsDevice(t *testing.T) {
	w := newWorld(t, mixed(), node("", ""))
	w.pass(time.Second, true)
	w.claims.add(kubelet.Claim{Resource: GPUResource, ID: "GPU-0", Pod: "u", Namespace: "default", Name: "p", Confirmed: true, Unrecorded: true})
	w.pass(time.Second, true)
	if d := w.kubelet[GPUResource].devices; d["GPU-0"] || !d["GPU-1"] {
		t.Errorf("%v", d)
	}
}
