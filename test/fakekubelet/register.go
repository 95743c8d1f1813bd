package fakekubelet

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"k8s.io/apimachinery/pkg/util/validation"
	pluginapi "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

// registrar serves kubelet.sock.
type registrar struct {
	pluginapi.UnimplementedRegistrationServer
	p *process
}

// Register connects to the plugin and asks for its options before it answers.
func (r registrar) Register(ctx context.Context, req *pluginapi.RegisterRequest) (*pluginapi.Empty, error) {
	if !slices.Contains(pluginapi.SupportedVersions[:], req.Version) {
		return nil, fmt.Errorf("requested API version %q is not supported by kubelet. Supported version is %q", req.Version, pluginapi.SupportedVersions)
	}
	if !extended(req.ResourceName) {
		return nil, fmt.Errorf("the ResourceName %q is invalid", req.ResourceName)
	}
	socket := filepath.Join(r.p.k.DevicePlugins(), req.Endpoint)
	if err := r.p.clients.connect(ctx, req.ResourceName, socket); err != nil {
		return nil, err
	}
	return &pluginapi.Empty{}, nil
}

// extended reports whether a name is one of an extended resource.
func extended(name string) bool {
	domain, _, ok := strings.Cut(name, "/")
	if !ok || strings.Contains(domain+"/", "kubernetes.io/") || strings.HasPrefix(name, "requests.") {
		return false
	}
	return len(validation.IsQualifiedName("requests."+name)) == 0
}

// client is the kubelet's connection to one plugin.
type client struct {
	resource, socket string
	conn             *grpc.ClientConn
	api              pluginapi.DevicePluginClient
	options          *pluginapi.DevicePluginOptions // nil: read from the checkpoint, not registered
	stopped          time.Time                      // zero while connected; guarded by devices.mu
}

// clients are the connections by resource. Several plugins may serve one resource, each with its own socket.
type clients struct {
	p          *process
	mu         sync.Mutex
	closed     bool                 // guarded by mu
	byResource map[string][]*client // guarded by mu
	conns      []*grpc.ClientConn   // guarded by mu
}

func (cs *clients) connect(ctx context.Context, resource, socket string) error {
	c := &client{resource: resource, socket: socket}
	cs.mu.Lock()
	cs.byResource[resource] = append(cs.byResource[resource], c)
	cs.mu.Unlock()
	err := cs.dial(ctx, c)
	if err == nil {
		err = cs.p.devices.connected(ctx, c)
	}
	if err != nil {
		// All clients with this socket are forgotten, a connected one too: its end will not be noticed. So does the kubelet.
		cs.forget(resource, socket)
		return err
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.closed {
		return ErrDown
	}
	cs.p.wg.Add(1)
	go func() {
		defer cs.p.wg.Done()
		cs.watch(c)
	}()
	return nil
}

// dial waits until the plugin's socket answers.
func (cs *clients) dial(ctx context.Context, c *client) error {
	conn, err := grpc.NewClient("passthrough:///"+c.socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("localhost"),
		grpc.WithContextDialer(func(ctx context.Context, path string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}))
	if err != nil {
		return fmt.Errorf("failed to dial device plugin: %w", err)
	}
	cs.mu.Lock()
	cs.conns = append(cs.conns, conn)
	cs.mu.Unlock()
	c.conn, c.api = conn, pluginapi.NewDevicePluginClient(conn)
	ctx, cancel := context.WithTimeout(ctx, cs.p.k.opts.DialTimeout)
	defer cancel()
	conn.Connect()
	for s := conn.GetState(); s != connectivity.Ready; s = conn.GetState() {
		if !conn.WaitForStateChange(ctx, s) {
			return fmt.Errorf("failed to dial device plugin: %w", ctx.Err())
		}
		conn.Connect()
	}
	return nil
}

// watch takes lists until the stream ends, and then disconnects whoever is known under this socket.
func (cs *clients) watch(c *client) {
	stream, err := c.api.ListAndWatch(cs.p.ctx, &pluginapi.Empty{})
	for err == nil {
		var list *pluginapi.ListAndWatchResponse
		if list, err = stream.Recv(); err == nil {
			cs.p.devices.list(c, list.Devices)
		}
	}
	cs.p.k.opts.Log.Info("ListAndWatch ended", "resource", c.resource, "socket", c.socket, "error", err)
	if cs.p.ctx.Err() != nil {
		return
	}
	cs.mu.Lock()
	i := slices.IndexFunc(cs.byResource[c.resource], func(o *client) bool { return o.socket == c.socket })
	if i >= 0 {
		c = cs.byResource[c.resource][i]
	}
	cs.mu.Unlock()
	if i < 0 {
		return
	}
	cs.forget(c.resource, c.socket)
	_ = c.conn.Close()
	cs.p.devices.disconnected(c.resource, c.socket)
}

func (cs *clients) forget(resource, socket string) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.byResource[resource] = slices.DeleteFunc(slices.Clone(cs.byResource[resource]), func(c *client) bool { return c.socket == socket })
}

func (cs *clients) close() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.closed = true
	for _, c := range cs.conns {
		_ = c.Close()
	}
}
