package deviceplugin_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gpulet/gpulet/deviceplugin"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/kubelet"
	"github.com/gpulet/gpulet/kubelet/plugin"
	"github.com/gpulet/gpulet/test/fakekubelet"
)

// written are specs of which each is there.
type written struct{}

func (written) Name(d gpu.Device) string { return "gpulet.dev/gpu=" + d.Base().ID() }

func (written) DriverName() string                                  { return "gpulet.dev/driver=all" }
func (written) Ready(gpu.Device) error                              { return nil }
func (written) Changed() <-chan struct{}                            { return nil }
func (written) Nodes(gpu.Device) ([]deviceplugin.DeviceNode, error) { return nil, nil }

// theNode is the Node of a kubelet, behind an API server that takes its time.
type theNode struct {
	*fakekubelet.Kubelet
	takes time.Duration
}

func (n theNode) PatchResources(_ context.Context, counts map[string]deviceplugin.Count) error {
	time.Sleep(n.takes)
	for resource, c := range counts {
		if c.Remove {
			n.RemoveFromNode(resource)
		} else {
			n.PatchNode(map[string]fakekubelet.Count{resource: {Capacity: c.Capacity, Allocatable: c.Allocatable}})
		}
	}
	return nil
}

func (n theNode) Allocatable() (map[string]int64, bool) {
	out := map[string]int64{}
	for resource, c := range n.Node() {
		out[resource] = c.Allocatable
	}
	return out, true
}

// BenchmarkGrowth is how long it takes from new offers until the kubelet has their list, and until the Node says so, which is when
// pods that wait are scheduled. The API server takes 10 ms for a patch.
func BenchmarkGrowth(b *testing.B) {
	const resource = "nvidia.com/mig-1g.10gb"
	k := fakekubelet.New(b, fakekubelet.Options{})
	paths, gate := kubelet.PathsBelow(k.Root()), &kubelet.Gate{}
	resources := kubelet.NewResources(kubelet.ResourcesConfig{Socket: k.PodResources(), Gate: gate})
	pods := kubelet.NewPods(kubelet.PodsConfig{Sources: []kubelet.PodSource{kubelet.PodsAPI{Socket: k.PodsAPI()}}})
	claims := kubelet.NewClaims(kubelet.ClaimsConfig{Pods: pods.Feed(), Resources: resources, Checkpoint: paths.Checkpoint(), Gate: gate})
	registrar := plugin.NewRegistrar(plugin.Config{Dir: k.DevicePlugins(), Gate: gate})
	snapshot := &gpu.Snapshot{Version: 1}
	version := uint64(0)
	offers := func(slots int) *gpu.Offers {
		version++
		o := &gpu.Offers{Snapshot: snapshot, Version: version}
		for i := range slots {
			g := snapshot.GPUs[i/7].UUID
			o.Offers = append(o.Offers, gpu.Offer{Device: gpu.Device{Kind: gpu.Slice, GPU: g, Slot: mig.Slot{
				Profile: mig.Profile{Compute: 1, Slices: 1, MemoryGB: 10}, Placement: mig.Placement{Start: i % 7, Size: 1},
			}}})
		}
		for _, g := range snapshot.GPUs {
			o.Profiles = append(o.Profiles, gpu.PossibleProfile{GPU: g.UUID, Profile: mig.Profile{Compute: 1, Slices: 1, MemoryGB: 10}})
		}
		return o
	}
	const gpus = 8
	for i := range gpus {
		g := gpu.GPU{UUID: gpu.UUID(fmt.Sprintf("GPU-%d", i)), Index: i, NUMA: -1, Geometry: mig.Geometry{Axis: 8}}
		g.MIG.Enabled = true
		snapshot.GPUs = append(snapshot.GPUs, g)
	}
	feed := gpu.NewFeed(offers(0))
	manager := deviceplugin.New(deviceplugin.Config{
		Settings: gpu.NewFeed(deviceplugin.Settings{Strategy: deviceplugin.StrategyMixed, Deliveries: []deviceplugin.Delivery{deviceplugin.CDICRI}}),
		Offers:   feed, Claims: claims, Registrar: registrar, Specs: written{}, Node: theNode{k, 10 * time.Millisecond}, Pods: pods.Feed(), Resources: resources,
	})
	ctx, cancel := context.WithCancel(b.Context())
	g, ctx := errgroup.WithContext(ctx)
	for _, run := range []func(context.Context) error{resources.Run, pods.Run, claims.Run, registrar.Run, manager.Run} {
		g.Go(func() error { return run(ctx) })
	}
	defer func() {
		cancel()
		if err := g.Wait(); err != nil {
			b.Error(err)
		}
	}()
	wait := func(what string, cond func() bool) {
		b.Helper()
		if err := k.Wait(ctx, what, cond); err != nil {
			b.Fatal(err)
		}
	}
	wait("the Node says 0", func() bool { _, ok := k.Node()[resource]; return ok })
	var lists, nodes []time.Duration
	slots := 0
	for b.Loop() {
		if slots++; slots > 7*gpus {
			b.StopTimer()
			feed.Set(offers(0))
			wait("the Node says 0 again", func() bool { return k.Allocatable(resource) == 0 })
			slots = 1
			for { // until all have left, and can come back
				v, changed := manager.View().Get()
				if len(v.Pickable) == 0 {
					break
				}
				<-changed
			}
			b.StartTimer()
		}
		began := time.Now()
		feed.Set(offers(slots))
		wait("the list", func() bool { healthy, _ := k.Devices(resource); return len(healthy) == slots })
		lists = append(lists, time.Since(began))
		wait("the Node", func() bool { return k.Allocatable(resource) == int64(slots) })
		nodes = append(nodes, time.Since(began))
	}
	for name, took := range map[string][]time.Duration{"list": lists, "node": nodes} {
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, name+"-p50-ms")
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, name+"-p99-ms")
	}
}
