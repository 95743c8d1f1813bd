package plugin

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"github.com/gpulet/gpulet/kubelet"
)

// server serves one handler on one socket, from its first registration to its end.
type server struct {
	api.UnimplementedDevicePluginServer
	cfg      Config
	metrics  *metrics
	resource string
	handler  Handler
	onList   func(s *server, l list) // called before anybody else is told of a list

	path   string
	grpc   *grpc.Server
	served chan struct{} // closed when the listener is closed
	calls  kubelet.Gate  // entered by each call but ListAndWatch until its answer is on the way

	streams    context.Context // ends all streams
	endStreams context.CancelFunc

	listed chan struct{} // closed when the first list was sent
	ended  chan struct{} // closed when the last open stream ended

	mu   sync.Mutex
	open int  // streams; guarded by mu
	last list // guarded by mu
}

// list is what was sent on a stream. Immutable.
type list struct {
	number  uint64 // of this server, from 1
	at      time.Time
	devices int
	healthy map[string]bool
}

// serve listens on a new socket.
func serve(ctx context.Context, cfg Config, m *metrics, resource string, h Handler, onList func(*server, list)) (*server, error) {
	l, path, err := listen(ctx, cfg.Dir, resource)
	if err != nil {
		return nil, err
	}
	s := &server{
		cfg: cfg, metrics: m, resource: resource, handler: h, onList: onList, path: path,
		served: make(chan struct{}), listed: make(chan struct{}), ended: make(chan struct{}),
	}
	s.streams, s.endStreams = context.WithCancel(context.WithoutCancel(ctx))
	s.grpc = grpc.NewServer(grpc.WaitForHandlers(true), grpc.StatsHandler(answers{&s.calls}),
		grpc.UnaryInterceptor(s.unary), grpc.StreamInterceptor(s.stream))
	api.RegisterDevicePluginServer(s.grpc, s)
	go s.accept(l)
	return s, nil
}

func (s *server) accept(l net.Listener) {
	defer close(s.served)
	if err := s.grpc.Serve(l); err != nil {
		s.cfg.Log.Error("stopped serving", "resource", s.resource, "socket", s.name(), "err", err)
	}
}

func (s *server) name() string { return filepath.Base(s.path) }

// close waits for calls that are under way, because the kubelet closes its connection with the stream: up to grace, and no longer
// than stopGrace once ctx has ended. Then it ends the streams and removes the socket.
func (s *server) close(ctx context.Context, grace time.Duration) {
	waiting, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(stopGrace, cancel) })()
	_ = s.calls.Wait(waiting) // too late is as good as done
	s.endStreams()
	stopped := make(chan struct{})
	go func() { s.grpc.GracefulStop(); close(stopped) }()
	select {
	case <-stopped:
	case <-waiting.Done():
		s.grpc.Stop()
		<-stopped
	}
	<-s.served
}

// sent is the last list.
func (s *server) sent() list {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// GetDevicePluginOptions is called by the kubelet within Register.
func (s *server) GetDevicePluginOptions(context.Context, *api.Empty) (*api.DevicePluginOptions, error) {
	return s.handler.Options(), nil
}

// ListAndWatch notes what goes out.
func (s *server) ListAndWatch(_ *api.Empty, stream grpc.ServerStreamingServer[api.ListAndWatchResponse]) error {
	s.mu.Lock()
	s.open++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.open--; s.open == 0 {
			closeOnce(s.ended)
		}
	}()
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	defer context.AfterFunc(s.streams, cancel)()
	return s.handler.ListAndWatch(ctx, func(devices []*api.Device) error {
		if err := stream.Send(&api.ListAndWatchResponse{Devices: devices}); err != nil {
			return err
		}
		s.note(devices)
		return nil
	})
}

func (s *server) note(devices []*api.Device) {
	l := list{at: s.cfg.Clock(), devices: len(devices), healthy: make(map[string]bool, len(devices))}
	for _, d := range devices {
		if d.GetHealth() == api.Healthy {
			l.healthy[d.GetID()] = true
		}
	}
	s.mu.Lock()
	l.number = s.last.number + 1
	s.last = l
	s.mu.Unlock()
	s.onList(s, l)
	s.mu.Lock()
	closeOnce(s.listed)
	s.mu.Unlock()
}

// closeOnce needs the lock under which the channel is closed.
func closeOnce(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}

// pickPause is how long the gate stays closed after a preference. The kubelet picks then and calls Allocate, and a podresources
// List in between makes it forget the pick as one within Allocate does (manager.go of devicemanager, 1.37.2).
const pickPause = 100 * time.Millisecond

// GetPreferredAllocation is an allocation to the gate, until its Allocate has begun.
func (s *server) GetPreferredAllocation(ctx context.Context, r *api.PreferredAllocationRequest) (*api.PreferredAllocationResponse, error) {
	defer time.AfterFunc(pickPause, s.cfg.Gate.Enter())
	return s.handler.Preferred(ctx, r)
}

// Allocate is an allocation to the gate.
func (s *server) Allocate(ctx context.Context, r *api.AllocateRequest) (*api.AllocateResponse, error) {
	defer s.cfg.Gate.Enter()()
	return s.handler.Allocate(ctx, r)
}

// PreStartContainer may take long.
func (s *server) PreStartContainer(ctx context.Context, r *api.PreStartContainerRequest) (*api.PreStartContainerResponse, error) {
	return s.handler.PreStart(ctx, r)
}

// unary times and guards each call.
func (s *server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (resp any, err error) {
	began := time.Now()
	method := filepath.Base(info.FullMethod)
	defer func() {
		if p := recover(); p != nil {
			resp, err = nil, s.panicked(method, p)
		}
		s.metrics.call(s.resource, method, time.Since(began), err)
	}()
	return next(ctx, req)
}

// stream guards ListAndWatch.
func (s *server) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = s.panicked(filepath.Base(info.FullMethod), p)
		}
	}()
	return next(srv, stream)
}

// panicked turns a panic into an error: one bad call does not take the node's other devices away.
func (s *server) panicked(method string, p any) error {
	s.cfg.Log.Error("a call panicked", slog.String("resource", s.resource), slog.String("method", method), slog.Any("panic", p),
		slog.String("stack", string(debug.Stack())))
	return status.Errorf(codes.Internal, "%s of %s failed inside gpulet: %v", method, s.resource, p)
}
