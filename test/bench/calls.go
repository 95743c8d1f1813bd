package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

// callFigures are the figures of one node: medians over the agents that were measured.
type callFigures struct {
	node    string
	empty   float64 // seconds: the median call of an RPC without work
	methods []methodFigure
}

// methodFigure is one method: the handler's 99th percentile as the agent counts it (the upper bound of its bucket), and the median
// call over the socket; seconds.
type methodFigure struct {
	name      string
	p99, call float64
}

// method is one call of the kubelet, for the i-th device.
type method struct {
	name string
	call func(ctx context.Context, c api.DevicePluginClient, ids []string, i int) error
}

func methods() []method {
	return []method{
		{"GetDevicePluginOptions", func(ctx context.Context, c api.DevicePluginClient, _ []string, _ int) error {
			_, err := c.GetDevicePluginOptions(ctx, &api.Empty{})
			return err
		}},
		{"GetPreferredAllocation", func(ctx context.Context, c api.DevicePluginClient, ids []string, _ int) error {
			_, err := c.GetPreferredAllocation(ctx, &api.PreferredAllocationRequest{ContainerRequests: []*api.ContainerPreferredAllocationRequest{{AvailableDeviceIDs: ids, AllocationSize: 2}}})
			return err
		}},
		{"Allocate", func(ctx context.Context, c api.DevicePluginClient, ids []string, i int) error { // each device once, as a kubelet does
			_, err := c.Allocate(ctx, &api.AllocateRequest{ContainerRequests: []*api.ContainerAllocateRequest{{DevicesIds: []string{ids[i]}}}})
			return err
		}},
	}
}

// measureCalls calls agents as the kubelet does, while every GPU of the node hangs.
func measureCalls(ctx context.Context, dir, binary string, n node, runs int) (*callFigures, error) {
	f := &callFigures{node: n.name}
	calls, p99s := map[string][]float64{}, map[string][]float64{}
	for i := range runs {
		b, err := begin(ctx, filepath.Join(dir, strconv.Itoa(i)), binary, n)
		if err != nil {
			return nil, err
		}
		if err := errors.Join(b.calls(ctx, n, calls, p99s), b.end()); err != nil {
			return nil, err
		}
	}
	for _, m := range methods() {
		if m.name == "GetDevicePluginOptions" {
			f.empty = median(calls[m.name])
		} else {
			f.methods = append(f.methods, methodFigure{name: m.name, call: median(calls[m.name]), p99: median(p99s[m.name])})
		}
	}
	return f, nil
}

// calls adds one agent's figures: by method the median call and the handler's 99th percentile.
func (b *bed) calls(ctx context.Context, n node, calls, p99s map[string][]float64) error {
	lists := b.kubelet.Lists(n.resource)
	last := lists[len(lists)-1]
	ids := slices.Sorted(maps.Keys(last.Health))
	for g := range b.sim.Model.Status().GPUs {
		if err := b.sim.Hang(ctx, g, true); err != nil {
			return err
		}
	}
	defer func() { _ = b.sim.ClearFaults(ctx, -1) }()
	conn, err := grpc.NewClient("unix://"+filepath.Join(b.kubelet.DevicePlugins(), last.Socket), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	c := api.NewDevicePluginClient(conn)
	for _, m := range methods() {
		var took []float64
		for i := range ids {
			began := time.Now()
			if err := m.call(ctx, c, ids, i); err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
			took = append(took, time.Since(began).Seconds())
		}
		calls[m.name] = append(calls[m.name], median(took))
		p99, err := b.handlerP99(ctx, n.resource, m.name)
		if err != nil && m.name != "GetDevicePluginOptions" {
			return err
		}
		p99s[m.name] = append(p99s[m.name], p99)
	}
	return nil
}

func median(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	return v[len(v)/2]
}
