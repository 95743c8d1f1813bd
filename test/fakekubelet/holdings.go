package fakekubelet

import (
	"maps"

	"google.golang.org/protobuf/proto"
	pluginapi "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"github.com/gpulet/gpulet/test/fakekubelet/checkpoint"
)

// holdings are the devices that containers have, by pod UID, container and resource. They outlive the kubelet in its checkpoint.
type holdings map[string]map[string]map[string]holding

type holding struct {
	ids    checkpoint.DevicesPerNUMA
	answer *pluginapi.ContainerAllocateResponse
}

func (h holdings) put(uid, container, resource string, v holding) {
	if h[uid] == nil {
		h[uid] = map[string]map[string]holding{}
	}
	if h[uid][container] == nil {
		h[uid][container] = map[string]holding{}
	}
	h[uid][container][resource] = v
}

// ids are what a container has of a resource; nil when it never got any.
func (h holdings) ids(uid, container, resource string) set {
	v, ok := h[uid][container][resource]
	if !ok {
		return nil
	}
	return v.ids.IDs()
}

func (h holdings) allocated() map[string]set {
	out := map[string]set{}
	for _, containers := range h {
		for _, resources := range containers {
			for r, v := range resources {
				if out[r] == nil {
					out[r] = set{}
				}
				maps.Copy(out[r], v.ids.IDs())
			}
		}
	}
	return out
}

func (h holdings) entries() []checkpoint.PodDevicesEntry {
	var out []checkpoint.PodDevicesEntry
	for uid, containers := range h {
		for container, resources := range containers {
			for r, v := range resources {
				answer, err := proto.Marshal(v.answer)
				if err != nil { // cannot be: it came as such a message
					continue
				}
				out = append(out, checkpoint.PodDevicesEntry{PodUID: uid, ContainerName: container, ResourceName: r, DeviceIDs: v.ids, AllocResp: answer})
			}
		}
	}
	return out
}

func (h holdings) restore(entries []checkpoint.PodDevicesEntry) {
	for _, e := range entries {
		answer := &pluginapi.ContainerAllocateResponse{}
		if proto.Unmarshal(e.AllocResp, answer) == nil {
			h.put(e.PodUID, e.ContainerName, e.ResourceName, holding{e.DeviceIDs, answer})
		}
	}
}

// given merges the answers for a container. Of two that set the same name the first wins, and the order is not defined.
func (h holdings) given(uid, container string) Given {
	g := Given{Env: map[string]string{}, Annotations: map[string]string{}}
	cdi, nodes, mounts := set{}, set{}, set{}
	first := func(into, from map[string]string) {
		for name, value := range from {
			if _, ok := into[name]; !ok {
				into[name] = value
			}
		}
	}
	for _, v := range h[uid][container] {
		first(g.Env, v.answer.Envs)
		first(g.Annotations, v.answer.Annotations)
		for _, d := range v.answer.CdiDevices {
			cdi[d.Name] = true
		}
		for _, n := range v.answer.Devices {
			if !nodes[n.ContainerPath] {
				nodes[n.ContainerPath] = true
				g.Devices = append(g.Devices, Node{n.ContainerPath, n.HostPath, n.Permissions})
			}
		}
		for _, m := range v.answer.Mounts {
			if !mounts[m.ContainerPath] {
				mounts[m.ContainerPath] = true
				g.Mounts = append(g.Mounts, Mount{m.ContainerPath, m.HostPath, m.ReadOnly})
			}
		}
	}
	g.CDI = keys(cdi)
	return g
}
