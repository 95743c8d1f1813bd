package kube_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/gpulet/gpulet/test/cluster/kube"
)

// A pod's limits, images and containers become what Kubernetes has for them.
func TestObject(t *testing.T) {
	pod := kube.Pod{
		Name: "p", Node: "n",
		Init:       []kube.Container{{Name: "side", Image: "i", Sidecar: true}},
		Containers: []kube.Container{{Image: "i", Resources: map[string]string{"nvidia.com/gpu": "2"}}, {Image: "j"}},
	}.Object()
	limits := pod.Spec.Containers[0].Resources.Limits
	if gpus := limits["nvidia.com/gpu"]; gpus.Value() != 2 {
		t.Errorf("limits: %v", limits)
	}
	if pod.Spec.Containers[0].Name != "main" || pod.Spec.Containers[1].Name != "main-1" {
		t.Errorf("names: %v", pod.Spec.Containers)
	}
	if p := pod.Spec.InitContainers[0].RestartPolicy; p == nil || *p != core.ContainerRestartPolicyAlways {
		t.Error("the sidecar is none")
	}
	if pod.Spec.RestartPolicy != core.RestartPolicyNever || pod.Spec.NodeSelector[core.LabelHostname] != "n" || pod.Namespace != "default" {
		t.Errorf("%+v", pod)
	}
}

// A wait ends with what it waits for, with the pod's end, or with its context and the pod's state.
func TestWait(t *testing.T) {
	k := &kube.Kube{Client: fake.NewClientset()}
	pod, err := k.Create(t.Context(), kube.Pod{Name: "p"})
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := k.Wait(short, pod, kube.Ended); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "pod p") {
		t.Errorf("%v", err)
	}
	go func() {
		changed := pod.DeepCopy()
		changed.Status.Phase = core.PodSucceeded
		_, _ = k.Client.CoreV1().Pods("default").UpdateStatus(context.Background(), changed, meta.UpdateOptions{})
	}()
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	now, err := k.Wait(ctx, pod, kube.Phase(core.PodSucceeded))
	if err != nil || now.Status.Phase != core.PodSucceeded {
		t.Errorf("%v", err)
	}
	if err := k.Delete(ctx, pod); err != nil {
		t.Error(err)
	}
	if _, err := k.Wait(ctx, pod, kube.Ended); err == nil || !strings.Contains(err.Error(), "deleted") {
		t.Errorf("%v", err)
	}
}
