package nvml_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/gpu/nvml"
	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// Through the inventory two GPUs change their mode at once while a third is divided and a fourth is measured; the driver is slow.
func TestModes(t *testing.T) {
	for _, node := range []string{"dgx-a100 550.54.15", "hgx-h100 580.65.06"} {
		t.Run(node, func(t *testing.T) { simulated(t, node, "TestChildModes") })
	}
}

func TestChildModes(t *testing.T) {
	shape, driver, ok := strings.Cut(os.Getenv(nodeEnv), " ")
	if !ok {
		t.Skip("another test runs it in a process of its own")
	}
	t.Cleanup(func() { goleak.VerifyNone(t) })
	n := sim.New(t, sim.Options{Shape: shape, Driver: driver, Seed: 1})
	for call, delay := range map[string]time.Duration{
		"nvmlDeviceSetMigMode": 3 * time.Second, "nvmlDeviceCreateGpuInstanceWithPlacement": 300 * time.Millisecond,
	} {
		if err := n.SlowCalls(t.Context(), model.LatencyFault{Call: call, GPU: -1, Delay: delay}); err != nil {
			t.Fatal(err)
		}
	}
	m := gpu.NewMonitor(gpu.MonitorConfig{Driver: nvml.New(nvml.Options{Library: n.Library()}), SysRoot: n.Root("sys"), ProcRoot: n.Root("proc")})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	modes{T: t, m: m, n: n}.play()
}

// modes is a running inventory of a node.
type modes struct {
	*testing.T
	m *gpu.Monitor
	n *sim.Node
}

// within waits for a snapshot.
func (w modes) within(what string, ok func(*gpu.Snapshot) bool) *gpu.Snapshot {
	w.Helper()
	late := time.After(20 * time.Second)
	for {
		s, changed := w.m.Snapshots().Get()
		if ok(s) {
			return s
		}
		select {
		case <-changed:
		case <-late:
			w.Fatalf("not %s: %+v", what, s.GPUs)
		}
	}
}

func (w modes) mode(uuid gpu.UUID, on bool) {
	began := time.Now()
	a, err := w.m.SetMode(w.Context(), uuid, on)
	if s, _ := w.m.Snapshots().Get(); err != nil || a != gpu.Activated || s.GPU(uuid).MIG.Enabled != on {
		w.Errorf("%s: %d %v, seen %+v", uuid, a, err, s.GPU(uuid).MIG)
	}
	w.Logf("MIG mode %v of %s in %s", on, uuid, time.Since(began))
}

// make makes an instance of the first profile.
func (w modes) make(uuid gpu.UUID, at int) {
	s, _ := w.m.Snapshots().Get()
	p := s.GPU(uuid).Geometry.Profiles[0]
	began := time.Now()
	id, err := w.m.CreateInstance(w.Context(), uuid, mig.Slot{Profile: p.Profile, Placement: p.Placements[at]})
	if err == nil {
		_, err = w.m.CreateCompute(w.Context(), uuid, id)
	}
	if err != nil {
		w.Errorf("%s: %v", uuid, err)
	}
	w.Logf("%s@%d of %s in %s", p.Profile, at, uuid, time.Since(began))
}

func (w modes) play() {
	s := w.within("there", func(s *gpu.Snapshot) bool { return len(s.GPUs) == 8 && s.GPUs[7].UUID != "" })
	uuids := make([]gpu.UUID, 8)
	for i, g := range s.GPUs {
		uuids[i] = g.UUID
	}
	time.Sleep(time.Second) // events are registered: they are in the way of a change of mode
	w.mode(uuids[2], true)
	stop := w.steady()
	var group sync.WaitGroup
	for _, uuid := range uuids[:2] {
		group.Go(func() { w.mode(uuid, true) })
		group.Go(func() {
			time.Sleep(time.Second)
			w.make(uuid, 0) // waits for the mode
		})
	}
	group.Go(func() {
		for at := range 7 {
			w.make(uuids[2], at)
		}
	})
	group.Go(func() {
		for range 20 {
			if got, err := w.m.Read(w.Context(), uuids[3], gpu.Ask{Whole: []gpu.Field{155}}); err != nil || len(got) != 1 || got[0].Absent != nil {
				w.Errorf("GPU 3: %+v %v", got, err)
			}
			time.Sleep(200 * time.Millisecond)
		}
	})
	group.Wait()
	s = w.within("divided", func(s *gpu.Snapshot) bool {
		return len(s.GPUs[0].Instances) == 1 && len(s.GPUs[0].Instances[0].Compute) == 1 && len(s.GPUs[1].Instances) == 1 && len(s.GPUs[2].Instances) == 7
	})
	in := s.GPUs[0].Instances[0]
	if err := errors.Join(w.m.DestroyCompute(w.Context(), uuids[0], in.ID, in.Compute[0].ID), w.m.DestroyInstance(w.Context(), uuids[0], in.ID)); err != nil {
		w.Error(err)
	}
	stop()
	w.mode(uuids[0], false)
	calls, err := w.n.Calls(w.Context())
	if err != nil || calls["nvmlShutdown"] != 0 {
		w.Errorf("%d sessions were ended: %v", calls["nvmlShutdown"], err)
	}
}

// steady checks until its end that every GPU is shown, and healthy.
func (w modes) steady() (end func()) {
	ctx, cancel := context.WithCancel(w.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			s, changed := w.m.Snapshots().Get()
			if len(s.GPUs) != 8 {
				w.Errorf("%d GPUs are shown", len(s.GPUs))
			}
			for _, g := range s.GPUs {
				if g.Health.State != gpu.Healthy {
					w.Errorf("GPU %d is shown %s: %s", g.Index, g.Health.State, g.Health.Reason)
				}
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}
