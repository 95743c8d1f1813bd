package deviceplugin

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"github.com/gpulet/gpulet/gpu"
)

// What the incumbent's runtime hook looks for.
const (
	visibleDevices = "NVIDIA_VISIBLE_DEVICES"
	volumeRoot     = "/var/run/nvidia-container-devices"
)

// answer tells the kubelet, and through it the runtime, how a container gets its devices.
func (d *desk) answer(s Settings, resource string, entries []entry) (*api.ContainerAllocateResponse, error) {
	bases := distinct(entries)
	out := &api.ContainerAllocateResponse{}
	if s.cdi() {
		names := []string{d.cfg.Specs.DriverName()}
		for _, e := range bases {
			names = append(names, d.cfg.Specs.Name(e.device.Base()))
		}
		if s.delivers(CDICRI) {
			for _, name := range names {
				out.CdiDevices = append(out.CdiDevices, &api.CDIDevice{Name: name})
			}
		}
		if s.delivers(CDIAnnotations) {
			out.Annotations = map[string]string{annotation(resource): strings.Join(names, ",")}
		}
	}
	if !s.delivers(EnvVar, VolumeMounts) {
		return out, nil
	}
	ids := make([]string, 0, len(bases))
	for _, e := range bases {
		ids = append(ids, driverID(e, s.IndexIDs))
	}
	if s.delivers(EnvVar) {
		out.Envs = map[string]string{visibleDevices: strings.Join(ids, ",")}
	}
	if s.delivers(VolumeMounts) {
		out.Envs = map[string]string{visibleDevices: volumeRoot}
		for _, id := range ids {
			out.Mounts = append(out.Mounts, &api.Mount{HostPath: "/dev/null", ContainerPath: volumeRoot + "/" + id})
		}
	}
	if !s.DeviceSpecs {
		return out, nil
	}
	return out, d.nodes(out, bases)
}

// nodes adds the device nodes, each once.
func (d *desk) nodes(out *api.ContainerAllocateResponse, bases []entry) error {
	seen := map[string]bool{}
	for _, e := range bases {
		nodes, err := d.cfg.Specs.Nodes(e.device.Base())
		if err != nil {
			return fmt.Errorf("device nodes of %s: %w", e.id, err)
		}
		for _, n := range nodes {
			if seen[n.ContainerPath] {
				continue
			}
			seen[n.ContainerPath] = true
			out.Devices = append(out.Devices, &api.DeviceSpec{ContainerPath: n.ContainerPath, HostPath: n.HostPath, Permissions: "rw"})
		}
	}
	return nil
}

// distinct keeps one of the replicas of each base, in the order of the resource's list.
func distinct(entries []entry) []entry {
	out := slices.Clone(entries)
	slices.SortStableFunc(out, func(a, b entry) int { return byDevice(a.index, a.device, b.index, b.device) })
	return slices.CompactFunc(out, func(a, b entry) bool { return a.device.Base() == b.device.Base() })
}

// driverID names a device to the incumbent's runtime: by UUID, or a whole GPU by index. A MIG device's index is the driver's
// own enumeration, which changes with the layout, so it is always named by UUID.
func driverID(e entry, byIndex bool) string {
	switch {
	case e.device.Kind == gpu.Slice:
		return string(e.realized.UUID)
	case byIndex:
		return strconv.Itoa(e.index)
	}
	return string(e.device.GPU)
}

// annotation is the key that carries CDI names of one resource. A container's resources have different keys: the kubelet
// merges their annotations. The part behind the slash may have 63 characters.
func annotation(resource string) string {
	name := "gpulet_" + strings.ReplaceAll(resource, "/", "_")
	if len(name) > 63 {
		sum := sha256.Sum256([]byte(resource))
		name = "gpulet_" + hex.EncodeToString(sum[:8])
	}
	return "cdi.k8s.io/" + name
}
