package kubelettest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"github.com/gpulet/gpulet/test/fakekubelet"
	"github.com/gpulet/gpulet/test/fakekubelet/checkpoint"
)

type scenario struct {
	name string
	run  func(*scene)
}

func scenarios() []scenario {
	return []scenario{
		{"register", register},
		{"list", list},
		{"allocate", allocate},
		{"allocate-error", allocateError},
		{"unhealthy", unhealthy},
		{"two-plugins", twoPlugins},
		{"same-socket", sameSocket},
		{"restart", restart},
		{"restart-init", restartInit},
		{"init-reuse", initReuse},
		{"preferred", preferred},
		{"prestart", preStart},
		{"podresources", podResources},
		{"pods-api", podsAPI},
		{"checkpoint", checkpointFile},
	}
}

// The kubelet refuses what is not of its API, and shows the devices of a plugin that it accepted.
func register(s *scene) {
	for _, r := range []*api.RegisterRequest{
		{Version: "v1alpha", Endpoint: "none.sock", ResourceName: s.resource},
		{Version: api.Version, Endpoint: "none.sock", ResourceName: "gpu"},
		{Version: api.Version, Endpoint: "none.sock", ResourceName: "kubernetes.io/gpu"},
		{Version: api.Version, Endpoint: "none.sock", ResourceName: "requests.test.gpulet.dev/gpu"},
	} {
		if err := Register(s.Context(), s.DevicePlugins(), r); err == nil {
			s.Errorf("%v was accepted", r)
		}
	}
	Start(s, s.DevicePlugins(), &Plugin{Resource: s.resource}, "a", "b")
	s.allocatable(2)
}

// Each list replaces the one before, and unhealthy devices are not allocatable.
func list(s *scene) {
	p := Start(s, s.DevicePlugins(), &Plugin{Resource: s.resource}, "a", "b", "c")
	s.allocatable(3)
	p.Change(func(all map[string]*api.Device) { all["a"] = &api.Device{ID: "a", Health: api.Unhealthy} })
	s.allocatable(2)
	p.Offer("d")
	s.allocatable(1)
	p.Offer()
	s.allocatable(0)
	p.Offer("e", "f")
	s.allocatable(2)
	p.Close()
	s.allocatable(0)
}

// Pods get different devices, each by one request for one container.
func allocate(s *scene) {
	p := Start(s, s.DevicePlugins(), &Plugin{Resource: s.resource}, "a", "b", "c")
	s.allocatable(3)
	s.running(s.pod(s.asking(2)))
	s.running(s.pod(s.asking(1)))
	var ids []string
	for _, r := range p.Allocated() {
		if len(r.ContainerRequests) != 1 {
			s.Fatalf("a request for %d containers", len(r.ContainerRequests))
		}
		ids = append(ids, r.ContainerRequests[0].DevicesIds...)
	}
	if slices.Sort(ids); !slices.Equal(ids, []string{"a", "b", "c"}) {
		s.Errorf("allocated %v", ids)
	}
}

// A plugin's error fails the pod for good.
func allocateError(s *scene) {
	Start(s, s.DevicePlugins(), &Plugin{Resource: s.resource, OnAllocate: func([]string) error { return errors.New("not today") }}, "a")
	s.allocatable(1)
	s.rejected(s.pod(s.asking(1)), "UnexpectedAdmissionError", "not today")
}

func (s *scene) rejected(uid, reason, text string) {
	s.Helper()
	s.until("rejection", func() bool { return s.status(uid).Phase == corev1.PodFailed })
	st := s.status(uid)
	if st.Reason != reason || !strings.Contains(st.Message, "Pod was rejected: Allocate failed due to ") || !strings.Contains(st.Message, text) {
		s.Errorf("rejected with %q: %q", st.Reason, st.Message)
	}
}

// Pods that come for unhealthy devices, or for more than there are, fail before the plugin is asked.
func unhealthy(s *scene) {
	p := Start(s, s.DevicePlugins(), &Plugin{Resource: s.resource}, "a", "b")
	s.allocatable(2)
	s.rejected(s.pod(s.asking(3)), "UnexpectedAdmissionError",
		fmt.Sprintf("requested number of devices unavailable for %s. Requested: 3, Available: 2", s.resource))
	p.Change(func(all map[string]*api.Device) {
		for id := range all {
			all[id] = &api.Device{ID: id, Health: api.Unhealthy}
		}
	})
	s.allocatable(0)
	s.rejected(s.pod(s.asking(1)), "UnexpectedAdmissionError", "no healthy devices present; cannot allocate unhealthy devices "+s.resource)
	if n := len(p.Allocated()); n > 0 {
		s.Errorf("the plugin was asked %d times", n)
	}
}

// Two plugins with different sockets serve one resource; when the newer one goes, the devices stay and calls go to the other.
func twoPlugins(s *scene) {
	first := Start(s, s.DevicePlugins(), &Plugin{Resource: s.resource}, "a", "b")
	s.allocatable(2)
	second := Start(s, s.DevicePlugins(), &Plugin{Resource: s.resource}, "a", "b", "c")
	s.allocatable(3)
	s.running(s.pod(s.asking(1)))
	if len(first.Allocated()) != 0 || len(second.Allocated()) != 1 {
		s.Error("the call did not go to the plugin that registered last")
	}
	second.Close()
	s.until("call to the older plugin", func() bool {
		uid := s.pod(s.asking(1))
		s.until("decision", func() bool {
			return s.status(uid).Phase == corev1.PodRunning || s.status(uid).Phase == corev1.PodFailed
		})
		return len(first.Allocated()) > 0
	})
}

// Registering a connected socket again fails, and the connected plugin is not watched any more.
func sameSocket(s *scene) {
	p := Start(s, s.DevicePlugins(), &Plugin{Resource: s.resource}, "a")
	s.allocatable(1)
	if err := p.Register(s.Context()); err == nil || !strings.Contains(err.Error(), "already connected") {
		s.Errorf("registered again: %v", err)
	}
	p.Close()
	s.rejected(s.pod(s.asking(1)), "UnexpectedAdmissionError", "rpc error") // the device is still healthy, and nobody answers
}

// A restart takes the sockets away and leaves pods and their devices alone.
func restart(s *scene) {
	p := Start(s, s.DevicePlugins(), &Plugin{Resource: s.resource}, "a", "b")
	s.allocatable(2)
	uid := s.pod(s.asking(1))
	s.running(uid)
	if err := s.Restart(s.Context()); err != nil {
		s.Fatal(err)
	}
	s.allocatable(0)
	if _, err := os.Stat(filepath.Join(s.DevicePlugins(), p.socket)); !errors.Is(err, os.ErrNotExist) {
		s.Errorf("the plugin's socket is still there (%v)", err)
	}
	s.running(uid)
	p.Close()
	again := Start(s, s.DevicePlugins(), &Plugin{Resource: s.resource}, "a", "b")
	s.allocatable(2)
	s.running(s.pod(s.asking(1)))
	before, after := p.Allocated()[0].ContainerRequests[0].DevicesIds, again.Allocated()[0].ContainerRequests[0].DevicesIds
	if slices.Equal(before, after) {
		s.Errorf("%v was given twice", after)
	}
}

// A restart ends a running pod whose init container had a device: that container does not run any more, so its devices are
// looked for among those of a plugin that has not registered yet (kubernetes/kubernetes#124345). The pod is not marked as
// rejected: its containers are killed, and the phase follows from how they exit.
func restartInit(s *scene) {
	Start(s, s.DevicePlugins(), &Plugin{Resource: s.resource}, "a")
	s.allocatable(1)
	n := map[string]int64{s.resource: 1}
	uid := s.pod(fakekubelet.PodSpec{Containers: []fakekubelet.ContainerSpec{
		{Name: "prepare", Kind: fakekubelet.Init, Resources: n}, {Name: "main", Resources: n},
	}})
	s.running(uid)
	if err := s.Restart(s.Context()); err != nil {
		s.Fatal(err)
	}
	s.until("end of the pod", func() bool { return s.status(uid).Phase == corev1.PodSucceeded })
	if st := s.status(uid); st.Reason != "" {
		s.Errorf("it ended with %s: %s", st.Reason, st.Message)
	}
}

// An init container's devices are used again by the containers after it, but a sidecar keeps its own.
func initReuse(s *scene) {
	p := Start(s, s.DevicePlugins(), &Plugin{Resource: s.resource}, "a", "b", "c")
	s.allocatable(3)
	n := func(n int64) map[string]int64 { return map[string]int64{s.resource: n} }
	s.running(s.pod(fakekubelet.PodSpec{Containers: []fakekubelet.ContainerSpec{
		{Name: "prepare", Kind: fakekubelet.Init, Resources: n(2)},
		{Name: "beside", Kind: fakekubelet.Sidecar, Resources: n(1)},
		{Name: "main", Resources: n(1)},
	}}))
	requests := p.Allocated()
	if len(requests) != 3 {
		s.Fatalf("%d requests", len(requests))
	}
	var ids [3][]string
	for i, r := range requests {
		ids[i] = r.ContainerRequests[0].DevicesIds
	}
	if !slices.Contains(ids[0], ids[1][0]) || !slices.Contains(ids[0], ids[2][0]) || ids[1][0] == ids[2][0] {
		s.Errorf("init %v, sidecar %v, container %v", ids[0], ids[1], ids[2])
	}
}

// The kubelet offers the free devices and takes what the plugin prefers.
func preferred(s *scene) {
	p := Start(s, s.DevicePlugins(), &Plugin{
		Resource: s.resource, Options: api.DevicePluginOptions{GetPreferredAllocationAvailable: true},
		OnPreferred: func(r *api.ContainerPreferredAllocationRequest) ([]string, error) {
			return sorted(r.AvailableDeviceIDs)[len(r.AvailableDeviceIDs)-int(r.AllocationSize):], nil
		},
	}, "a", "b", "c", "d")
	s.allocatable(4)
	s.running(s.pod(s.asking(2)))
	s.running(s.pod(s.asking(1)))
	for i, want := range []struct{ available, got []string }{
		{[]string{"a", "b", "c", "d"}, []string{"c", "d"}}, {[]string{"a", "b"}, []string{"b"}},
	} {
		available := sorted(p.Asked()[i].AvailableDeviceIDs)
		got := sorted(p.Allocated()[i].ContainerRequests[0].DevicesIds)
		if !slices.Equal(available, want.available) || !slices.Equal(got, want.got) {
			s.Errorf("of %v it got %v", available, got)
		}
	}
}

// An error before the start is told and tried again; the pod does not fail, even with restartPolicy Never.
func preStart(s *scene) {
	var tries atomic.Int32
	p := Start(s, s.DevicePlugins(), &Plugin{
		Resource: s.resource, Options: api.DevicePluginOptions{PreStartRequired: true},
		OnPreStart: func([]string) error {
			if tries.Add(1) < 4 {
				return errors.New("still cleaning")
			}
			return nil
		},
	}, "a")
	s.allocatable(1)
	spec := s.asking(1)
	spec.Never = true
	uid := s.pod(spec)
	s.until("message at the container", func() bool { return strings.Contains(s.status(uid).Waiting["main"], "still cleaning") })
	s.running(uid)
	if got := p.PreStarted(); len(got) != 4 || !slices.Equal(got[0], []string{"a"}) {
		s.Errorf("asked with %v", got)
	}
}

// The checkpoint says who has what.
func checkpointFile(s *scene) {
	Start(s, s.DevicePlugins(), &Plugin{Resource: s.resource}, "a", "b")
	s.allocatable(2)
	uid := s.pod(s.asking(1))
	s.running(uid)
	entries, registered, err := checkpoint.Read(s.DevicePlugins())
	if err != nil {
		s.Fatal(err)
	}
	if got := sorted(registered[s.resource]); !slices.Equal(got, []string{"a", "b"}) {
		s.Errorf("registered %v", got)
	}
	i := slices.IndexFunc(entries, func(e checkpoint.PodDevicesEntry) bool { return e.PodUID == uid })
	if i < 0 || entries[i].ContainerName != "main" || entries[i].ResourceName != s.resource ||
		len(entries[i].DeviceIDs[checkpoint.NoNUMA]) != 1 || len(entries[i].AllocResp) == 0 {
		s.Errorf("entries %v", entries)
	}
}
