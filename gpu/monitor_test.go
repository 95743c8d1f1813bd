package gpu_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/gpufake"
)

// watched is a monitor that runs over a fake driver, in a bubble of its own time.
type watched struct {
	t *testing.T
	m *gpu.Monitor
}

// roots makes the folders that a monitor reads.
func roots(t *testing.T, bootID string) gpu.MonitorConfig {
	t.Helper()
	proc := t.TempDir()
	if err := os.MkdirAll(filepath.Join(proc, "sys/kernel/random"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(proc, "sys/kernel/random/boot_id"), []byte(bootID+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return gpu.MonitorConfig{ProcRoot: proc, SysRoot: t.TempDir()}
}

// run plays f beside a running monitor.
func run(t *testing.T, cfg gpu.MonitorConfig, f func(w watched)) {
	t.Helper()
	m := gpu.NewMonitor(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	f(watched{t, m})
	cancel()
	began := time.Now()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("Run took %s to end", took)
	}
}

// bubble runs a test with a fake clock; GPUs that hang are released at its end.
func bubble(t *testing.T, f func(t *testing.T)) { t.Helper(); synctest.Test(t, f) }

func (w watched) now() *gpu.Snapshot { s, _ := w.m.Snapshots().Get(); return s }

// within waits until the snapshot is as wanted.
func (w watched) within(d time.Duration, what string, ok func(s *gpu.Snapshot) bool) *gpu.Snapshot {
	w.t.Helper()
	deadline := time.After(d)
	for {
		s, changed := w.m.Snapshots().Get()
		if s.Version > 0 && ok(s) {
			return s
		}
		select {
		case <-changed:
		case <-deadline:
			w.t.Fatalf("after %s not %s: %+v", d, what, describe(w.now()))
		}
	}
}

func describe(s *gpu.Snapshot) (out []string) {
	for _, g := range s.Gaps {
		out = append(out, "gap "+g.Feature+": "+g.Reason)
	}
	for _, g := range s.GPUs {
		out = append(out, string(g.UUID)+" "+g.Health.State.String()+" "+g.Health.Reason)
	}
	return out
}

func states(s *gpu.Snapshot) string {
	var out []string
	for _, g := range s.GPUs {
		out = append(out, g.Health.State.String())
	}
	return strings.Join(out, " ")
}

func TestFirstSnapshot(t *testing.T) {
	cfg := roots(t, "boot")
	a, b := gpufake.A100(0), gpufake.T4(1)
	a.Divide("3g.40gb@0", "2g.20gb@4")
	dev := filepath.Join(cfg.SysRoot, "bus/pci/devices", string(a.ID.PCI))
	if err := os.MkdirAll(dev, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dev, "numa_node"), []byte("1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	bubble(t, func(t *testing.T) {
		cfg.Driver = gpufake.New(a, b)
		run(t, cfg, func(w watched) {
			began := time.Now()
			s := w.within(time.Second, "complete", func(s *gpu.Snapshot) bool { return len(s.GPUs) == 2 })
			if took := time.Since(began); took > 0 {
				t.Errorf("GPUs that answer at once took %s", took)
			}
			if s.Version != 1 || s.Driver.Version != "550.54.15" || states(s) != "Healthy Healthy" {
				t.Errorf("%d %+v %v", s.Version, s.Driver, describe(s))
			}
			g := s.GPUs[0]
			if g.NUMA != 1 || s.GPUs[1].NUMA != -1 || len(s.GPUs[1].Gaps) != 1 {
				t.Errorf("NUMA %d and %d, gaps %v", g.NUMA, s.GPUs[1].NUMA, s.GPUs[1].Gaps)
			}
			if !g.MIG.Enabled || g.Geometry.Axis != 8 || len(g.Instances) != 2 || g.Model != a.ID.Model {
				t.Errorf("%+v", g)
			}
			time.Sleep(time.Minute)
			if v := w.now().Version; v > 2 {
				t.Errorf("version %d though nothing changed", v)
			}
		})
	})
}

func TestHungGPUHarmsOnlyItself(t *testing.T) {
	cfg := roots(t, "boot")
	bubble(t, func(t *testing.T) {
		a, b, c := gpufake.A100(0), gpufake.A100(1), gpufake.A100(2)
		cfg.Driver = gpufake.New(a, b, c)
		free := b.Hang()
		run(t, cfg, func(w watched) {
			began := time.Now()
			s := w.within(2*time.Second, "there", func(s *gpu.Snapshot) bool { return len(s.GPUs) == 3 })
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("first snapshot after %s", took)
			}
			if states(s) != "Healthy Unhealthy Healthy" || !strings.Contains(s.GPUs[1].Health.Reason, "no answer") {
				t.Errorf("%v", describe(s))
			}
			w.within(6*time.Second, "with a reason", func(s *gpu.Snapshot) bool {
				return strings.Contains(s.GPUs[1].Health.Reason, "no answer from the driver since")
			})
			// The others go on.
			a.Divide("7g.80gb@0")
			w.within(6*time.Second, "divided", func(s *gpu.Snapshot) bool { return len(s.GPUs[0].Instances) == 1 })
			time.Sleep(10 * time.Minute)
			if n := len(w.m.Queues().Stuck()); n != 1 {
				t.Errorf("%d calls are stuck", n)
			}
			free()
			w.within(40*time.Second, "back", func(s *gpu.Snapshot) bool { return states(s) == "Healthy Healthy Healthy" })
			// It hangs later, with its devices known.
			free = c.Hang()
			s = w.within(11*time.Second, "hung", func(s *gpu.Snapshot) bool { return states(s) == "Healthy Healthy Unhealthy" })
			if s.GPUs[2].Model == "" || s.GPUs[2].UUID != c.ID.UUID {
				t.Errorf("%+v", s.GPUs[2])
			}
			time.Sleep(time.Minute)
		})
		free()
		synctest.Wait()
	})
}

func TestOutsideLayoutChange(t *testing.T) {
	cfg := roots(t, "boot")
	bubble(t, func(t *testing.T) {
		a, b := gpufake.A100(0), gpufake.A100(1)
		b.NoEvents()
		cfg.Driver = gpufake.New(a, b)
		run(t, cfg, func(w watched) {
			w.within(time.Second, "there", func(s *gpu.Snapshot) bool { return len(s.GPUs) == 2 })
			time.Sleep(1234 * time.Millisecond)
			a.Divide("3g.40gb@0")
			a.Send(gpu.Event{Kind: gpu.EventMIGChange, GPUInstance: gpu.NoInstance, ComputeInstance: gpu.NoInstance})
			w.within(time.Second, "seen by its event", func(s *gpu.Snapshot) bool { return len(s.GPUs[0].Instances) == 1 })
			b.Divide("1g.10gb@0", "1g.10gb@6")
			w.within(5*time.Second, "seen by polling", func(s *gpu.Snapshot) bool { return len(s.GPUs[1].Instances) == 2 })
		})
	})
}

func TestLostGPUReturns(t *testing.T) {
	cfg := roots(t, "boot")
	bubble(t, func(t *testing.T) {
		a, b := gpufake.A100(0), gpufake.A100(1)
		cfg.Driver = gpufake.New(a, b)
		run(t, cfg, func(w watched) {
			w.within(time.Second, "there", func(s *gpu.Snapshot) bool { return len(s.GPUs) == 2 })
			synctest.Wait()
			a.SetLost(true)
			a.XID(79)
			s := w.within(time.Second, "lost", func(s *gpu.Snapshot) bool { return s.GPUs[0].Health.State == gpu.Unhealthy })
			if !strings.Contains(s.GPUs[0].Health.Reason, "XID 79: GPU has fallen off the bus at") {
				t.Errorf("%v", describe(s))
			}
			time.Sleep(time.Minute)
			if states(w.now()) != "Unhealthy Healthy" {
				t.Errorf("%v", describe(w.now()))
			}
			a.SetLost(false)
			w.within(6*time.Second, "recovering", func(s *gpu.Snapshot) bool { return s.GPUs[0].Health.State == gpu.Recovering })
			w.within(time.Minute, "back", func(s *gpu.Snapshot) bool { return states(s) == "Healthy Healthy" })
			time.Sleep(2 * time.Minute) // events are registered anew, at the latest now
			a.XID(119)
			w.within(time.Second, "hit again", func(s *gpu.Snapshot) bool { return states(s) == "Unhealthy Healthy" })
		})
	})
}

func TestNoDriverThenDriver(t *testing.T) {
	cfg := roots(t, "boot")
	bubble(t, func(t *testing.T) {
		d := gpufake.New(gpufake.A100(0))
		d.SetOpenError(&gpu.DriverError{Call: "nvmlInit_v2", Text: "the kernel driver is not loaded", Kind: gpu.ErrNoDriver})
		cfg.Driver = d
		run(t, cfg, func(w watched) {
			s := w.within(time.Second, "told", func(s *gpu.Snapshot) bool { return true })
			if len(s.GPUs) != 0 || len(s.Gaps) != 1 || !strings.Contains(s.Gaps[0].Reason, "the kernel driver is not loaded") {
				t.Errorf("%v", describe(s))
			}
			time.Sleep(10 * time.Minute)
			if v := w.now().Version; v != 1 {
				t.Errorf("%d versions of the same outage", v)
			}
			d.SetOpenError(nil)
			w.within(6*time.Second, "there", func(s *gpu.Snapshot) bool { return len(s.GPUs) == 1 && len(s.Gaps) == 0 })
		})
	})
}

func TestDriverRestart(t *testing.T) {
	cfg := roots(t, "boot")
	bubble(t, func(t *testing.T) {
		a := gpufake.A100(0)
		d := gpufake.New(a)
		stale := 0
		cfg.Driver = d
		cfg.Stale = func() { stale++ }
		run(t, cfg, func(w watched) {
			w.within(time.Second, "there", func(s *gpu.Snapshot) bool { return len(s.GPUs) == 1 })
			synctest.Wait()
			a.XID(48)
			w.within(time.Second, "hit", func(s *gpu.Snapshot) bool { return states(s) == "Unhealthy" })
			time.Sleep(10 * time.Minute)
			if states(w.now()) != "Unhealthy" {
				t.Errorf("came back without a reset: %v", describe(w.now()))
			}
			d.Restart()
			s := w.within(6*time.Second, "away", func(s *gpu.Snapshot) bool { return len(s.Gaps) == 1 })
			if len(s.GPUs) != 1 || s.GPUs[0].Health.State != gpu.Unhealthy {
				t.Errorf("%v", describe(s))
			}
			w.within(time.Minute, "cured by the restart", func(s *gpu.Snapshot) bool { return states(s) == "Healthy" && len(s.Gaps) == 0 })

			d.Restart()
			d.SetOpenError(&gpu.DriverError{Call: "nvmlInit_v2", Text: "version mismatch", Kind: gpu.ErrLibraryStale})
			w.within(10*time.Second, "replaced", func(s *gpu.Snapshot) bool {
				return len(s.Gaps) == 1 && strings.Contains(s.Gaps[0].Reason, "the agent has to start anew")
			})
			time.Sleep(time.Minute)
			if stale != 1 {
				t.Errorf("Stale was called %d times", stale)
			}
		})
	})
}

func TestOpenThatHangs(t *testing.T) {
	cfg := roots(t, "boot")
	bubble(t, func(t *testing.T) {
		d := gpufake.New(gpufake.A100(0))
		free := d.HangOpen()
		cfg.Driver = d
		run(t, cfg, func(w watched) {
			s := w.within(6*time.Second, "told", func(s *gpu.Snapshot) bool { return true })
			if !strings.Contains(s.Gaps[0].Reason, "no answer from the driver since") {
				t.Errorf("%v", describe(s))
			}
			time.Sleep(time.Hour)
			if n := len(w.m.Queues().Stuck()); n != 1 {
				t.Errorf("%d stuck calls", n)
			}
			free()
			w.within(6*time.Second, "there", func(s *gpu.Snapshot) bool { return len(s.GPUs) == 1 })
		})
	})
}

func TestHealthOutlivesTheAgentAndEndsWithTheBoot(t *testing.T) {
	dir := t.TempDir()
	boot1, boot2 := roots(t, "boot-1"), roots(t, "boot-2")
	bubble(t, func(t *testing.T) {
		a, b := gpufake.A100(0), gpufake.A100(1)
		b.Divide("3g.40gb@0")
		start := func(cfg gpu.MonitorConfig, f func(w watched)) {
			cfg.StateDir, cfg.Driver = dir, gpufake.New(a, b)
			run(t, cfg, f)
		}
		start(boot1, func(w watched) {
			w.within(time.Second, "there", func(s *gpu.Snapshot) bool { return states(s) == "Healthy Healthy" })
			synctest.Wait()
			a.XID(95)
			w.within(time.Second, "hit", func(s *gpu.Snapshot) bool { return states(s) == "Unhealthy Healthy" })
		})
		b.SetLost(true)
		start(boot1, func(w watched) {
			s := w.within(time.Second, "remembered", func(s *gpu.Snapshot) bool { return len(s.GPUs) == 2 })
			if states(s) != "Unhealthy Unhealthy" || !strings.Contains(s.GPUs[0].Health.Reason, "XID 95") {
				t.Errorf("%v", describe(s))
			}
			// The lost one is known from before, with its devices.
			if s.GPUs[1].UUID != b.ID.UUID || !s.GPUs[1].MIG.Enabled || len(s.GPUs[1].Instances) != 1 {
				t.Errorf("%+v", s.GPUs[1])
			}
			time.Sleep(5 * time.Minute)
			if states(w.now()) != "Unhealthy Unhealthy" {
				t.Errorf("%v", describe(w.now()))
			}
		})
		b.SetLost(false)
		start(boot2, func(w watched) {
			s := w.within(time.Second, "well", func(s *gpu.Snapshot) bool { return len(s.GPUs) == 2 })
			if states(s) != "Healthy Healthy" {
				t.Errorf("after a reboot: %v", describe(s))
			}
		})
	})
}

func TestClear(t *testing.T) {
	cfg := roots(t, "boot")
	bubble(t, func(t *testing.T) {
		a := gpufake.A100(0)
		cfg.Driver = gpufake.New(a)
		run(t, cfg, func(w watched) {
			w.within(time.Second, "there", func(s *gpu.Snapshot) bool { return len(s.GPUs) == 1 })
			synctest.Wait()
			a.XID(79)
			w.within(time.Second, "hit", func(s *gpu.Snapshot) bool { return states(s) == "Unhealthy" })
			if err := w.m.Clear(t.Context(), a.ID.UUID); err != nil || states(w.now()) != "Healthy" {
				t.Errorf("%v %v", err, describe(w.now()))
			}
			if err := w.m.Clear(t.Context(), "GPU-none"); !errors.Is(err, gpu.ErrUnknownGPU) {
				t.Errorf("%v", err)
			}
		})
	})
}

func TestGPUThatNeverAnswered(t *testing.T) {
	cfg := roots(t, "boot")
	bubble(t, func(t *testing.T) {
		a, b := gpufake.A100(0), gpufake.A100(1)
		a.SetLost(true)
		cfg.Driver = gpufake.New(a, b)
		run(t, cfg, func(w watched) {
			s := w.within(time.Second, "there", func(s *gpu.Snapshot) bool { return len(s.GPUs) == 2 })
			if s.GPUs[0].UUID != "unknown-0" || states(s) != "Unhealthy Healthy" || !strings.Contains(s.GPUs[0].Health.Reason, "lost") {
				t.Errorf("%v", describe(s))
			}
			o := gpu.StaticOffers(s)
			if len(o.Offers) != 1 || len(o.Withheld) != 1 {
				t.Errorf("%+v", o)
			}
			a.SetLost(false)
			w.within(6*time.Second, "named", func(s *gpu.Snapshot) bool { return s.GPUs[0].UUID == a.ID.UUID && states(s) == "Healthy Healthy" })
		})
	})
}

func TestGPUThatDisappears(t *testing.T) {
	cfg := roots(t, "boot")
	bubble(t, func(t *testing.T) {
		a, b := gpufake.A100(0), gpufake.A100(1)
		d := gpufake.New(a, b)
		cfg.Driver = d
		run(t, cfg, func(w watched) {
			w.within(time.Second, "there", func(s *gpu.Snapshot) bool { return len(s.GPUs) == 2 })
			d.SetGPUs(b)
			d.Restart()
			s := w.within(20*time.Second, "one away", func(s *gpu.Snapshot) bool { return len(s.Gaps) == 0 && states(s) == "Unhealthy Healthy" })
			if s.GPUs[0].UUID != a.ID.UUID {
				t.Errorf("%v", describe(s))
			}
			d.SetGPUs(a, b)
			d.Restart()
			w.within(time.Minute, "both back", func(s *gpu.Snapshot) bool { return len(s.Gaps) == 0 && states(s) == "Healthy Healthy" })
		})
	})
}

func TestQuiesce(t *testing.T) {
	cfg := roots(t, "boot")
	bubble(t, func(t *testing.T) {
		a, b := gpufake.A100(0), gpufake.A100(1)
		d := gpufake.New(a, b)
		cfg.Driver = d
		run(t, cfg, func(w watched) {
			w.within(time.Second, "there", func(s *gpu.Snapshot) bool { return len(s.GPUs) == 2 })
			synctest.Wait()
			if a.Watched() != 1 || b.Watched() != 1 {
				t.Fatalf("events of %d and %d", a.Watched(), b.Watched())
			}
			release, err := w.m.Quiesce(t.Context(), a.ID.UUID)
			if err != nil {
				t.Fatal(err)
			}
			if a.Watched() != 0 || b.Watched() != 1 {
				t.Errorf("events of %d and %d while GPU 0 is let go", a.Watched(), b.Watched())
			}
			a.Divide("7g.80gb@0")
			time.Sleep(time.Minute)
			if len(w.now().GPUs[0].Instances) != 0 || states(w.now()) != "Healthy Healthy" {
				t.Errorf("looked at a GPU that it let go: %v", describe(w.now()))
			}
			opens := d.Opens()
			release()
			release()
			w.within(3*time.Second, "seen", func(s *gpu.Snapshot) bool { return len(s.GPUs[0].Instances) == 1 })
			synctest.Wait()
			if d.Opens() != opens || a.Watched() != 1 || b.Watched() != 1 {
				t.Errorf("%d new sessions, events of %d and %d", d.Opens()-opens, a.Watched(), b.Watched())
			}
			if _, err := w.m.Quiesce(t.Context(), "GPU-none"); !errors.Is(err, gpu.ErrUnknownGPU) {
				t.Errorf("%v", err)
			}
		})
		if a.Watched() != 0 || b.Watched() != 0 {
			t.Errorf("after the end, events of %d and %d", a.Watched(), b.Watched())
		}
	})
}

func TestHoldersAndTopology(t *testing.T) {
	cfg := roots(t, "boot")
	bubble(t, func(t *testing.T) {
		a, b, c := gpufake.A100(0), gpufake.A100(1), gpufake.A100(2)
		a.SetHolders(gpu.Holder{PID: 42, GPUInstance: gpu.NoInstance, ComputeInstance: gpu.NoInstance, MemoryBytes: 1 << 30})
		b.SetLinks(gpu.Link{Remote: c.ID.PCI}, gpu.Link{Remote: c.ID.PCI})
		c.SetLinks(gpu.Link{Remote: b.ID.PCI}, gpu.Link{Remote: b.ID.PCI})
		a.SetAncestor(b.ID.UUID, gpu.AncestorSwitch)
		cfg.Driver = gpufake.New(a, b, c)
		run(t, cfg, func(w watched) {
			s := w.within(time.Second, "measured", func(s *gpu.Snapshot) bool { return s.Topology.Score(b.ID.UUID, c.ID.UUID) >= 200 })
			all := []gpu.UUID{a.ID.UUID, b.ID.UUID, c.ID.UUID}
			if got := s.Topology.Best(all, nil, 2); len(got) != 2 || got[0] != b.ID.UUID || got[1] != c.ID.UUID {
				t.Errorf("the best pair is %v", got)
			}
			if got := s.Topology.Best(all, nil, 1); len(got) != 1 || got[0] != a.ID.UUID {
				t.Errorf("the one that keeps the pair whole is %v", got)
			}
			h, err := w.m.Holders(t.Context(), a.ID.UUID)
			if err != nil || len(h) != 1 || h[0].PID != 42 {
				t.Errorf("%v %v", h, err)
			}
			if _, err := w.m.Holders(t.Context(), "GPU-none"); !errors.Is(err, gpu.ErrUnknownGPU) {
				t.Errorf("%v", err)
			}
		})
	})
}

func TestSpoiledSessionIsRenewed(t *testing.T) {
	cfg := roots(t, "boot")
	bubble(t, func(t *testing.T) {
		a, b := gpufake.A100(0), gpufake.A100(1)
		d := gpufake.New(a, b)
		cfg.Driver = d
		run(t, cfg, func(w watched) {
			w.within(time.Second, "there", func(s *gpu.Snapshot) bool { return len(s.GPUs) == 2 })
			unknown := errors.New("unknown error")
			a.SetError(unknown)
			time.Sleep(time.Minute)
			if d.Opens() != 1 || states(w.now()) != "Unhealthy Healthy" {
				t.Errorf("one failing GPU: %d sessions, %v", d.Opens(), describe(w.now()))
			}
			b.SetError(unknown)
			time.Sleep(10 * time.Second)
			if d.Opens() != 2 {
				t.Errorf("all failing: %d sessions", d.Opens())
			}
			time.Sleep(time.Hour)
			if n := d.Opens(); n < 30 || n > 70 || states(w.now()) != "Unhealthy Unhealthy" {
				t.Errorf("after an hour %d sessions, %v", n, describe(w.now()))
			}
		})
	})
}
