package gpu_test

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/gpufake"
)

// stormy is a driver whose waits for events do not wait: they time out at once, or bring an event at once.
type stormy struct {
	*gpufake.Driver
	event        func() (gpu.Event, error)
	waits, looks atomic.Int64
}

type stormyGPU struct {
	gpu.DriverGPU
	d *stormy
}

func (d *stormy) GPU(index int) (gpu.DriverGPU, error) {
	g, err := d.Driver.GPU(index)
	return stormyGPU{g, d}, err
}

func (g stormyGPU) Condition() (gpu.Condition, []gpu.Gap, error) {
	g.d.looks.Add(1)
	return g.DriverGPU.Condition()
}

func (g stormyGPU) Watch() (gpu.EventSource, error) { return g, nil }
func (g stormyGPU) Close() error                    { return nil }

func (g stormyGPU) Wait(timeout time.Duration) (gpu.Event, error) {
	if g.d.waits.Add(1) > 10000 {
		time.Sleep(timeout) // enough was seen
	}
	return g.d.event()
}

func (d *stormy) play(t *testing.T, long time.Duration) {
	t.Helper()
	cfg := roots(t, "boot")
	bubble(t, func(t *testing.T) {
		d.Driver = gpufake.New(gpufake.A100(0))
		cfg.Driver = d
		run(t, cfg, func(watched) { time.Sleep(long) })
	})
}

func TestWaitThatDoesNotWait(t *testing.T) {
	d := &stormy{event: func() (gpu.Event, error) { return gpu.Event{}, gpu.ErrTimeout }}
	if d.play(t, time.Minute); d.waits.Load() > 61 {
		t.Errorf("%d waits in a minute", d.waits.Load())
	}
}

// Events that come at once, one after the other, do not make as many looks.
func TestStormOfEvents(t *testing.T) {
	for _, c := range []struct {
		name  string
		event gpu.Event
		most  int64
	}{
		{"changes", gpu.Event{Kind: gpu.EventMIGChange}, 250},
		{"faults of an application", gpu.Event{Kind: gpu.EventXID, XID: 31, GPUInstance: gpu.NoInstance, ComputeInstance: gpu.NoInstance}, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &stormy{event: func() (gpu.Event, error) { time.Sleep(time.Millisecond); return c.event, nil }}
			if d.play(t, 10*time.Second); d.waits.Load() < 5000 || d.looks.Load() > c.most {
				t.Errorf("%d events, %d looks", d.waits.Load(), d.looks.Load())
			}
		})
	}
}

// What could not be written, on a full disk say, is written later.
func TestHealthIsWrittenLater(t *testing.T) {
	cfg := roots(t, "boot")
	dir := t.TempDir()
	cfg.StateDir = filepath.Join(dir, "state")
	if err := os.WriteFile(cfg.StateDir, nil, 0o600); err != nil { // no folder can be made there
		t.Fatal(err)
	}
	bubble(t, func(t *testing.T) {
		a := gpufake.A100(0)
		cfg.Driver = gpufake.New(a)
		run(t, cfg, func(w watched) {
			w.within(time.Second, "there", func(s *gpu.Snapshot) bool { return states(s) == "Healthy" })
			synctest.Wait()
			a.XID(119)
			time.Sleep(time.Minute)
			if err := os.Remove(cfg.StateDir); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			if files, err := os.ReadDir(cfg.StateDir); err != nil || len(files) != 1 {
				t.Errorf("%v %v", files, err)
			}
		})
	})
}
