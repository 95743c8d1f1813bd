package deviceplugin

import (
	"testing"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
)

// What a pod has under another name is not given to a second one, whoever gave it.
func TestGuard(t *testing.T) {
	const mig10, mig40 = "nvidia.com/mig-1g.10gb", "nvidia.com/mig-3g.40gb"
	twice := mixed()
	twice.Rules = []Rule{{Sharing: map[string]Sharing{"*": {Replicas: 2}}}}
	sub := "3g.40gb@0:4/1c.3g.40gb/2c.3g.40gb"
	for _, c := range []struct {
		name     string
		settings Settings
		node     *gpu.Snapshot
		claim    kubelet.Claim
		resource string
		list     string
	}{
		{"its own id", mixed(), node("", ""), kubelet.Claim{Resource: GPUResource, ID: "GPU-0"}, GPUResource, "GPU-0 GPU-1"},
		{"an old name", mixed(), node("", ""), kubelet.Claim{Resource: "nvidia.com/old", ID: "GPU-0"}, GPUResource, "GPU-1"},
		{"the old name stays", mixed(), node("", ""), kubelet.Claim{Resource: "nvidia.com/old", ID: "GPU-0"}, "nvidia.com/old", "GPU-0!"},
		{"a replica, now whole", mixed(), node("", ""), kubelet.Claim{Resource: GPUResource, ID: "GPU-0::1"}, GPUResource, "GPU-0::1! GPU-1"},
		{"whole, now replicas", twice, node("", ""), kubelet.Claim{Resource: GPUResource, ID: "GPU-0"}, GPUResource, "GPU-0! GPU-1::0 GPU-1::1"},
		{"a replica, and its sisters", twice, node(""), kubelet.Claim{Resource: GPUResource, ID: "GPU-0::0"}, GPUResource, "GPU-0::0 GPU-0::1"},
		{"a share from before there were fewer", twice, node(""), kubelet.Claim{Resource: GPUResource, ID: "GPU-0::2"}, GPUResource, "GPU-0::0 GPU-0::2!"},
		{"a replica of a renamed resource", twice, node(""), kubelet.Claim{Resource: "nvidia.com/old", ID: "GPU-0::0"}, GPUResource, ""},
		{
			"the place of an instance that is no more", mixed(), node("1g.10gb@2:1 1g.10gb@4:1"),
			kubelet.Claim{Resource: mig40, ID: "GPU-0:3g.40gb:0"},
			mig10, "GPU-0:1g.10gb:4",
		},
		{"a whole GPU that is divided now", mixed(), node("1g.10gb@2:1", ""), kubelet.Claim{Resource: GPUResource, ID: "GPU-0"}, mig10, ""},
		{
			"sub-slices beside each other", mixed(), node(sub),
			kubelet.Claim{Resource: "nvidia.com/mig-1c.3g.40gb", ID: "GPU-0:1c.3g.40gb:0.0"},
			"nvidia.com/mig-2c.3g.40gb", "GPU-0:2c.3g.40gb:0.1",
		},
		{
			"sub-slices on each other", mixed(), node(sub),
			kubelet.Claim{Resource: "nvidia.com/mig-1c.3g.40gb", ID: "GPU-0:1c.3g.40gb:0.2"},
			"nvidia.com/mig-2c.3g.40gb", "",
		},
		{
			"a MIG device that another plugin gave", mixed(), node("1g.10gb@2:1 1g.10gb@4:1"),
			kubelet.Claim{Resource: mig10, ID: "MIG-GPU-0-1-0", Foreign: true},
			mig10, "GPU-0:1g.10gb:4 MIG-GPU-0-1-0!",
		},
		{"another plugin's devices", mixed(), node(""), kubelet.Claim{Resource: "rdma/hca", ID: "mlx5-0", Foreign: true}, "rdma/hca", ""},
		{"another plugin's name for a GPU", mixed(), node("", ""), kubelet.Claim{Resource: "other.io/gpu", ID: "GPU-0", Foreign: true}, "other.io/gpu", ""},
		{"and the GPU", mixed(), node("", ""), kubelet.Claim{Resource: "other.io/gpu", ID: "GPU-0", Foreign: true}, GPUResource, "GPU-1"},
		{"our own on a GPU that is gone", mixed(), node(""), kubelet.Claim{Resource: GPUResource, ID: "GPU-9"}, GPUResource, "GPU-0 GPU-9!"},
		{
			"a slot of unknown size reaches to the end", mixed(), node("1g.10gb@2:1 1g.10gb@6:1"),
			kubelet.Claim{Resource: GPUResource, ID: "GPU-0:5g.60gb:3"},
			mig10, "GPU-0:1g.10gb:2",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, c.settings, c.node, func(r *rig) {
				r.expect(c.resource, c.list)
				r.after(time.Hour)
				r.expect(c.resource, c.list)
				r.claims.end(c.claim.Resource, c.claim.ID)
				r.after(time.Hour)
				v, _ := r.manager.View().Get()
				if len(v.Moves) > 0 {
					t.Errorf("after the claim's end: %+v", v.Moves)
				}
			}, func(cfg *Config) {
				c.claim.Pod, c.claim.Namespace, c.claim.Name = "u", "ns", "p"
				cfg.Claims = newFakeClaims(c.claim)
			})
		})
	}
}

// The reason names the pod.
func TestGuardNamesThePod(t *testing.T) {
	bubble(t, mixed(), node(""), func(r *rig) {
		v, _ := r.manager.View().Get()
		if len(v.Withheld) != 1 || v.Withheld[0].Reason != "pod ns/p has the same hardware as nvidia.com/old GPU-0" {
			t.Errorf("withheld: %+v", v.Withheld)
		}
		r.claims.end("nvidia.com/old", "GPU-0")
		r.after(time.Millisecond)
		r.expect(GPUResource, "GPU-0")
		r.claims.add(kubelet.Claim{Resource: "other.io/gpu", ID: "GPU-0", Foreign: true, Namespace: "ns", Name: "q"})
		r.after(time.Millisecond)
		r.expect(GPUResource, "GPU-0!")
		v, _ = r.manager.View().Get()
		equal(t, "reason", v.Resources[GPUResource][0].Reason, "pod ns/q has the same hardware as other.io/gpu GPU-0")
	}, func(cfg *Config) {
		cfg.Claims = newFakeClaims(kubelet.Claim{Resource: "nvidia.com/old", ID: "GPU-0", Pod: "u", Namespace: "ns", Name: "p"})
	})
}
