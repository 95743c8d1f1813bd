package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	pluginapi "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
	podresources "k8s.io/kubelet/pkg/apis/podresources/v1"
	specs "tags.cncf.io/container-device-interface/specs-go"

	"github.com/gpulet/gpulet/test/fakekubelet/checkpoint"
)

// files are where a kubelet, fake or real, and the agent leave what the scenario shows.
type files struct{ devicePlugins, podResources, cdi string }

// healthyDevices asks the kubelet for the healthy devices of a resource, sorted.
func (f files) healthyDevices(ctx context.Context, resource string) ([]string, error) {
	conn, err := grpc.NewClient("unix://"+f.podResources, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	all, err := podresources.NewPodResourcesListerClient(conn).GetAllocatableResources(ctx, &podresources.AllocatableResourcesRequest{})
	if err != nil {
		return nil, err
	}
	ids := map[string]bool{} // a device with two NUMA nodes is there twice
	for _, d := range all.Devices {
		if d.ResourceName == resource {
			for _, id := range d.DeviceIds {
				ids[id] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(ids)), nil
}

// granted is what the kubelet's checkpoint says of a pod.
func (f files) granted(uid string) (g grant, err error) {
	entries, _, err := checkpoint.Read(f.devicePlugins)
	if err != nil {
		return grant{}, err
	}
	for _, e := range entries {
		if e.PodUID != uid {
			continue
		}
		var answer pluginapi.ContainerAllocateResponse
		if err := proto.Unmarshal(e.AllocResp, &answer); err != nil {
			return grant{}, fmt.Errorf("the stored answer for pod %s: %w", uid, err)
		}
		g.devices = append(g.devices, slices.Collect(maps.Keys(e.DeviceIDs.IDs()))...)
		for _, d := range answer.CdiDevices {
			g.cdi = append(g.cdi, d.Name)
		}
	}
	if len(g.devices) == 0 {
		return grant{}, fmt.Errorf("the kubelet's checkpoint has no device of pod %s", uid)
	}
	slices.Sort(g.devices)
	slices.Sort(g.cdi)
	g.uid = uid
	g.nodes, err = f.deviceNodes(g.cdi)
	return g, err
}

// deviceNodes are the device nodes that CDI names stand for, as a container runtime finds them.
func (f files) deviceNodes(names []string) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(f.cdi, "*.json"))
	if err != nil {
		return nil, err
	}
	found, nodes := 0, map[string]bool{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		var s specs.Spec
		if err := json.Unmarshal(data, &s); err != nil {
			return nil, fmt.Errorf("CDI spec %s: %w", path, err)
		}
		for _, d := range s.Devices {
			if !slices.Contains(names, s.Kind+"="+d.Name) {
				continue
			}
			found++
			for _, n := range slices.Concat(s.ContainerEdits.DeviceNodes, d.ContainerEdits.DeviceNodes) {
				nodes[n.Path] = true
			}
		}
	}
	if found != len(names) {
		return nil, fmt.Errorf("of the CDI names %s only %d resolve", strings.Join(names, ", "), found)
	}
	return slices.Sorted(maps.Keys(nodes)), nil
}
