package kubelettest

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/gpulet/gpulet/test/fakekubelet"
)

// Fake is a fake kubelet as a Target. Close waits for the pods that are being run.
type Fake struct {
	*fakekubelet.Kubelet
	wg     sync.WaitGroup
	ctx    context.Context
	cancel context.CancelFunc
}

// NewFake makes a Target of a kubelet, and closes it with the test.
func NewFake(t testing.TB, k *fakekubelet.Kubelet) *Fake {
	f := &Fake{Kubelet: k}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	t.Cleanup(func() {
		f.cancel()
		f.wg.Wait()
	})
	return f
}

// Run implements Target, as do the following.
func (f *Fake) Run(_ context.Context, spec fakekubelet.PodSpec) (string, error) {
	spec.UID = string(spec.Object().UID)
	f.wg.Add(1)
	go func() {
		defer f.wg.Done()
		_, _ = f.RunPod(f.ctx, spec)
	}()
	return spec.UID, nil
}

// Status is Pending for a pod that the kubelet has not seen yet.
func (f *Fake) Status(_ context.Context, uid string) (Status, error) {
	p, _ := f.Pod(uid)
	s := Status{Phase: p.Phase, Reason: p.Reason, Message: p.Message, Waiting: map[string]string{}}
	for _, c := range p.Containers {
		if c.State == fakekubelet.Waiting {
			s.Waiting[c.Name] = c.Message
		}
	}
	return s, nil
}

// Delete ends a pod.
func (f *Fake) Delete(_ context.Context, uid string) error {
	f.DeletePod(uid)
	return nil
}

// Restart restarts the kubelet.
func (f *Fake) Restart(context.Context) error {
	_, err := f.Kubelet.Restart(fakekubelet.RestartOptions{})
	return err
}

// Allocatable reads the Node object.
func (f *Fake) Allocatable(_ context.Context, resource string) (int64, error) {
	if _, ok := f.Node()[resource]; !ok {
		return 0, fmt.Errorf("the node has no %s", resource)
	}
	return f.Kubelet.Allocatable(resource), nil
}
