package fakekubelet

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	pluginapi "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
	podresources "k8s.io/kubelet/pkg/apis/podresources/v1"

	"github.com/gpulet/gpulet/test/fakekubelet/checkpoint"
)

// resourcesServer serves podresources v1. It knows no UIDs and leaves out init containers that end.
type resourcesServer struct {
	podresources.UnimplementedPodResourcesListerServer
	p *process
}

// List first frees the devices of ended pods: see devices.collect for the race in that.
func (s resourcesServer) List(context.Context, *podresources.ListPodResourcesRequest) (*podresources.ListPodResourcesResponse, error) {
	objects := s.p.k.objects(func(r *pod) bool { return !r.ended })
	s.p.devices.collect()
	resp := &podresources.ListPodResourcesResponse{}
	for _, o := range objects {
		resp.PodResources = append(resp.PodResources, s.pod(o))
	}
	return resp, nil
}

// Get finds a pod by its name, an ended one too.
func (s resourcesServer) Get(_ context.Context, req *podresources.GetPodResourcesRequest) (*podresources.GetPodResourcesResponse, error) {
	found := s.p.k.objects(func(r *pod) bool { return r.object.Namespace == req.PodNamespace && r.object.Name == req.PodName })
	if len(found) == 0 {
		return nil, fmt.Errorf("pod %s in namespace %s not found", req.PodName, req.PodNamespace)
	}
	return &podresources.GetPodResourcesResponse{PodResources: s.pod(found[0])}, nil
}

// GetAllocatableResources lists the healthy devices.
func (s resourcesServer) GetAllocatableResources(context.Context, *podresources.AllocatableResourcesRequest) (*podresources.AllocatableResourcesResponse, error) {
	d := s.p.devices
	d.mu.Lock()
	defer d.mu.Unlock()
	resp := &podresources.AllocatableResourcesResponse{}
	for r, ids := range d.healthy {
		for id := range ids {
			resp.Devices = append(resp.Devices, oneDevice(r, id, numa(d.all[r][id]))...)
		}
	}
	return resp, nil
}

func (s resourcesServer) pod(o *corev1.Pod) *podresources.PodResources {
	out := &podresources.PodResources{Name: o.Name, Namespace: o.Namespace}
	d := s.p.devices
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range containers(o) {
		if kind, _ := kindOf(o, c.Name); kind == Init {
			continue
		}
		rc := &podresources.ContainerResources{Name: c.Name}
		for r, v := range d.held[string(o.UID)][c.Name] {
			nodes := map[string][]int64{}
			for node, ids := range v.ids {
				for _, id := range ids {
					nodes[id] = append(nodes[id], node)
				}
			}
			for id, at := range nodes {
				rc.Devices = append(rc.Devices, oneDevice(r, id, at)...)
			}
		}
		out.Containers = append(out.Containers, rc)
	}
	return out
}

func numa(dev *pluginapi.Device) (nodes []int64) {
	for _, n := range dev.GetTopology().GetNodes() {
		nodes = append(nodes, n.ID)
	}
	return nodes
}

// oneDevice is one entry per NUMA node, or one without.
func oneDevice(resource, id string, nodes []int64) (out []*podresources.ContainerDevices) {
	if len(nodes) == 0 || nodes[0] == checkpoint.NoNUMA {
		return []*podresources.ContainerDevices{{ResourceName: resource, DeviceIds: []string{id}}}
	}
	for _, n := range nodes {
		out = append(out, &podresources.ContainerDevices{
			ResourceName: resource, DeviceIds: []string{id},
			Topology: &podresources.TopologyInfo{Nodes: []*podresources.NUMANode{{ID: n}}},
		})
	}
	return out
}
