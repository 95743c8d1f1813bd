// Package e2e holds the tests that only a real cluster can answer: the upstream kubelet, containerd, API server and scheduler, the
// agent as a DaemonSet pod, and simulated GPUs under it. They need root, the build tag e2e, and what test/deps.sh installs.
// Each test says in its first line what a user sees, and prints what it measured as a line that test/prove reads.
package e2e
