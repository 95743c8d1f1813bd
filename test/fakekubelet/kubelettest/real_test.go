//go:build e2e

package kubelettest_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gpulet/gpulet/test/cluster"
	"github.com/gpulet/gpulet/test/cluster/kube"
	"github.com/gpulet/gpulet/test/fakekubelet"
	"github.com/gpulet/gpulet/test/fakekubelet/kubelettest"
)

// What the fake does, a real kubelet does.
func TestReal(t *testing.T) {
	dir, err := os.MkdirTemp("", "fk") // short, for the sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	c, err := cluster.Up(t.Context(), cluster.Options{Dir: dir, Nodes: 1, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Down(); err != nil {
			t.Error(err)
		}
	})
	config, err := c.Client()
	if err != nil {
		t.Fatal(err)
	}
	k, err := kube.New(config)
	if err != nil {
		t.Fatal(err)
	}
	program, archive := filepath.Join(dir, "probe"), filepath.Join(dir, "probe.tar")
	if err := cluster.BuildProgram(t.Context(), "github.com/gpulet/gpulet/test/e2e/probe", program); err != nil {
		t.Fatal(err)
	}
	image, err := cluster.ProgramImage(t.Context(), probe, program, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := image.Write(archive); err != nil {
		t.Fatal(err)
	}
	if err := c.LoadImage(t.Context(), archive); err != nil {
		t.Fatal(err)
	}
	kubelettest.Run(t, &realNode{Node: c.Nodes[0], kube: k, names: map[string]string{}})
}

const probe = "gpulet.dev/test/probe:1"

// realNode is a node of a cluster as a Target.
type realNode struct {
	*cluster.Node
	kube  *kube.Kube
	mu    sync.Mutex
	names map[string]string // of pods, by UID; guarded by mu
}

func (r *realNode) DevicePlugins() string { return filepath.Dir(r.HostPath(cluster.KubeletSocket)) }
func (r *realNode) PodResources() string  { return r.HostPath(cluster.PodResourcesSocket) }
func (r *realNode) PodsAPI() string       { return r.HostPath(cluster.PodsSocket) }

func (r *realNode) Run(ctx context.Context, spec fakekubelet.PodSpec) (string, error) {
	object := spec.Object() // for its name
	p := kube.Pod{
		Name: object.Name, Annotations: spec.Annotations, Restart: object.Spec.RestartPolicy,
		Change: func(p *corev1.Pod) { p.Spec.NodeName = r.Name() },
	}
	for _, c := range spec.Containers {
		out := kube.Container{Name: c.Name, Image: probe, Resources: map[string]string{}, Sidecar: c.Kind == fakekubelet.Sidecar}
		for name, n := range c.Resources {
			out.Resources[name] = strconv.FormatInt(n, 10)
		}
		switch c.Kind {
		case fakekubelet.Init:
			out.Command = []string{"/usr/bin/probe", "--for", "1ms"}
			p.Init = append(p.Init, out)
		case fakekubelet.Sidecar:
			p.Init = append(p.Init, out)
		default:
			p.Containers = append(p.Containers, out)
		}
	}
	made, err := r.kube.Create(ctx, p)
	if err != nil {
		return "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names[string(made.UID)] = made.Name
	return string(made.UID), nil
}

func (r *realNode) pod(ctx context.Context, uid string) (*corev1.Pod, error) {
	r.mu.Lock()
	name := r.names[uid]
	r.mu.Unlock()
	p, err := r.kube.Client.CoreV1().Pods("default").Get(ctx, name, metav1.GetOptions{})
	if err == nil && string(p.UID) != uid {
		err = fmt.Errorf("pod %s is another one", name)
	}
	return p, err
}

func (r *realNode) Status(ctx context.Context, uid string) (kubelettest.Status, error) {
	p, err := r.pod(ctx, uid)
	if err != nil {
		return kubelettest.Status{}, err
	}
	s := kubelettest.Status{Phase: p.Status.Phase, Reason: p.Status.Reason, Message: p.Status.Message, Waiting: map[string]string{}}
	for _, c := range p.Status.ContainerStatuses {
		if c.State.Waiting != nil {
			s.Waiting[c.Name] = c.State.Waiting.Message
		}
	}
	return s, nil
}

func (r *realNode) Delete(ctx context.Context, uid string) error {
	p, err := r.pod(ctx, uid)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return r.kube.Delete(ctx, p)
}

func (r *realNode) Restart(context.Context) error {
	if err := r.StopKubelet(); err != nil {
		return err
	}
	return r.StartKubelet()
}

func (r *realNode) Allocatable(ctx context.Context, resource string) (int64, error) {
	return r.kube.Allocatable(ctx, r.Name(), resource)
}
