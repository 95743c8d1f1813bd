package fleet_test

import (
	"context"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/kubelet"
	"github.com/gpulet/gpulet/partitioner"
	"github.com/gpulet/gpulet/partitioner/fleet"
	"github.com/gpulet/gpulet/partitioner/fleet/fleettest"
	"github.com/gpulet/gpulet/partitioner/plan"
)

// A report says what is free, who holds what, and who is on the way; geometries that GPUs share are told once.
func TestBuildReport(t *testing.T) {
	g := h100(t)
	slot := fleettest.Slots(g)[0]
	one := mig.Profile{Compute: 1, Slices: 1, MemoryGB: 10}
	pods := &kubelet.Pods{Synced: true, ByUID: map[kubelet.UID]kubelet.Pod{}}
	for _, p := range []kubelet.Pod{
		{UID: "u1", Namespace: "team", Name: "train-0", Admitted: true, Priority: 7, MilliCPU: 1500, MemoryBytes: 10},
		{UID: "u0", Namespace: "team", Name: "train-0", Ended: true, Priority: 9, MilliCPU: 9000},
		{UID: "u2", Namespace: "team", Name: "new", MilliCPU: 500, Containers: []kubelet.Container{
			{Init: true, Requests: map[string]int64{"nvidia.com/gpu": 1, "rdma/hca": 1}},
			{Init: true, Sidecar: true, Requests: map[string]int64{"nvidia.com/mig-1g.10gb": 1}},
			{Requests: map[string]int64{"nvidia.com/mig-1g.10gb": 2}},
		}},
	} {
		pods.ByUID[p.UID] = p
	}
	in := plan.Input{GPUs: []plan.GPU{
		{UUID: "GPU-0", Geometry: g, Claims: []plan.Claim{{Slot: slot, Holder: "pod team/train-0"}, {Whole: true, Holder: "python (pid 3)"}}},
		{UUID: "GPU-1", Index: 1, Geometry: g},
		{UUID: "GPU-2", Index: 2},
	}, Demands: []plan.Demand{{ID: "x"}}, Policy: plan.Policy{KeepWhole: 1}}
	r := fleet.BuildReport(fleet.Facts{
		Node: "node-a", View: &partitioner.View{Input: in}, Pods: pods, Demand: 5, Settings: partitioner.Settings{OnDemand: true, Evict: true},
		Resources: map[string]mig.Profile{"nvidia.com/gpu": {}, "nvidia.com/mig-1g.10gb": one}, Allocatable: fleet.Allocatable{MilliCPU: 4000, MemoryBytes: 100, Pods: 10},
	})
	want := &fleet.Report{
		Version: fleet.Version, Node: "node-a", Demand: 5, FreeMilliCPU: 2000, FreeMemoryBytes: 90, FreePods: 8, Evict: true,
		Resources:  map[string]string{"nvidia.com/gpu": "", "nvidia.com/mig-1g.10gb": "1g.10gb"},
		Geometries: []mig.Geometry{g}, Policy: plan.Policy{KeepWhole: 1},
		GPUs:     []fleet.ReportGPU{{Geometry: 0, GPU: in.GPUs[0]}, {Geometry: 0, GPU: in.GPUs[1]}, {Geometry: -1, GPU: in.GPUs[2]}},
		Holders:  map[string]fleet.Holder{"pod team/train-0": {Namespace: "team", Name: "train-0", UID: "u1", Priority: 7}},
		Arriving: []fleet.DemandPod{{UID: "u2", Namespace: "team", Name: "new", Requests: map[string]int64{"nvidia.com/gpu": 1, "nvidia.com/mig-1g.10gb": 3}}},
	}
	if !reflect.DeepEqual(r, want) {
		t.Errorf("%+v\nwant\n%+v", r, want)
	}
	for name, f := range map[string]fleet.Facts{
		"not configured": {View: &partitioner.View{}, Pods: pods, Allocatable: fleet.Allocatable{Pods: 1}},
		"dry run":        {View: &partitioner.View{}, Pods: pods, Allocatable: fleet.Allocatable{Pods: 1}, Settings: partitioner.Settings{OnDemand: true, DryRun: true}},
		"no view":        {Pods: pods, Allocatable: fleet.Allocatable{Pods: 1}, Settings: settings()},
		"waiting":        {View: &partitioner.View{Waiting: "it starts"}, Pods: pods, Allocatable: fleet.Allocatable{Pods: 1}, Settings: settings()},
		"no pods":        {View: &partitioner.View{}, Allocatable: fleet.Allocatable{Pods: 1}, Settings: settings()},
		"no Node":        {View: &partitioner.View{}, Pods: pods, Settings: settings()},
	} {
		if fleet.BuildReport(f).Off == "" {
			t.Errorf("%s: the node serves demand", name)
		}
	}
}

// A change that matters is told within 50 ms, free CPU alone within seconds, and a node that rests gives a sign each minute.
func TestWhenReportsAreWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cluster := fleettest.NewCluster()
		view := gpu.NewFeed(&partitioner.View{})
		allocatable := gpu.NewFeed(fleet.Allocatable{Pods: 1})
		r := fleet.NewReporter(fleet.ReporterConfig{
			Cluster: &fleettest.Member{Cluster: cluster, Name: "a"}, Node: "a", View: view, Pods: gpu.NewFeed(&kubelet.Pods{Synced: true}),
			Resources: gpu.NewFeed(map[string]mig.Profile{}), Settings: gpu.NewFeed(settings()), Allocatable: allocatable,
		})
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		count := func(after time.Duration, want int, what string) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if n, _ := cluster.Writes(); n != want {
				t.Errorf("%s: %d reports, want %d", what, n, want)
			}
		}
		count(10*time.Millisecond, 1, "the first")
		count(40*time.Second, 1, "nothing changed")
		view.Set(&partitioner.View{Input: plan.Input{Policy: plan.Policy{KeepWhole: 1}}})
		count(50*time.Millisecond, 2, "a change")
		view.Set(&partitioner.View{Version: 9, Input: plan.Input{Policy: plan.Policy{KeepWhole: 1}}})
		count(time.Second, 2, "a change that planning does not see")
		allocatable.Set(fleet.Allocatable{Pods: 2})
		count(time.Second, 2, "free pods")
		count(5*time.Second, 3, "free pods, later")
		for i := range 20 { // a burst
			view.Set(&partitioner.View{Input: plan.Input{Policy: plan.Policy{KeepWhole: 2 + i}}})
			time.Sleep(50 * time.Millisecond)
		}
		n, _ := cluster.Writes()
		if n < 5 || n > 8 {
			t.Errorf("%d reports after a burst of a second", n)
		}
		time.Sleep(30 * time.Second)
		n, _ = cluster.Writes()
		count(time.Minute, n+1, "a sign of life")
		cluster.SetAway(true)
		view.Set(&partitioner.View{Waiting: "it changes while the server is away"})
		count(time.Minute, n+1, "the server is away")
		cluster.SetAway(false)
		count(31*time.Second, n+2, "it is back")
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
