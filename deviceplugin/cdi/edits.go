package cdi

import (
	"io/fs"
	"path"

	"tags.cncf.io/container-device-interface/specs-go"

	"github.com/gpulet/gpulet/gpu"
)

// void hides all GPUs from the runtime wrapper of NVIDIA: images that ask for all of them would get them through it.
const void = "NVIDIA_VISIBLE_DEVICES=void"

// deviceNodes are the nodes of an offer whose hardware exists: the GPU's, and for a slice the capabilities of its GPU instance
// and its compute instance. Nothing else opens the way to a slice, and these open no other.
func deviceNodes(m *machine, g *gpu.GPU, o gpu.Offer) ([]node, error) {
	n, err := m.gpu(g.Minor)
	if err != nil {
		return nil, err
	}
	nodes := []node{n}
	if o.Realized == nil {
		return nodes, nil
	}
	for _, compute := range []int{wholeInstance, int(o.Realized.ComputeInstance)} {
		n, err := m.capability(access{gpu: g.Minor, instance: int(o.Realized.GPUInstance), compute: compute})
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// spec is a spec of one device.
func spec(class, name string, edits specs.ContainerEdits) specs.Spec {
	edits.Env = []string{void}
	return specs.Spec{Kind: vendor + "/" + class, Devices: []specs.Device{{Name: name, ContainerEdits: edits}}}
}

// edit is a node in a spec. The numbers are explicit, so that the runtime need not find the node on the host.
func (c Config) edit(nodes []node) []*specs.DeviceNode {
	var out []*specs.DeviceNode
	for _, n := range nodes {
		e := &specs.DeviceNode{
			Path: "/dev/" + n.name, Type: "c", Major: int64(n.major), Minor: int64(n.minor), Permissions: "rw",
		}
		if host := path.Join(c.HostDevRoot, n.name); host != e.Path {
			e.HostPath = host
		}
		if n.mode != 0 {
			mode := n.mode.Perm() & fs.ModePerm
			e.FileMode = &mode
		}
		out = append(out, e)
	}
	return out
}
