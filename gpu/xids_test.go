package gpu_test

import (
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

func told(code uint64, instance uint32) gpu.Event {
	return gpu.Event{Kind: gpu.EventXID, XID: code, GPUInstance: instance, ComputeInstance: gpu.NoInstance}
}

// An XID that the kernel log alone told makes a GPU or an instance of it unhealthy, also while the driver is away, outlives the
// agent, and is not counted a second time.
func TestXIDsOfTheKernelLog(t *testing.T) {
	cfg := roots(t, "boot")
	cfg.StateDir = filepath.Join(t.TempDir(), "state")
	bubble(t, func(t *testing.T) {
		a, b, c := gpufake.A100(0), gpufake.A100(1), gpufake.A100(2)
		b.Divide("3g.40gb@0", "3g.40gb@4")
		d := gpufake.New(a, b, c)
		cfg.Driver = d
		cfg.XID = func(_ gpu.UUID, e gpu.Event, _ time.Time) { t.Errorf("%d was told as an event", e.XID) }
		run(t, cfg, func(w watched) {
			s := w.within(time.Second, "there", func(s *gpu.Snapshot) bool { return states(s) == "Healthy Healthy Healthy" })
			hit := s.GPUs[1].Instances[0].ID
			at := time.Now().Add(-3 * time.Second)
			if err := w.m.XID(t.Context(), a.ID.UUID, told(95, gpu.NoInstance), at); err != nil {
				t.Fatal(err)
			}
			if err := w.m.XID(t.Context(), b.ID.UUID, told(95, hit), at); err != nil {
				t.Fatal(err)
			}
			check := func(s *gpu.Snapshot) {
				t.Helper()
				if states(s) != "Unhealthy Healthy Healthy" || !strings.Contains(s.GPUs[0].Health.Reason, "XID 95: uncontained memory error at "+at.UTC().Format("15:04:05")) {
					t.Errorf("%v", describe(s))
				}
				if one, other := s.GPUs[1].Instances[0].Health, s.GPUs[1].Instances[1].Health; one.State != gpu.Unhealthy || other.State != gpu.Healthy {
					t.Errorf("the instances are %v and %v", one, other)
				}
			}
			check(w.now())
			time.Sleep(time.Minute)
			check(w.now())
			if err := w.m.XID(t.Context(), "GPU-none", told(95, gpu.NoInstance), at); !errors.Is(err, gpu.ErrUnknownGPU) {
				t.Errorf("%v", err)
			}
			kept := func(cause string, times int) {
				t.Helper()
				synctest.Wait()
				data, err := os.ReadFile(filepath.Join(cfg.StateDir, "gpu-health.json"))
				if err != nil || strings.Count(string(data), cause) != times {
					t.Errorf("the state file has %s, %v", data, err)
				}
			}
			kept(`"xid-95"`, 2)
			d.SetOpenError(&gpu.DriverError{Call: "nvmlInit_v2", Text: "unloaded", Kind: gpu.ErrNoDriver})
			d.Restart()
			w.within(10*time.Second, "away", func(s *gpu.Snapshot) bool { return len(s.Gaps) == 1 })
			time.Sleep(2 * time.Second)
			if err := w.m.XID(t.Context(), c.ID.UUID, told(79, gpu.NoInstance), time.Now()); err != nil {
				t.Fatal(err)
			}
			kept(`"xid-79"`, 1) // no probe comes before the driver
			d.SetOpenError(nil)
			w.within(10*time.Second, "hit while the driver was away", func(s *gpu.Snapshot) bool {
				return len(s.Gaps) == 0 && s.GPUs[2].Health.State != gpu.Healthy && strings.Contains(s.GPUs[2].Health.Reason, "XID 79")
			})
		})
	})
}

// An XID of the kernel log has the GPU looked at at once, not at the next interval, unless it means nothing.
func TestXIDsOfTheKernelLogAskForALook(t *testing.T) {
	cfg := roots(t, "boot")
	cfg.Interval = time.Hour
	bubble(t, func(t *testing.T) {
		a := gpufake.A100(0)
		cfg.Driver = gpufake.New(a)
		run(t, cfg, func(w watched) {
			w.within(time.Second, "there", func(s *gpu.Snapshot) bool { return states(s) == "Healthy" })
			a.SetCondition(gpu.Condition{RemapFailed: true})
			if err := w.m.XID(t.Context(), a.ID.UUID, told(31, gpu.NoInstance), time.Now()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			if states(w.now()) != "Healthy" {
				t.Errorf("an application's fault: %v", describe(w.now()))
			}
			if err := w.m.XID(t.Context(), a.ID.UUID, told(63, gpu.NoInstance), time.Now()); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			w.within(time.Second, "looked at", func(s *gpu.Snapshot) bool { return s.GPUs[0].Health.State == gpu.Unhealthy })
		})
	})
}

// While a GPU is let go nobody waits for its events: what the kernel log tells then is there when it is taken up again.
func TestXIDsOfTheKernelLogWhileQuiesced(t *testing.T) {
	cfg := roots(t, "boot")
	bubble(t, func(t *testing.T) {
		a := gpufake.A100(0)
		cfg.Driver = gpufake.New(a)
		run(t, cfg, func(w watched) {
			w.within(time.Second, "there", func(s *gpu.Snapshot) bool { return states(s) == "Healthy" })
			synctest.Wait()
			release, err := w.m.Quiesce(t.Context(), a.ID.UUID)
			if err != nil {
				t.Fatal(err)
			}
			a.XID(95) // nobody hears it
			if err := w.m.XID(t.Context(), a.ID.UUID, told(95, gpu.NoInstance), time.Now()); err != nil {
				t.Fatal(err)
			}
			release()
			time.Sleep(time.Minute)
			if s := w.now(); states(s) != "Unhealthy" || !strings.Contains(s.GPUs[0].Health.Reason, "XID 95") {
				t.Errorf("%v", describe(s))
			}
		})
	})
}

// An event that comes after the kernel log was believed prolongs a quarantine by no more than it is late.
func TestLateEvent(t *testing.T) {
	cfg := roots(t, "boot")
	bubble(t, func(t *testing.T) {
		a := gpufake.A100(0)
		cfg.Driver = gpufake.New(a)
		run(t, cfg, func(w watched) {
			w.within(time.Second, "there", func(s *gpu.Snapshot) bool { return states(s) == "Healthy" })
			synctest.Wait()
			logged := time.Now()
			time.Sleep(3 * time.Second)
			if err := w.m.XID(t.Context(), a.ID.UUID, told(74, gpu.NoInstance), logged); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
			a.XID(74)
			time.Sleep(29 * time.Second)
			if states(w.now()) != "Unhealthy" {
				t.Errorf("before the end of the quarantine: %v", describe(w.now()))
			}
			w.within(7*time.Second, "back", func(s *gpu.Snapshot) bool { return states(s) == "Healthy" })
			if s := w.now(); time.Since(logged) > 41*time.Second {
				t.Errorf("it took %s: %v", time.Since(logged), describe(s))
			}
		})
	})
}
