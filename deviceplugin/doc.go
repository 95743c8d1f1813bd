// Package deviceplugin turns offers into kubelet resources: names, replicas, health, allocation, preferred allocation, PreStart.
// It owns what the kubelet is told and, through deviceplugin/cdi, the CDI specs and capability nodes. It never calls the driver
// or the API server in an RPC, and it never changes a GPU.
package deviceplugin
