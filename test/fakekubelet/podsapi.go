package fakekubelet

import (
	"context"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	podsapi "k8s.io/kubelet/pkg/apis/pods/v1alpha1"
)

// backlog is how many events a watcher may be behind before it is dropped.
const backlog = 100

// podsServer serves the Pods API v1alpha1. Lists have a pod as soon as the kubelet knows it; watchers learn of it with its
// first status, that is after its admission. DELETED comes when the pod's containers are gone for good, be its object there
// or not, with name, namespace and UID alone.
type podsServer struct {
	podsapi.UnimplementedPodsServer
	p *process
}

type event struct {
	kind podsapi.EventType
	pod  *corev1.Pod
}

// watches are the open streams of a process.
type watches struct {
	mu      sync.Mutex
	clients map[chan event]bool // guarded by mu
}

func (w *watches) open() chan event {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := make(chan event, backlog)
	w.clients[c] = true
	return c
}

func (w *watches) close(c chan event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.clients, c)
}

// send drops, by closing its channel, whoever is too far behind.
func (w *watches) send(e event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.clients {
		select {
		case c <- e:
		default:
			delete(w.clients, c)
			close(c)
		}
	}
}

// tell sends a pod's new state. The caller holds k.mu.
func (k *Kubelet) tell(r *pod) {
	kind := podsapi.EventType_MODIFIED
	if !r.told && r.object.DeletionTimestamp == nil {
		kind = podsapi.EventType_ADDED
	}
	r.told = true
	if k.process != nil {
		k.process.watches.send(event{kind, r.object})
	}
}

// terminated tells that a pod's containers are gone for good.
func (k *Kubelet) terminated(uid string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r := k.pods[uid]
	if r == nil || k.process == nil {
		return
	}
	k.process.watches.send(event{podsapi.EventType_DELETED, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: r.object.Namespace, Name: r.object.Name, UID: r.object.UID,
	}}})
}

func (s podsServer) ready() error {
	if !s.p.ready.Load() {
		return status.Error(codes.FailedPrecondition, "Kubelet is initializing")
	}
	return nil
}

// ListPods lists all pods, ended ones too.
func (s podsServer) ListPods(context.Context, *podsapi.ListPodsRequest) (*podsapi.ListPodsResponse, error) {
	if err := s.ready(); err != nil {
		return nil, err
	}
	resp := &podsapi.ListPodsResponse{}
	for _, o := range s.p.k.objects(func(*pod) bool { return true }) {
		b, err := o.Marshal()
		if err != nil {
			return nil, status.Errorf(codes.Internal, "failed to marshal pod: %v", err)
		}
		resp.Pods = append(resp.Pods, b)
	}
	return resp, nil
}

// GetPod finds a pod by its UID.
func (s podsServer) GetPod(_ context.Context, req *podsapi.GetPodRequest) (*podsapi.GetPodResponse, error) {
	if err := s.ready(); err != nil {
		return nil, err
	}
	found := s.p.k.objects(func(r *pod) bool { return string(r.object.UID) == req.PodUID })
	if len(found) == 0 {
		return nil, status.Errorf(codes.NotFound, "pod with UID %s not found", req.PodUID)
	}
	b, err := found[0].Marshal()
	if err != nil {
		return nil, status.Errorf(codes.Internal, "failed to marshal pod: %v", err)
	}
	return &podsapi.GetPodResponse{Pod: b}, nil
}

// WatchPods sends all pods, INITIAL_SYNC_COMPLETE, and then each change. A change between the two may come twice.
func (s podsServer) WatchPods(_ *podsapi.WatchPodsRequest, stream podsapi.Pods_WatchPodsServer) error {
	if err := s.ready(); err != nil {
		return err
	}
	events := s.p.watches.open()
	defer s.p.watches.close(events)
	for _, o := range s.p.k.objects(func(*pod) bool { return true }) {
		if err := sendEvent(stream, event{podsapi.EventType_ADDED, o}); err != nil {
			return err
		}
	}
	if err := sendEvent(stream, event{podsapi.EventType_INITIAL_SYNC_COMPLETE, nil}); err != nil {
		return err
	}
	for {
		select {
		case e, ok := <-events:
			if !ok {
				return status.Error(codes.ResourceExhausted, "watch client channel closed")
			}
			if err := sendEvent(stream, e); err != nil {
				return err
			}
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

func sendEvent(stream podsapi.Pods_WatchPodsServer, e event) error {
	out := &podsapi.WatchPodsEvent{Type: e.kind}
	if e.pod != nil {
		var err error
		if out.Pod, err = e.pod.Marshal(); err != nil {
			return status.Errorf(codes.Internal, "error marshalling watch event pod: %v", err)
		}
	}
	return stream.Send(out)
}
