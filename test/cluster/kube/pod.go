// Package kube is what end-to-end tests say to a cluster: make this pod, wait for that, read its
// logs. Each wait is a watch that outlives restarts of the API server and ends with its context,
// with an error that tells what was seen last.
package kube

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Kube speaks to one cluster, in the namespace "default" unless a Pod says otherwise.
type Kube struct {
	Client kubernetes.Interface
}

// New returns a Kube for what cluster.Client returns.
func New(config *rest.Config) (*Kube, error) {
	client, err := kubernetes.NewForConfig(config)
	return &Kube{Client: client}, err
}

// A Container is one container of a Pod.
type Container struct {
	Name      string // default: "main", in Init "init"
	Image     string
	Command   []string // default: the image's entry point
	Env       map[string]string
	Resources map[string]string // limits, and so requests: "nvidia.com/gpu": "1"
	Sidecar   bool              // in Init only: it goes on running beside the others
	// Privileged gives the container every device and capability.
	Privileged bool
}

// A Pod is what to run. Its images are never pulled: cluster.LoadImage brings them.
type Pod struct {
	Name        string
	Namespace   string // default: "default"
	Node        string // default: the scheduler's choice, which it is asked for in any case
	Labels      map[string]string
	Annotations map[string]string
	Restart     core.RestartPolicy // default: Never
	Init        []Container
	Containers  []Container
	HostNetwork bool
	// Grace is how many seconds its containers have to end; default 1.
	Grace int64
	// Change edits the object before it is sent: volumes, tolerations and whatever else.
	Change func(*core.Pod)
}

// Object returns the pod as Kubernetes has it.
func (p Pod) Object() *core.Pod {
	pod := &core.Pod{
		ObjectMeta: meta.ObjectMeta{Name: p.Name, Namespace: or(p.Namespace, meta.NamespaceDefault), Labels: p.Labels, Annotations: p.Annotations},
		Spec: core.PodSpec{
			RestartPolicy:                 or(p.Restart, core.RestartPolicyNever),
			HostNetwork:                   p.HostNetwork,
			TerminationGracePeriodSeconds: ptr(or(p.Grace, 1)),
		},
	}
	if p.Node != "" {
		pod.Spec.NodeSelector = map[string]string{core.LabelHostname: p.Node}
	}
	for i, c := range p.Init {
		pod.Spec.InitContainers = append(pod.Spec.InitContainers, c.object(numbered("init", i)))
	}
	for i, c := range p.Containers {
		pod.Spec.Containers = append(pod.Spec.Containers, c.object(numbered("main", i)))
	}
	if p.Change != nil {
		p.Change(pod)
	}
	return pod
}

func (c Container) object(name string) core.Container {
	out := core.Container{
		Name: or(c.Name, name), Image: c.Image, Command: c.Command, ImagePullPolicy: core.PullNever,
		Resources: core.ResourceRequirements{Limits: core.ResourceList{}},
	}
	for k, v := range c.Env {
		out.Env = append(out.Env, core.EnvVar{Name: k, Value: v})
	}
	for k, v := range c.Resources {
		out.Resources.Limits[core.ResourceName(k)] = resource.MustParse(v)
	}
	if c.Sidecar {
		out.RestartPolicy = ptr(core.ContainerRestartPolicyAlways)
	}
	if c.Privileged {
		out.SecurityContext = &core.SecurityContext{Privileged: ptr(true)}
	}
	return out
}

// Create makes the pod and returns it as the API server has it.
func (k *Kube) Create(ctx context.Context, p Pod) (*core.Pod, error) {
	pod := p.Object()
	made, err := k.Client.CoreV1().Pods(pod.Namespace).Create(ctx, pod, meta.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("create pod %s: %w", p.Name, err)
	}
	return made, nil
}

// Logs returns what a container printed; an empty name is the pod's only one.
func (k *Kube) Logs(ctx context.Context, pod *core.Pod, container string) (string, error) {
	stream, err := k.Client.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &core.PodLogOptions{Container: container}).Stream(ctx)
	if err != nil {
		return "", fmt.Errorf("logs of %s: %w", pod.Name, err)
	}
	data, err := io.ReadAll(stream)
	return string(data), errors.Join(err, stream.Close())
}

// FirstLine waits for the first line that a container prints: a container that runs may not have
// got that far. An empty name is the pod's only one.
func (k *Kube) FirstLine(ctx context.Context, pod *core.Pod, container string) (string, error) {
	options := &core.PodLogOptions{Container: container, Follow: true}
	stream, err := k.Client.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, options).Stream(ctx)
	if err != nil {
		return "", fmt.Errorf("logs of %s: %w", pod.Name, err)
	}
	line, err := bufio.NewReader(stream).ReadString('\n')
	return line, errors.Join(err, stream.Close())
}

// Delete deletes the pod and waits until it is gone.
func (k *Kube) Delete(ctx context.Context, pod *core.Pod) error {
	if err := k.Client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, meta.DeleteOptions{}); err != nil {
		return fmt.Errorf("delete pod %s: %w", pod.Name, err)
	}
	return k.Gone(ctx, pod)
}

func numbered(name string, i int) string {
	if i == 0 {
		return name
	}
	return fmt.Sprintf("%s-%d", name, i)
}

func or[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

func ptr[T any](v T) *T { return &v }
