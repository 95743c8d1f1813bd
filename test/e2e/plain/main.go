// Command plain is a device plugin as people write them from the example: a fixed socket name, no account of its own, registered
// anew when the kubelet's socket is created. The tests count what it loses beside what gpulet loses.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

func main() {
	dir := flag.String("dir", "/var/lib/kubelet/device-plugins", "the device-plugins directory")
	resource := flag.String("resource", "example.com/plain", "the resource")
	count := flag.Int("count", 8, "how many devices it has")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	for ctx.Err() == nil {
		if err := serve(ctx, *dir, *resource, *count); err != nil {
			slog.Warn("serve", "error", err)
			time.Sleep(time.Second)
		}
	}
}

// serve registers and goes on until the kubelet's socket is another one.
func serve(ctx context.Context, dir, resource string, count int) error {
	path := filepath.Join(dir, "plain.sock")
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return err
	}
	s := grpc.NewServer()
	api.RegisterDevicePluginServer(s, &plugin{count: count, ctx: ctx})
	go func() { _ = s.Serve(l) }()
	defer s.Stop()
	kubelet := filepath.Join(dir, "kubelet.sock")
	before, err := os.Stat(kubelet)
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient("unix://"+kubelet, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if _, err := api.NewRegistrationClient(conn).Register(ctx, &api.RegisterRequest{Version: api.Version, Endpoint: "plain.sock", ResourceName: resource}); err != nil {
		return fmt.Errorf("register: %w", err)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(5 * time.Millisecond):
		}
		if now, err := os.Stat(kubelet); err == nil && !os.SameFile(before, now) {
			return nil
		}
	}
}

type plugin struct {
	api.UnimplementedDevicePluginServer
	count int
	ctx   context.Context //nolint:containedctx // it ends the streams when the program is told to stop
}

func (p *plugin) GetDevicePluginOptions(context.Context, *api.Empty) (*api.DevicePluginOptions, error) {
	return &api.DevicePluginOptions{}, nil
}

func (p *plugin) ListAndWatch(_ *api.Empty, s grpc.ServerStreamingServer[api.ListAndWatchResponse]) error {
	var list []*api.Device
	for i := range p.count {
		list = append(list, &api.Device{ID: fmt.Sprintf("plain-%d", i), Health: api.Healthy})
	}
	if err := s.Send(&api.ListAndWatchResponse{Devices: list}); err != nil {
		return err
	}
	select {
	case <-p.ctx.Done():
	case <-s.Context().Done():
	}
	return nil
}

func (p *plugin) Allocate(_ context.Context, r *api.AllocateRequest) (*api.AllocateResponse, error) {
	out := &api.AllocateResponse{}
	for range r.ContainerRequests {
		out.ContainerResponses = append(out.ContainerResponses, &api.ContainerAllocateResponse{})
	}
	return out, nil
}
