package kubelettest

import (
	"context"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

// Plugin is a plain device plugin: it lists what it is told to, prefers nothing of its own and answers with one variable, IDS.
// Its fields are set before Listen and not changed after.
type Plugin struct {
	api.UnimplementedDevicePluginServer
	Resource string
	Options  api.DevicePluginOptions
	// OnPreferred, OnAllocate and OnPreStart answer instead of the defaults.
	OnPreferred func(*api.ContainerPreferredAllocationRequest) ([]string, error)
	OnAllocate  func(ids []string) error
	OnPreStart  func(ids []string) error

	dir, socket string
	server      *grpc.Server
	served      sync.WaitGroup

	mu        sync.Mutex
	devices   map[string]*api.Device // guarded by mu
	changed   chan struct{}          // closed at the next change; guarded by mu
	asked     []*api.AllocateRequest // guarded by mu
	started   [][]string             // guarded by mu
	preferred []*api.ContainerPreferredAllocationRequest
}

// Listen serves the plugin on a socket with this file name in dir, and stops with the test.
func (p *Plugin) Listen(t testing.TB, dir, socket string) {
	t.Helper()
	p.mu.Lock()
	if p.changed == nil {
		p.changed, p.devices = make(chan struct{}), map[string]*api.Device{}
	}
	p.mu.Unlock()
	p.dir, p.socket = dir, socket
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", filepath.Join(dir, socket))
	if err != nil {
		t.Fatal(err)
	}
	p.server = grpc.NewServer()
	api.RegisterDevicePluginServer(p.server, p)
	p.served.Add(1)
	go func() {
		defer p.served.Done()
		_ = p.server.Serve(l)
	}()
	t.Cleanup(p.Close)
}

// Close ends the plugin and its streams.
func (p *Plugin) Close() {
	p.server.Stop()
	p.served.Wait()
}

// Register tells the kubelet of the plugin.
func (p *Plugin) Register(ctx context.Context) error {
	return Register(ctx, p.dir, &api.RegisterRequest{Version: api.Version, Endpoint: p.socket, ResourceName: p.Resource})
}

// Register makes a registration as it is given.
func Register(ctx context.Context, dir string, r *api.RegisterRequest) error {
	conn, err := dial(filepath.Join(dir, "kubelet.sock"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_, err = api.NewRegistrationClient(conn).Register(ctx, r, grpc.WaitForReady(true))
	return err
}

func dial(socket string) (*grpc.ClientConn, error) {
	return grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
}

// Offer replaces the list by healthy devices with these ids.
func (p *Plugin) Offer(ids ...string) {
	p.Change(func(all map[string]*api.Device) {
		clear(all)
		for _, id := range ids {
			all[id] = &api.Device{ID: id, Health: api.Healthy}
		}
	})
}

// Change changes the list and sends it.
func (p *Plugin) Change(f func(all map[string]*api.Device)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changed == nil {
		p.changed, p.devices = make(chan struct{}), map[string]*api.Device{}
	}
	next := maps.Clone(p.devices)
	f(next)
	p.devices = next
	close(p.changed)
	p.changed = make(chan struct{})
}

// Allocated are the Allocate requests so far, PreStarted the ids of the PreStartContainer requests.
func (p *Plugin) Allocated() []*api.AllocateRequest {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

// PreStarted are the ids of each PreStartContainer so far, sorted.
func (p *Plugin) PreStarted() [][]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.started)
}

// Asked are the GetPreferredAllocation requests so far.
func (p *Plugin) Asked() []*api.ContainerPreferredAllocationRequest {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.preferred)
}

// GetDevicePluginOptions implements the device plugin API, as do the following.
func (p *Plugin) GetDevicePluginOptions(context.Context, *api.Empty) (*api.DevicePluginOptions, error) {
	return &api.DevicePluginOptions{
		PreStartRequired:                p.Options.PreStartRequired,
		GetPreferredAllocationAvailable: p.Options.GetPreferredAllocationAvailable,
	}, nil
}

// ListAndWatch sends the list and each change.
func (p *Plugin) ListAndWatch(_ *api.Empty, stream api.DevicePlugin_ListAndWatchServer) error {
	for {
		p.mu.Lock()
		list, changed := slices.Collect(maps.Values(p.devices)), p.changed
		p.mu.Unlock()
		if err := stream.Send(&api.ListAndWatchResponse{Devices: list}); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-stream.Context().Done():
			return nil
		}
	}
}

// GetPreferredAllocation asks OnPreferred.
func (p *Plugin) GetPreferredAllocation(_ context.Context, r *api.PreferredAllocationRequest) (*api.PreferredAllocationResponse, error) {
	p.mu.Lock()
	p.preferred = append(p.preferred, r.ContainerRequests[0])
	p.mu.Unlock()
	resp := &api.ContainerPreferredAllocationResponse{}
	if p.OnPreferred != nil {
		var err error
		if resp.DeviceIDs, err = p.OnPreferred(r.ContainerRequests[0]); err != nil {
			return nil, err
		}
	}
	return &api.PreferredAllocationResponse{ContainerResponses: []*api.ContainerPreferredAllocationResponse{resp}}, nil
}

// Allocate answers with the ids in IDS.
func (p *Plugin) Allocate(_ context.Context, r *api.AllocateRequest) (*api.AllocateResponse, error) {
	p.mu.Lock()
	p.asked = append(p.asked, r)
	p.mu.Unlock()
	resp := &api.AllocateResponse{}
	for _, c := range r.ContainerRequests {
		if p.OnAllocate != nil {
			if err := p.OnAllocate(c.DevicesIds); err != nil {
				return nil, err
			}
		}
		resp.ContainerResponses = append(resp.ContainerResponses, &api.ContainerAllocateResponse{Envs: map[string]string{"IDS": fmt.Sprint(sorted(c.DevicesIds))}})
	}
	return resp, nil
}

// PreStartContainer asks OnPreStart.
func (p *Plugin) PreStartContainer(_ context.Context, r *api.PreStartContainerRequest) (*api.PreStartContainerResponse, error) {
	p.mu.Lock()
	p.started = append(p.started, sorted(r.DevicesIds))
	p.mu.Unlock()
	if p.OnPreStart != nil {
		if err := p.OnPreStart(r.DevicesIds); err != nil {
			return nil, err
		}
	}
	return &api.PreStartContainerResponse{}, nil
}

func sorted(ids []string) []string { return slices.Sorted(slices.Values(ids)) }

// Start makes a plugin with devices, and registers it under a socket name that is new.
func Start(t testing.TB, dir string, p *Plugin, ids ...string) *Plugin {
	t.Helper()
	p.Offer(ids...)
	p.Listen(t, dir, nextSocket())
	if err := p.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

func nextSocket() string { return fmt.Sprintf("plain-%d.sock", socketNumber.Add(1)) }

var socketNumber atomic.Int64
