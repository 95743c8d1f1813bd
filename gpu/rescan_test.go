package gpu_test

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/gpufake"
)

// bind makes the kernel driver serve a device.
func bind(t *testing.T, sys string, g *gpufake.GPU) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(sys, "bus/pci/drivers/nvidia", string(g.ID.PCI)), 0o755); err != nil {
		t.Fatal(err)
	}
}

// A driver lists the GPUs that were there when the session began: the agent may come while the module still finds them.
func TestGPUThatComesLate(t *testing.T) {
	cfg := roots(t, "boot")
	bubble(t, func(t *testing.T) {
		a, b := gpufake.A100(0), gpufake.A100(1)
		bind(t, cfg.SysRoot, a)
		d := gpufake.New(a)
		cfg.Driver = d
		run(t, cfg, func(w watched) {
			w.within(time.Second, "there", func(s *gpu.Snapshot) bool { return states(s) == "Healthy" })
			bind(t, cfg.SysRoot, b)
			d.SetGPUs(a, b)
			w.within(15*time.Second, "both", func(s *gpu.Snapshot) bool { return states(s) == "Healthy Healthy" })
			time.Sleep(time.Hour)
			if d.Opens() != 2 {
				t.Errorf("%d sessions", d.Opens())
			}
		})
	})
}

func TestNoGPUAtFirst(t *testing.T) {
	cfg := roots(t, "boot")
	bubble(t, func(t *testing.T) {
		d := gpufake.New()
		cfg.Driver = d
		run(t, cfg, func(w watched) {
			w.within(time.Second, "told", func(s *gpu.Snapshot) bool { return len(s.GPUs) == 0 })
			d.SetGPUs(gpufake.A100(0))
			w.within(6*time.Minute, "there", func(s *gpu.Snapshot) bool { return states(s) == "Healthy" })
		})
	})
}

// A GPU that the driver did not list as the session began comes back without a restart of the driver or the agent.
func TestUnlistedGPUReturns(t *testing.T) {
	cfg := roots(t, "boot")
	bubble(t, func(t *testing.T) {
		a, b := gpufake.A100(0), gpufake.A100(1)
		d := gpufake.New(a, b)
		cfg.Driver = d
		run(t, cfg, func(w watched) {
			w.within(time.Second, "there", func(s *gpu.Snapshot) bool { return states(s) == "Healthy Healthy" })
			synctest.Wait()
			d.SetGPUs(b)
			d.Restart()
			w.within(20*time.Second, "one away", func(s *gpu.Snapshot) bool { return len(s.Gaps) == 0 && states(s) == "Unhealthy Healthy" })
			time.Sleep(time.Hour)
			if n := d.Opens(); n < 10 || n > 16 || states(w.now()) != "Unhealthy Healthy" {
				t.Errorf("%d sessions in an hour, %v", n, describe(w.now()))
			}
			v := w.now().Version
			time.Sleep(time.Hour)
			if now := w.now().Version; now != v {
				t.Errorf("%d versions though nothing changed", now-v)
			}
			d.SetGPUs(a, b)
			w.within(6*time.Minute, "both back", func(s *gpu.Snapshot) bool { return states(s) == "Healthy Healthy" })
		})
	})
}

// With a GPU less the others have other indices: one that hangs is not taken for the one that is gone.
func TestHungGPUAtAnotherIndex(t *testing.T) {
	cfg := roots(t, "boot")
	bubble(t, func(t *testing.T) {
		a, b := gpufake.A100(0), gpufake.A100(1)
		d := gpufake.New(a, b)
		cfg.Driver = d
		run(t, cfg, func(w watched) {
			w.within(time.Second, "there", func(s *gpu.Snapshot) bool { return states(s) == "Healthy Healthy" })
			synctest.Wait()
			d.SetGPUs(b)
			free := b.Hang()
			defer free()
			d.Restart()
			time.Sleep(10 * time.Second)
			for range 60 {
				time.Sleep(10 * time.Second)
				if s := w.now(); s.GPU(a.ID.UUID).Health.Allocatable() || s.GPU(b.ID.UUID).Health.Allocatable() {
					t.Fatalf("%v", describe(s))
				}
			}
			free()
			w.within(time.Minute, "one well", func(s *gpu.Snapshot) bool {
				return !s.GPU(a.ID.UUID).Health.Allocatable() && s.GPU(b.ID.UUID).Health.Allocatable()
			})
		})
	})
}
