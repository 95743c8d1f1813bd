package kubelet

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	podresources "k8s.io/kubelet/pkg/apis/podresources/v1"
)

// resourcesServer is podresources from memory.
type resourcesServer struct {
	podresources.UnimplementedPodResourcesListerServer
	mu    sync.Mutex
	lists int                                    // guarded by mu
	list  *podresources.ListPodResourcesResponse // guarded by mu
	block chan struct{}
}

func (s *resourcesServer) List(ctx context.Context, _ *podresources.ListPodResourcesRequest) (*podresources.ListPodResourcesResponse, error) {
	if s.block != nil {
		select {
		case <-s.block:
		case <-ctx.Done():
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists++
	return s.list, nil
}

func (s *resourcesServer) GetAllocatableResources(context.Context, *podresources.AllocatableResourcesRequest) (*podresources.AllocatableResourcesResponse, error) {
	return &podresources.AllocatableResourcesResponse{Devices: []*podresources.ContainerDevices{
		{ResourceName: gpus, DeviceIds: []string{"g1"}},
		{ResourceName: gpus, DeviceIds: []string{"g0", "g1"}}, // another NUMA node
	}}, nil
}

func (s *resourcesServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lists
}

func runResources(t *testing.T, cfg ResourcesConfig) *Resources {
	t.Helper()
	r := NewResources(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return r
}

// podresources' answer is kept, said again on request, and outlives its kubelet as not synced.
func TestResources(t *testing.T) {
	path := socket(t)
	r := runResources(t, ResourcesConfig{Socket: path, Interval: time.Hour})
	a, err := r.Refresh(t.Context())
	if err != nil || a.Synced || !a.Absent || a.Reason == "" {
		t.Fatalf("without a kubelet: %+v, %v", a, err)
	}
	s := &resourcesServer{list: &podresources.ListPodResourcesResponse{PodResources: []*podresources.PodResources{
		{Namespace: "ns", Name: "idle"},
		{Namespace: "ns", Name: "a", Containers: []*podresources.ContainerResources{{Name: "main", Devices: []*podresources.ContainerDevices{
			{ResourceName: gpus, DeviceIds: []string{"g0"}}, {ResourceName: gpus, DeviceIds: []string{"g0"}},
		}}}},
	}}}
	stop := serve(t, path, func(g *grpc.Server) { podresources.RegisterPodResourcesListerServer(g, s) })
	before := time.Now()
	a, err = r.Refresh(t.Context())
	if err != nil || !a.Synced || a.Absent || a.At.Before(before) {
		t.Fatalf("%+v, %v", a, err)
	}
	if want := map[DeviceKey][]Assignment{{gpus, "g0"}: {{"ns", "a", "main"}}}; !reflect.DeepEqual(a.Devices, want) {
		t.Errorf("devices are %v, want %v", a.Devices, want)
	}
	if want := map[string]struct{}{"ns/a": {}, "ns/idle": {}}; !reflect.DeepEqual(a.Active, want) {
		t.Errorf("active are %v, want %v", a.Active, want)
	}
	if want := map[string][]string{gpus: {"g0", "g1"}}; !reflect.DeepEqual(a.Allocatable, want) {
		t.Errorf("allocatable is %v, want %v", a.Allocatable, want)
	}
	stop()
	gone, err := r.Refresh(t.Context())
	if err != nil || gone.Synced || !gone.At.Equal(a.At) || len(gone.Devices) != 1 {
		t.Errorf("after its end: %+v, %v", gone, err)
	}
}

// Many who ask at once share one question, and nobody gets an answer to an older one.
func TestRefreshIsShared(t *testing.T) {
	path := socket(t)
	s := &resourcesServer{list: &podresources.ListPodResourcesResponse{}, block: make(chan struct{})}
	serve(t, path, func(g *grpc.Server) { podresources.RegisterPodResourcesListerServer(g, s) })
	r := runResources(t, ResourcesConfig{Socket: path, Interval: time.Hour, Timeout: time.Minute})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			asked := time.Now()
			if a, err := r.Refresh(t.Context()); err != nil || a.At.Before(asked) {
				t.Errorf("%+v, %v: asked at %s", a, err, asked)
			}
		})
	}
	close(s.block)
	wg.Wait()
	if n := s.count(); n < 1 || n > 4 {
		t.Errorf("the kubelet was asked %d times", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := NewResources(ResourcesConfig{Socket: path}).Refresh(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody runs it: %v", err)
	}
}

// No question is asked while an allocation is under way.
func TestResourcesWaitForAllocations(t *testing.T) {
	path := socket(t)
	s := &resourcesServer{list: &podresources.ListPodResourcesResponse{}}
	serve(t, path, func(g *grpc.Server) { podresources.RegisterPodResourcesListerServer(g, s) })
	gate := &Gate{}
	r := runResources(t, ResourcesConfig{Socket: path, Gate: gate, Interval: time.Hour})
	if _, err := r.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	first, second := gate.Enter(), gate.Enter()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := r.Refresh(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("within an allocation: %v", err)
	}
	first()
	first() // leaving twice is leaving once
	if gate.Idle() {
		t.Error("it is idle with one allocation under way")
	}
	second()
	if _, err := r.Refresh(t.Context()); err != nil || !gate.Idle() {
		t.Errorf("after it: %v, idle is %t", err, gate.Idle())
	}
}
