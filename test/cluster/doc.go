// Package cluster runs a real Kubernetes cluster on one Linux machine, for tests and for trying
// things out: the upstream programs of the control plane, and one to three nodes that are machines
// of their own as far as mounts, network, processes and device plugins are concerned.
//
// It owns one folder (Options.Dir), the namespaces it makes, one veth link and a few cgroups, and
// gives all of them back. It never touches the host's own kubelet, container runtime, CDI folders,
// firewall or bridges. It needs root and the packages that test/deps.sh installs.
package cluster
