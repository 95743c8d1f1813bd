// Package fakekubelet is a small kubelet in a temporary directory, for tests that need speed or faults. It needs no root.
//
// It owns what a device plugin sees of a node: the device-plugins directory with its registration socket and checkpoint, the
// podresources socket, the Pods API socket, the pods and the Node object. The rules are those of kubelet 1.37.2, its races
// included: List rebuilds what is allocated, and an id that vanishes during its Allocate kills the kubelet (Died).
// kubelettest runs the same scenarios against this package and against a real kubelet.
//
// Not modelled: topology manager policies, the plugin watcher (plugins_registry), DRA, in-place resizing, containers that run
// anything, and a scheduler: a pod given to Admit is bound to this node already.
package fakekubelet
