package kubelettest

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
	podresources "k8s.io/kubelet/pkg/apis/podresources/v1"
	podsv1 "k8s.io/kubelet/pkg/apis/pods/v1alpha1"

	"github.com/gpulet/gpulet/test/fakekubelet"
)

// podresources says which container has which device, without init containers that end; allocatable are the healthy ones.
func podResources(s *scene) {
	p := Start(s, s.DevicePlugins(), &Plugin{Resource: s.resource}, "a", "b")
	p.Change(func(all map[string]*api.Device) {
		topology := &api.TopologyInfo{Nodes: []*api.NUMANode{{ID: 0}}}
		all["a"] = &api.Device{ID: "a", Health: api.Healthy, Topology: topology}
		all["b"] = &api.Device{ID: "b", Health: api.Unhealthy}
	})
	s.allocatable(1)
	n := map[string]int64{s.resource: 1}
	spec := fakekubelet.PodSpec{Name: "listed", Containers: []fakekubelet.ContainerSpec{
		{Name: "prepare", Kind: fakekubelet.Init, Resources: n}, {Name: "main", Resources: n},
	}}
	s.running(s.pod(spec))
	client := s.podResources()
	ctx := s.Context()
	resp, err := client.List(ctx, &podresources.ListPodResourcesRequest{})
	if err != nil {
		s.Fatal(err)
	}
	i := slices.IndexFunc(resp.PodResources, func(p *podresources.PodResources) bool { return p.Name == "listed" })
	if i < 0 {
		s.Fatalf("the pod is not in %v", resp)
	}
	one, err := client.Get(ctx, &podresources.GetPodResourcesRequest{PodNamespace: "default", PodName: "listed"})
	if err != nil {
		s.Fatal(err)
	}
	for _, got := range []*podresources.PodResources{resp.PodResources[i], one.PodResources} {
		if len(got.Containers) != 1 || got.Containers[0].Name != "main" || len(got.Containers[0].Devices) != 1 {
			s.Errorf("the pod has %v", got)
			continue
		}
		d := got.Containers[0].Devices[0]
		if d.ResourceName != s.resource || !slices.Equal(d.DeviceIds, []string{"a"}) || len(d.Topology.GetNodes()) != 1 {
			s.Errorf("the container has %v", d)
		}
	}
	all, err := client.GetAllocatableResources(ctx, &podresources.AllocatableResourcesRequest{})
	if err != nil {
		s.Fatal(err)
	}
	var ids []string
	for _, d := range all.Devices {
		if d.ResourceName == s.resource {
			ids = append(ids, d.DeviceIds...)
		}
	}
	if !slices.Equal(ids, []string{"a"}) {
		s.Errorf("allocatable are %v", ids)
	}
}

func (s *scene) podResources() podresources.PodResourcesListerClient {
	conn, err := dial(s.PodResources())
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = conn.Close() })
	return podresources.NewPodResourcesListerClient(conn)
}

// Inside Allocate the Pods API lists the pod, and podresources does not know its devices. A watcher gets all pods, the sync
// mark, the pod when it is admitted, and its end.
func podsAPI(s *scene) {
	if s.PodsAPI() == "" {
		s.Skip("this kubelet serves no Pods API")
	}
	conn, err := dial(s.PodsAPI())
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = conn.Close() })
	pods, resources := podsv1.NewPodsClient(conn), s.podResources()
	ctx := s.Context()
	var inAllocate, deviceInAllocate atomic.Bool
	Start(s, s.DevicePlugins(), &Plugin{Resource: s.resource, OnAllocate: func([]string) error {
		all, err := allPods(ctx, pods)
		if err != nil {
			return err
		}
		inAllocate.Store(slices.ContainsFunc(all, func(p *corev1.Pod) bool {
			return p.Annotations["scenario"] == s.resource && p.Status.Phase == corev1.PodPending && p.Status.StartTime == nil
		}))
		resp, err := resources.List(ctx, &podresources.ListPodResourcesRequest{})
		deviceInAllocate.Store(strings.Contains(resp.String(), s.resource))
		return err
	}}, "a")
	s.allocatable(1)

	stream, err := pods.WatchPods(ctx, &podsv1.WatchPodsRequest{})
	if err != nil {
		s.Fatal(err)
	}
	for e := s.next(stream); e.Type != podsv1.EventType_INITIAL_SYNC_COMPLETE; e = s.next(stream) {
		if e.Type != podsv1.EventType_ADDED {
			s.Fatalf("%v before the sync mark", e.Type)
		}
	}
	spec := s.asking(1)
	spec.Annotations = map[string]string{"scenario": s.resource}
	uid := s.pod(spec)
	s.running(uid)
	if !inAllocate.Load() || deviceInAllocate.Load() {
		s.Errorf("inside Allocate: the Pods API lists the pod: %v; podresources has its device: %v", inAllocate.Load(), deviceInAllocate.Load())
	}
	s.event(stream, uid, podsv1.EventType_ADDED)
	if err := s.Delete(ctx, uid); err != nil {
		s.Fatal(err)
	}
	s.event(stream, uid, podsv1.EventType_DELETED)
}

func (s *scene) next(stream podsv1.Pods_WatchPodsClient) *podsv1.WatchPodsEvent {
	s.Helper()
	e, err := stream.Recv()
	if err != nil {
		s.Fatal(err)
	}
	return e
}

// event reads until there is one of a kind for a pod.
func (s *scene) event(stream podsv1.Pods_WatchPodsClient, uid string, kind podsv1.EventType) {
	s.Helper()
	for {
		e := s.next(stream)
		var p corev1.Pod
		if err := p.Unmarshal(e.Pod); err != nil {
			s.Fatal(err)
		}
		if e.Type == kind && string(p.UID) == uid {
			return
		}
	}
}

func allPods(ctx context.Context, client podsv1.PodsClient) (out []*corev1.Pod, err error) {
	resp, err := client.ListPods(ctx, &podsv1.ListPodsRequest{})
	if err != nil {
		return nil, err
	}
	for _, b := range resp.Pods {
		p := &corev1.Pod{}
		if err := p.Unmarshal(b); err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}
