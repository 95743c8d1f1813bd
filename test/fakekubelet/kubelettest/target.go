// Package kubelettest holds what a kubelet does for and to a device plugin, as scenarios that run against any Target: the fake
// one and a real one. What is measured once is thus checked for ever, and the fake cannot drift from the real kubelet.
package kubelettest

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/gpulet/gpulet/test/fakekubelet"
)

// Target is a node with a kubelet. Pods are bound to it directly, past the scheduler, and each container that is started goes on
// until it is told to stop, and then exits with 0; init containers end at once.
type Target interface {
	// DevicePlugins is a directory, PodResources and PodsAPI are sockets; an empty PodsAPI says that there is none.
	DevicePlugins() string
	PodResources() string
	PodsAPI() string
	// Run binds a pod and gives its UID without waiting for anything; a UID in the spec may be ignored.
	Run(ctx context.Context, spec fakekubelet.PodSpec) (uid string, err error)
	// Status is where the pod is.
	Status(ctx context.Context, uid string) (Status, error)
	// Delete returns when the pod is gone.
	Delete(ctx context.Context, uid string) error
	// Restart restarts the kubelet and leaves containers running.
	Restart(ctx context.Context) error
	// Allocatable is what the Node object says of a resource.
	Allocatable(ctx context.Context, resource string) (int64, error)
}

// Status is where a pod is. Waiting are the messages of containers that wait, by name.
type Status struct {
	Phase           corev1.PodPhase
	Reason, Message string
	Waiting         map[string]string
}

// Patience is how long a scenario waits for one thing.
const Patience = 90 * time.Second

// Run runs each scenario as a subtest.
func Run(t *testing.T, target Target) {
	for _, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) {
			// Resources outlive their scenario in a kubelet, so that each has its own.
			s.run(&scene{T: t, Target: target, resource: fmt.Sprintf("test.gpulet.dev/%s-%d", s.name, time.Now().UnixNano()%1e6)})
		})
	}
}

// scene is what a scenario has.
type scene struct {
	*testing.T
	Target
	resource string
}

// until waits for something that comes by itself.
func (s *scene) until(what string, cond func() bool) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), Patience)
	defer cancel()
	for !cond() {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			s.Fatalf("no %s in %s", what, Patience)
		}
	}
}

// pod binds a pod and deletes it in the end.
func (s *scene) pod(spec fakekubelet.PodSpec) (uid string) {
	s.Helper()
	uid, err := s.Target.Run(s.Context(), spec)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = s.Delete(context.Background(), uid) })
	return uid
}

func (s *scene) status(uid string) Status {
	s.Helper()
	st, err := s.Status(s.Context(), uid)
	if err != nil {
		s.Fatal(err)
	}
	return st
}

func (s *scene) running(uid string) {
	s.Helper()
	s.until("running pod", func() bool {
		st := s.status(uid)
		if st.Phase == corev1.PodFailed {
			s.Fatalf("the pod failed: %s: %s", st.Reason, st.Message)
		}
		return st.Phase == corev1.PodRunning
	})
}

func (s *scene) allocatable(want int64) {
	s.Helper()
	s.until(fmt.Sprintf("%d allocatable", want), func() bool {
		n, err := s.Allocatable(s.Context(), s.resource)
		return err == nil && n == want
	})
}

// asking is a pod whose one container asks for n.
func (s *scene) asking(n int64) fakekubelet.PodSpec {
	return fakekubelet.Requesting("", s.resource, n)
}
