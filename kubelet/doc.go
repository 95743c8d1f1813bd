// Package kubelet is what is on this machine besides GPUs: the kubelet's directories and sockets, its pods, what it says it
// gave to whom, and Claims, the agent's own persisted account of that.
// It never asks the API server itself (whoever can implements PodSource), and absence from a source never ends a claim by itself.
package kubelet
