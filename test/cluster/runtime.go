package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// The names of what is on every node.
const (
	nodeFiles         = "/run/node"
	containerdSocket  = "/run/containerd/containerd.sock"
	containerdAddress = "unix://" + containerdSocket
	pauseImage        = "gpulet.dev/test/pause:1"
)

// writeRuntime writes the configuration of containerd and of the pods' network into folder.
func (n *Node) writeRuntime(folder string, subnet string) error {
	// restrict_oom_score_adj: without CAP_SYS_RESOURCE runc cannot lower the value, and no sandbox starts.
	config := `version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "` + containerdSocket + `"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "` + pauseImage + `"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  disable_apparmor = true
  enable_cdi = true
  cdi_spec_dirs = ["/etc/cdi", "/var/run/cdi"]
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["/usr/lib/cni"]
  conf_dir = "` + nodeFiles + `/cni"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
`
	network := `{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "` + subnet + `"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
`
	if err := os.MkdirAll(filepath.Join(folder, "cni"), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "containerd.toml"), []byte(config), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "cni", "10-pods.conflist"), []byte(network), 0o600)
}

// StartContainerd starts the container runtime, unless it runs, and waits until it answers.
func (n *Node) StartContainerd(ctx context.Context) error {
	if err := n.containerd.start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return n.containerd.await(ctx, func(ctx context.Context) error {
		_, err := n.Run(ctx, "ctr", "-a", containerdSocket, "plugins", "ls", "id==cri")
		return err
	})
}

// StopContainerd stops the container runtime; containers go on running.
func (n *Node) StopContainerd() error { return n.containerd.stop(unix.SIGTERM) }

// LoadImage imports an archive (docker or OCI) from the host's path tar on every node, for pods with
// imagePullPolicy Never.
func (c *Cluster) LoadImage(ctx context.Context, tar string) error {
	for _, n := range c.Nodes {
		if err := n.LoadImage(ctx, tar); err != nil {
			return err
		}
	}
	return nil
}

// LoadImage imports an archive from the host's path tar on this node.
func (n *Node) LoadImage(ctx context.Context, tar string) error {
	f, err := os.Open(tar)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	cmd := n.Command(ctx, "ctr", "-a", containerdSocket, "-n", "k8s.io", "images", "import", "-")
	cmd.Stdin = f
	if out, err := n.output(cmd); err != nil {
		return fmt.Errorf("import %s: %w: %s", tar, err, out)
	}
	return nil
}
