// Package apiserver is what the node agent reads from and writes to the API server: this node's pods, this Node's counts of
// extended resources, and Events. It owns every write to the Node; others hand it what they want written.
// It is optional: nobody waits for it, and it never answers a kubelet's call.
package apiserver
