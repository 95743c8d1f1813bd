package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// wipe ends and removes everything that a cluster in dir has or had, whoever started it: its
// machines by the process table, its link and cgroups by their names, and its files.
func wipe(ctx context.Context, dir string, keepLogs bool) error {
	running, err := keepers(dir)
	if err != nil {
		return err
	}
	for name, pid := range running {
		m := machine{name: name, pid: pid}
		err = errors.Join(err, m.halt())
	}
	id := clusterID(dir)
	// The link goes with the control plane's namespace, a moment later.
	if _, missing := net.InterfaceByName(id); missing == nil {
		if failed := ip(ctx, "link del "+id); failed != nil && exists(id) {
			err = errors.Join(err, failed)
		}
	}
	err = errors.Join(err, removeCgroups(id+"-"))
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if ours(e.Name()) && (!keepLogs || e.Name() != "logs") {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func exists(link string) bool {
	_, err := net.InterfaceByName(link)
	return err == nil
}

// ours says whether an entry of a cluster's folder was made by this package.
func ours(name string) bool {
	switch name {
	case "control", "node-1", "node-2", "node-3", "logs", "kubeconfig.yaml", "pause.tar", "state.json":
		return true
	}
	return false
}

// state is what another program needs to find a running cluster; the rest follows from the folder.
type state struct {
	Second  byte      `json:"second"` // of the addresses
	Nodes   int       `json:"nodes"`
	Started time.Time `json:"started"`
}

func (c *Cluster) save() error {
	data, err := json.Marshal(state{Second: c.plan.second, Nodes: c.options.Nodes, Started: time.Now()})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(c.Dir, "state.json"), data, 0o600)
}

// Attach finds the cluster that another program brought up in dir. Its nodes can run commands and
// load images, and it can be taken down; programs of the cluster can be started and stopped only by
// the one that brought it up.
func Attach(dir string) (*Cluster, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	running, err := keepers(dir)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(dir, "state.json"))
	if err != nil || running["control"] == 0 {
		return nil, fmt.Errorf("no cluster runs in %s: %w", dir, fs.ErrNotExist)
	}
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("state of the cluster in %s: %w", dir, err)
	}
	c := &Cluster{Dir: dir, Kubeconfig: filepath.Join(dir, "kubeconfig.yaml"), plan: plan{second: s.Second}}
	c.options.Nodes = s.Nodes
	c.control = machine{name: "control", pid: running["control"]}
	for i := 1; i <= s.Nodes; i++ {
		n := &Node{index: i, cluster: c, Addr: c.plan.node(i)}
		n.name = fmt.Sprintf("node-%d", i)
		n.pid = running[n.name]
		c.Nodes = append(c.Nodes, n)
	}
	return c, nil
}

// Clear takes down whatever cluster runs or ran in dir, and removes all of it, logs included,
// and dir itself unless there is something else in it.
func Clear(ctx context.Context, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := wipe(ctx, dir, false); err != nil {
		return err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTEMPTY) {
		return err
	}
	return nil
}
