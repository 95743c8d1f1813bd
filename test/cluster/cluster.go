package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Options says what cluster to bring up.
type Options struct {
	// Dir is the cluster's folder. What a previous run left there, alive or not, is cleared first.
	Dir string
	// Nodes is how many nodes, 1 to 3. They are named node-1, node-2, node-3.
	Nodes int
	// PerNode says more about single nodes, the first first; it may be shorter than Nodes.
	PerNode []NodeOptions
	// Kubelet replaces top-level keys of the kubelets' configuration (KubeletConfiguration v1beta1).
	Kubelet map[string]any
	// Detached lets the cluster outlive this program. Otherwise the kernel ends it with the program.
	Detached bool
	Log      *slog.Logger
}

// NodeOptions says what is special about one node.
type NodeOptions struct {
	Labels map[string]string
	Binds  []Bind
}

// A Bind shows a folder or a file of the host at a path of the node. The path is made if it is
// below /run, /dev, /etc, /opt, /usr or /var.
type Bind struct{ Host, Node string }

// A Cluster is a control plane and its nodes, until Down.
type Cluster struct {
	Dir        string
	Kubeconfig string // an administrator's
	Nodes      []*Node

	options   Options
	programs  Programs
	plan      plan
	authority *authority
	control   machine

	apiserver, controllers, scheduler *process
}

// Up brings up a cluster and returns when its nodes are Ready and pods can be made. If it fails, or
// ctx ends, nothing is left but the logs in Dir/logs.
func Up(ctx context.Context, o Options) (*Cluster, error) {
	if o.Nodes < 1 || o.Nodes > 3 {
		return nil, fmt.Errorf("a cluster has 1 to 3 nodes, not %d", o.Nodes)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := possible(); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	programs, err := BuildPrograms(ctx, o.Log)
	if err != nil {
		return nil, err
	}
	c := &Cluster{Dir: dir, Kubeconfig: filepath.Join(dir, "kubeconfig.yaml"), options: o, programs: programs}
	c.control.name = "control"
	if err := wipe(ctx, dir, false); err != nil {
		return nil, fmt.Errorf("clear what a previous run left: %w", err)
	}
	start := time.Now()
	if err := c.up(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("bring up the cluster in %s: %w", dir, err), c.Down())
	}
	o.Log.Info("the cluster is up", "nodes", o.Nodes, "seconds", time.Since(start).Seconds(), "kubeconfig", c.Kubeconfig)
	return c, nil
}

// possible says what this machine lacks for a cluster.
func possible() error {
	if os.Geteuid() != 0 {
		return errors.New("a cluster needs root")
	}
	for _, path := range []string{"/usr/lib/cni/bridge", "/usr/lib/cni/host-local", "/usr/include/seccomp.h"} {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("%w: run test/deps.sh", err)
		}
	}
	return nil
}

func (c *Cluster) up(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Join(c.Dir, "logs"), 0o755); err != nil {
		return err
	}
	var err error
	if c.plan, err = choosePlan(sha256.Sum256([]byte(c.Dir))[0]); err != nil {
		return err
	}
	if c.authority, err = newAuthority("gpulet-test"); err != nil {
		return err
	}
	for i := 1; i <= c.options.Nodes; i++ {
		n := &Node{index: i, cluster: c, Addr: c.plan.node(i)}
		n.name = fmt.Sprintf("node-%d", i)
		if i <= len(c.options.PerNode) {
			n.options = c.options.PerNode[i-1]
		}
		c.Nodes = append(c.Nodes, n)
		if err := n.prepare(); err != nil {
			return fmt.Errorf("prepare %s: %w", n.name, err)
		}
	}
	if err := c.writeControl(filepath.Join(c.Dir, "control")); err != nil {
		return err
	}
	if err := c.save(); err != nil {
		return err
	}
	if err := c.control.boot(c.programs.Pause, c.Dir, c.options.Detached); err != nil {
		return err
	}
	binds := c.programBinds()
	binds[controlFiles] = filepath.Join(c.Dir, "control")
	if err := c.control.furnish(ctx, binds); err != nil {
		return err
	}
	if err := c.connectControl(ctx); err != nil {
		return err
	}
	for _, n := range c.Nodes {
		if err := n.powerOn(ctx); err != nil {
			return err
		}
	}
	// The slow part of each: the API server's start, the runtimes' and their first image.
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.startControl(gctx) })
	pause := filepath.Join(c.Dir, "pause.tar")
	if err := (Image{Name: pauseImage, Entrypoint: []string{"/pause"}, Files: map[string]string{"/pause": c.programs.Pause}}).Write(pause); err != nil {
		return err
	}
	for _, n := range c.Nodes {
		group.Go(func() error {
			if err := n.StartContainerd(gctx); err != nil {
				return err
			}
			return n.LoadImage(gctx, pause)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, n := range c.Nodes {
		if err := n.StartKubelet(); err != nil {
			return err
		}
	}
	return c.awaitReady(ctx)
}

// programBinds are the folders that every machine has.
func (c *Cluster) programBinds() map[string]string {
	return map[string]string{"/run/programs/kubernetes": filepath.Dir(c.programs.Kubernetes)}
}

// id is in the names of the cluster's links and cgroups; it follows from the folder.
func (c *Cluster) id() string { return clusterID(c.Dir) }

func clusterID(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return "gpu" + hex.EncodeToString(sum[:3])
}

// link is the name of the host's link to the cluster.
func (c *Cluster) link() string { return c.id() }

// Down ends the cluster and removes everything of it but the logs in Dir/logs. It may be called
// more than once.
func (c *Cluster) Down() error {
	var err error
	for _, n := range c.Nodes {
		err = errors.Join(err, n.halt())
	}
	err = errors.Join(err, c.control.halt())
	// Not the context of Up: that may have ended, and this must be done all the same.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return errors.Join(err, wipe(ctx, c.Dir, true))
}

// Client is an administrator's access to the API server.
func (c *Cluster) Client() (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 200, 400 // tests ask in bursts
	return config, nil
}
