package kubelet

import "path/filepath"

// Paths are where a kubelet has its sockets and state.
type Paths struct {
	// DevicePlugins is the device-plugins directory; it does not follow the kubelet's --root-dir (measured on 1.37.2).
	DevicePlugins string
	// PodResources and PodsAPI are sockets; they follow --root-dir.
	PodResources, PodsAPI string
}

// PathsBelow are the paths of a kubelet whose --root-dir is root ("/var/lib/kubelet").
func PathsBelow(root string) Paths {
	return Paths{
		DevicePlugins: filepath.Join(root, "device-plugins"),
		PodResources:  filepath.Join(root, "pod-resources", "kubelet.sock"),
		PodsAPI:       filepath.Join(root, "pods-api", "pods-api.sock"),
	}
}

// Socket is the kubelet's registration socket.
func (p Paths) Socket() string { return filepath.Join(p.DevicePlugins, "kubelet.sock") }

// Checkpoint is the kubelet's own account of what it gave to whom.
func (p Paths) Checkpoint() string {
	return filepath.Join(p.DevicePlugins, "kubelet_internal_checkpoint")
}
