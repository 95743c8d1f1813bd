package deviceplugin

import (
	"context"

	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

// PreStart implements plugin.Handler.
func (l *list) PreStart(context.Context, *api.PreStartContainerRequest) (*api.PreStartContainerResponse, error) {
	return &api.PreStartContainerResponse{}, nil
}

func (d *desk) trouble(string) string { return "" }
