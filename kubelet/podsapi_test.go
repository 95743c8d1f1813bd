package kubelet

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	podsapi "k8s.io/kubelet/pkg/apis/pods/v1alpha1"
)

// podsServer is the kubelet's Pods API with events by hand.
type podsServer struct {
	podsapi.UnimplementedPodsServer
	initializing bool
	initial      []*corev1.Pod
	hang         bool
	events       chan *podsapi.WatchPodsEvent
}

func event(t testing.TB, kind podsapi.EventType, p *corev1.Pod) *podsapi.WatchPodsEvent {
	t.Helper()
	data, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return &podsapi.WatchPodsEvent{Type: kind, Pod: data}
}

func (s *podsServer) WatchPods(_ *podsapi.WatchPodsRequest, stream podsapi.Pods_WatchPodsServer) error {
	if s.initializing {
		return status.Error(codes.FailedPrecondition, "Kubelet is initializing")
	}
	for _, p := range s.initial {
		data, err := p.Marshal()
		if err != nil {
			return err
		}
		if err := stream.Send(&podsapi.WatchPodsEvent{Type: podsapi.EventType_ADDED, Pod: data}); err != nil {
			return err
		}
	}
	if s.hang {
		<-stream.Context().Done()
		return stream.Context().Err()
	}
	if err := stream.Send(&podsapi.WatchPodsEvent{Type: podsapi.EventType_INITIAL_SYNC_COMPLETE}); err != nil {
		return err
	}
	for {
		select {
		case e, ok := <-s.events:
			if !ok {
				return status.Error(codes.ResourceExhausted, "watch client channel closed")
			}
			if err := stream.Send(e); err != nil {
				return err
			}
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

func (s *podsServer) GetPod(context.Context, *podsapi.GetPodRequest) (*podsapi.GetPodResponse, error) {
	if s.initializing {
		return nil, status.Error(codes.FailedPrecondition, "Kubelet is initializing")
	}
	return nil, status.Error(codes.NotFound, "no such pod")
}

// The kubelet's events become pods, its list is complete when it says so, and a dropped client hears of it.
func TestPodsAPI(t *testing.T) {
	path := socket(t)
	s := &podsServer{initial: []*corev1.Pod{apiPod("u1", "a", corev1.PodRunning)}, events: make(chan *podsapi.WatchPodsEvent, 10)}
	serve(t, path, func(g *grpc.Server) { podsapi.RegisterPodsServer(g, s) })
	s.events <- event(t, podsapi.EventType_ADDED, apiPod("u2", "b", corev1.PodPending))
	s.events <- &podsapi.WatchPodsEvent{Type: podsapi.EventType(99)} // of a later version
	s.events <- event(t, podsapi.EventType_MODIFIED, apiPod("u2", "b", corev1.PodRunning))
	s.events <- event(t, podsapi.EventType_DELETED, deleted("u1"))
	close(s.events)
	var got []string
	err := PodsAPI{Socket: path}.Watch(t.Context(), func(p *corev1.Pod, gone bool) {
		entry := string(p.UID) + " " + string(p.Status.Phase)
		if gone {
			entry += "gone"
		}
		got = append(got, entry)
	}, func() { got = append(got, "synced") })
	want := []string{"u1 Running", "synced", "u2 Pending", "u2 Running", "u1 gone"}
	if !slices.Equal(got, want) {
		t.Errorf("heard %q, want %q", got, want)
	}
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("ended with %v", err)
	}
	if err := (PodsAPI{Socket: path}).Probe(t.Context()); err != nil {
		t.Errorf("it is there: %v", err)
	}
}

// What is not there, what does not know the API and what is not ready yet are told apart.
func TestPodsAPIAway(t *testing.T) {
	watch := func(path string) (bool, error) {
		synced := false
		err := PodsAPI{Socket: path, Sync: 200 * time.Millisecond}.Watch(t.Context(), func(*corev1.Pod, bool) {}, func() { synced = true })
		return synced, err
	}
	for name, c := range map[string]struct {
		server func(*grpc.Server) // nil: no socket
		absent bool
	}{
		"no socket":    {nil, true},
		"an older one": {func(*grpc.Server) {}, true},
		"initializing": {func(g *grpc.Server) { podsapi.RegisterPodsServer(g, &podsServer{initializing: true}) }, false},
		"hangs":        {func(g *grpc.Server) { podsapi.RegisterPodsServer(g, &podsServer{hang: true}) }, false},
		"sends a pod that cannot be read": {func(g *grpc.Server) {
			events := make(chan *podsapi.WatchPodsEvent, 1)
			events <- &podsapi.WatchPodsEvent{Type: podsapi.EventType_ADDED, Pod: []byte{1}}
			podsapi.RegisterPodsServer(g, &podsServer{events: events})
		}, false},
		"sends a pod without UID": {func(g *grpc.Server) {
			podsapi.RegisterPodsServer(g, &podsServer{initial: []*corev1.Pod{{}}})
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			path := socket(t)
			if c.server != nil {
				serve(t, path, c.server)
			}
			_, err := watch(path)
			if err == nil || errors.Is(err, ErrNoSource) != c.absent {
				t.Errorf("%v; absent should be %t", err, c.absent)
			}
			if name == "hangs" {
				return // it answers a probe
			}
			if err := (PodsAPI{Socket: path}).Probe(t.Context()); (err == nil) != (c.server != nil && !c.absent && name != "initializing") {
				t.Errorf("probe: %v", err)
			}
		})
	}
}

// A stream is renewed from time to time without an error.
func TestPodsAPIRenews(t *testing.T) {
	path := socket(t)
	serve(t, path, func(g *grpc.Server) { podsapi.RegisterPodsServer(g, &podsServer{}) })
	synced := 0
	for range 3 {
		err := PodsAPI{Socket: path, Renew: 100 * time.Millisecond}.Watch(t.Context(), func(*corev1.Pod, bool) {}, func() { synced++ })
		if err != nil {
			t.Fatal(err)
		}
	}
	if synced != 3 {
		t.Errorf("synced %d times", synced)
	}
}
