package nvml_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/nvml"
	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// Through the inventory's queues measurements outlive a restart of the driver, end with a GPU that is let go, and XIDs are told.
func TestMonitored(t *testing.T) {
	simulated(t, "hgx-h100 580.65.06", "TestChildMonitored")
}

// watch is a running monitor.
type watch struct {
	*testing.T
	m    *gpu.Monitor
	uuid gpu.UUID
}

// until reads until it is as wanted.
func (w watch) until(what string, ok func([]gpu.Reading, error) bool) {
	w.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		got, err := w.m.Read(w.Context(), w.uuid, gpu.Ask{Whole: []gpu.Field{203, 1001}})
		if ok(got, err) {
			return
		}
		if time.Now().After(deadline) {
			w.Fatalf("not %s: %+v %v", what, got, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func busy(got []gpu.Reading, err error) bool {
	return err == nil && len(got) == 2 && got[0].Value == 40 && got[1].Absent == nil && got[1].Value > 0.39 && got[1].Value < 0.41
}

func TestChildMonitored(t *testing.T) {
	shape, driver, ok := strings.Cut(os.Getenv(nodeEnv), " ")
	if !ok {
		t.Skip("another test runs it in a process of its own")
	}
	n := sim.New(t, sim.Options{Shape: shape, Driver: driver, Seed: 1})
	work := func() {
		if err := n.SetLoad(t.Context(), sim.Whole(0), model.Load{Kind: "constant", Level: 40}); err != nil {
			t.Fatal(err)
		}
	}
	work()
	xids := make(chan uint64, 10)
	m := gpu.NewMonitor(gpu.MonitorConfig{
		Driver: nvml.New(nvml.Options{Library: n.Library()}), SysRoot: n.Root("sys"), ProcRoot: n.Root("proc"),
		XID: func(_ gpu.UUID, e gpu.Event, _ time.Time) { xids <- e.XID },
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	w := watch{T: t, m: m}
	for w.uuid == "" {
		s, changed := m.Snapshots().Get()
		if len(s.GPUs) == 8 {
			w.uuid = s.GPUs[0].UUID
			break
		}
		<-changed
	}
	w.until("busy", busy)
	for range 2 {
		if err := n.XID(t.Context(), sim.Whole(0), 31); err != nil {
			t.Fatal(err)
		}
		select {
		case x := <-xids:
			if x != 31 {
				t.Errorf("XID %d", x)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("no XID is told")
		}
	}
	if err := n.UnloadDriver(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	w.until("lost", func(_ []gpu.Reading, err error) bool { return err != nil })
	if err := n.LoadDriver(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	work() // nothing outlives the driver
	w.until("back", busy)
	release, err := m.Quiesce(t.Context(), w.uuid)
	if err != nil {
		t.Fatal(err)
	}
	w.until("let go", func(_ []gpu.Reading, err error) bool {
		return err != nil && strings.Contains(err.Error(), "is being changed")
	})
	release()
	w.until("taken again", busy)
}
