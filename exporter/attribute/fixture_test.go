package attribute

import (
	"testing"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/kubelet"
)

const (
	wholeGPU = gpu.UUID("GPU-11111111-2222-3333-4444-555555555555") // index 0, /dev/nvidia3, not divided
	slicedGP = gpu.UUID("GPU-aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee") // index 1, /dev/nvidia0, in MIG mode
	smallMIG = gpu.UUID("MIG-01010101-2222-3333-4444-555555555555") // 1g.10gb at 0, GPU instance 7
	oneOfBig = gpu.UUID("MIG-02020202-2222-3333-4444-555555555555") // 1c.3g.40gb of 3g.40gb at 4, GPU instance 2
	restOf   = gpu.UUID("MIG-03030303-2222-3333-4444-555555555555") // 2c.3g.40gb, the other part
)

func profile(t testing.TB, name string) mig.Profile {
	t.Helper()
	p, err := mig.ParseProfile(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func node(t testing.TB) *gpu.Snapshot {
	t.Helper()
	small, big := profile(t, "1g.10gb"), profile(t, "3g.40gb")
	return &gpu.Snapshot{GPUs: []gpu.GPU{
		{UUID: wholeGPU, Index: 0, Minor: 3},
		{
			UUID: slicedGP, Index: 1, Minor: 0, MIG: gpu.MIGState{Capable: true, Enabled: true, Pending: true},
			Geometry: mig.Geometry{Axis: 8, Profiles: []mig.ProfileInfo{
				{Profile: small, Placements: []mig.Placement{{Start: 0, Size: 1}, {Start: 1, Size: 1}}},
				{Profile: big, Placements: []mig.Placement{{Start: 0, Size: 4}, {Start: 4, Size: 4}}},
			}},
			Instances: []gpu.Instance{
				{ID: 7, Slot: mig.Slot{Profile: small, Placement: mig.Placement{Start: 0, Size: 1}}, Compute: []gpu.ComputeInstance{
					{ID: 0, UUID: smallMIG, Profile: small, Placement: mig.Placement{Start: 0, Size: 1}},
				}},
				{ID: 2, Slot: mig.Slot{Profile: big, Placement: mig.Placement{Start: 4, Size: 4}}, Compute: []gpu.ComputeInstance{
					{ID: 0, UUID: oneOfBig, Profile: profile(t, "1c.3g.40gb"), Placement: mig.Placement{Start: 0, Size: 1}},
					{ID: 1, UUID: restOf, Profile: profile(t, "2c.3g.40gb"), Placement: mig.Placement{Start: 1, Size: 2}},
				}},
			},
		},
	}}
}

func instance(id uint32) gpu.Entity { return gpu.Entity{GPU: slicedGP, Instance: id} }

func at(second int) time.Time { return time.Unix(1_800_000_000+int64(second), 0) }

// uidOf is the UID of a pod of a test.
func uidOf(pod string) kubelet.UID { return kubelet.UID("uid-of-" + pod) }

func claim(pod, container string) kubelet.Claim {
	return kubelet.Claim{Resource: "nvidia.com/gpu", Pod: uidOf(pod), Namespace: "team", Name: pod, Container: container, Opened: at(0), Confirmed: true}
}

func claims(byID map[string][]kubelet.Claim) *kubelet.ClaimSet {
	return &kubelet.ClaimSet{Complete: true, ByID: byID}
}

func pods(list ...kubelet.Pod) *kubelet.Pods {
	out := &kubelet.Pods{Synced: true, ByUID: map[kubelet.UID]kubelet.Pod{}}
	for _, p := range list {
		out.ByUID[p.UID] = p
	}
	return out
}

// pod is one whose containers have their names as ids, with "!" behind those that were not made yet.
func pod(name string, containers ...string) kubelet.Pod {
	p := kubelet.Pod{UID: uidOf(name), Namespace: "team", Name: name, Created: at(-10)}
	for _, c := range containers {
		made := c[len(c)-1] != '!'
		if !made {
			c = c[:len(c)-1]
		}
		k := kubelet.Container{Name: c, Init: c == "init"}
		if made {
			k.ID = c
		}
		p.Containers = append(p.Containers, k)
	}
	return p
}

func assigned(devices map[kubelet.DeviceKey][]kubelet.Assignment) *kubelet.Assigned {
	return &kubelet.Assigned{At: at(0), Synced: true, Devices: devices}
}
