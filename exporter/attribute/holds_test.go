package attribute

import (
	"fmt"
	"slices"
	"testing"

	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
)

const replica0, replica1 = string(wholeGPU) + "::0", string(wholeGPU) + "::1"

// text writes holds as "pod/container(uid) resource id sharing entity".
func text(holds []sample.Hold) []string {
	var out []string
	for _, h := range holds {
		e := "-"
		if h.Entity == h.Entity.GPU.Whole() {
			e = "GPU"
		} else if h.Entity.GPU != "" {
			e = fmt.Sprint("gi", h.Entity.Instance)
		}
		out = append(out, fmt.Sprintf("%s/%s/%s(%s) %s %s %s", h.Namespace, h.Pod, h.Container.Container, h.UID, h.ID, h.Sharing, e))
	}
	return out
}

func TestHolds(t *testing.T) {
	slot := string(slicedGP) + ":1g.10gb:1"
	key := func(resource, id string) kubelet.DeviceKey { return kubelet.DeviceKey{Resource: resource, ID: id} }
	of := func(pod, container string) []kubelet.Assignment {
		return []kubelet.Assignment{{Namespace: "team", Pod: pod, Container: container}}
	}
	whole := string(wholeGPU)
	ended := pod("a", "main")
	ended.Ended = true
	older := pod("a", "main")
	older.UID, older.Created = "older", at(-100)
	for _, c := range []struct {
		name string
		in   Input
		want []string
	}{
		{"nothing is known", Input{}, nil},
		{
			"a claim is a hold without any pod source",
			Input{Claims: claims(map[string][]kubelet.Claim{whole: {claim("a", "main")}})},
			[]string{"team/a/main(uid-of-a) " + whole + " exclusive GPU"},
		},
		{
			"a claim of an unknown pod is none, and its device is not taken from podresources",
			Input{
				Claims:   claims(map[string][]kubelet.Claim{whole: {{Resource: "nvidia.com/gpu", Opened: at(0)}}}),
				Assigned: assigned(map[kubelet.DeviceKey][]kubelet.Assignment{key("nvidia.com/gpu", whole): of("a", "main")}),
			},
			nil,
		},
		{
			"a claim that knows the UID alone gets the pod's name",
			Input{
				Claims: claims(map[string][]kubelet.Claim{whole: {{Resource: "nvidia.com/gpu", Pod: uidOf("a"), Container: "main"}}}),
				Pods:   pods(pod("a", "main")),
			},
			[]string{"team/a/main(uid-of-a) " + whole + " exclusive GPU"},
		},
		{
			"or from podresources",
			Input{
				Claims:   claims(map[string][]kubelet.Claim{whole: {{Resource: "nvidia.com/gpu", Pod: uidOf("a"), Container: "main"}}}),
				Assigned: assigned(map[kubelet.DeviceKey][]kubelet.Assignment{key("nvidia.com/gpu", whole): of("a", "main")}),
			},
			[]string{"team/a/main(uid-of-a) " + whole + " exclusive GPU"},
		},
		{
			"and stays a hold when nobody tells it",
			Input{Claims: claims(map[string][]kubelet.Claim{whole: {{Resource: "nvidia.com/gpu", Pod: uidOf("a"), Container: "main"}}})},
			[]string{"//main(uid-of-a) " + whole + " exclusive GPU"},
		},
		{
			"a slot whose instance does not exist yet has no entity",
			Input{Claims: claims(map[string][]kubelet.Claim{slot: {claim("a", "main")}})},
			[]string{"team/a/main(uid-of-a) " + slot + " exclusive -"},
		},
		{
			"replicas are shared, also by one pod",
			Input{Claims: claims(map[string][]kubelet.Claim{replica0: {claim("a", "main")}})},
			[]string{"team/a/main(uid-of-a) " + replica0 + " time-slicing GPU"},
		},
		{
			"replicas in order, of a pod with two containers",
			Input{Claims: claims(map[string][]kubelet.Claim{replica1: {claim("a", "one")}, replica0: {claim("a", "two")}, string(wholeGPU) + "::2": {claim("b", "main")}})},
			[]string{
				"team/a/two(uid-of-a) " + replica0 + " time-slicing GPU", "team/a/one(uid-of-a) " + replica1 + " time-slicing GPU",
				"team/b/main(uid-of-b) " + whole + "::2 time-slicing GPU",
			},
		},
		{
			"one device of two pods is shared in time",
			Input{Assigned: assigned(map[kubelet.DeviceKey][]kubelet.Assignment{
				key("nvidia.com/gpu", string(smallMIG)): append(of("b", "main"), of("a", "main")...),
			})},
			[]string{"team/a/main() " + string(smallMIG) + " time-slicing gi7", "team/b/main() " + string(smallMIG) + " time-slicing gi7"},
		},
		{
			"parts of one GPU instance are each exclusive",
			Input{Assigned: assigned(map[kubelet.DeviceKey][]kubelet.Assignment{
				key("nvidia.com/mig-1c.3g.40gb", string(oneOfBig)): of("b", "main"), key("nvidia.com/mig-2c.3g.40gb", string(restOf)): of("a", "main"),
			})},
			[]string{"team/b/main() " + string(oneOfBig) + " exclusive gi2", "team/a/main() " + string(restOf) + " exclusive gi2"},
		},
		{
			"podresources before the claims are complete, with the UID of the living pod",
			Input{
				Claims:   &kubelet.ClaimSet{},
				Assigned: assigned(map[kubelet.DeviceKey][]kubelet.Assignment{key("nvidia.com/gpu", "nvidia3"): of("a", "main")}),
				Pods:     pods(pod("a", "main"), older),
			},
			[]string{"team/a/main(uid-of-a) nvidia3 exclusive GPU"},
		},
		{
			"podresources of a pod that ended",
			Input{
				Assigned: assigned(map[kubelet.DeviceKey][]kubelet.Assignment{key("nvidia.com/gpu", whole): of("a", "main")}),
				Pods:     pods(ended),
			},
			nil,
		},
		{
			"podresources of other resources, unless claims name them",
			Input{
				Claims: &kubelet.ClaimSet{ByID: map[string][]kubelet.Claim{replica0: {{Resource: "example.com/gpu", Pod: uidOf("b"), Name: "b", Namespace: "team", Container: "main"}}}},
				Assigned: assigned(map[kubelet.DeviceKey][]kubelet.Assignment{
					key("example.com/nic", whole): of("a", "main"), key("example.com/gpu", replica1): of("a", "main"), key("example.com/gpu", replica0): of("b", "main"),
				}),
			},
			[]string{"team/b/main(uid-of-b) " + replica0 + " time-slicing GPU", "team/a/main() " + replica1 + " time-slicing GPU"},
		},
		{
			"podresources is older than complete claims of its resource, and covers the other resources",
			Input{
				Claims: claims(map[string][]kubelet.Claim{whole: {claim("b", "main")}}),
				Assigned: assigned(map[kubelet.DeviceKey][]kubelet.Assignment{
					key("nvidia.com/gpu", whole): of("a", "main"), key("nvidia.com/mig-1g.10gb", string(smallMIG)): of("a", "main"),
				}),
			},
			[]string{"team/b/main(uid-of-b) " + whole + " exclusive GPU", "team/a/main() " + string(smallMIG) + " exclusive gi7"},
		},
		{
			"a device under two ids is one hold",
			Input{
				Claims:   &kubelet.ClaimSet{ByID: map[string][]kubelet.Claim{string(slicedGP) + ":1g.10gb:0": {claim("a", "main")}}},
				Assigned: assigned(map[kubelet.DeviceKey][]kubelet.Assignment{key("nvidia.com/gpu", string(smallMIG)): of("a", "main")}),
			},
			[]string{"team/a/main(uid-of-a) " + string(slicedGP) + ":1g.10gb:0 exclusive gi7"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name != "nothing is known" {
				c.in.Snapshot = node(t)
			}
			if got := text(Holds(c.in)); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestHoldsWhoRuns: of the containers of a pod that have one device after each other, the one that runs now has it.
func TestHoldsWhoRuns(t *testing.T) {
	list := []kubelet.Claim{claim("a", "init"), claim("a", "main")}
	for _, c := range []struct {
		name string
		pods *kubelet.Pods
		want string
	}{
		{"none is made", pods(pod("a", "init!", "main!")), "init"},
		{"the first runs", pods(pod("a", "init", "main!")), "init"},
		{"the second runs", pods(pod("a", "init", "main")), "main"},
		{"the pod is not known", pods(), "main"},
		{"no pods are known", nil, "main"},
	} {
		t.Run(c.name, func(t *testing.T) {
			list[1].Opened = at(1)
			got := Holds(Input{Snapshot: node(t), Claims: claims(map[string][]kubelet.Claim{string(wholeGPU): list}), Pods: c.pods})
			if len(got) != 1 || got[0].Container.Container != c.want {
				t.Fatalf("%q", text(got))
			}
			made := c.name == "the first runs" || c.name == "the second runs"
			if made != (got[0].RuntimeID == c.want) {
				t.Errorf("runtime id %q", got[0].RuntimeID)
			}
		})
	}
}

// TestHoldsReplacedPod: a pod with the name of one that just ended is the one that has the device.
func TestHoldsReplacedPod(t *testing.T) {
	old, young := claim("a", "main"), claim("a", "main")
	old.Pod, young.Opened = "older", at(5)
	for _, list := range [][]kubelet.Claim{{old, young}, {young, old}} {
		got := Holds(Input{Snapshot: node(t), Claims: claims(map[string][]kubelet.Claim{string(wholeGPU): list})})
		if len(got) != 1 || got[0].UID != uidOf("a") || !got[0].Since.Equal(at(5)) {
			t.Errorf("%q", text(got))
		}
	}
}

func TestMark(t *testing.T) {
	holds := Holds(Input{Snapshot: node(t), Claims: claims(map[string][]kubelet.Claim{
		replica0: {claim("a", "main")}, string(slicedGP) + ":1g.10gb:0::0": {claim("b", "main")}, string(oneOfBig): {claim("c", "main")},
	})})
	client := func(gi uint32) gpu.ProcessUse {
		return gpu.ProcessUse{Holder: gpu.Holder{PID: 1, GPUInstance: gi}, MPS: true}
	}
	sharing := func(holds []sample.Hold) (out []sample.Sharing) {
		for _, h := range holds {
			out = append(out, h.Sharing)
		}
		return out
	}
	marked := Mark(holds, map[gpu.UUID][]gpu.ProcessUse{wholeGPU: {client(gpu.NoInstance)}, slicedGP: {client(2)}})
	if got := sharing(marked); !slices.Equal(got, []sample.Sharing{sample.MPS, sample.TimeSlicing, sample.Exclusive}) {
		t.Errorf("with clients: %v", got)
	}
	if got := sharing(holds); !slices.Equal(got, []sample.Sharing{sample.TimeSlicing, sample.TimeSlicing, sample.Exclusive}) {
		t.Errorf("what was given was changed: %v", got)
	}
	if got := sharing(Mark(marked, nil)); !slices.Equal(got, sharing(holds)) {
		t.Errorf("after the clients left: %v", got)
	}
}
