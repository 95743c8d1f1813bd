package plugin_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"github.com/gpulet/gpulet/kubelet/plugin"
)

// fakeKubelet is the device manager of a kubelet as far as a plugin meets it: it cleans its directory at start, dials back within
// Register, keeps a client for each socket path, and replaces a resource's devices at each list.
type fakeKubelet struct {
	api.UnimplementedRegistrationServer
	t   *testing.T
	dir string
	// old: a client for each resource only, whose end ends its successor too, as before 1.36.
	old bool

	mu        sync.Mutex
	run       *kubeletRun
	clients   map[string]map[string]*client // by resource and endpoint
	primary   map[string]*client
	healthy   map[string][]string
	lowest    map[string]int // fewest healthy devices since lowest was reset
	registers []string       // endpoints
	endpoints map[string]bool
	reject    error
	ignore    bool // accept and never list
	hang      bool // Register does not return
	freeze    bool // lists no longer arrive
	times     map[string]time.Time
}

type kubeletRun struct {
	server *grpc.Server
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

type client struct {
	resource, endpoint string
	conn               *grpc.ClientConn
	api                api.DevicePluginClient
	options            *api.DevicePluginOptions
}

// shortDir is a directory whose path leaves room for sockets.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func newKubelet(t *testing.T, dir string) *fakeKubelet {
	k := &fakeKubelet{
		t: t, dir: dir,
		clients: map[string]map[string]*client{}, primary: map[string]*client{}, healthy: map[string][]string{},
		lowest: map[string]int{}, endpoints: map[string]bool{}, times: map[string]time.Time{},
	}
	t.Cleanup(k.stop)
	return k
}

// start cleans the directory and serves, as a kubelet does. It returns when the socket exists.
func (k *fakeKubelet) start() time.Time {
	k.t.Helper()
	if err := os.MkdirAll(k.dir, 0o750); err != nil {
		k.t.Fatal(err)
	}
	entries, err := os.ReadDir(k.dir)
	if err != nil {
		k.t.Fatal(err)
	}
	for _, e := range entries {
		if e.Type() == os.ModeSocket {
			if err := os.Remove(filepath.Join(k.dir, e.Name())); err != nil && !errors.Is(err, os.ErrNotExist) {
				k.t.Fatal(err)
			}
		}
	}
	r := &kubeletRun{server: grpc.NewServer()}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	k.mu.Lock()
	k.run = r
	k.times = map[string]time.Time{}
	k.mu.Unlock()
	api.RegisterRegistrationServer(r.server, k)
	l, err := net.Listen("unix", filepath.Join(k.dir, "kubelet.sock"))
	if err != nil {
		k.t.Fatal(err)
	}
	began := time.Now()
	r.wg.Go(func() { _ = r.server.Serve(l) })
	return began
}

// stop is the end of the kubelet's process: what it believed of health is lost.
func (k *fakeKubelet) stop() {
	k.mu.Lock()
	r := k.run
	k.run = nil
	k.mu.Unlock()
	if r == nil {
		return
	}
	r.cancel()
	r.server.Stop()
	k.mu.Lock()
	for _, cs := range k.clients {
		for _, c := range cs {
			_ = c.conn.Close()
		}
	}
	clear(k.clients)
	clear(k.primary)
	clear(k.healthy)
	k.mu.Unlock()
	r.wg.Wait()
}

func (k *fakeKubelet) Register(ctx context.Context, r *api.RegisterRequest) (*api.Empty, error) {
	k.mu.Lock()
	run, reject, hang := k.run, k.reject, k.hang
	if k.endpoints[r.Endpoint] {
		k.t.Errorf("%s was registered twice", r.Endpoint)
	}
	k.endpoints[r.Endpoint] = true
	k.registers = append(k.registers, r.Endpoint)
	k.mu.Unlock()
	if hang {
		<-ctx.Done()
	}
	if reject != nil {
		return nil, reject
	}
	if run == nil || r.Version != api.Version {
		return nil, fmt.Errorf("version %q", r.Version)
	}
	path := filepath.Join(k.dir, r.Endpoint)
	var d net.Dialer
	raw, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("failed to dial device plugin: %w", err)
	}
	_ = raw.Close()
	conn, err := grpc.NewClient("passthrough:///plugin", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", path) }))
	if err != nil {
		return nil, err
	}
	c := &client{resource: r.ResourceName, endpoint: r.Endpoint, conn: conn, api: api.NewDevicePluginClient(conn)}
	if c.options, err = c.api.GetDevicePluginOptions(ctx, &api.Empty{}); err != nil {
		_ = conn.Close()
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.clients[c.resource] == nil {
		k.clients[c.resource] = map[string]*client{}
	}
	k.clients[c.resource][c.endpoint] = c
	k.primary[c.resource] = c
	if !k.ignore {
		run.wg.Go(func() { k.listAndWatch(run, c) })
	}
	return &api.Empty{}, nil
}

func (k *fakeKubelet) listAndWatch(run *kubeletRun, c *client) {
	defer func() { _ = c.conn.Close() }()
	stream, err := c.api.ListAndWatch(run.ctx, &api.Empty{})
	for err == nil {
		var resp *api.ListAndWatchResponse
		if resp, err = stream.Recv(); err == nil {
			k.received(c, resp.Devices)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.run != run {
		return
	}
	cs := k.clients[c.resource]
	delete(cs, c.endpoint)
	if k.old { // the newest client ends, whichever stream it was
		for e, other := range cs {
			_ = other.conn.Close()
			delete(cs, e)
		}
	}
	if len(cs) == 0 {
		k.set(c.resource, nil)
		delete(k.primary, c.resource)
		return
	}
	for _, other := range cs {
		k.primary[c.resource] = other
	}
}

func (k *fakeKubelet) received(c *client, devices []*api.Device) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.freeze {
		return
	}
	var ids []string
	for _, d := range devices {
		if d.Health == api.Healthy {
			ids = append(ids, d.ID)
		}
	}
	k.set(c.resource, ids)
	if k.times[c.resource].IsZero() {
		k.times[c.resource] = time.Now()
	}
}

func (k *fakeKubelet) set(resource string, ids []string) {
	k.healthy[resource] = ids
	k.lowest[resource] = min(k.lowest[resource], len(ids))
}

// believe is a fault of the kubelet's: it thinks that these are the healthy devices.
func (k *fakeKubelet) believe(resource string, ids ...string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.set(resource, ids)
}

func (k *fakeKubelet) do(f func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f()
}

func (k *fakeKubelet) ids(resource string) []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Sorted(slices.Values(k.healthy[resource]))
}

// lists waits until the kubelet lists so many healthy devices: a list is on its way for a moment.
func (k *fakeKubelet) lists(resource string, n int) {
	k.t.Helper()
	eventually(k.t, is(fmt.Sprintf("%s has %d devices", resource, n)), func() bool { return len(k.ids(resource)) == n })
}

// registrations is how often a plugin registered.
func (k *fakeKubelet) registrations() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.registers)
}

// client is the one that allocations go to.
func (k *fakeKubelet) client(resource string) *client {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.primary[resource]
}

// Allocatable is what podresources says.
func (k *fakeKubelet) Allocatable(context.Context) (map[string][]string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.run == nil {
		return nil, errors.New("the kubelet is away")
	}
	return maps.Clone(k.healthy), nil
}

var _ plugin.View = (*fakeKubelet)(nil)
