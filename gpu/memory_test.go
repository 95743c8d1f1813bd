package gpu_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/gpufake"
	"github.com/gpulet/gpulet/gpu/mig"
)

// Who resets a GPU stops the agent first, since the driver resets no GPU that is in use.
func TestResetWhileNoAgentRan(t *testing.T) {
	for _, c := range []struct {
		name   string
		before func(a *gpufake.GPU) // while the agent runs
		reset  func(a *gpufake.GPU, sys string)
		well   bool
	}{
		{"a GPU that was off the bus answers", func(a *gpufake.GPU) { a.XID(79); a.SetLost(true) }, func(a *gpufake.GPU, _ string) { a.SetLost(false) }, true},
		{"the driver no longer asks for a reset", func(a *gpufake.GPU) { a.SetCondition(gpu.Condition{Recovery: gpu.RecoveryReset}); a.XID(62) }, func(a *gpufake.GPU, _ string) { a.SetCondition(gpu.Condition{}) }, true},
		{"the counts of errors began anew", func(a *gpufake.GPU) { a.SetCondition(gpu.Condition{Uncorrected: 3}); a.XID(95) }, func(a *gpufake.GPU, _ string) { a.SetCondition(gpu.Condition{Uncorrected: 1}) }, true},
		{"the kernel module was loaded anew", func(a *gpufake.GPU) { a.XID(119) }, func(_ *gpufake.GPU, sys string) { module(t, sys) }, true},
		{"nothing speaks of a reset", func(a *gpufake.GPU) { a.SetCondition(gpu.Condition{Uncorrected: 3}); a.XID(119) }, func(*gpufake.GPU, string) {}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := roots(t, "boot")
			cfg.StateDir = t.TempDir()
			module(t, cfg.SysRoot)
			bubble(t, func(t *testing.T) {
				a := gpufake.A100(0)
				start := func(f func(w watched)) {
					cfg.Driver = gpufake.New(a)
					run(t, cfg, f)
				}
				hit := func(w watched) {
					w.within(10*time.Second, "bad", func(s *gpu.Snapshot) bool { return states(s) == "Unhealthy" })
					time.Sleep(20 * time.Second)
				}
				start(func(w watched) {
					w.within(time.Second, "there", func(s *gpu.Snapshot) bool { return states(s) == "Healthy" })
					synctest.Wait()
					c.before(a)
					hit(w)
				})
				start(hit) // a restart alone cures nothing
				c.reset(a, cfg.SysRoot)
				start(func(w watched) {
					time.Sleep(time.Minute)
					if got := states(w.now()) == "Healthy"; got != c.well {
						t.Errorf("well: %v, want %v: %v", got, c.well, describe(w.now()))
					}
				})
			})
		})
	}
}

// module loads the kernel module (anew): its folder is another one.
func module(t *testing.T, sys string) {
	t.Helper()
	dir := filepath.Join(sys, "module")
	next := filepath.Join(dir, "next")
	err := errors.Join(os.MkdirAll(next, 0o755), os.RemoveAll(filepath.Join(dir, "nvidia")), os.Rename(next, filepath.Join(dir, "nvidia")))
	if err != nil {
		t.Fatal(err)
	}
}

// What could not be read is no news: it neither cures nor harms.
func TestUnreadConditionChangesNothing(t *testing.T) {
	all := gpu.Unread{Uncorrected: true, Remap: true, Recovery: true, Fabric: true}
	for _, c := range []struct {
		name string
		bad  gpu.Condition
		xid  uint64
		want gpu.State
	}{
		{"errors that were counted", gpu.Condition{Uncorrected: 4}, 95, gpu.Unhealthy},
		{"a row to be replaced", gpu.Condition{RemapPending: true}, 0, gpu.Draining},
		{"a reset that is asked for", gpu.Condition{Recovery: gpu.RecoveryReset}, 62, gpu.Unhealthy},
		{"a fabric that is not there", gpu.Condition{Fabric: gpu.FabricNotStarted}, 0, gpu.Unhealthy},
		{"nothing", gpu.Condition{Uncorrected: 4}, 0, gpu.Healthy},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := roots(t, "boot")
			bubble(t, func(t *testing.T) {
				a := gpufake.A100(0)
				cfg.Driver = gpufake.New(a)
				run(t, cfg, func(w watched) {
					w.within(time.Second, "there", func(s *gpu.Snapshot) bool { return states(s) == "Healthy" })
					synctest.Wait()
					a.SetCondition(c.bad)
					time.Sleep(time.Minute)
					if c.xid != 0 {
						a.XID(c.xid)
						synctest.Wait()
					}
					for range 2 {
						if s := w.now(); s.GPUs[0].Health.State != c.want || s.GPUs[0].Fabric != c.bad.Fabric {
							t.Errorf("%v with fabric %d", describe(s), s.GPUs[0].Fabric)
						}
						a.SetCondition(gpu.Condition{Unread: all})
						time.Sleep(time.Minute)
					}
					a.SetCondition(c.bad)
					time.Sleep(6 * time.Second)
					if s := w.now(); s.GPUs[0].Health.State != c.want {
						t.Errorf("read again: %v", describe(s))
					}
				})
			})
		})
	}
}

// An administrator's word does not outweigh what is seen.
func TestClearKeepsWhatIsSeen(t *testing.T) {
	cfg := roots(t, "boot")
	bubble(t, func(t *testing.T) {
		a := gpufake.A100(0)
		cfg.Driver = gpufake.New(a)
		run(t, cfg, func(w watched) {
			w.within(time.Second, "there", func(s *gpu.Snapshot) bool { return states(s) == "Healthy" })
			a.SetLost(true)
			w.within(6*time.Second, "lost", func(s *gpu.Snapshot) bool { return states(s) == "Unhealthy" })
			if err := w.m.Clear(t.Context(), a.ID.UUID); err != nil || states(w.now()) != "Unhealthy" {
				t.Errorf("%v %v", err, describe(w.now()))
			}
		})
	})
}

// Instances that a driver could not list this time are still there, and so is what is wrong with them.
func TestUnreadInstancesStay(t *testing.T) {
	cfg := roots(t, "boot")
	bubble(t, func(t *testing.T) {
		a := gpufake.A100(0)
		a.Divide("3g.40gb@0", "2g.20gb@4")
		cfg.Driver = gpufake.New(a)
		run(t, cfg, func(w watched) {
			s := w.within(time.Second, "there", func(s *gpu.Snapshot) bool { return states(s) == "Healthy" })
			full := gpu.Layout{MIG: s.GPUs[0].MIG, Instances: s.GPUs[0].Instances}
			first, second := full.Instances[0], full.Instances[1]
			bare := first
			bare.Compute = nil
			synctest.Wait()
			a.Send(gpu.Event{Kind: gpu.EventXID, XID: 95, GPUInstance: first.ID, ComputeInstance: first.Compute[0].ID})
			sick := func(s *gpu.Snapshot) bool {
				in := s.GPUs[0].Instances
				return len(in) == 2 && len(in[0].Compute) == 1 && in[0].Compute[0].Health.State == gpu.Unhealthy && in[1].Compute[0].UUID == second.Compute[0].UUID
			}
			w.within(time.Second, "hit", sick)
			for _, seen := range [][]gpu.Instance{{second}, {bare, second}} {
				a.SetLayout(gpu.Layout{MIG: full.MIG, Instances: seen, Unread: []mig.Profile{first.Slot.Profile}})
				time.Sleep(time.Minute)
				if s := w.now(); !sick(s) {
					t.Errorf("%+v", s.GPUs[0].Instances)
				}
			}
			a.SetLayout(gpu.Layout{MIG: full.MIG, Instances: []gpu.Instance{second}})
			w.within(6*time.Second, "gone", func(s *gpu.Snapshot) bool { return len(s.GPUs[0].Instances) == 1 })
			a.SetLayout(gpu.Layout{Unread: []mig.Profile{second.Slot.Profile}})
			w.within(6*time.Second, "whole", func(s *gpu.Snapshot) bool { return len(s.GPUs[0].Instances) == 0 })
		})
	})
}

// Profiles that the driver did not tell at first, as some do not while MIG is off, are asked for again.
func TestProfilesThatComeWithTheMode(t *testing.T) {
	cfg := roots(t, "boot")
	bubble(t, func(t *testing.T) {
		a := gpufake.A100(0)
		a.Profiles = mig.Geometry{}
		cfg.Driver = gpufake.New(a)
		run(t, cfg, func(w watched) {
			w.within(time.Second, "there", func(s *gpu.Snapshot) bool { return states(s) == "Healthy" })
			a.SetProfiles(gpufake.A100Geometry())
			a.SetLayout(gpu.Layout{MIG: gpu.MIGState{Capable: true, Enabled: true, Pending: true}})
			s := w.within(6*time.Second, "in MIG mode", func(s *gpu.Snapshot) bool { return s.GPUs[0].MIG.Enabled })
			if len(s.GPUs[0].Geometry.Profiles) == 0 {
				t.Error("no profiles are known")
			}
		})
	})
}
