package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/util/uuid"
)

// A Node is one machine of the cluster: a kubelet and a containerd with mounts, network and
// processes of their own. Its /run, /dev, /etc, /opt, /usr and /var can be written without a trace
// on the host; /sys and everything else are the host's.
type Node struct {
	machine
	Addr netip.Addr // reached from the host, the API server and the other nodes

	index   int // from 1
	cluster *Cluster
	options NodeOptions

	containerd, kubelet *process
}

// Name is the node's name in Kubernetes.
func (n *Node) Name() string { return n.name }

// Paths of a node's sockets, as programs on the node see them.
const (
	KubeletSocket      = "/var/lib/kubelet/device-plugins/kubelet.sock"
	PodResourcesSocket = "/var/lib/kubelet/pod-resources/kubelet.sock"
	PodsSocket         = "/var/lib/kubelet/pods-api/pods-api.sock"
)

// HostPath is where the host sees a path of the node. It holds until the node reboots or is down.
func (n *Node) HostPath(path string) string { return n.hostPath(path) }

// Run runs a command on the node, as root and outside any container, and returns what it printed.
// The error, if it fails, contains that too. When ctx ends, the command is killed.
func (n *Node) Run(ctx context.Context, argv ...string) (string, error) {
	return n.run(ctx, argv...)
}

// Command prepares a command to run on the node. It must be started with Start, not by itself; then
// it is an ordinary child process.
func (n *Node) Command(ctx context.Context, argv ...string) *exec.Cmd { return n.command(ctx, argv...) }

// Start starts what Command prepared.
func (n *Node) Start(cmd *exec.Cmd) error { return n.start(cmd) }

func (n *Node) output(cmd *exec.Cmd) (string, error) {
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	err := n.start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	return out.String(), err
}

// prepare writes the node's files below its folder, once for the life of the cluster.
func (n *Node) prepare() error {
	for _, sub := range []string{"files", "kubelet", "containerd", "cni", "log"} {
		if err := os.MkdirAll(n.folder(sub), 0o755); err != nil {
			return err
		}
	}
	files := n.folder("files")
	if err := n.writeRuntime(files, n.cluster.plan.pods(n.index).String()); err != nil {
		return err
	}
	if err := n.writeKubelet(files); err != nil {
		return err
	}
	serving, err := n.cluster.authority.issue("system:node:"+n.name, []string{"system:nodes"}, []string{n.name, n.Addr.String(), "127.0.0.1"})
	if err != nil {
		return err
	}
	if err := serving.write(files, "kubelet"); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(files, "ca.crt"), n.cluster.authority.pem(), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(files, "resolv.conf"), nil, 0o600); err != nil {
		return err
	}
	n.containerd = &process{
		machine: &n.machine, name: "containerd", logFile: filepath.Join(n.cluster.Dir, "logs", n.name+"-containerd.log"),
		argv: []string{"/run/programs/containerd/containerd", "--config", nodeFiles + "/containerd.toml", "--log-level", "info"},
	}
	n.kubelet = n.cluster.program(&n.machine, "kubelet",
		"--config", nodeFiles+"/kubelet.json", "--kubeconfig", nodeFiles+"/kubeconfig.yaml",
		"--hostname-override", n.name, "--node-ip", n.Addr.String(), "--node-labels", n.labels())
	return n.cluster.authority.writeKubeconfig(filepath.Join(files, "kubeconfig.yaml"), n.cluster.server(), "system:node:"+n.name, "system:nodes")
}

func (n *Node) folder(sub string) string { return filepath.Join(n.cluster.Dir, n.name, sub) }

func (n *Node) labels() string {
	var labels []string
	for _, key := range slices.Sorted(maps.Keys(n.options.Labels)) {
		labels = append(labels, key+"="+n.options.Labels[key])
	}
	return strings.Join(labels, ",")
}

func (n *Node) writeKubelet(folder string) error {
	config := map[string]any{
		"apiVersion": "kubelet.config.k8s.io/v1beta1",
		"kind":       "KubeletConfiguration",
		"authentication": map[string]any{
			"x509": map[string]any{"clientCAFile": nodeFiles + "/ca.crt"}, "anonymous": map[string]any{"enabled": false},
			"webhook": map[string]any{"enabled": true},
		},
		"authorization":               map[string]any{"mode": "Webhook"},
		"tlsCertFile":                 nodeFiles + "/kubelet.crt",
		"tlsPrivateKeyFile":           nodeFiles + "/kubelet.key",
		"containerRuntimeEndpoint":    containerdAddress,
		"cgroupDriver":                "cgroupfs",
		"cgroupRoot":                  "/" + n.cgroup(),
		"failCgroupV1":                false,
		"failSwapOn":                  false,
		"enforceNodeAllocatable":      []string{},
		"evictionHard":                map[string]string{"memory.available": "100Mi"},
		"imageGCHighThresholdPercent": 100, // never: what was loaded cannot be pulled again
		"makeIPTablesUtilChains":      false,
		"resolvConf":                  nodeFiles + "/resolv.conf",
		"clusterDomain":               "cluster.local",
		"clusterDNS":                  []string{n.cluster.plan.service().Next().String()}, // nobody is there
		"crashLoopBackOff":            map[string]string{"maxContainerRestartPeriod": "1s"},
	}
	maps.Copy(config, n.cluster.options.Kubelet)
	data, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return fmt.Errorf("kubelet configuration: %w", err)
	}
	return os.WriteFile(filepath.Join(folder, "kubelet.json"), data, 0o600)
}

func (n *Node) cgroup() string { return n.cluster.id() + "-" + n.name }

// powerOn makes the machine and its network; nothing runs on it yet.
func (n *Node) powerOn(ctx context.Context) error {
	if err := os.WriteFile(filepath.Join(n.folder("files"), "boot_id"), []byte(uuid.NewUUID()+"\n"), 0o444); err != nil {
		return err
	}
	if err := makeCgroup(n.cgroup()); err != nil {
		return err
	}
	if err := n.boot(n.cluster.programs.Pause, n.cluster.Dir, n.cluster.options.Detached); err != nil {
		return err
	}
	binds := n.cluster.programBinds()
	binds["/run/programs/runc"] = n.cluster.programs.Runc
	binds["/run/programs/containerd"] = n.cluster.programs.Containerd
	binds[nodeFiles] = n.folder("files")
	binds["/var/lib/kubelet"] = n.folder("kubelet")
	binds["/var/lib/containerd"] = n.folder("containerd")
	binds["/var/lib/cni"] = n.folder("cni")
	binds["/var/log"] = n.folder("log")
	for _, b := range n.options.Binds {
		binds[b.Node] = b.Host
	}
	if err := n.furnish(ctx, binds); err != nil {
		return err
	}
	if _, err := n.run(ctx, "mount", "--bind", nodeFiles+"/boot_id", "/proc/sys/kernel/random/boot_id"); err != nil {
		return err
	}
	// The host's own specifications are not this node's.
	if _, err := n.run(ctx, "sh", "-c", "rm -rf /etc/cdi && mkdir -p /etc/cdi /var/run/cdi"); err != nil {
		return err
	}
	return n.cluster.connectNode(ctx, n)
}

// StartKubelet starts the kubelet, unless it runs. It does not wait for the node to be Ready.
func (n *Node) StartKubelet() error { return n.kubelet.start() }

// StopKubelet stops the kubelet and waits until it has ended; containers go on running.
func (n *Node) StopKubelet() error { return n.kubelet.stop(unix.SIGTERM) }

// KillKubelet ends the kubelet as a crash would.
func (n *Node) KillKubelet() error { return n.kubelet.stop(unix.SIGKILL) }

// ReplaceDevicePlugins removes the kubelet's device-plugins folder with all in it and makes a new one.
func (n *Node) ReplaceDevicePlugins(ctx context.Context) error {
	dir := filepath.Dir(KubeletSocket)
	_, err := n.Run(ctx, "sh", "-c", "rm -rf "+dir+" && mkdir -m 750 "+dir)
	return err
}

// Reboot ends everything on the node at once and starts it again: the kubelet and containerd find
// their state on disk, /run is empty, and the boot id is another one, for the kubelet and for
// programs on the node (a container's /proc shows the host's). Commands started on the node are gone.
func (n *Node) Reboot(ctx context.Context) error {
	if n.kubelet == nil {
		return errForeign
	}
	if err := n.halt(); err != nil {
		return err
	}
	if err := removeCgroups(n.cgroup()); err != nil {
		return err
	}
	if err := n.powerOn(ctx); err != nil {
		return err
	}
	if err := n.StartContainerd(ctx); err != nil {
		return err
	}
	return n.StartKubelet()
}
