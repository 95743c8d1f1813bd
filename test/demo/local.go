package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gpulet/gpulet/test/fakekubelet"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// local is a node in a temporary folder: the agent is a process, the kubelet a small one in this program.
type local struct {
	files
	dir     string
	sim     *sim.Node
	kubelet *fakekubelet.Kubelet
	agent   *agent
	config  string
	address string

	mu   sync.Mutex
	uids map[string]string // of pods, by name; guarded by mu
}

func newLocal(ctx context.Context, r *report, gpulet string) (_ node, err error) {
	dir, err := os.MkdirTemp("", "gpulet") // short: sockets are in it
	if err != nil {
		return nil, err
	}
	l := &local{dir: dir, config: filepath.Join(dir, "gpulet.yaml"), uids: map[string]string{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	if l.sim, err = startHardware(ctx, filepath.Join(dir, "node")); err != nil {
		return nil, err
	}
	root := filepath.Join(dir, "kubelet")
	if l.kubelet, err = fakekubelet.Start(context.WithoutCancel(ctx), root, fakekubelet.Options{StatusPeriod: time.Second}); err != nil {
		return nil, err
	}
	l.files = files{l.kubelet.DevicePlugins(), l.kubelet.PodResources(), filepath.Join(dir, "cdi")}
	if err := l.configure(ctx, ""); err != nil {
		return nil, err
	}
	if l.address, err = freeAddress(ctx); err != nil {
		return nil, err
	}
	args := append([]string{
		"run", "--config", l.config, "--kubelet-root", root, "--cdi-dir", l.cdi, "--listen", l.address,
		"--state-dir", filepath.Join(dir, "state"), "--run-dir", l.runDir(),
		"--metrics-dcgm-library", filepath.Join(l.sim.Dir, "lib/libdcgm.so.4"),
	}, l.sim.Flags()...)
	if l.agent, err = newAgent(gpulet, args, filepath.Join(dir, "agent.log")); err != nil {
		return nil, err
	}
	r.text("A simulated node with eight A100 80 GB in %s, GPU %d in MIG mode; a small kubelet; the agent %s.", dir, divided, gpulet)
	return l, l.agent.start()
}

// startHardware boots the simulated node; one GPU is in MIG mode already: on Ampere that takes a GPU that nobody holds.
func startHardware(ctx context.Context, dir string) (*sim.Node, error) {
	n, err := sim.Start(ctx, sim.Options{Shape: "dgx-a100", Dir: dir, Seed: 1})
	if err != nil {
		return nil, fmt.Errorf("start the simulated node: %w", err)
	}
	if err := n.SetMIG(ctx, divided, true); err != nil {
		return nil, errors.Join(err, n.Stop())
	}
	return n, nil
}

// freeAddress is an address of loopback that nobody listens on.
func freeAddress(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func (l *local) runDir() string      { return filepath.Join(l.dir, "run") }
func (l *local) hardware() *sim.Node { return l.sim }

func (l *local) farewell() string {
	return fmt.Sprintf("The agent goes on: http://%s/api/v1/status and http://%[1]s/metrics. Ctrl-C ends it.", l.address)
}

// run waits as a scheduler does until the Node has room, and then binds the pod.
func (l *local) run(ctx context.Context, name, resource string, n int64) (grant, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := l.kubelet.Wait(ctx, fmt.Sprintf("room for %d of %s", n, resource), func() bool {
		return l.kubelet.Allocatable(resource)-l.used(resource) >= n
	}); err != nil {
		return grant{}, err
	}
	p, err := l.kubelet.RunPod(ctx, fakekubelet.Requesting(name, resource, n))
	if err != nil {
		return grant{}, fmt.Errorf("pod %s: %w", name, err)
	}
	l.mu.Lock()
	l.uids[name] = p.UID
	l.mu.Unlock()
	return l.pod(ctx, name)
}

func (l *local) used(resource string) (n int64) {
	for _, p := range l.kubelet.Pods() {
		for _, c := range p.Containers {
			n += int64(len(c.Devices[resource]))
		}
	}
	return n
}

func (l *local) pod(_ context.Context, name string) (grant, error) {
	l.mu.Lock()
	uid := l.uids[name]
	l.mu.Unlock()
	p, ok := l.kubelet.Pod(uid)
	if !ok {
		return grant{}, fmt.Errorf("there is no pod %s", name)
	}
	g, err := l.granted(uid)
	g.container = p.Container("main").ID
	return g, err
}

func (l *local) end(_ context.Context, name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kubelet.DeletePod(l.uids[name])
	delete(l.uids, name)
	return nil
}

func (l *local) healthy(ctx context.Context, resource string) ([]string, error) {
	if err := l.agent.alive(); err != nil {
		return nil, err
	}
	return l.healthyDevices(ctx, resource)
}

func (l *local) configure(_ context.Context, text string) error {
	return writeConfig(l.config, text)
}

// writeConfig replaces the agent's configuration in one step.
func writeConfig(path, text string) error {
	temporary := path + ".new"
	if err := os.WriteFile(temporary, []byte(settings+text), 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

func (l *local) crash(context.Context) error {
	l.agent.kill()
	return l.agent.start()
}

func (l *local) gpulet(ctx context.Context, args ...string) (string, error) {
	return l.agent.command(ctx, append([]string{args[0], "--run-dir", l.runDir()}, args[1:]...)...)
}

func (l *local) log(lines int) string { return l.agent.tail(lines) }

// close ends what was started, in the other order, and removes the folder.
func (l *local) close() (err error) {
	if l.agent != nil {
		err = l.agent.stop()
	}
	if l.kubelet != nil {
		l.kubelet.Stop()
	}
	if l.sim != nil {
		err = errors.Join(err, l.sim.Stop())
	}
	return errors.Join(err, os.RemoveAll(l.dir))
}
