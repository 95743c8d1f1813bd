package agent

import (
	"context"
	"errors"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	"github.com/gpulet/gpulet/agent/config"
	"github.com/gpulet/gpulet/apiserver"
	"github.com/gpulet/gpulet/deviceplugin"
	"github.com/gpulet/gpulet/kubelet"
)

// cluster is the API server as far as it is used. Without it the agent runs on.
type cluster struct {
	client *apiserver.Client // nil when it is not used
	reason string            // why it is not used
}

// newCluster decides whether the API server is used. The error is of a configuration that asks for it and cannot have it.
func newCluster(p config.Process, log *slog.Logger) (*cluster, error) {
	if p.APIServer == "off" {
		return &cluster{reason: "it is switched off"}, nil
	}
	client, err := apiserver.New(apiserver.Config{Kubeconfig: p.Kubeconfig, Node: p.NodeName, Log: log})
	if err == nil {
		return &cluster{client: client}, nil
	}
	if p.APIServer == "on" || p.NodeName != "" && !errors.Is(err, apiserver.ErrNone) {
		return nil, err
	}
	log.Info("the API server is not used", "reason", err)
	return &cluster{reason: err.Error()}, nil
}

func (c *cluster) run(ctx context.Context) error {
	if c.client == nil {
		<-ctx.Done()
		return nil
	}
	return c.client.Run(ctx)
}

// source tells whether the API server answers.
func (c *cluster) source() Source {
	const name = "the API server"
	if c.client == nil {
		return Source{name, true, "not used: " + c.reason}
	}
	if _, known := c.client.Allocatable(); !known {
		return Source{name, false, "this Node is not known from it yet"}
	}
	return Source{name, true, ""}
}

func (c *cluster) podSources() []kubelet.PodSource {
	if c.client == nil {
		return nil
	}
	return []kubelet.PodSource{c.client.Pods()}
}

func (c *cluster) node() deviceplugin.Node {
	if c.client == nil {
		return nil
	}
	return thisNode{c.client}
}

func (c *cluster) events() deviceplugin.Events {
	if c.client == nil {
		return nil
	}
	return events{c.client.Events()}
}

func (c *cluster) collectors() []prometheus.Collector {
	if c.client == nil {
		return nil
	}
	return c.client.Collectors()
}

// thisNode is the Node in the words of the device plugin.
type thisNode struct{ *apiserver.Client }

func (n thisNode) PatchResources(ctx context.Context, counts map[string]deviceplugin.Count) error {
	out := make(map[string]apiserver.Count, len(counts))
	for resource, c := range counts {
		out[resource] = apiserver.Count(c)
	}
	return n.Client.PatchResources(ctx, out)
}

// events are Events in the words of the device plugin.
type events struct{ *apiserver.Events }

func (e events) Pod(namespace, name string, uid kubelet.UID, warning bool, reason, message string) {
	e.Events.Pod(namespace, name, types.UID(uid), warning, reason, message)
}
