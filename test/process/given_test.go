package process

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tags.cncf.io/container-device-interface/specs-go"
)

// gives runs a pod and looks at what a runtime would put into its container.
func (n *node) gives(pieces []piece, resource string) {
	n.t.Helper()
	pod, ids := n.runs(resource, 1)
	i := slices.IndexFunc(pieces, func(p piece) bool { return p.resource == resource && p.id == ids[0] })
	if i < 0 {
		n.t.Fatalf("the pod has %v, which is none of %v", ids, pieces)
	}
	given := pod.Container("main").Given.CDI
	if want := []string{"gpulet.dev/driver=all", "gpulet.dev/gpu=" + ids[0]}; !slices.Equal(given, want) {
		n.t.Errorf("the container gets %v, want %v", given, want)
	}
	onDisk := n.specs()
	var nodes []string
	for _, d := range onDisk["gpulet.dev/gpu="+ids[0]].DeviceNodes {
		nodes = append(nodes, fmt.Sprintf("%s %d:%d", d.Path, d.Major, d.Minor))
	}
	if !slices.Equal(nodes, pieces[i].nodes) {
		n.t.Errorf("the spec of %s has the nodes %q, want %q", ids[0], nodes, pieces[i].nodes)
	}
	version := n.sim.Model.Status().Driver
	if !slices.ContainsFunc(onDisk["gpulet.dev/driver=all"].Mounts, func(m *specs.Mount) bool { return strings.HasSuffix(m.HostPath, "/libcuda.so."+version) }) {
		n.t.Errorf("the driver's spec has no libcuda.so.%s", version)
	}
}

// specs are the CDI specs that a runtime reads, by the full name of the device.
func (n *node) specs() map[string]specs.ContainerEdits {
	n.t.Helper()
	files, err := filepath.Glob(filepath.Join(n.cdiDir(), "*.json"))
	if err != nil {
		n.t.Fatal(err)
	}
	out := map[string]specs.ContainerEdits{}
	for _, f := range files {
		var s specs.Spec
		data, err := os.ReadFile(f)
		if err == nil {
			err = json.Unmarshal(data, &s)
		}
		if err != nil {
			n.t.Fatal(err)
		}
		for _, d := range s.Devices {
			out[s.Kind+"="+d.Name] = d.ContainerEdits
		}
	}
	return out
}
