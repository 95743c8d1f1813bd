package attribute

import (
	"slices"
	"testing"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/kubelet"
)

type idCase struct {
	id     string
	device gpu.Device
	entity gpu.Entity
}

func ids(t testing.TB) []idCase {
	whole := gpu.Device{Kind: gpu.Whole, GPU: wholeGPU}
	small := gpu.Device{Kind: gpu.Slice, GPU: slicedGP, Slot: mig.Slot{Profile: profile(t, "1g.10gb"), Placement: mig.Placement{Start: 0, Size: 1}}}
	other := gpu.Device{Kind: gpu.Slice, GPU: slicedGP, Slot: mig.Slot{Profile: profile(t, "1g.10gb"), Placement: mig.Placement{Start: 1, Size: 1}}}
	big := gpu.Device{Kind: gpu.Slice, GPU: slicedGP, Slot: mig.Slot{Profile: profile(t, "3g.40gb"), Placement: mig.Placement{Start: 4, Size: 4}}}
	two := big
	two.Slot.Profile, two.ComputeStart = profile(t, "2c.3g.40gb"), 1
	replica := func(d gpu.Device, n int) gpu.Device {
		d.Replica = n + 1
		return d
	}
	none := gpu.Entity{}
	return []idCase{
		{string(wholeGPU), whole, wholeGPU.Whole()},
		{string(wholeGPU) + "::0", replica(whole, 0), wholeGPU.Whole()},
		{string(wholeGPU) + "::11", replica(whole, 11), wholeGPU.Whole()},
		{gpu.ShortUUID(wholeGPU), whole, wholeGPU.Whole()},
		{string(slicedGP) + ":1g.10gb:0", small, instance(7)},
		{string(slicedGP) + ":1g.10gb:0::2", replica(small, 2), instance(7)},
		{gpu.ShortUUID(slicedGP) + ":2c.3g.40gb:4.1", two, instance(2)},
		{string(slicedGP) + ":1g.10gb:1", other, none}, // a slot without an instance
		{string(smallMIG), small, instance(7)},
		{string(smallMIG) + "::3", replica(small, 3), instance(7)},
		{string(restOf), two, instance(2)},
		{"MIG-" + string(slicedGP) + "/7/0", small, instance(7)},
		{"MIG-" + string(slicedGP) + "/2/1", two, instance(2)},
		{"nvidia3", whole, wholeGPU.Whole()},
		{"nvidia3/vgpu0", replica(whole, 0), wholeGPU.Whole()},
		{"nvidia0/gi7", small, instance(7)},
		{"nvidia0/gi2", big, instance(2)},
		{"nvidia0/gi7/vgpu1", replica(small, 1), instance(7)},
	}
}

func notIDs() []string {
	return []string{
		"", "::", "::1", string(wholeGPU) + "::", string(wholeGPU) + "::x", string(wholeGPU) + "::-1",
		"GPU-99999999-2222-3333-4444-555555555555", "MIG-99999999-2222-3333-4444-555555555555", "MIG-", string(smallMIG) + "::x",
		"MIG-" + string(slicedGP), "MIG-" + string(slicedGP) + "/7", "MIG-" + string(slicedGP) + "/8/0", "MIG-" + string(slicedGP) + "/7/0/0", "MIG-GPU-1/7/0",
		"nvidia", "nvidia9", "nvidia0/gi9", "nvidia0/gi", "nvidia0/", "nvidia0/vgpu0/gi7", "nvidia0/gi7/vgpu1/vgpu1", "nvidia0/vgpu-1", "nvidia+3",
		"0", "0000:07:00.0", "mlx5_0", string(slicedGP) + ":1g.10gb", string(slicedGP) + ":9q:0",
	}
}

func TestResolve(t *testing.T) {
	s := node(t)
	for _, c := range ids(t) {
		d, ok := resolve(s, c.id)
		if !ok || d != c.device || entity(s, d) != c.entity {
			t.Errorf("%s: %+v, %+v, %v", c.id, d, entity(s, d), ok)
		}
	}
	for _, id := range notIDs() {
		if d, ok := resolve(s, id); ok {
			t.Errorf("%q is %+v", id, d)
		}
	}
}

// TestResolveOwn: what Device.ID writes of an offer, and each of its replicas, is read as the same device.
func TestResolveOwn(t *testing.T) {
	s := node(t)
	for _, o := range gpu.StaticOffers(s).Offers {
		for _, n := range []int{0, 1, 10} {
			o.Device.Replica = n
			if d, ok := resolve(s, o.Device.ID()); !ok || d != o.Device {
				t.Errorf("%s: %+v, %v", o.Device.ID(), d, ok)
			}
		}
	}
}

// FuzzDeviceID reads podresources answers and claims with arbitrary ids, names and resources. Every hold is of a device of the
// inventory and of the pod that was named, no two are of one device and pod, and the order is always the same.
func FuzzDeviceID(f *testing.F) {
	for _, c := range ids(f) {
		f.Add(c.id, string(smallMIG), "nvidia.com/gpu", "team", "a", "main", "uid-of-a", true)
	}
	for i, id := range notIDs() {
		f.Add(id, string(wholeGPU)+"::0", "nvidia.com/mig-1g.10gb", "team", "b", "", "", i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, id, id2, resource, namespace, name, container, uid string, complete bool) {
		s := node(t)
		who := kubelet.Assignment{Namespace: namespace, Pod: name, Container: container}
		in := Input{
			Snapshot: s,
			Claims: &kubelet.ClaimSet{Complete: complete, ByID: map[string][]kubelet.Claim{
				id2: {{Resource: resource, Pod: kubelet.UID(uid), Name: name, Namespace: namespace, Container: container}, claim("a", "main"), claim("a", container)},
			}},
			Assigned: assigned(map[kubelet.DeviceKey][]kubelet.Assignment{
				{Resource: resource, ID: id}: {who, {Namespace: "team", Pod: "a", Container: "main"}}, {Resource: "nvidia.com/gpu", ID: id2}: {who},
			}),
			Pods: pods(pod("a", "init", "main"), kubelet.Pod{UID: kubelet.UID(uid), Namespace: namespace, Name: name}),
		}
		got := Holds(in)
		if !slices.Equal(got, Holds(in)) {
			t.Error("the same input gave something else")
		}
		seen := map[[2]string]bool{}
		for _, h := range got {
			if s.GPU(h.Device.GPU) == nil || h.Entity != entity(s, h.Device) || h.ID != id && h.ID != id2 {
				t.Errorf("%+v is not of the inventory", h)
			}
			if h.Pod != name && h.Pod != "a" {
				t.Errorf("%+v is of a pod that nobody named", h)
			}
			k := [2]string{h.Device.ID(), h.Namespace + "/" + h.Pod + "/" + string(h.UID)}
			if seen[k] {
				t.Errorf("%+v is there twice", h)
			}
			seen[k] = true
		}
	})
}
