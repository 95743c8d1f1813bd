package fakekubelet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// NodeName is the name of the node that all pods are bound to.
const NodeName = "fake-node"

// ErrDown is the error of calls that need a kubelet while none runs.
var ErrDown = errors.New("the kubelet is not running")

// Kubelet is a node with its kubelet. What is here survives the kubelet: its directory, the pods with their containers, and the
// Node object. What one run of the kubelet has in memory is a process.
type Kubelet struct {
	opts Options
	root string
	died chan string

	mu      sync.Mutex
	process *process         // nil while stopped; guarded by mu
	dead    *process         // that crashed last; guarded by mu
	pods    map[string]*pod  // by UID; guarded by mu
	node    map[string]Count // guarded by mu
	history history          // guarded by mu
	changed chan struct{}    // closed at the next change; guarded by mu
	serial  int              // counts containers and pods; guarded by mu
}

// Start runs a kubelet below root, which is like its --root-dir: an empty or missing directory, or what an earlier one left.
// It runs until ctx ends or Stop. Socket paths are at most 107 bytes long, so root must be short: see New.
func Start(ctx context.Context, root string, o Options) (*Kubelet, error) {
	k := &Kubelet{
		opts: o.withDefaults(), root: root, died: make(chan string, 1),
		pods: map[string]*pod{}, node: map[string]Count{}, changed: make(chan struct{}),
		history: history{lists: map[string][]List{}},
	}
	if _, err := k.start(RestartOptions{}); err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, k.Stop)
	return k, nil
}

// Root is the kubelet's --root-dir.
func (k *Kubelet) Root() string { return k.root }

// DevicePlugins is the device-plugins directory; kubelet.sock in it is for registration.
func (k *Kubelet) DevicePlugins() string { return filepath.Join(k.root, "device-plugins") }

// PodResources is the podresources socket.
func (k *Kubelet) PodResources() string {
	return filepath.Join(k.root, "pod-resources", "kubelet.sock")
}

// PodsAPI is the Pods API's socket.
func (k *Kubelet) PodsAPI() string { return filepath.Join(k.root, "pods-api", "pods-api.sock") }

// Died delivers the reason when the kubelet has crashed. Restart starts it again, as a service manager would.
func (k *Kubelet) Died() <-chan string { return k.died }

// Running reports whether a kubelet runs.
func (k *Kubelet) Running() bool { return k.current() != nil }

func (k *Kubelet) current() *process {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.process
}

// Stop ends the kubelet; pods' containers go on. It returns when everything of it has ended.
func (k *Kubelet) Stop() {
	k.mu.Lock()
	live, dead := k.process, k.dead
	k.process, k.dead = nil, nil
	k.changeLocked()
	k.mu.Unlock()
	for _, p := range []*process{live, dead} {
		if p != nil {
			p.stop()
		}
	}
}

// RestartOptions say what else happens when the kubelet starts again.
type RestartOptions struct {
	// Reboot: all containers were killed meanwhile.
	Reboot bool
	// NewDirectory: the device-plugins directory is another one than before, under the same path, with the same checkpoint:
	// whoever watches the old one learns nothing.
	NewDirectory bool
	// Readmit is called between serving the sockets and admitting the pods again: what it waits for delays that.
	Readmit func()
}

// Restart stops the kubelet, if it runs, and starts another. It returns when that has admitted the pods again, and gives those
// that it rejected. Where containers of such a pod run, they are killed, and it looks like one that has ended by itself: the
// reason is in Events alone. After a reboot the pods that were admitted wait for StartPod.
func (k *Kubelet) Restart(o RestartOptions) (rejected []Pod, err error) {
	k.Stop()
	if o.NewDirectory {
		if err := k.replace(); err != nil {
			return nil, err
		}
	}
	if o.Reboot {
		k.reboot()
	}
	uids, err := k.start(o)
	for _, uid := range uids {
		if p, ok := k.Pod(uid); ok {
			rejected = append(rejected, p)
		}
	}
	return rejected, err
}

// ReplaceDirectory swaps the device-plugins directory for another with the same checkpoint and restarts the kubelet in it.
func (k *Kubelet) ReplaceDirectory() error {
	_, err := k.Restart(RestartOptions{NewDirectory: true})
	return err
}

func (k *Kubelet) replace() error {
	dir := k.DevicePlugins()
	fresh, err := os.MkdirTemp(k.root, "dp")
	if err != nil {
		return fmt.Errorf("replace %s: %w", dir, err)
	}
	old := fresh + ".old"
	if err := os.Rename(dir, old); err != nil {
		return fmt.Errorf("replace %s: %w", dir, err)
	}
	if err := os.Rename(fresh, dir); err != nil {
		return fmt.Errorf("replace %s: %w", dir, err)
	}
	if err := os.Rename(filepath.Join(old, checkpointFile), filepath.Join(dir, checkpointFile)); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("replace %s: %w", dir, err)
	}
	return os.RemoveAll(old)
}
