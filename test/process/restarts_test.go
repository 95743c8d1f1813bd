package process

import (
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gpulet/gpulet/agent"
	"github.com/gpulet/gpulet/test/fakekubelet"
	"github.com/gpulet/gpulet/test/gpusim/model"
)

const (
	shared = "nvidia.com/gpu.shared"
	// times is how often something is restarted.
	times = 5
	// sharedT4 offers each T4 three times.
	sharedT4 = "health: {interval: 500ms}\ngpus:\n  - {match: {models: \"*T4*\"}, sharing: {nvidia.com/gpu: {replicas: 3, rename: nvidia.com/gpu.shared}}}\n"
)

// fiveGPUs are whole ones, a divided one and two that are shared.
func fiveGPUs() model.Shape {
	return model.Shape{Name: "five", Driver: "550.54.15", GPUs: []model.GPUShape{
		{Model: "a100-80", Count: 2}, {Model: "a100-80", MIG: true, Instances: instances(layouts()["a100-80"]...)}, {Model: "t4", Count: 2},
	}}
}

// withReplicas are the pieces as the kubelet shall have them when GPUs of a model are shared.
func (n *node) withReplicas(name string, replicas int) map[string][]string {
	gpus := n.sim.Model.Status().GPUs
	out := []piece{}
	for _, p := range n.pieces() {
		if !strings.Contains(gpus[p.gpu].Name, name) {
			out = append(out, p)
			continue
		}
		for i := range replicas {
			out = append(out, piece{resource: shared, id: fmt.Sprintf("%s::%d", p.id, i)})
		}
	}
	return offered(out)
}

// crash kills the agent at a moment of an allocation.
type crash struct {
	mu     sync.Mutex
	after  bool          // the answer is there and the kubelet has not taken it in; otherwise the call comes; guarded by mu
	armed  *Agent        // guarded by mu
	struck chan struct{} // guarded by mu
}

// arm says which agent is to die at the next allocation.
func (c *crash) arm(a *Agent, after bool) (struck <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed, c.after, c.struck = a, after, make(chan struct{})
	return c.struck
}

func (c *crash) at(call fakekubelet.Call, after bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.armed == nil || call.Method != "Allocate" || c.after != after {
		return
	}
	c.armed.Kill()
	c.armed = nil
	close(c.struck)
}

// The agent is killed while pods come and go, some of them in the middle of their allocation: the next one knows all that was given.
func TestAgentCrashes(t *testing.T) {
	t.Parallel()
	c := &crash{}
	n := begin(t, wanted{hardware: fiveGPUs(), config: sharedT4, kubelet: fakekubelet.Options{
		Before: func(call fakekubelet.Call) { c.at(call, false) }, After: func(call fakekubelet.Call) { c.at(call, true) },
	}})
	n.storms(func(crowd *crowd, i int, rng *mathrand.Rand) {
		crowd.more(5 + rng.Int64N(10))
		crowd.storm()
		switch i % 3 {
		case 0:
			<-c.arm(n.agent, false)
		case 1:
			<-c.arm(n.agent, true)
		default:
			n.agent.Kill()
		}
		n.start()
	})
}

// The kubelet restarts while pods come and go, in a new folder now and then, and once the agent dies with it.
func TestKubeletRestarts(t *testing.T) {
	t.Parallel()
	n := begin(t, wanted{hardware: fiveGPUs(), config: sharedT4})
	n.storms(func(crowd *crowd, i int, rng *mathrand.Rand) {
		crowd.more(5 + rng.Int64N(10))
		crowd.storm()
		if i == times-1 {
			n.agent.Kill()
			defer n.start()
		}
		began := time.Now()
		rejected, err := n.kubelet.Restart(fakekubelet.RestartOptions{NewDirectory: i%2 == 1})
		if err != nil {
			n.t.Fatal(err)
		}
		for _, p := range rejected { // pods that had not started: the kubelet does not wait for its plugins
			n.stays.endAt(p.UID, began)
		}
	})
}

// storms has pods come and go while something happens again and again, after which everything must be offered. What was given twice
// or left out the audit at the test's end finds.
func (n *node) storms(happens func(c *crowd, i int, rng *mathrand.Rand)) {
	all := n.withReplicas("T4", 3)
	n.offers(all)
	const seed = 11
	rng := mathrand.New(mathrand.NewPCG(seed, seed))
	resident, _ := n.runs(slice, 1)
	c := n.crowd(seed, map[string]int64{slice: 1}, whole, slice, shared)
	defer c.stop()
	for i := range times {
		happens(c, i, rng)
		n.offers(all)
		n.await("ready", ready)
		c.quiet()
	}
	c.more(20)
	c.stop()
	s := n.await("the end of the claims of all pods but one", func(s agent.Status) bool { return len(owned(s)) == 1 })
	if pod, _ := n.kubelet.Pod(resident.UID); pod.Container("main").State != fakekubelet.Running || pod.Container("main").Devices[slice][0] != owned(s)[0] {
		n.t.Errorf("the pod that was there all the time is %+v, and the claims %v", pod, owned(s))
	}
	n.end(resident.UID)
	for r, ids := range all { // nothing is lost: all of it can be had
		n.runs(r, int64(len(ids)))
	}
	n.t.Logf("%d pods ran, %d were rejected meanwhile, lists: %d", c.admitted.Load(), c.rejected.Load(), n.lists())
}

// owned are the claims whose pod is known. An allocation that nobody took up is held without one for a minute.
func owned(s agent.Status) (ids []string) {
	for _, c := range s.Claims {
		if c.Pod != "" {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

func (n *node) lists() (count int) {
	for r := range n.kubelet.Node() {
		count += len(n.kubelet.Lists(r))
	}
	return count
}
