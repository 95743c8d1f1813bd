package kubelet

import (
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"
)

// Annotations by which the kubelet marks static pods (pkg/kubelet/types of Kubernetes 1.37).
const (
	mirrorAnnotation = "kubernetes.io/config.mirror" // on the API server's copy: the UID of the static pod
	sourceAnnotation = "kubernetes.io/config.source" // "api" for all others
)

// podOf takes from a pod what we need. gone: its object was deleted. It keeps no part of p that others may change.
func podOf(p *corev1.Pod, gone bool) Pod {
	out := Pod{
		UID: uidOf(p), Namespace: p.Namespace, Name: p.Name,
		Ended:       gone || ended(&p.Status),
		Deleting:    p.DeletionTimestamp != nil,
		Admitted:    p.Status.StartTime != nil,
		Created:     p.CreationTimestamp.Time,
		Priority:    ptr.Deref(p.Spec.Priority, 0),
		Annotations: maps.Clone(p.Annotations),
	}
	out.MilliCPU = requested(&p.Spec, corev1.ResourceCPU, (*resource.Quantity).MilliValue)
	out.MemoryBytes = requested(&p.Spec, corev1.ResourceMemory, (*resource.Quantity).Value)
	for i := range p.Spec.InitContainers {
		c := containerOf(&p.Spec.InitContainers[i], p.Status.InitContainerStatuses)
		c.Init = true
		always := p.Spec.InitContainers[i].RestartPolicy
		c.Sidecar = always != nil && *always == corev1.ContainerRestartPolicyAlways
		out.Containers = append(out.Containers, c)
	}
	for i := range p.Spec.Containers {
		out.Containers = append(out.Containers, containerOf(&p.Spec.Containers[i], p.Status.ContainerStatuses))
	}
	return out
}

// requested is what a pod asks for of CPU or memory, as the scheduler counts (k8s.io/component-helpers, resource.PodRequests, 1.37):
// its containers and sidecars together, or more if an init container with the sidecars before it asks for more; what is said for the
// pod as a whole stands in for that; and the overhead of its runtime class.
func requested(spec *corev1.PodSpec, name corev1.ResourceName, value func(*resource.Quantity) int64) int64 {
	of := func(list corev1.ResourceList) int64 {
		q := list[name]
		return value(&q)
	}
	run, sidecars, start := int64(0), int64(0), int64(0)
	for i := range spec.Containers {
		run += of(spec.Containers[i].Resources.Requests)
	}
	for i := range spec.InitContainers {
		c := &spec.InitContainers[i]
		asks := of(c.Resources.Requests)
		start = max(start, sidecars+asks)
		if ptr.Deref(c.RestartPolicy, "") == corev1.ContainerRestartPolicyAlways {
			sidecars += asks
		}
	}
	all := max(run+sidecars, start)
	if spec.Resources != nil {
		if _, said := spec.Resources.Requests[name]; said {
			all = of(spec.Resources.Requests)
		}
	}
	return all + of(spec.Overhead)
}

// uidOf is the UID under which the kubelet accounts for a pod: a mirror pod has another than its static pod.
func uidOf(p *corev1.Pod) UID {
	if static := p.Annotations[mirrorAnnotation]; static != "" {
		return UID(static)
	}
	return UID(p.UID)
}

// static reports whether a pod comes from a file of the node. Such a pod may return with the same UID.
func (p Pod) static() bool {
	source := p.Annotations[sourceAnnotation]
	return source != "" && source != "api" || p.mirror()
}

func (p Pod) mirror() bool { return p.Annotations[mirrorAnnotation] != "" }

// ended: the kubelet reports a terminal phase for an evicted pod before it stops the containers
// (kubelet.go SyncTerminatingPod, 1.37.2), so that the phase alone is not the end.
func ended(s *corev1.PodStatus) bool {
	if s.Phase != corev1.PodFailed && s.Phase != corev1.PodSucceeded {
		return false
	}
	for _, all := range [][]corev1.ContainerStatus{s.InitContainerStatuses, s.ContainerStatuses, s.EphemeralContainerStatuses} {
		for i := range all {
			if all[i].State.Running != nil {
				return false
			}
		}
	}
	return true
}

func containerOf(c *corev1.Container, statuses []corev1.ContainerStatus) Container {
	out := Container{Name: c.Name}
	// The kubelet allocates by limits; for extended resources requests are equal or left out.
	for _, list := range []corev1.ResourceList{c.Resources.Requests, c.Resources.Limits} {
		for name, q := range list {
			if extended(string(name)) && q.Value() > 0 {
				if out.Requests == nil {
					out.Requests = map[string]int64{}
				}
				out.Requests[string(name)] = q.Value()
			}
		}
	}
	for i := range statuses {
		if statuses[i].Name == c.Name {
			_, out.ID, _ = strings.Cut(statuses[i].ContainerID, "://")
		}
	}
	return out
}

// extended reports whether a resource is one of a device plugin: a name with a domain other than Kubernetes' own.
func extended(resource string) bool {
	domain, _, ok := strings.Cut(resource, "/")
	return ok && domain != "kubernetes.io" && !strings.HasSuffix(domain, ".kubernetes.io") && !strings.HasPrefix(resource, "requests.")
}
