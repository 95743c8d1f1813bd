package plugin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

// registerTimeout is longer than the 10 s that the kubelet gives itself to dial back within Register.
const registerTimeout = 15 * time.Second

// register makes the kubelet listen to a server that already serves, and returns when the first list is out.
func (s *server) register(ctx context.Context) error {
	path := filepath.Join(s.cfg.Dir, kubeletSocket)
	conn, err := grpc.NewClient("passthrough:///kubelet",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithAuthority("localhost"),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		}))
	if err != nil {
		return fmt.Errorf("connect to the kubelet: %w", err)
	}
	defer func() { _ = conn.Close() }()
	rctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	_, err = api.NewRegistrationClient(conn).Register(rctx, &api.RegisterRequest{
		Version:      api.Version,
		Endpoint:     s.name(),
		ResourceName: s.resource,
		Options:      s.handler.Options(),
	})
	if err != nil {
		return fmt.Errorf("the kubelet does not accept the registration: %s", status.Convert(err).Message())
	}
	return s.awaitList(ctx)
}

func (s *server) awaitList(ctx context.Context) error {
	timer := time.NewTimer(s.cfg.FirstList)
	defer timer.Stop()
	select {
	case <-s.listed:
		return nil
	case <-s.ended:
		return errors.New("the first stream ended before a list was sent")
	case <-timer.C:
		return fmt.Errorf("the kubelet accepted the registration and took no list within %s", s.cfg.FirstList)
	case <-ctx.Done():
		return ctx.Err()
	}
}
