package fleet_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpulet/gpulet/apiserver"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/kubelet"
	"github.com/gpulet/gpulet/partitioner"
	"github.com/gpulet/gpulet/partitioner/fleet"
	"github.com/gpulet/gpulet/partitioner/fleet/fleettest"
	"github.com/gpulet/gpulet/partitioner/plan"
)

// world is a cluster of nodes that report and follow their demands, and agents that plan.
type world struct {
	t       *testing.T
	cluster *fleettest.Cluster
	wg      sync.WaitGroup
	events  *events
	nodes   map[string]*node
}

type node struct {
	name     string
	stop     context.CancelFunc
	views    *gpu.Feed[*partitioner.View]
	reporter *fleet.Reporter
}

// events remembers what pods were told.
type events struct {
	mu   sync.Mutex
	said []string
}

func (e *events) Pod(_, name string, _ kubelet.UID, _ bool, reason, message string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.said = append(e.said, name+" "+reason+": "+message)
}

func (e *events) of(reason string) (out []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.said {
		if strings.Contains(s, " "+reason+": ") {
			out = append(out, s)
		}
	}
	return out
}

func newWorld(t *testing.T) *world {
	return &world{t: t, cluster: fleettest.NewCluster(), events: &events{}, nodes: map[string]*node{}}
}

// settings let a node serve demand.
func settings() partitioner.Settings { return partitioner.Settings{OnDemand: true} }

// add starts the agent of a node of empty GPUs.
func (w *world) add(ctx context.Context, name string, g mig.Geometry, gpus int) *node {
	ctx, stop := context.WithCancel(ctx)
	r := fleettest.Node(nil, name, g, 0, 0)
	in := plan.Input{}
	for i := range gpus {
		in.GPUs = append(in.GPUs, plan.GPU{UUID: gpu.UUID(fmt.Sprintf("GPU-%s-%d", name, i)), Index: i, Geometry: g, Mode: plan.Mode{May: true}})
	}
	resources := map[string]mig.Profile{}
	for res, text := range r.Resources {
		resources[res], _ = mig.ParseProfile(text)
	}
	n := &node{name: name, stop: stop, views: gpu.NewFeed(&partitioner.View{Input: in})}
	n.reporter = fleet.NewReporter(fleet.ReporterConfig{
		Cluster: &fleettest.Member{Cluster: w.cluster, Name: name}, Node: name, View: n.views,
		Pods: gpu.NewFeed(&kubelet.Pods{Synced: true}), Resources: gpu.NewFeed(resources), Settings: gpu.NewFeed(settings()),
		Allocatable: gpu.NewFeed(fleet.Allocatable{MilliCPU: 64_000, MemoryBytes: 1 << 40, Pods: 110}),
	})
	w.cluster.SetNode(&apiserver.NodeFacts{Name: name, Ready: true, MilliCPU: 64_000, MemoryBytes: 1 << 40, Pods: 110})
	w.nodes[name] = n
	w.wg.Go(func() { _ = n.reporter.Run(ctx) })
	return n
}

// lead starts an agent that plans when it is elected.
func (w *world) lead(ctx context.Context, name string) (kill context.CancelFunc) {
	ctx, kill = context.WithCancel(ctx)
	l := fleet.NewLeader(fleet.LeaderConfig{Cluster: &fleettest.Member{Cluster: w.cluster, Name: name}, Name: name, Events: w.events})
	w.wg.Go(func() { _ = l.Run(ctx) })
	return kill
}

// served is the node that is to serve each pod, and fails when two are.
func (w *world) served() map[string]string {
	w.t.Helper()
	out := map[string]string{}
	for name, n := range w.nodes {
		d, _ := n.reporter.Demands().Get()
		for _, p := range d.Pods {
			if other := out[p.Pod]; other != "" {
				w.t.Errorf("%s is served by %s and by %s", p.Pod, other, name)
			}
			out[p.Pod] = name
		}
	}
	return out
}

// pass lets time go by, and looks each 50 ms that no pod is served twice.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end) && !w.t.Failed(); {
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
		w.served()
	}
}

func (w *world) want(want map[string]string) {
	w.t.Helper()
	if got := w.served(); fmt.Sprint(got) != fmt.Sprint(want) {
		w.t.Errorf("served are %v, want %v", got, want)
	}
}

func h100(t testing.TB) mig.Geometry {
	g, err := fleettest.Geometry("hgx-h100")
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func asks(name, resource string) *apiserver.PendingPod {
	p := pod(name, map[string]int64{"nvidia.com/" + resource: 1})
	p.Created = time.Now()
	return p
}

// bubble runs a test in a world whose agents all end with it.
func bubble(t *testing.T, f func(t *testing.T, ctx context.Context, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w := newWorld(t)
		defer w.wg.Wait()
		defer cancel()
		f(t, ctx, w)
	})
}
