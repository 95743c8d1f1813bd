package process

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gpulet/gpulet/agent"
	"github.com/gpulet/gpulet/test/fakekubelet"
	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// node is a simulated node with a kubelet, pods and one agent after another. At the end of its test all that happened is audited.
type node struct {
	t       *testing.T
	sim     *sim.Node
	kubelet *fakekubelet.Kubelet
	agent   *Agent
	dir     string
	config  string
	args    []string // more arguments for its agents
	listen  string   // where they serve the metrics; empty: nowhere
	log     *lines
	stays   stays
}

// wanted is what a test wants of a node.
type wanted struct {
	hardware model.Shape
	driver   string // other than the shape's
	config   string
	metrics  string // of beginDCGM: more keys of the metrics, "interval: 200ms, "
	kubelet  fakekubelet.Options
}

// patience is how long anything may take on a busy machine.
const patience = 30 * time.Second

// begin makes a node and starts its agent; all of it ends with the test.
func begin(t *testing.T, w wanted) *node {
	t.Helper()
	n := prepare(t, w)
	n.start()
	return n
}

// prepare makes a node without an agent.
func prepare(t *testing.T, w wanted) *node {
	t.Helper()
	dir, err := os.MkdirTemp("", "gp") // short: the path of a socket has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	w.kubelet.StatusPeriod = 100 * time.Millisecond
	w.kubelet.RetryDelays = []time.Duration{100 * time.Millisecond}
	n := &node{t: t, dir: dir, config: w.config, log: &lines{}}
	n.sim = sim.New(t, sim.Options{Hardware: &w.hardware, Driver: w.driver, Seed: 1})
	n.kubelet = fakekubelet.New(t, w.kubelet)
	t.Cleanup(n.finish)
	return n
}

// start starts an agent on the state of the one before.
func (n *node) start() {
	n.t.Helper()
	a, err := Start(context.Background(), Options{Binary: binary, Dir: n.dir, Sim: n.sim, Kubelet: n.kubelet, Config: n.config, Args: n.args, Listen: n.listen, Log: n.log})
	if err != nil {
		n.t.Fatal(err)
	}
	n.agent = a
}

// stop asks the agent to end, which it must do well.
func (n *node) stop() {
	n.t.Helper()
	if err := n.agent.Stop(); err != nil {
		n.t.Errorf("the agent ended with %v", err)
	}
}

// finish is the end of the test: the agent still runs, ends well, and left nothing to complain about.
func (n *node) finish() {
	if n.agent == nil {
		return
	}
	if err := n.agent.Running(); err != nil {
		n.t.Error(err)
	} else {
		n.stop()
	}
	for _, bad := range []string{"symbol lookup error", "panic:", "DATA RACE", "fatal error:"} {
		if strings.Contains(n.log.String(), bad) {
			n.t.Errorf("the agent said %q", bad)
		}
	}
	n.audit()
	if n.t.Failed() {
		n.t.Logf("the agent's log:\n%s", n.log.tail(logged))
	}
}

// configure replaces the configuration, for agents to come too.
func (n *node) configure(text string) {
	n.t.Helper()
	n.config = text
	if err := n.agent.Configure(text); err != nil {
		n.t.Fatal(err)
	}
}

// await waits until the status is as it should be. The agent must not end meanwhile.
func (n *node) await(what string, is func(agent.Status) bool) (s agent.Status) {
	n.t.Helper()
	ctx, cancel := within(n.t)
	defer cancel()
	for {
		now, err := n.agent.Client().Status(ctx)
		if err == nil && is(now) {
			return now
		}
		if err == nil {
			s = now
		}
		if e := n.agent.Running(); e != nil {
			n.t.Fatalf("waiting for %s: %v", what, e)
		}
		if !pause(ctx, 50*time.Millisecond) {
			n.t.Fatalf("never: %s; %v; not ready: %q, moves: %+v, withheld: %+v, claims: %+v", what, err, s.NotReady, s.Moves, s.Withheld, s.Claims)
		}
	}
}

// offers waits until the kubelet has exactly these devices as healthy, and the Node object counts them.
func (n *node) offers(want map[string][]string) {
	n.t.Helper()
	ctx, cancel := within(n.t)
	defer cancel()
	var got map[string][]string
	err := n.kubelet.Wait(ctx, "the offers", func() bool {
		got = n.healthy()
		if !maps.EqualFunc(got, want, slices.Equal) {
			return false
		}
		for r, ids := range want {
			lists := n.kubelet.Lists(r) // a list is in force a moment before it is in the history
			if n.kubelet.Allocatable(r) != int64(len(ids)) || len(lists) == 0 || lists[len(lists)-1].Healthy() != len(ids) {
				return false
			}
		}
		return true
	})
	if err != nil {
		n.t.Fatalf("%v: want %v, got %v (%v)", err, want, got, n.agent.Running())
	}
}

// healthy are the devices that the kubelet would give now, by resource, sorted.
func (n *node) healthy() map[string][]string {
	out := map[string][]string{}
	for r := range n.kubelet.Node() {
		if ids, _ := n.kubelet.Devices(r); len(ids) > 0 {
			out[r] = ids
		}
	}
	return out
}

// run runs a pod that asks for so many of a resource.
func (n *node) run(resource string, count int64) (fakekubelet.Pod, error) {
	return n.runPod(fakekubelet.Requesting("", resource, count), resource)
}

func (n *node) runPod(spec fakekubelet.PodSpec, resource string) (fakekubelet.Pod, error) {
	ctx, cancel := within(n.t)
	defer cancel()
	pod, err := n.kubelet.Admit(ctx, spec)
	if err != nil {
		return pod, err
	}
	n.stays.begin(pod.UID, resource, pod.Container("main").Devices[resource])
	return n.kubelet.StartPod(ctx, pod.UID)
}

// runs starts a pod that must run and gives the devices that it has.
func (n *node) runs(resource string, count int64) (fakekubelet.Pod, []string) {
	n.t.Helper()
	pod, err := n.run(resource, count)
	ids := pod.Container("main").Devices[resource]
	if err != nil || int64(len(ids)) != count {
		n.t.Fatalf("a pod that asks for %d of %s got %v: %v", count, resource, ids, err)
	}
	return pod, ids
}

// rejects runs a pod that must fail at admission.
func (n *node) rejects(resource string, count int64) {
	n.t.Helper()
	pod, err := n.run(resource, count)
	var rejected *fakekubelet.RejectedError
	if !errors.As(err, &rejected) {
		n.t.Errorf("a pod that asks for %d of %s got %v: %v", count, resource, pod.Container("main").Devices, err)
	}
}

// end ends a pod and takes it away.
func (n *node) end(uid string) {
	n.stays.end(uid)
	n.kubelet.DeletePod(uid)
}

// reasons are why devices of a resource are not healthy, by id, as status tells.
func reasons(s agent.Status, resource string) map[string]string {
	out := map[string]string{}
	for _, r := range s.Resources {
		for _, d := range r.Devices {
			if r.Name == resource && !d.Healthy {
				out[d.ID] = d.Reason
			}
		}
	}
	return out
}

// within bounds what a test waits for.
func within(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), patience)
}

func ready(s agent.Status) bool { return len(s.NotReady) == 0 && s.Waiting == nil }

// pause waits a little; false when ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// lines are what processes wrote.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// logged is how much of the agent's log a failed test shows, in lines.
const logged = 400

func (l *lines) tail(n int) string {
	all := strings.Split(strings.TrimSpace(l.String()), "\n")
	return strings.Join(all[max(0, len(all)-n):], "\n")
}

// cdiDir is where the agent writes its specs.
func (n *node) cdiDir() string { return filepath.Join(n.dir, "cdi") }
