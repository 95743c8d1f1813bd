package plugin

import (
	"context"
	"time"

	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

// Prefix begins the name of each of our sockets.
const Prefix = "gpulet-"

// Handler answers the kubelet for one resource. Its methods come from several sockets at once while one replaces another;
// ListAndWatch sends the whole list first on each stream and then on each change until the stream's context ends.
type Handler interface {
	Options() *api.DevicePluginOptions
	ListAndWatch(ctx context.Context, send func([]*api.Device) error) error
	Preferred(ctx context.Context, r *api.PreferredAllocationRequest) (*api.PreferredAllocationResponse, error)
	Allocate(ctx context.Context, r *api.AllocateRequest) (*api.AllocateResponse, error)
	PreStart(ctx context.Context, r *api.PreStartContainerRequest) (*api.PreStartContainerResponse, error)
}

// State is where the registration of one resource stands. It is what status shows.
type State struct {
	Resource string `json:"resource"`
	// Registered: the kubelet accepted it and a stream is open.
	Registered bool   `json:"registered"`
	Socket     string `json:"socket,omitempty"` // file name
	// Reason says why it is not registered, or why it was renewed last.
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since,omitzero"`
	// Listed is when the last list went out, Devices and Healthy how many were in it.
	Listed  time.Time `json:"listed,omitzero"`
	Devices int       `json:"devices"`
	Healthy int       `json:"healthy"`
	// Renewals counts registrations after the first.
	Renewals int `json:"renewals"`
}
