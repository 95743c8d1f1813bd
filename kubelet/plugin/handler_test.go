package plugin_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet/plugin"
)

// handler lists what a test sets.
type handler struct {
	devices  *gpu.Feed[[]*api.Device]
	options  api.DevicePluginOptions
	allocate func(context.Context) error
	prestart func(context.Context) error
	streams  atomic.Int32
}

func devices(ids ...string) []*api.Device {
	var out []*api.Device
	for _, id := range ids {
		out = append(out, &api.Device{ID: id, Health: api.Healthy})
	}
	return out
}

func lists(ids ...string) *handler {
	return &handler{devices: gpu.NewFeed(devices(ids...))}
}

func (h *handler) Options() *api.DevicePluginOptions {
	return &api.DevicePluginOptions{PreStartRequired: h.options.PreStartRequired}
}

func (h *handler) ListAndWatch(ctx context.Context, send func([]*api.Device) error) error {
	h.streams.Add(1)
	defer h.streams.Add(-1)
	for {
		d, changed := h.devices.Get()
		if err := send(d); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

func (h *handler) Preferred(context.Context, *api.PreferredAllocationRequest) (*api.PreferredAllocationResponse, error) {
	panic("a bug in the handler")
}

func (h *handler) Allocate(ctx context.Context, r *api.AllocateRequest) (*api.AllocateResponse, error) {
	if h.allocate != nil {
		if err := h.allocate(ctx); err != nil {
			return nil, err
		}
	}
	out := &api.AllocateResponse{}
	for range r.ContainerRequests {
		out.ContainerResponses = append(out.ContainerResponses, &api.ContainerAllocateResponse{Envs: map[string]string{"A": "B"}})
	}
	return out, nil
}

func (h *handler) PreStart(ctx context.Context, _ *api.PreStartContainerRequest) (*api.PreStartContainerResponse, error) {
	if h.prestart != nil {
		if err := h.prestart(ctx); err != nil {
			return nil, err
		}
	}
	return &api.PreStartContainerResponse{}, nil
}

// running is a registrar that runs until the test ends.
type running struct {
	*plugin.Registrar
	t    *testing.T
	stop func()
}

func run(t *testing.T, cfg plugin.Config) running {
	t.Helper()
	for d, to := range map[*time.Duration]time.Duration{
		&cfg.Poll: 50 * time.Millisecond, &cfg.Watch: 10 * time.Millisecond, &cfg.Settle: 50 * time.Millisecond,
		&cfg.FirstList: 300 * time.Millisecond,
	} {
		if *d == 0 {
			*d = to
		}
	}
	r := plugin.NewRegistrar(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("Run does not end")
		}
	}
	t.Cleanup(stop)
	return running{r, t, stop}
}

// state is that of one resource.
func (r running) state(resource string) plugin.State {
	states, _ := r.States().Get()
	for _, s := range states {
		if s.Resource == resource {
			return s
		}
	}
	return plugin.State{}
}

// until waits for a state.
func (r running) until(resource, what string, ok func(s plugin.State) bool) plugin.State {
	r.t.Helper()
	var s plugin.State
	eventually(r.t, func() string { return what + ": " + s.Reason }, func() bool { s = r.state(resource); return ok(s) })
	return s
}

// eventually waits for a condition.
func eventually(t *testing.T, what func() string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("it did not happen: %s", what())
}

func is(s string) func() string { return func() string { return s } }
