package exporter_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gpulet/gpulet/exporter"
	"github.com/gpulet/gpulet/exporter/expose"
	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/nvml"
	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// childEnv marks the process that has the library: go-nvml binds to one for the life of a process.
const childEnv = "GPULET_TEST_EXPORTER_CHILD"

// On simulated hardware, through the driver's library and the queues: values are right, a change of the layout swaps entities, a
// GPU that hangs ages alone, and the driver is called seldom.
func TestOnSimulatedHardware(t *testing.T) {
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("there is no gcc")
	}
	if testing.Short() {
		t.Skip("the hardware's time is real: 15 s")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChildOnSimulatedHardware$", "-test.v")
	cmd.Env = append(os.Environ(), childEnv+"=1", "GORACE=atexit_sleep_ms=0")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestChildOnSimulatedHardware") {
		t.Errorf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

func TestChildOnSimulatedHardware(t *testing.T) {
	if os.Getenv(childEnv) == "" {
		t.Skip("another test runs it in a process of its own")
	}
	ctx, cancel := context.WithCancel(t.Context())
	node := sim.New(t, sim.Options{Shape: "hgx-h100"})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(node.SetMIG(ctx, 1, true))
	for range 7 {
		_, _, err := node.CreateInstance(ctx, 1, "1g.10gb", nil)
		must(err)
	}
	must(node.SetLoad(ctx, sim.Whole(0), model.Load{Kind: "constant", Level: 70}))
	monitor := gpu.NewMonitor(gpu.MonitorConfig{
		Driver: nvml.New(nvml.Options{Library: node.Library()}), SysRoot: node.Root("sys"), ProcRoot: node.Root("proc"),
	})
	e := exporter.New(exporter.Config{
		Driver: monitor, Snapshots: monitor.Snapshots(),
		Settings: gpu.NewFeed(exporter.Settings{Fast: time.Second, Expose: expose.Options{Fields: family.Defaults()}}),
	})
	var group errgroup.Group
	group.Go(func() error { return monitor.Run(ctx) })
	group.Go(func() error { return e.Run(ctx) })
	defer func() {
		cancel()
		must(group.Wait())
	}()
	until := func(what string, ok func(*sample.Set) bool) *sample.Set {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			if set := e.Set(); ok(set) {
				return set
			}
		}
		t.Fatalf("not in time: %s; %+v", what, e.Describe())
		return nil
	}
	id := func(i int) gpu.UUID { return e.Set().Snapshot.GPUs[i].UUID }
	set := until("all entities are measured", func(s *sample.Set) bool {
		u, absent := 0.0, &gpu.Absence{}
		if len(s.Values) == 15 {
			u, absent = s.Utilization(s.Snapshot.GPUs[0].UUID.Whole())
		}
		return absent == nil && u == 0.7
	})
	if v := set.Values[gpu.Entity{GPU: id(1), Instance: set.Snapshot.GPUs[1].Instances[0].ID}][family.FBTotal]; v.Absent != nil || v.V < 9000 || v.V > 12000 {
		t.Errorf("the memory of an instance: %+v", v)
	}

	time.Sleep(3 * time.Second) // until the inventory has looked at everything
	before, err := node.Calls(ctx)
	must(err)
	began := time.Now()
	time.Sleep(5 * time.Second) // of the hardware's time
	after, err := node.Calls(ctx)
	must(err)
	total := 0.0
	for call, n := range after {
		total += float64(n - before[call])
	}
	perSecond := total / time.Since(began).Seconds() / 15
	t.Logf("%.1f driver calls per second and entity, the inventory's among them", perSecond)
	if perSecond > 6 {
		t.Errorf("%.1f driver calls per second and entity", perSecond)
	}

	must(node.Hang(ctx, 0, false))
	set = until("the GPU that hangs is down, and aged", func(s *sample.Set) bool {
		v := s.Values[id(0).Whole()][family.GPUUtil]
		return s.Down[id(0)] != "" && v.Absent != nil
	})
	if v := set.Values[id(2).Whole()][family.GPUUtil]; v.Absent != nil || set.At.Sub(v.At) > 3*time.Second { // the periods after which it would go
		t.Errorf("another GPU: %+v at %s", v, set.At)
	}
	must(node.Unhang(ctx, 0))
	gone := set.Snapshot.GPUs[1].Instances[3].ID
	must(node.DestroyInstance(ctx, 1, gone))
	monitor.Refresh()
	until("the instance went and the GPU came back", func(s *sample.Set) bool {
		_, there := s.Values[gpu.Entity{GPU: id(1), Instance: gone}]
		return !there && len(s.Values) == 14 && len(s.Down) == 0
	})
}
