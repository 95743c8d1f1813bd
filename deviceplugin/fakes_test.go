package deviceplugin

import (
	"context"
	"errors"
	"maps"
	"sync"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
	"github.com/gpulet/gpulet/kubelet/plugin"
)

// fakeClaims opens claims of nobody and ends them when told.
type fakeClaims struct {
	feed *gpu.Feed[*kubelet.ClaimSet]
	mu   sync.Mutex
	pod  kubelet.UID // whose claims Open opens; empty: nobody knows
}

func newFakeClaims(claims ...kubelet.Claim) *fakeClaims {
	f := &fakeClaims{feed: gpu.NewFeed(&kubelet.ClaimSet{Complete: true, ByID: map[string][]kubelet.Claim{}})}
	f.add(claims...)
	return f
}

func (f *fakeClaims) Feed() *gpu.Feed[*kubelet.ClaimSet] { return f.feed }

func (f *fakeClaims) change(edit func(map[string][]kubelet.Claim)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	old, _ := f.feed.Get()
	next := map[string][]kubelet.Claim{}
	for id, list := range old.ByID {
		next[id] = append([]kubelet.Claim(nil), list...)
	}
	edit(next)
	f.feed.Set(&kubelet.ClaimSet{Complete: true, ByID: next})
}

func (f *fakeClaims) add(claims ...kubelet.Claim) {
	f.change(func(m map[string][]kubelet.Claim) {
		for _, c := range claims {
			m[c.ID] = append(m[c.ID], c)
		}
	})
}

func (f *fakeClaims) Open(resource string, ids []string) {
	for _, id := range ids {
		f.add(kubelet.Claim{Resource: resource, ID: id, Pod: f.pod, Namespace: "default", Name: string(f.pod)})
	}
}

// end ends the claims of a resource's id.
func (f *fakeClaims) end(resource, id string) {
	f.change(func(m map[string][]kubelet.Claim) {
		var rest []kubelet.Claim
		for _, c := range m[id] {
			if c.Resource != resource {
				rest = append(rest, c)
			}
		}
		if m[id] = rest; len(rest) == 0 {
			delete(m, id)
		}
	})
}

func (f *fakeClaims) Owner(_ context.Context, resource string, ids []string) (kubelet.Claim, bool) {
	set, _ := f.feed.Get()
	for _, id := range ids {
		for _, c := range set.ByID[id] {
			if c.Resource == resource && c.Pod != "" {
				return c, true
			}
		}
	}
	return kubelet.Claim{}, false
}

// fakeSpecs has a spec for everything, except what is in missing.
type fakeSpecs struct {
	mu      sync.Mutex
	missing map[string]bool
	changed chan struct{} // as that of a feed
}

func newFakeSpecs() *fakeSpecs {
	return &fakeSpecs{missing: map[string]bool{}, changed: make(chan struct{})}
}

func (f *fakeSpecs) Changed() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed
}

func (f *fakeSpecs) set(id string, missing bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.missing[id] = missing
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fakeSpecs) Name(d gpu.Device) string { return "gpulet.dev/gpu=" + d.Base().ID() }
func (f *fakeSpecs) DriverName() string       { return "gpulet.dev/driver=all" }

func (f *fakeSpecs) Ready(d gpu.Device) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.missing[d.Base().ID()] {
		return errors.New("its spec is not written")
	}
	return nil
}

func (f *fakeSpecs) Nodes(d gpu.Device) ([]DeviceNode, error) {
	return []DeviceNode{{"/dev/nvidiactl", "/dev/nvidiactl"}, {"/dev/" + d.Base().ID(), "/host/dev/" + d.Base().ID()}}, f.Ready(d)
}

// fakeRegistrar remembers what it was told.
type fakeRegistrar struct {
	feed *gpu.Feed[map[string]plugin.Handler]
}

func newFakeRegistrar() *fakeRegistrar {
	return &fakeRegistrar{gpu.NewFeed(map[string]plugin.Handler{})}
}

func (f *fakeRegistrar) Set(h map[string]plugin.Handler)   { f.feed.Set(maps.Clone(h)) }
func (f *fakeRegistrar) States() *gpu.Feed[[]plugin.State] { return gpu.NewFeed[[]plugin.State](nil) }

func (f *fakeRegistrar) handler(resource string) plugin.Handler {
	h, _ := f.feed.Get()
	return h[resource]
}
