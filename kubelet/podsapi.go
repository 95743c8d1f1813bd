package kubelet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	podsapi "k8s.io/kubelet/pkg/apis/pods/v1alpha1"
)

// ErrNoSource is wrapped by the error of a PodSource that this node does not have; others are asked then.
var ErrNoSource = errors.New("there is no such source on this node")

// PodsAPI is the kubelet's local Pods API (Kubernetes 1.37; alpha in 1.36). It is a PodSource.
//
// A pod reaches its stream with the first status that the kubelet makes, which is after Allocate (status_manager.go, 1.37.2), and
// a pod that leaves the kubelet without ever having had a status is told by nobody. So the stream is renewed from time to time:
// each new one begins with a whole list.
type PodsAPI struct {
	Socket string
	// Sync is how long a whole list may take, 30 s; Renew is how long a stream is used, 5 min.
	Sync, Renew time.Duration
}

// Name implements PodSource.
func (PodsAPI) Name() string { return "the kubelet's Pods API" }

// Watch implements PodSource. It returns nil when the stream is to be renewed.
func (a PodsAPI) Watch(ctx context.Context, pod func(p *corev1.Pod, gone bool), synced func()) error {
	client, done, err := a.client()
	if err != nil {
		return err
	}
	defer done()
	// A deadline would end the call before it ends its context; who looks could not tell it from a refusal.
	renew, cancel := context.WithCancel(ctx)
	defer cancel()
	old := time.AfterFunc(orDefault(a.Renew, 5*time.Minute), cancel)
	defer old.Stop()
	// A kubelet that hangs says nothing for ever.
	late := time.AfterFunc(orDefault(a.Sync, 30*time.Second), cancel)
	defer late.Stop()
	stream, err := client.WatchPods(renew, &podsapi.WatchPodsRequest{})
	if err != nil {
		return podsError("watch pods", err)
	}
	complete := false
	for {
		e, err := stream.Recv()
		switch {
		case err == nil:
		case complete && ctx.Err() == nil && renew.Err() != nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case renew.Err() != nil:
			return errors.New("watch pods: no complete list in time")
		default:
			return podsError("watch pods", err)
		}
		switch e.GetType() {
		case podsapi.EventType_INITIAL_SYNC_COMPLETE:
			// Stop is false when the list was late by a hair: then the stream is ended.
			complete = late.Stop()
			if complete {
				synced()
			}
		case podsapi.EventType_ADDED, podsapi.EventType_MODIFIED, podsapi.EventType_DELETED:
			p := &corev1.Pod{}
			if err := p.Unmarshal(e.GetPod()); err != nil {
				return fmt.Errorf("read a pod of the kubelet: %w", err)
			}
			if p.UID == "" {
				return errors.New("read a pod of the kubelet: it has no UID")
			}
			pod(p, e.GetType() == podsapi.EventType_DELETED)
		case podsapi.EventType_UNSPECIFIED:
		default: // of a later version
		}
	}
}

// Probe reports whether the kubelet answers there. It is cheap.
func (a PodsAPI) Probe(ctx context.Context) error {
	client, done, err := a.client()
	if err != nil {
		return err
	}
	defer done()
	_, err = client.GetPod(ctx, &podsapi.GetPodRequest{})
	if status.Code(err) == codes.NotFound {
		return nil
	}
	return podsError("ask for a pod", err)
}

func (a PodsAPI) client() (podsapi.PodsClient, func(), error) {
	if missing(a.Socket) {
		return nil, nil, fmt.Errorf("%w: no socket %s", ErrNoSource, a.Socket)
	}
	conn, err := dial(a.Socket)
	if err != nil {
		return nil, nil, fmt.Errorf("connect to %s: %w", a.Socket, err)
	}
	return podsapi.NewPodsClient(grpc.ClientConnInterface(conn)), func() { _ = conn.Close() }, nil
}

func podsError(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case status.Code(err) == codes.Unimplemented:
		return fmt.Errorf("%s: %w: %w", what, ErrNoSource, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
}
