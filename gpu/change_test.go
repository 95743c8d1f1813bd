package gpu_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/gpufake"
	"github.com/gpulet/gpulet/gpu/mig"
)

// place is a slot of the A100.
func place(t *testing.T, name string) mig.Slot {
	t.Helper()
	for _, p := range gpufake.A100Geometry().Profiles {
		for _, at := range p.Placements {
			if s := (mig.Slot{Profile: p.Profile, Placement: at}); s.String() == name {
				return s
			}
		}
	}
	t.Fatalf("no %s", name)
	return mig.Slot{}
}

// make makes an instance with its compute instance.
func (w watched) make(uuid gpu.UUID, slot mig.Slot) (uint32, gpu.ComputeInstance, error) {
	id, err := w.m.CreateInstance(w.t.Context(), uuid, slot)
	if err != nil {
		return 0, gpu.ComputeInstance{}, err
	}
	ci, err := w.m.CreateCompute(w.t.Context(), uuid, id)
	return id, ci, err
}

// steady checks until its end that no GPU is ever shown in bad health or left out, or loses its place in the topology.
func (w watched) steady(gpus int) (end func()) {
	first := w.now()
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			s, changed := w.m.Snapshots().Get()
			if len(s.GPUs) != gpus {
				w.t.Errorf("%v", describe(s))
			}
			for i, g := range s.GPUs {
				for _, o := range s.GPUs[i+1:] {
					if got, want := s.Topology.Score(g.UUID, o.UUID), first.Topology.Score(g.UUID, o.UUID); got != want {
						w.t.Errorf("GPUs %d and %d are %d apart, and were %d", g.Index, o.Index, got, want)
					}
				}
				if g.Health.State != gpu.Healthy {
					w.t.Errorf("GPU %d is shown %s: %s", g.Index, g.Health.State, g.Health.Reason)
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

// What is changed is seen at once, and refusals say why.
func TestChange(t *testing.T) {
	cfg := roots(t, "boot")
	cfg.Interval = time.Hour
	bubble(t, func(t *testing.T) {
		a := gpufake.A100(0)
		a.NoEvents() // nobody but the monitor itself knows of its changes
		a.Divide()
		cfg.Driver = gpufake.New(a, gpufake.T4(1))
		run(t, cfg, func(w watched) {
			w.within(time.Second, "there", func(s *gpu.Snapshot) bool { return len(s.GPUs) == 2 })
			ctx, uuid := t.Context(), a.ID.UUID
			id, ci, err := w.make(uuid, place(t, "3g.40gb@4"))
			if err != nil {
				t.Fatal(err)
			}
			s := w.within(time.Second, "made", func(s *gpu.Snapshot) bool {
				return len(s.GPUs[0].Instances) == 1 && len(s.GPUs[0].Instances[0].Compute) == 1
			})
			if in := s.GPUs[0].Instances[0]; in.ID != id || in.Slot.String() != "3g.40gb@4" || in.Compute[0] != ci {
				t.Errorf("%+v", in)
			}
			if l, err := w.m.Layout(ctx, uuid); err != nil || len(l.Instances) != 1 || !l.MIG.Enabled {
				t.Errorf("%+v %v", l, err)
			}
			wants := func(what string, err, want error) {
				t.Helper()
				if !errors.Is(err, want) {
					t.Errorf("%s: %v, want %v", what, err, want)
				}
			}
			_, err = w.m.CreateInstance(ctx, uuid, place(t, "7g.80gb@0"))
			wants("no room", err, gpu.ErrNoRoom)
			_, err = w.m.CreateInstance(ctx, uuid, mig.Slot{Profile: place(t, "3g.40gb@4").Profile, Placement: mig.Placement{Start: 1, Size: 4}})
			wants("no such place", err, gpu.ErrNotSupported)
			wants("the GPU instance first", w.m.DestroyInstance(ctx, uuid, id), gpu.ErrInUse)
			a.SetHolders(gpu.Holder{PID: 7, GPUInstance: id, ComputeInstance: ci.ID})
			wants("a process", w.m.DestroyCompute(ctx, uuid, id, ci.ID), gpu.ErrInUse)
			if h, err := w.m.Holders(ctx, uuid); err != nil || len(h) != 1 || h[0].PID != 7 {
				t.Errorf("%v %v", h, err)
			}
			a.SetHolders()
			began := time.Now()
			wants("no such GPU", w.m.DestroyInstance(ctx, "GPU-none", 1), gpu.ErrUnknownGPU)
			if took := time.Since(began); took > 0 {
				t.Errorf("that there is no such GPU took %s", took)
			}
			wants("gone", errors.Join(w.m.DestroyCompute(ctx, uuid, id, ci.ID), w.m.DestroyInstance(ctx, uuid, id)), nil)
			wants("gone twice", w.m.DestroyInstance(ctx, uuid, id), gpu.ErrNotFound)
			w.within(time.Second, "destroyed", func(s *gpu.Snapshot) bool { return len(s.GPUs[0].Instances) == 0 })
		})
	})
}

// A change that hangs answers with the deadline; the inventory, the measurements and the other GPUs go on. When it is done
// after all it is seen.
func TestChangeHangs(t *testing.T) {
	cfg := roots(t, "boot")
	bubble(t, func(t *testing.T) {
		a, b := gpufake.A100(0), gpufake.A100(1)
		a.Divide()
		b.Divide()
		a.SetReading(gpu.NoInstance, 155, 1)
		cfg.Driver = gpufake.New(a, b)
		run(t, cfg, func(w watched) {
			w.within(time.Second, "there", func(s *gpu.Snapshot) bool { return len(s.GPUs) == 2 })
			end := a.HangChange(1)
			steady := w.steady(2)
			began := time.Now()
			if _, err := w.m.CreateInstance(t.Context(), a.ID.UUID, place(t, "1g.10gb@0")); !errors.Is(err, gpu.ErrDeadline) || time.Since(began) != time.Minute {
				t.Errorf("%v after %s", err, time.Since(began))
			}
			began = time.Now()
			if err := w.m.DestroyInstance(t.Context(), a.ID.UUID, 1); !errors.Is(err, gpu.ErrDeadline) || time.Since(began) > 0 {
				t.Errorf("%v after %s", err, time.Since(began))
			}
			if _, err := w.m.SetMode(t.Context(), a.ID.UUID, false); !errors.Is(err, gpu.ErrDeadline) {
				t.Errorf("%v", err)
			}
			if l, err := w.m.Layout(t.Context(), a.ID.UUID); err != nil || len(l.Instances) != 0 {
				t.Errorf("%+v %v", l, err)
			}
			time.Sleep(5 * time.Second) // it is taken up again
			if _, err := w.m.Read(t.Context(), a.ID.UUID, whole(155)); err != nil {
				t.Errorf("%v", err)
			}
			if _, _, err := w.make(b.ID.UUID, place(t, "1g.10gb@0")); err != nil {
				t.Errorf("the other GPU: %v", err)
			}
			end()
			w.within(time.Second, "made", func(s *gpu.Snapshot) bool { return len(s.GPUs[0].Instances) == 1 })
			if _, _, err := w.make(a.ID.UUID, place(t, "1g.10gb@1")); err != nil {
				t.Errorf("after it: %v", err)
			}
			steady()
		})
	})
}

// Modes of two GPUs change at once while a third is divided, and changes of a GPU whose mode changes wait for it. Nobody else
// loses anything, and no two calls ever change one GPU at the same time.
func TestModes(t *testing.T) {
	cfg := roots(t, "boot")
	bubble(t, func(t *testing.T) {
		a, b, c := gpufake.A100(0), gpufake.A100(1), gpufake.A100(2)
		c.Divide()
		c.SetReading(gpu.NoInstance, 155, 1)
		for _, g := range []*gpufake.GPU{a, b} {
			g.SetAncestor(c.ID.UUID, gpu.AncestorSwitch)
		}
		a.SetAncestor(b.ID.UUID, gpu.AncestorBoard)
		d := gpufake.New(a, b, c)
		cfg.Driver = d
		run(t, cfg, func(w watched) {
			ctx := t.Context()
			w.within(time.Second, "there", func(s *gpu.Snapshot) bool { return len(s.GPUs) == 3 && states(s) == "Healthy Healthy Healthy" })
			synctest.Wait()
			for _, g := range []*gpufake.GPU{a, b, c} {
				if _, err := w.m.Read(ctx, g.ID.UUID, whole(155)); err != nil {
					t.Fatal(err)
				}
			}
			steady := w.steady(3)
			var group sync.WaitGroup
			for _, g := range []*gpufake.GPU{a, b} {
				end := g.HangChange(1) // this is how long it takes
				group.Go(func() {
					time.Sleep(20 * time.Second)
					end()
				})
				group.Go(func() {
					if got, err := w.m.SetMode(ctx, g.ID.UUID, true); err != nil || got != gpu.Activated {
						t.Errorf("GPU %d: %d %v", g.ID.Minor, got, err)
					}
					if !w.now().GPU(g.ID.UUID).MIG.Enabled {
						t.Errorf("GPU %d: SetMode returns before it is seen", g.ID.Minor)
					}
				})
				group.Go(func() {
					time.Sleep(3 * time.Second)
					began := time.Now()
					if _, _, err := w.make(g.ID.UUID, place(t, "1g.10gb@3")); err != nil || time.Since(began) < 15*time.Second {
						t.Errorf("GPU %d: %v after %s", g.ID.Minor, err, time.Since(began))
					}
				})
			}
			for i := range 7 {
				time.Sleep(time.Second)
				at := mig.Slot{Profile: place(t, "1g.10gb@0").Profile, Placement: mig.Placement{Start: i, Size: 1}}
				if _, _, err := w.make(c.ID.UUID, at); err != nil {
					t.Errorf("GPU 2: %v", err)
				}
				if _, err := w.m.Read(ctx, c.ID.UUID, whole(155)); err != nil {
					t.Errorf("GPU 2: %v", err)
				}
			}
			group.Wait()
			s := w.within(time.Second, "done", func(s *gpu.Snapshot) bool {
				return len(s.GPUs[0].Instances) == 1 && len(s.GPUs[1].Instances) == 1 && len(s.GPUs[2].Instances) == 7
			})
			steady()
			synctest.Wait()
			if d.Opens() != 1 || a.Watched() != 1 || b.Watched() != 1 || c.Watched() != 1 || c.Held() != 1 {
				t.Errorf("%d sessions, events of %d, %d and %d: %v", d.Opens(), a.Watched(), b.Watched(), c.Watched(), describe(s))
			}
			for _, g := range []*gpufake.GPU{a, b, c} {
				if n, crowded := g.Changes(); crowded {
					t.Errorf("two of the %d changes of GPU %d ran at the same time", n, g.ID.Minor)
				}
			}
		})
	})
}

// A mode that cannot change is told, and the GPU goes on as before.
func TestModeRefused(t *testing.T) {
	cfg := roots(t, "boot")
	bubble(t, func(t *testing.T) {
		a := gpufake.A100(0)
		cfg.Driver = gpufake.New(a, gpufake.T4(1))
		run(t, cfg, func(w watched) {
			w.within(time.Second, "there", func(s *gpu.Snapshot) bool { return len(s.GPUs) == 2 })
			defer w.steady(2)()
			set := func(want gpu.Activation, kind error) {
				t.Helper()
				if got, err := w.m.SetMode(t.Context(), a.ID.UUID, true); got != want || !errors.Is(err, kind) {
					t.Errorf("%d %v", got, err)
				}
			}
			a.SetHolders(gpu.Holder{PID: 7, GPUInstance: gpu.NoInstance, ComputeInstance: gpu.NoInstance})
			set(gpu.BlockedByUse, nil)
			if h, err := w.m.Holders(t.Context(), a.ID.UUID); err != nil || len(h) != 1 {
				t.Errorf("who is in the way: %v %v", h, err)
			}
			a.SetHolders()
			a.FailChange(1, gpu.ErrPermission)
			set(gpu.NotActivated, gpu.ErrPermission)
			a.SetActivation(gpu.NeedsReset)
			set(gpu.NeedsReset, nil)
			if g := w.now().GPUs[0]; g.MIG.Enabled || !g.MIG.Pending {
				t.Errorf("%+v", g.MIG)
			}
			release, err := w.m.Quiesce(t.Context(), a.ID.UUID)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.m.Quiesce(t.Context(), a.ID.UUID); !errors.Is(err, gpu.ErrChanging) {
				t.Errorf("%v", err)
			}
			if _, err := w.m.CreateInstance(t.Context(), a.ID.UUID, place(t, "1g.10gb@0")); !errors.Is(err, gpu.ErrChanging) {
				t.Errorf("of a GPU that somebody else has: %v", err)
			}
			release()
			time.Sleep(time.Second)
			if a.Watched() != 1 {
				t.Errorf("events of %d", a.Watched())
			}
			if got, err := w.m.SetMode(t.Context(), w.now().GPUs[1].UUID, true); got != gpu.NotActivated || !errors.Is(err, gpu.ErrNotSupported) {
				t.Errorf("T4: %d %v", got, err)
			}
		})
	})
}

// A change that comes between two sessions waits for the next, and handles of the last are not used.
func TestChangeBetweenSessions(t *testing.T) {
	cfg := roots(t, "boot")
	bubble(t, func(t *testing.T) {
		a := gpufake.A100(0)
		a.Divide()
		d := gpufake.New(a)
		cfg.Driver = d
		run(t, cfg, func(w watched) {
			w.within(time.Second, "there", func(s *gpu.Snapshot) bool { return len(s.GPUs) == 1 })
			end := d.HangOpen()
			d.Restart()
			w.m.Refresh()
			w.within(time.Second, "away", func(s *gpu.Snapshot) bool { return states(s) != "Healthy" })
			go func() {
				time.Sleep(4 * time.Second)
				end()
			}()
			began := time.Now()
			if _, _, err := w.make(a.ID.UUID, place(t, "1g.10gb@0")); err != nil || time.Since(began) < 4*time.Second {
				t.Errorf("%v after %s", err, time.Since(began))
			}
			if _, err := w.m.SetMode(t.Context(), a.ID.UUID, false); err != nil {
				t.Errorf("%v", err)
			}
		})
	})
}

// stubborn is a driver on which a GPU does not answer after a change of mode, until a new session.
type stubborn struct {
	*gpufake.Driver
	mu  sync.Mutex
	bad bool
}

type stubbornGPU struct {
	gpu.DriverGPU
	d *stubborn
}

func (d *stubborn) set(bad bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bad = bad
}

func (d *stubborn) Open() error {
	d.set(false)
	return d.Driver.Open()
}

func (d *stubborn) GPU(index int) (gpu.DriverGPU, error) {
	g, err := d.Driver.GPU(index)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil && d.bad && index == 0 {
		return nil, errors.New("invalid argument")
	}
	return stubbornGPU{g, d}, err
}

func (g stubbornGPU) SetMode(on bool) (gpu.Activation, error) {
	g.d.set(true)
	return g.DriverGPU.SetMode(on)
}

func (g stubbornGPU) Ancestor(gpu.DriverGPU) (gpu.Ancestor, error) { return gpu.AncestorSystem, nil }

// Where the driver wants a new session after a change of mode, it gets one, but not while somebody changes another GPU.
func TestModeNeedsSession(t *testing.T) {
	cfg := roots(t, "boot")
	bubble(t, func(t *testing.T) {
		a, b := gpufake.A100(0), gpufake.A100(1)
		b.Divide()
		d := &stubborn{Driver: gpufake.New(a, b)}
		cfg.Driver = d
		run(t, cfg, func(w watched) {
			w.within(time.Second, "there", func(s *gpu.Snapshot) bool { return len(s.GPUs) == 2 })
			end := b.HangChange(1)
			made := make(chan error, 1)
			go func() {
				_, err := w.m.CreateInstance(t.Context(), b.ID.UUID, place(t, "1g.10gb@0"))
				made <- err
			}()
			synctest.Wait()
			if got, err := w.m.SetMode(t.Context(), a.ID.UUID, true); err != nil || got != gpu.Activated {
				t.Errorf("%d %v", got, err)
			}
			time.Sleep(20 * time.Second)
			if d.Opens() != 1 {
				t.Errorf("%d sessions while a GPU is changed", d.Opens())
			}
			end()
			if err := <-made; err != nil {
				t.Error(err)
			}
			time.Sleep(10 * time.Second)
			if g := w.now().GPU(a.ID.UUID); d.Opens() != 2 || !g.MIG.Enabled {
				t.Errorf("%d sessions, %+v", d.Opens(), g.MIG)
			}
		})
	})
}

// A GPU that was let go keeps its place among the others until it has been looked at again, however slow that is.
func TestQuiesceKeepsTheTopology(t *testing.T) {
	cfg := roots(t, "boot")
	bubble(t, func(t *testing.T) {
		a, b, c := gpufake.A100(0), gpufake.A100(1), gpufake.A100(2)
		a.SetAncestor(b.ID.UUID, gpu.AncestorBoard)
		a.SetAncestor(c.ID.UUID, gpu.AncestorSwitch)
		b.SetAncestor(c.ID.UUID, gpu.AncestorSwitch)
		cfg.Driver = gpufake.New(a, b, c)
		run(t, cfg, func(w watched) {
			w.within(time.Second, "there", func(s *gpu.Snapshot) bool { return len(s.GPUs) == 3 })
			time.Sleep(time.Second)
			defer w.steady(3)()
			release, err := w.m.Quiesce(t.Context(), a.ID.UUID)
			if err != nil {
				t.Fatal(err)
			}
			end := a.Hang()
			release()
			w.m.Refresh()
			time.Sleep(3 * time.Second)
			end()
			time.Sleep(time.Second)
		})
	})
}

// lookups counts how often GPU 0 is looked up.
type lookups struct {
	*gpufake.Driver
	n atomic.Int64
}

func (d *lookups) GPU(index int) (gpu.DriverGPU, error) {
	if index == 0 {
		d.n.Add(1)
	}
	return d.Driver.GPU(index)
}

// A mode that changes when nobody waits for it any more has the GPU looked up anew: the handle that was taken meanwhile is an old one.
func TestModeChangesLate(t *testing.T) {
	cfg := roots(t, "boot")
	bubble(t, func(t *testing.T) {
		a := gpufake.A100(0)
		a.NoEvents()
		d := &lookups{Driver: gpufake.New(a)}
		cfg.Driver = d
		run(t, cfg, func(w watched) {
			w.within(time.Second, "there", func(s *gpu.Snapshot) bool { return len(s.GPUs) == 1 })
			end := a.HangChange(1)
			if _, err := w.m.SetMode(t.Context(), a.ID.UUID, true); !errors.Is(err, gpu.ErrDeadline) {
				t.Errorf("%v", err)
			}
			before := d.n.Load()
			end()
			w.within(time.Second, "changed", func(s *gpu.Snapshot) bool { return s.GPUs[0].MIG.Enabled })
			if n := d.n.Load() - before; n != 1 {
				t.Errorf("looked up %d times", n)
			}
		})
	})
}
