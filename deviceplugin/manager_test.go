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

	"go.uber.org/goleak"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
	"github.com/gpulet/gpulet/kubelet/plugin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
			claims: newFakeClaims(), specs: &fakeSpecs{missing: map[string]bool{}}, regs: newFakeRegistrar(),
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

func TestListsAndTellsTheNode(t *testing.T) {
	bubble(t, mixed(), node("", "3g.40gb@0:4"), func(r *rig) {
		r.expect("nvidia.com/gpu", "GPU-0")
		r.expect("nvidia.com/mig-3g.40gb", "GPU-1:3g.40gb:0")
		r.after(10 * time.Millisecond)
		if c := r.api.says("nvidia.com/gpu"); c != (Count{Capacity: 1, Allocatable: 1}) {
			t.Errorf("the Node says %+v", c)
		}
		sick := node("", "3g.40gb@0:4")
		sick.GPUs[0].Health = gpu.Health{State: gpu.Suspect, Reason: "XID 48"}
		r.offers.Set(gpu.StaticOffers(sick))
		synctest.Wait()
		r.expect("nvidia.com/gpu", "GPU-0!")
		r.after(10 * time.Millisecond)
		if c := r.api.says("nvidia.com/gpu"); c != (Count{Capacity: 1}) {
			t.Errorf("the Node says %+v", c)
		}
	})
}

func TestNothingIsOfferedBeforeTheAccountIsComplete(t *testing.T) {
	var set *kubelet.ClaimSet
	bubble(t, mixed(), node("", ""), func(r *rig) {
		r.after(time.Hour)
		if r.regs.handler("nvidia.com/gpu") != nil {
			t.Error("registered before it is known who holds what")
		}
		if v, _ := r.manager.View().Get(); v.Waiting == "" {
			t.Error("status does not say why nothing is offered")
		}
		r.claims.feed.Set(set)
		synctest.Wait()
		r.expect("nvidia.com/gpu", "GPU-0")
		r.expect("nvidia.com/old", "GPU-1!") // the claimed id keeps its resource, and its hardware for itself
		r.claims.end("nvidia.com/old", "GPU-1")
		synctest.Wait()
		r.expect("nvidia.com/gpu", "GPU-0 GPU-1")
		r.expect("nvidia.com/old", "GPU-1!")
		r.after(31 * time.Second)
		r.expect("nvidia.com/old", "")
		if r.regs.handler("nvidia.com/old") == nil {
			t.Error("the empty list was not kept")
		}
		r.after(10 * time.Second)
		if r.regs.handler("nvidia.com/old") != nil {
			t.Error("the empty resource is still registered")
		}
		if !r.api.says("nvidia.com/old").Remove {
			t.Error("the Node still has the name")
		}
		r.after(5 * time.Minute)
		r.api.set("nvidia.com/old", 0) // the kubelet goes on writing it for five minutes
		r.after(time.Minute)
		if !r.api.says("nvidia.com/old").Remove {
			t.Error("the Node has the name again")
		}
	}, func(c *Config) {
		claims := newFakeClaims(kubelet.Claim{Resource: "nvidia.com/old", ID: "GPU-1", Pod: "u", Namespace: "ns", Name: "p"})
		set, _ = claims.feed.Get()
		claims.feed.Set(&kubelet.ClaimSet{ByID: map[string][]kubelet.Claim{}})
		c.Claims = claims
	})
}

func TestMoveToAnotherName(t *testing.T) {
	bubble(t, mixed(), node("", ""), func(r *rig) {
		r.after(time.Second)
		s := mixed()
		s.Rules = []Rule{{Sharing: map[string]Sharing{"*": {Replicas: 2, Rename: "nvidia.com/gpu.shared"}}}}
		if _, err := r.allocate("nvidia.com/gpu", "GPU-1"); err != nil {
			t.Fatal(err)
		}
		r.settings.Set(s)
		synctest.Wait()
		r.after(400 * time.Millisecond) // pods that are bound already may come
		r.expect("nvidia.com/gpu", "GPU-0 GPU-1")
		if c := r.api.says("nvidia.com/gpu"); c.Allocatable != 0 {
			t.Errorf("the Node still says %+v", c)
		}
		r.after(200 * time.Millisecond)
		r.expect("nvidia.com/gpu", "GPU-0! GPU-1!")
		if r.regs.handler("nvidia.com/gpu.shared") != nil {
			t.Error("offered under two names")
		}
		r.after(2500 * time.Millisecond)
		r.expect("nvidia.com/gpu.shared", "GPU-0::0 GPU-0::1")
		if c := r.api.says("nvidia.com/gpu.shared"); c.Allocatable != 2 {
			t.Errorf("the Node says %+v", c)
		}
		r.after(time.Minute)
		r.expect("nvidia.com/gpu", "GPU-1!") // claimed ids never vanish
		r.claims.end("nvidia.com/gpu", "GPU-1")
		synctest.Wait()
		r.expect("nvidia.com/gpu.shared", "GPU-0::0 GPU-0::1 GPU-1::0 GPU-1::1")
	})
}
