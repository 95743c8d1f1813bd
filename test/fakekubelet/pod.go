package fakekubelet

import (
	"crypto/rand"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Kind says when a container of a pod runs.
type Kind string

// The kinds of containers.
const (
	App     Kind = ""        // beside the others, after the init containers
	Init    Kind = "init"    // to its end, before the others
	Sidecar Kind = "sidecar" // an init container that goes on running
)

// ContainerSpec asks for one container; Resources are requests and limits of extended resources.
type ContainerSpec struct {
	Name      string
	Kind      Kind
	Resources map[string]int64
}

// PodSpec asks for one pod. Init containers and sidecars come before the others, in their order.
type PodSpec struct {
	Namespace, Name string // default "default" and "pod-" with a part of the UID
	UID             string // default: random
	Annotations     map[string]string
	Labels          map[string]string
	// Never is restartPolicy Never; otherwise it is Always.
	Never      bool
	Containers []ContainerSpec
}

// Requesting is the spec of a pod with one container "main" that asks for n of a resource.
func Requesting(name, resource string, n int64) PodSpec {
	return PodSpec{Name: name, Containers: []ContainerSpec{{Name: "main", Resources: map[string]int64{resource: n}}}}
}

// Object is the pod as the API server has it, bound and not yet seen by a kubelet.
func (s PodSpec) Object() *corev1.Pod {
	if s.UID == "" {
		var b [16]byte
		_, _ = rand.Read(b[:])
		s.UID = fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
	}
	if s.Name == "" {
		s.Name = "pod-" + s.UID[:min(8, len(s.UID))]
	}
	if s.Namespace == "" {
		s.Namespace = "default"
	}
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.Namespace, Name: s.Name, UID: types.UID(s.UID),
			Annotations: maps.Clone(s.Annotations), Labels: maps.Clone(s.Labels),
		},
		Spec:   corev1.PodSpec{NodeName: NodeName, RestartPolicy: corev1.RestartPolicyAlways},
		Status: corev1.PodStatus{Phase: corev1.PodPending},
	}
	if s.Never {
		p.Spec.RestartPolicy = corev1.RestartPolicyNever
	}
	for _, c := range s.Containers {
		list := corev1.ResourceList{}
		for name, n := range c.Resources {
			list[corev1.ResourceName(name)] = *resource.NewQuantity(n, resource.DecimalSI)
		}
		out := corev1.Container{Name: c.Name, Image: "pause", Resources: corev1.ResourceRequirements{Requests: list, Limits: list}}
		if c.Kind == Sidecar {
			always := corev1.ContainerRestartPolicyAlways
			out.RestartPolicy = &always
		}
		if c.Kind == App {
			p.Spec.Containers = append(p.Spec.Containers, out)
		} else {
			p.Spec.InitContainers = append(p.Spec.InitContainers, out)
		}
	}
	return p
}

// containers are in the order in which the kubelet allocates.
func containers(p *corev1.Pod) []corev1.Container {
	return slices.Concat(p.Spec.InitContainers, p.Spec.Containers)
}

func kindOf(p *corev1.Pod, name string) (Kind, bool) {
	for _, c := range p.Spec.InitContainers {
		if c.Name == name {
			if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
				return Sidecar, true
			}
			return Init, true
		}
	}
	return App, slices.ContainsFunc(p.Spec.Containers, func(c corev1.Container) bool { return c.Name == name })
}

// effective is what a pod needs of each resource at its fullest moment.
func effective(p *corev1.Pod) map[string]int64 {
	sum, peak := map[string]int64{}, map[string]int64{}
	for _, c := range containers(p) {
		kind, _ := kindOf(p, c.Name)
		for name, q := range c.Resources.Limits {
			if kind == Init {
				peak[string(name)] = max(peak[string(name)], sum[string(name)]+q.Value())
			} else {
				sum[string(name)] += q.Value()
			}
		}
	}
	for name, n := range peak {
		sum[name] = max(sum[name], n)
	}
	return sum
}

// State is where a container is.
type State string

// The states of a container.
const (
	Waiting    State = "Waiting"
	Running    State = "Running"
	Terminated State = "Terminated"
)

// Pod is a pod at one moment.
type Pod struct {
	UID, Namespace, Name string
	Phase                corev1.PodPhase
	Reason, Message      string // of a rejection
	Containers           []Container
}

// Ref is namespace/name.
func (p Pod) Ref() string { return p.Namespace + "/" + p.Name }

// Container finds a container by its name; the zero Container when there is none.
func (p Pod) Container(name string) Container {
	for _, c := range p.Containers {
		if c.Name == name {
			return c
		}
	}
	return Container{}
}

// Container is one container at one moment.
type Container struct {
	Name string
	Kind Kind
	// ID is the runtime's, new at each start.
	ID       string
	State    State
	Restarts int
	// Reason and Message say why it waits.
	Reason, Message string
	// Devices are the ids by resource, sorted. Health is what the plugin last said of each; an id that is gone counts as Healthy.
	Devices map[string][]string
	Health  map[string]string
	// Given is what the runtime got at the last start.
	Given Given
}

// Given is what the plugins' answers add to a container.
type Given struct {
	Env         map[string]string
	CDI         []string // sorted
	Devices     []Node
	Mounts      []Mount
	Annotations map[string]string
}

// Node is a device node in a container.
type Node struct{ ContainerPath, HostPath, Permissions string }

// Mount is a mount in a container.
type Mount struct {
	ContainerPath, HostPath string
	ReadOnly                bool
}

// RejectedError says that a pod failed at admission. It never runs.
type RejectedError struct{ Reason, Message string }

func (e *RejectedError) Error() string { return e.Reason + ": " + e.Message }
