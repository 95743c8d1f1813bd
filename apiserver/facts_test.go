package apiserver

import (
	"maps"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// asks makes requests of "cpu", "1", "memory", "2".
func asks(pairs ...string) corev1.ResourceList {
	out := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		out[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return out
}

func TestRequestsAsTheSchedulerCounts(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	container := func(pairs ...string) corev1.Container {
		return corev1.Container{Resources: corev1.ResourceRequirements{Requests: asks(pairs...)}}
	}
	sidecar := func(pairs ...string) corev1.Container {
		c := container(pairs...)
		c.RestartPolicy = &always
		return c
	}
	for _, c := range []struct {
		name       string
		spec       corev1.PodSpec
		cpu, bytes int64
		extended   map[string]int64
	}{
		{"nothing", corev1.PodSpec{Containers: []corev1.Container{container()}}, 0, 0, nil},
		{"containers add up", corev1.PodSpec{Containers: []corev1.Container{
			container("cpu", "500m", slice, "1"), container("cpu", "1", "memory", "1Ki", slice, "2", whole, "0"),
		}}, 1500, 1024, map[string]int64{slice: 3}},
		{"init containers run one by one", corev1.PodSpec{
			InitContainers: []corev1.Container{container("cpu", "3", slice, "1"), container("cpu", "1", slice, "4")},
			Containers:     []corev1.Container{container("cpu", "2", slice, "2", whole, "1")},
		}, 3000, 0, map[string]int64{slice: 4, whole: 1}},
		{"a sidecar goes on", corev1.PodSpec{
			InitContainers: []corev1.Container{sidecar("cpu", "1", slice, "1")},
			Containers:     []corev1.Container{container("cpu", "2", slice, "2")},
		}, 3000, 0, map[string]int64{slice: 3}},
		{"a sidecar counts for the init containers after it", corev1.PodSpec{
			InitContainers: []corev1.Container{container("cpu", "4"), sidecar("cpu", "1"), container("cpu", "5")},
			Containers:     []corev1.Container{container("cpu", "2")},
		}, 6000, 0, nil},
		{"sidecars add up", corev1.PodSpec{
			InitContainers: []corev1.Container{sidecar("cpu", "1"), sidecar("cpu", "2"), container("cpu", "1")},
			Containers:     []corev1.Container{container("cpu", "4")},
		}, 7000, 0, nil},
		{"overhead comes on top", corev1.PodSpec{
			InitContainers: []corev1.Container{container("cpu", "3")},
			Containers:     []corev1.Container{container("cpu", "2")}, Overhead: asks("cpu", "1", "memory", "7"),
		}, 4000, 7, nil},
		{"said for the pod as a whole", corev1.PodSpec{
			Containers: []corev1.Container{container("cpu", "2", "memory", "9", whole, "1")},
			Resources:  &corev1.ResourceRequirements{Requests: asks("cpu", "5")}, Overhead: asks("cpu", "1"),
		}, 6000, 9, map[string]int64{whole: 1}},
		{"other resources of Kubernetes", corev1.PodSpec{Containers: []corev1.Container{
			container("hugepages-2Mi", "2Mi", "ephemeral-storage", "1Gi", "x.kubernetes.io/y", "1"),
		}}, 0, 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := pendingPod(&corev1.Pod{Spec: c.spec})
			if got.MilliCPU != c.cpu || got.MemoryBytes != c.bytes || !maps.Equal(got.Requests, c.extended) {
				t.Errorf("cpu %d, memory %d, %v", got.MilliCPU, got.MemoryBytes, got.Requests)
			}
		})
	}
}

func TestWhyAPodWaits(t *testing.T) {
	condition := func(reason string, status corev1.ConditionStatus) corev1.PodStatus {
		return corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: status, Reason: reason, Message: "0/3 nodes"}}}
	}
	now := metav1.NewTime(time.Unix(1e9, 0))
	priority := int32(-3)
	p := pendingPod(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{UID: "u", Namespace: "ns", Name: "p", CreationTimestamp: now, DeletionTimestamp: &now},
		Spec:       corev1.PodSpec{Priority: &priority, SchedulerName: "s", SchedulingGates: []corev1.PodSchedulingGate{{Name: "g"}}},
		Status:     condition(corev1.PodReasonSchedulingGated, corev1.ConditionFalse),
	})
	if p.Unschedulable || !p.Gated || !p.Deleting || p.Priority != -3 || p.Scheduler != "s" || !p.Created.Equal(now.Time) {
		t.Errorf("gated: %+v", p)
	}
	p = pendingPod(&corev1.Pod{Status: condition(corev1.PodReasonUnschedulable, corev1.ConditionFalse)})
	if !p.Unschedulable || p.Message != "0/3 nodes" || p.Gated || p.Deleting {
		t.Errorf("unschedulable: %+v", p)
	}
	if p = pendingPod(&corev1.Pod{}); p.Unschedulable {
		t.Error("nobody looked for a node")
	}
}

func TestNodeFacts(t *testing.T) {
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{"a": "b"}},
		Spec:       corev1.NodeSpec{Unschedulable: true, Taints: []corev1.Taint{{Key: "k"}}},
		Status: corev1.NodeStatus{
			Allocatable: asks("cpu", "3500m", "memory", "1Gi", "pods", "110", whole, "8", "ephemeral-storage", "1Gi"),
			Conditions:  []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}, {Type: "Other"}},
		},
	}
	f := nodeFacts(n, interner{})
	if !f.Ready || !f.Unschedulable || f.Labels["a"] != "b" || len(f.Taints) != 1 || f.MilliCPU != 3500 || f.MemoryBytes != 1<<30 ||
		f.Pods != 110 || !maps.Equal(f.Allocatable, map[string]int64{whole: 8}) {
		t.Errorf("%+v", f)
	}
	n.Status.Conditions[0].Status = corev1.ConditionUnknown // its kubelet is silent
	if nodeFacts(n, interner{}).Ready {
		t.Error("a silent node is ready")
	}
}
