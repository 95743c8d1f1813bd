package deviceplugin

import (
	"strings"
	"testing"

	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"github.com/gpulet/gpulet/gpu"
)

func TestPreferred(t *testing.T) {
	share := func(p Policy, rules ...Rule) Settings {
		s := mixed()
		s.Policy = p
		s.Rules = rules
		if rules == nil {
			s.Rules = []Rule{{Sharing: map[string]Sharing{"*": {Replicas: 3}}}}
		}
		return s
	}
	plain := func(p Policy) Settings { s := mixed(); s.Policy = p; return s }
	const mig10 = "nvidia.com/mig-1g.10gb"
	slices := node("1g.10gb@0:1 1g.10gb@1:1 1g.10gb@2:1", "3g.40gb@0:4 1g.10gb@4:1 1g.10gb@5:1", "1g.10gb@0:1 1g.10gb@1:1")
	uneven := []Rule{
		{Match: gpu.Selector{Indexes: []int{0}}, Sharing: map[string]Sharing{"*": {Replicas: 2}}},
		{Sharing: map[string]Sharing{"*": {Replicas: 5}}},
	}
	for _, c := range []struct {
		name     string
		settings Settings
		node     *gpu.Snapshot
		claims   string // resource=id
		request  string // resource size; must; leave out
		want     string
	}{
		{"GPUs that are close", plain(Pack), node("", "", "", ""), "", GPUResource + " 2;;GPU-0", "GPU-1 GPU-2"},
		{"close to what must be in", plain(Pack), node("", "", "", ""), "", GPUResource + " 2;GPU-3;", "GPU-3 GPU-2"},
		{"a claimed GPU is never proposed", plain(Pack), node("", "", ""), GPUResource + "=GPU-1", GPUResource + " 2;;", "GPU-0 GPU-2"},
		{"unless it must be", plain(Pack), node("", "", ""), GPUResource + "=GPU-1", GPUResource + " 2;GPU-1;", "GPU-1 GPU-0"},
		{"too few are no error", plain(Pack), node("", ""), GPUResource + "=GPU-1", GPUResource + " 2;;", "GPU-0"},
		{"unknown must-includes stay", plain(Pack), node("", ""), "", GPUResource + " 2;GPU-8;", "GPU-8 GPU-0"},
		{"replicas packed", share(Pack), node("", ""), GPUResource + "=GPU-1::0", GPUResource + " 1;;", "GPU-1::1"},
		{"replicas spread", share(Spread), node("", ""), GPUResource + "=GPU-0::0", GPUResource + " 1;;", "GPU-1::0"},
		{"two replicas on two GPUs", share(Spread), node("", ""), "", GPUResource + " 2;;", "GPU-0::0 GPU-1::0"},
		{"two replicas on one GPU", share(Pack), node("", ""), "", GPUResource + " 2;;", "GPU-0::0 GPU-0::1"},
		{"a must-include counts", share(Spread), node("", ""), "", GPUResource + " 2;GPU-0::2;", "GPU-0::2 GPU-1::0"},
		{
			"fullness is a part of a GPU, not a number", share(Pack, uneven...), node("", ""), GPUResource + "=GPU-0::0 " + GPUResource + "=GPU-1::0 " + GPUResource + "=GPU-1::1",
			GPUResource + " 1;;", "GPU-0::1",
		},
		{"slices packed by physical GPU, whatever the name of what is there", plain(Pack), slices, "nvidia.com/mig-3g.40gb=GPU-1:3g.40gb:0", mig10 + " 1;;", "GPU-1:1g.10gb:4"},
		{"slices spread", plain(Spread), slices, "nvidia.com/mig-3g.40gb=GPU-1:3g.40gb:0", mig10 + " 3;;", "GPU-0:1g.10gb:0 GPU-2:1g.10gb:0 GPU-0:1g.10gb:1"},
		{"slices over two GPUs", plain(Pack), slices, mig10 + "=GPU-2:1g.10gb:0", mig10 + " 3;;", "GPU-2:1g.10gb:1 GPU-0:1g.10gb:0 GPU-0:1g.10gb:1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, c.settings, c.node, func(r *rig) {
				for claim := range strings.FieldsSeq(c.claims) {
					resource, id, _ := strings.Cut(claim, "=")
					if _, err := r.allocate(resource, id); err != nil {
						t.Fatal(err)
					}
				}
				parts := strings.Split(c.request, ";")
				resource, size, _ := strings.Cut(parts[0], " ")
				var available []string
				for _, id := range strings.Fields(r.listed(resource)) {
					if id != parts[2] {
						available = append(available, id)
					}
				}
				for range 3 { // the kubelet's order is that of a map
					available = append(available[1:], available[0])
					resp, err := r.regs.handler(resource).Preferred(t.Context(), &api.PreferredAllocationRequest{
						ContainerRequests: []*api.ContainerPreferredAllocationRequest{{
							AvailableDeviceIDs: available, MustIncludeDeviceIDs: strings.Fields(parts[1]), AllocationSize: int32(size[0] - '0'),
						}},
					})
					if err != nil {
						t.Fatal(err)
					}
					equal(t, "preferred", strings.Join(resp.ContainerResponses[0].DeviceIDs, " "), c.want)
				}
			})
		})
	}
}
