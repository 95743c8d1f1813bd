// Command cluster runs a real Kubernetes cluster on this machine; see package cluster.
package main
func main() {}
