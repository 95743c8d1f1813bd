package deviceplugin

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
	"github.com/gpulet/gpulet/kubelet/plugin"
)

// rig is a manager with a small kubelet and API server around it, in a bubble of its own time.
type rig struct {
	t        *testing.T
	settings *gpu.Feed[Settings]
	offers   *gpu.Feed[*gpu.Offers]
	pods     *gpu.Feed[*kubelet.Pods]
	claims   *fakeClaims
	specs    *fakeSpecs
	regs     *fakeRegistrar
	api      *fakeNode
	manager  *Manager
	cancel   context.CancelFunc
	done     chan error
	// lists are the last lists by resource, streams what ends each stream.
	mu      sync.Mutex
	lists   map[string]map[string]bool
	streams map[plugin.Handler]context.CancelFunc
	group   sync.WaitGroup
}

// bubble runs a test with a rig; edit may change the configuration before it starts.
func bubble(t *testing.T, s Settings, n *gpu.Snapshot, f func(r *rig), edit ...func(*Config)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{
			t: t, settings: gpu.NewFeed(s), offers: gpu.NewFeed(gpu.StaticOffers(n)),
			pods:   gpu.NewFeed(&kubelet.Pods{Synced: true}),
			claims: newFakeClaims(), specs: newFakeSpecs(), regs: newFakeRegistrar(),
			api: &fakeNode{counts: map[string]Count{}}, done: make(chan error, 1),
			lists: map[string]map[string]bool{}, streams: map[plugin.Handler]context.CancelFunc{},
		}
		cfg := Config{
			Settings: r.settings, Offers: r.offers, Claims: r.claims, Registrar: r.regs, Specs: r.specs, Node: r.api, Pods: r.pods,
		}
		for _, e := range edit {
			e(&cfg)
		}
		if c, ok := cfg.Claims.(*fakeClaims); ok {
			r.claims = c
		}
		r.manager = New(cfg)
		var ctx context.Context
		ctx, r.cancel = context.WithCancel(t.Context())
		go func() { r.done <- r.manager.Run(ctx) }()
		go r.kubelet(ctx)
		synctest.Wait()
		f(r)
		r.cancel()
		if err := <-r.done; err != nil {
			t.Errorf("Run: %v", err)
		}
		r.group.Wait()
	})
}

// kubelet opens a stream to each handler that comes and ends it when it goes.
func (r *rig) kubelet(ctx context.Context) {
	for {
		handlers, changed := r.regs.feed.Get()
		have := map[plugin.Handler]bool{}
		for resource, h := range handlers {
			have[h] = true
			if r.streams[h] != nil {
				continue
			}
			sctx, stop := context.WithCancel(ctx)
			r.streams[h] = stop
			r.group.Go(func() {
				_ = h.ListAndWatch(sctx, func(list []*api.Device) error {
					r.mu.Lock()
					defer r.mu.Unlock()
					r.lists[resource] = map[string]bool{}
					for _, d := range list {
						r.lists[resource][d.ID] = d.Health == api.Healthy
					}
					return nil
				})
			})
		}
		for h, stop := range r.streams {
			if !have[h] {
				stop()
				delete(r.streams, h)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

// after lets time pass.
func (r *rig) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// listed is what the kubelet has of a resource: ids in order, "!" behind unhealthy ones.
func (r *rig) listed(resource string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, id := range slices.Sorted(maps.Keys(r.lists[resource])) {
		if !r.lists[resource][id] {
			id += "!"
		}
		out = append(out, id)
	}
	return strings.Join(out, " ")
}

func (r *rig) expect(resource, list string) {
	r.t.Helper()
	equal(r.t, resource, r.listed(resource), list)
}

func (r *rig) allocate(resource string, ids ...string) (*api.ContainerAllocateResponse, error) {
	resp, err := r.regs.handler(resource).Allocate(r.t.Context(), &api.AllocateRequest{
		ContainerRequests: []*api.ContainerAllocateRequest{{DevicesIds: ids}},
	})
	synctest.Wait()
	if err != nil {
		return nil, err
	}
	return resp.ContainerResponses[0], nil
}

// fakeNode is a Node at an API server.
type fakeNode struct {
	mu      sync.Mutex
	away    bool
	counts  map[string]Count
	patches []map[string]Count
}

func (f *fakeNode) PatchResources(_ context.Context, counts map[string]Count) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away {
		return errors.New("no route to host")
	}
	f.patches = append(f.patches, counts)
	for resource, c := range counts {
		if c.Remove {
			delete(f.counts, resource)
		} else {
			f.counts[resource] = c
		}
	}
	return nil
}

func (f *fakeNode) Allocatable() (map[string]int64, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[string]int64{}
	for resource, c := range f.counts {
		out[resource] = c.Allocatable
	}
	return out, !f.away
}

func (f *fakeNode) set(resource string, allocatable int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts[resource] = Count{Capacity: allocatable, Allocatable: allocatable}
}

// says is what the Node says of a resource: allocatable/capacity.
func (f *fakeNode) says(resource string) Count {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, ok := f.counts[resource]
	c.Remove = !ok
	return c
}
