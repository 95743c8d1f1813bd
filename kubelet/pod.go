package kubelet

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// UID is a pod's UID.
type UID string

// Pod is what we need to know of a pod on this node. Immutable.
type Pod struct {
	UID             UID
	Namespace, Name string
	// Ended: no container of it runs or will run again (phase Failed or Succeeded, or its object was deleted).
	Ended bool
	// Deleting: it is being stopped; its containers may still run.
	Deleting bool
	// Admitted: the kubelet has accepted it (its status has a start time); a bound pod that is not may still be given a device.
	Admitted bool
	Created  time.Time
	// Priority is that of its priority class, 0 when it has none.
	Priority    int32
	Annotations map[string]string
	// MilliCPU and MemoryBytes are what it requests, as the scheduler counts.
	MilliCPU, MemoryBytes int64
	// Containers are in the order in which the kubelet allocates: init containers first.
	Containers []Container
}

// Container is one container of a pod.
type Container struct {
	Name string
	// Init: it ends before the others start; Sidecar: an init container that goes on running.
	Init, Sidecar bool
	// ID is the runtime's id ("containerd://..." without the scheme), empty before it was made.
	ID string
	// Requests are the extended resources that it asks for, by resource name.
	Requests map[string]int64
}

// Ref is namespace/name.
func (p Pod) Ref() string { return p.Namespace + "/" + p.Name }

// Pods are this node's pods at one moment, with pods that ended lately. Immutable.
type Pods struct {
	// Source names where they come from, such as "the kubelet's Pods API"; Reason says why there is none.
	Source, Reason string
	// Synced: the list is complete since the source was connected. A list that is not keeps the last known pods.
	Synced bool
	ByUID  map[UID]Pod
}

// PodSource delivers this node's pods. The kubelet's Pods API is one, the API server another.
type PodSource interface {
	// Name is for people: "the kubelet's Pods API".
	Name() string
	// Watch calls pod for each pod and each change (gone: the object was deleted), and synced once all were told;
	// both from one goroutine. It returns when ctx ends or the source breaks; whoever calls it calls it again.
	// Its error wraps ErrNoSource when this node has no such source; nil after a complete list means that the next call is a renewal.
	// A source that also has Probe(ctx) error is gone back to when it appears later.
	Watch(ctx context.Context, pod func(p *corev1.Pod, gone bool), synced func()) error
}
