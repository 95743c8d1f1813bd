package kubelet

import (
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestPodOf(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	ask := func(list map[string]string) corev1.ResourceList {
		out := corev1.ResourceList{}
		for k, v := range list {
			out[corev1.ResourceName(k)] = resource.MustParse(v)
		}
		return out
	}
	now := metav1.Now()
	p := apiPod("u1", "a", corev1.PodRunning)
	p.Annotations = map[string]string{"k": "v"}
	p.Spec.InitContainers = []corev1.Container{
		{Name: "init", Resources: corev1.ResourceRequirements{Limits: ask(map[string]string{gpus: "1", "cpu": "2"})}},
		{Name: "side", RestartPolicy: &always},
	}
	p.Spec.Containers = []corev1.Container{{Name: "main", Resources: corev1.ResourceRequirements{
		Limits:   ask(map[string]string{gpus: "2", "memory": "1Gi", "nvidia.com/mig-1g.10gb": "0", "hugepages-2Mi": "1", "kubernetes.io/x": "1"}),
		Requests: ask(map[string]string{gpus: "2"}),
	}}}
	p.Spec.Priority = new(int32(-7))
	p.Status.StartTime = &now
	p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "init", ContainerID: "containerd://abc"}}
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", ContainerID: ""}}
	want := Pod{
		UID: "u1", Namespace: "ns", Name: "a", Admitted: true, Priority: -7, Annotations: map[string]string{"k": "v"},
		Containers: []Container{
			{Name: "init", Init: true, ID: "abc", Requests: map[string]int64{gpus: 1}},
			{Name: "side", Init: true, Sidecar: true},
			{Name: "main", Requests: map[string]int64{gpus: 2}},
		},
	}
	if got := podOf(p, false); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if p.DeletionTimestamp = &now; !podOf(p, false).Deleting || podOf(p, false).Ended {
		t.Error("a pod that is being stopped has not ended")
	}
	if !podOf(p, true).Ended {
		t.Error("a deleted object is the end")
	}
}

// A node tells the planner of the cluster what its pods leave of CPU and memory: counted as the scheduler counts.
func TestPodRequests(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	asks := func(cpu, memory string) corev1.ResourceRequirements {
		return corev1.ResourceRequirements{Requests: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory),
		}}
	}
	p := apiPod("u1", "a", corev1.PodRunning)
	p.Spec.InitContainers = []corev1.Container{
		{Name: "side", RestartPolicy: &always, Resources: asks("250m", "1Mi")}, {Name: "init", Resources: asks("3", "1Mi")},
	}
	p.Spec.Containers = []corev1.Container{{Name: "a", Resources: asks("1", "2Mi")}, {Name: "b", Resources: asks("500m", "1Mi")}}
	if got := podOf(p, false); got.MilliCPU != 3250 || got.MemoryBytes != 4<<20 {
		t.Errorf("%d, %d", got.MilliCPU, got.MemoryBytes)
	}
	whole := asks("5", "1Gi")
	p.Spec.Resources, p.Spec.Overhead = &whole, asks("100m", "1Mi").Requests
	if got := podOf(p, false); got.MilliCPU != 5100 || got.MemoryBytes != 1<<30+1<<20 {
		t.Errorf("%d, %d", got.MilliCPU, got.MemoryBytes)
	}
}

// The kubelet says Failed before it stops the containers of an evicted pod.
func TestPodEndsWithItsContainers(t *testing.T) {
	runs := corev1.ContainerStatus{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
	ran := corev1.ContainerStatus{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}}
	for name, c := range map[string]struct {
		status corev1.PodStatus
		ended  bool
	}{
		"runs":                   {corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{runs}}, false},
		"its only container ran": {corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{ran}}, false},
		"succeeded":              {corev1.PodStatus{Phase: corev1.PodSucceeded, ContainerStatuses: []corev1.ContainerStatus{ran}}, true},
		"rejected":               {corev1.PodStatus{Phase: corev1.PodFailed}, true},
		"evicted, still running": {corev1.PodStatus{Phase: corev1.PodFailed, ContainerStatuses: []corev1.ContainerStatus{ran, runs}}, false},
		"evicted, its sidecar runs": {
			corev1.PodStatus{Phase: corev1.PodFailed, InitContainerStatuses: []corev1.ContainerStatus{runs}}, false,
		},
		"not known": {corev1.PodStatus{Phase: corev1.PodUnknown}, false},
	} {
		if got := podOf(&corev1.Pod{Status: c.status}, false).Ended; got != c.ended {
			t.Errorf("%s: ended is %t", name, got)
		}
	}
}

func FuzzPodOf(f *testing.F) {
	p := apiPod("u1", "a", corev1.PodRunning)
	p.Spec.Containers = []corev1.Container{{Name: "main", Resources: corev1.ResourceRequirements{
		Limits: corev1.ResourceList{gpus: resource.MustParse("2")},
	}}}
	data, err := p.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		p := &corev1.Pod{}
		if p.Unmarshal(data) != nil {
			return
		}
		got := podOf(p, false)
		if len(got.Containers) != len(p.Spec.Containers)+len(p.Spec.InitContainers) {
			t.Fatalf("%+v", got)
		}
		for _, c := range got.Containers {
			for name, n := range c.Requests {
				if n <= 0 || !extended(name) {
					t.Fatalf("%+v", c)
				}
			}
		}
	})
}
