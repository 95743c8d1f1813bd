package deviceplugin

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
)

func TestAnswers(t *testing.T) {
	with := func(edit func(s *Settings)) Settings {
		s := mixed()
		s.Rules = []Rule{{Sharing: map[string]Sharing{GPUResource: {Replicas: 3}}}}
		edit(&s)
		return s
	}
	const slice = "nvidia.com/mig-3g.40gb"
	for _, c := range []struct {
		name     string
		settings Settings
		resource string
		ids      []string
		want     string
	}{
		{
			"CDI names, the base once", with(func(*Settings) {}), GPUResource,
			[]string{"GPU-1::2", "GPU-0::0", "GPU-1::0"},
			`{"cdi_devices":[{"name":"gpulet.dev/driver=all"},{"name":"gpulet.dev/gpu=GPU-0"},{"name":"gpulet.dev/gpu=GPU-1"}]}`,
		},
		{
			"CDI names as an annotation", with(func(s *Settings) { s.Deliveries = []Delivery{CDIAnnotations} }), slice,
			[]string{"GPU-2:3g.40gb:0"},
			`{"annotations":{"cdi.k8s.io/gpulet_nvidia.com_mig-3g.40gb":"gpulet.dev/driver=all,gpulet.dev/gpu=GPU-2:3g.40gb:0"}}`,
		},
		{
			"the incumbent's variable", with(func(s *Settings) { s.Deliveries = []Delivery{EnvVar} }), GPUResource,
			[]string{"GPU-0::1", "GPU-1::0"},
			`{"envs":{"NVIDIA_VISIBLE_DEVICES":"GPU-0,GPU-1"}}`,
		},
		{
			"by index", with(func(s *Settings) { s.Deliveries, s.IndexIDs = []Delivery{EnvVar}, true }), GPUResource,
			[]string{"GPU-1::0", "GPU-0::0"},
			`{"envs":{"NVIDIA_VISIBLE_DEVICES":"0,1"}}`,
		},
		{
			"a MIG device by its UUID", with(func(s *Settings) { s.Deliveries, s.IndexIDs = []Delivery{EnvVar}, true }), slice,
			[]string{"GPU-2:3g.40gb:0"},
			`{"envs":{"NVIDIA_VISIBLE_DEVICES":"MIG-GPU-2-1-0"}}`,
		},
		{
			"volume mounts", with(func(s *Settings) { s.Deliveries = []Delivery{VolumeMounts} }), GPUResource,
			[]string{"GPU-0::0"},
			`{"envs":{"NVIDIA_VISIBLE_DEVICES":"/var/run/nvidia-container-devices"},` +
				`"mounts":[{"container_path":"/var/run/nvidia-container-devices/GPU-0","host_path":"/dev/null"}]}`,
		},
		{
			"device nodes, each once", with(func(s *Settings) { s.Deliveries, s.DeviceSpecs = []Delivery{EnvVar}, true }), GPUResource,
			[]string{"GPU-0::0", "GPU-0::1"},
			`{"envs":{"NVIDIA_VISIBLE_DEVICES":"GPU-0"},"devices":[{"container_path":"/dev/nvidiactl","host_path":"/dev/nvidiactl","permissions":"rw"},` +
				`{"container_path":"/dev/GPU-0","host_path":"/host/dev/GPU-0","permissions":"rw"}]}`,
		},
		{
			"CDI alone needs no nodes", with(func(s *Settings) { s.DeviceSpecs = true }), GPUResource,
			[]string{"GPU-0::0"},
			`{"cdi_devices":[{"name":"gpulet.dev/driver=all"},{"name":"gpulet.dev/gpu=GPU-0"}]}`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, c.settings, node("", "", "3g.40gb@0:4"), func(r *rig) {
				resp, err := r.allocate(c.resource, c.ids...)
				if err != nil {
					t.Fatal(err)
				}
				got, err := json.Marshal(resp)
				if err != nil {
					t.Fatal(err)
				}
				equal(t, "answer", string(got), c.want)
				set, _ := r.claims.Feed().Get()
				for _, id := range c.ids {
					if len(set.ByID[id]) != 1 || set.ByID[id][0].Resource != c.resource {
						t.Errorf("claims of %s: %v", id, set.ByID[id])
					}
				}
			})
		})
	}
}

func TestAnnotationKeysFit(t *testing.T) {
	long := "nvidia.com/" + strings.Repeat("x", 52)
	keys := []string{annotation(long), annotation(long[:62] + "y"), annotation(GPUResource)}
	for _, k := range keys {
		if name := strings.TrimPrefix(k, "cdi.k8s.io/"); len(name) > 63 {
			t.Errorf("%s is too long", name)
		}
	}
	slices.Sort(keys)
	if len(slices.Compact(keys)) != 3 {
		t.Error("two resources share a key")
	}
}

func TestRefusals(t *testing.T) {
	one := mixed()
	one.Rules = []Rule{{Sharing: map[string]Sharing{"*": {Replicas: 2, One: true}}}}
	foreign := kubelet.Claim{Resource: "other.io/gpu", ID: "GPU-1", Foreign: true, Namespace: "ns", Name: "p"}
	for _, c := range []struct {
		name     string
		settings Settings
		prepare  func(r *rig)
		ids      []string
		code     codes.Code
		text     string
	}{
		{"an id that nobody listed", mixed(), nil, []string{"GPU-0", "GPU-7"}, codes.NotFound, `nvidia.com/gpu has no device "GPU-7"`},
		{
			"two shares", one, nil,
			[]string{"GPU-0::0", "GPU-1::0"},
			codes.InvalidArgument,
			"a container may ask for 1 nvidia.com/gpu at most, not 2: each is a share of a GPU, and a second gives no more of it",
		},
		{"one share", one, nil, []string{"GPU-0::0"}, codes.OK, ""},
		{
			"hardware that another plugin gave this moment", mixed(), func(r *rig) { r.claims.add(foreign) },
			[]string{"GPU-1"},
			codes.FailedPrecondition,
			"nvidia.com/gpu GPU-1 cannot be given: pod ns/p has the same hardware as other.io/gpu GPU-1",
		},
		{
			"a device that turned sick as it was picked is still given", mixed(), func(r *rig) {
				s := node("", "")
				s.GPUs[1].Health = gpu.Health{State: gpu.Unhealthy, Reason: "XID 79"}
				r.offers.Set(gpu.StaticOffers(s))
				r.after(1)
			}, []string{"GPU-1"}, codes.OK, "",
		},
		{
			"but not one whose hardware is gone", mixed(), func(r *rig) {
				r.offers.Set(gpu.StaticOffers(node("", "mig")))
				r.after(1)
			}, []string{"GPU-1"}, codes.FailedPrecondition, "nvidia.com/gpu GPU-1 cannot be given: it is no longer offered as nvidia.com/gpu",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, c.settings, node("", ""), func(r *rig) {
				if c.prepare != nil {
					c.prepare(r)
				}
				before, _ := r.claims.Feed().Get()
				_, err := r.allocate(GPUResource, c.ids...)
				if status.Code(err) != c.code || err != nil && status.Convert(err).Message() != c.text {
					t.Errorf("%v: %v", status.Code(err), err)
				}
				after, _ := r.claims.Feed().Get()
				if err != nil && len(after.ByID) != len(before.ByID) {
					t.Error("a refused allocation opened a claim")
				}
			})
		})
	}
}
