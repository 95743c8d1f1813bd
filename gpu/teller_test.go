package gpu_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/gpufake"
)

// whole asks for one field of a whole GPU.
func whole(f gpu.Field) gpu.Ask { return gpu.Ask{Whole: []gpu.Field{f}} }

func TestReadAndUse(t *testing.T) {
	cfg := roots(t, "boot")
	bubble(t, func(t *testing.T) {
		a, b := gpufake.A100(0), gpufake.A100(1)
		a.Divide("3g.40gb@4")
		a.SetReading(gpu.NoInstance, 155, 97.5)
		a.SetReading(1, 252, 1024)
		a.SetUses(gpu.ProcessUse{Holder: gpu.Holder{PID: 7}, Measured: true, SM: 0.25})
		cfg.Driver = gpufake.New(a, b)
		run(t, cfg, func(w watched) {
			w.within(time.Second, "there", func(s *gpu.Snapshot) bool { return len(s.GPUs) == 2 })
			ask := gpu.Ask{Whole: []gpu.Field{155, 203}, Instance: []gpu.Field{252}, Instances: []gpu.InstanceRef{{ID: 1}}}
			got, err := w.m.Read(t.Context(), a.ID.UUID, ask)
			if err != nil || len(got) != 3 {
				t.Fatalf("%+v %v", got, err)
			}
			if r := got[0]; r.Value != 97.5 || r.Entity != a.ID.UUID.Whole() || r.Absent != nil {
				t.Errorf("%+v", r)
			}
			if r := got[1]; r.Absent == nil || r.Absent.Code != gpu.NotSupported {
				t.Errorf("%+v", r)
			}
			if r := got[2]; r.Value != 1024 || r.Entity != (gpu.Entity{GPU: a.ID.UUID, Instance: 1}) {
				t.Errorf("%+v", r)
			}
			use, err := w.m.Use(t.Context(), a.ID.UUID)
			if err != nil || len(use) != 1 || use[0].PID != 7 || use[0].SM != 0.25 {
				t.Errorf("%+v %v", use, err)
			}
			if _, err := w.m.Read(t.Context(), "GPU-none", ask); !errors.Is(err, gpu.ErrUnknownGPU) {
				t.Errorf("%v", err)
			}
		})
		if a.Held() != 0 {
			t.Error("the GPU is held after the end")
		}
	})
}

// A reading that hangs costs the measurements of its GPU and nothing else.
func TestReadHangs(t *testing.T) {
	cfg := roots(t, "boot")
	cfg.TelemetryTimeout = time.Second
	bubble(t, func(t *testing.T) {
		a, b := gpufake.A100(0), gpufake.A100(1)
		b.SetReading(gpu.NoInstance, 155, 1)
		cfg.Driver = gpufake.New(a, b)
		run(t, cfg, func(w watched) {
			w.within(time.Second, "there", func(s *gpu.Snapshot) bool { return len(s.GPUs) == 2 })
			end := a.HangTelemetry()
			began := time.Now()
			if _, err := w.m.Read(t.Context(), a.ID.UUID, whole(155)); !errors.Is(err, gpu.ErrDeadline) || time.Since(began) != time.Second {
				t.Errorf("%v after %s", err, time.Since(began))
			}
			began = time.Now()
			if _, err := w.m.Use(t.Context(), a.ID.UUID); !errors.Is(err, gpu.ErrDeadline) || time.Since(began) > 0 {
				t.Errorf("%v after %s", err, time.Since(began))
			}
			if got, err := w.m.Read(t.Context(), b.ID.UUID, whole(155)); err != nil || len(got) != 1 {
				t.Errorf("the other GPU: %v %v", got, err)
			}
			time.Sleep(time.Minute)
			if states(w.now()) != "Healthy Healthy" {
				t.Errorf("%v", describe(w.now()))
			}
			// Who wants to change the GPU hears that it cannot be let go; the call gives it back when it returns.
			if _, err := w.m.Quiesce(t.Context(), a.ID.UUID); !errors.Is(err, gpu.ErrDeadline) {
				t.Errorf("%v", err)
			}
			end()
			synctest.Wait()
			if a.Held() != 0 {
				t.Error("the call that hung holds the GPU")
			}
			time.Sleep(3 * time.Second)
			if _, err := w.m.Read(t.Context(), a.ID.UUID, whole(155)); err != nil {
				t.Errorf("in the next session: %v", err)
			}
		})
	})
}

func TestQuiesceEndsReading(t *testing.T) {
	cfg := roots(t, "boot")
	bubble(t, func(t *testing.T) {
		a, b := gpufake.A100(0), gpufake.A100(1)
		d := gpufake.New(a, b)
		cfg.Driver = d
		run(t, cfg, func(w watched) {
			w.within(time.Second, "there", func(s *gpu.Snapshot) bool { return len(s.GPUs) == 2 })
			read := func(g *gpufake.GPU) error {
				_, err := w.m.Read(t.Context(), g.ID.UUID, whole(155))
				return err
			}
			if err := errors.Join(read(a), read(b)); err != nil || a.Held() != 1 {
				t.Fatalf("%v, held by %d", err, a.Held())
			}
			release, err := w.m.Quiesce(t.Context(), a.ID.UUID)
			if err != nil || a.Held() != 0 || b.Held() != 1 {
				t.Errorf("%v, held by %d and %d", err, a.Held(), b.Held())
			}
			if err := read(a); !errors.Is(err, gpu.ErrChanging) {
				t.Errorf("%v", err)
			}
			if _, err := w.m.Use(t.Context(), a.ID.UUID); !errors.Is(err, gpu.ErrChanging) {
				t.Errorf("%v", err)
			}
			d.Restart() // a session of the meantime leaves the GPU alone, too
			time.Sleep(10 * time.Second)
			if err := read(a); !errors.Is(err, gpu.ErrChanging) || a.Held() != 0 {
				t.Errorf("%v, held by %d", err, a.Held())
			}
			if err := read(b); err != nil {
				t.Errorf("the other GPU: %v", err)
			}
			release()
			time.Sleep(5 * time.Second)
			if err := errors.Join(read(a), read(b)); err != nil || a.Held() != 1 || b.Held() != 1 {
				t.Errorf("%v, held by %d and %d", err, a.Held(), b.Held())
			}
		})
		if a.Held() != 0 || b.Held() != 0 {
			t.Errorf("after the end held by %d and %d", a.Held(), b.Held())
		}
	})
}

// A GPU or session that is lost is told as such, and reading goes on with the next session.
func TestReadOfWhatIsLost(t *testing.T) {
	cfg := roots(t, "boot")
	bubble(t, func(t *testing.T) {
		a := gpufake.A100(0)
		d := gpufake.New(a, gpufake.T4(1))
		cfg.Driver = d
		run(t, cfg, func(w watched) {
			w.within(time.Second, "there", func(s *gpu.Snapshot) bool { return len(s.GPUs) == 2 })
			a.SetLost(true)
			if _, err := w.m.Read(t.Context(), a.ID.UUID, whole(155)); !errors.Is(err, gpu.ErrLost) {
				t.Errorf("%v", err)
			}
			a.SetLost(false)
			d.Restart()
			if _, err := w.m.Read(t.Context(), a.ID.UUID, whole(155)); !errors.Is(err, gpu.ErrSessionLost) {
				t.Errorf("%v", err)
			}
			time.Sleep(10 * time.Second)
			if _, err := w.m.Read(t.Context(), a.ID.UUID, whole(155)); err != nil {
				t.Errorf("%v", err)
			}
		})
	})
}

// Every XID event is told, the same code twice as twice.
func TestXIDsAreTold(t *testing.T) {
	cfg := roots(t, "boot")
	bubble(t, func(t *testing.T) {
		a := gpufake.A100(0)
		told := make(chan uint64, 10)
		cfg.Driver = gpufake.New(a)
		cfg.XID = func(uuid gpu.UUID, e gpu.Event, at time.Time) {
			if uuid != a.ID.UUID || !at.Equal(time.Now()) {
				t.Errorf("%s at %s", uuid, at)
			}
			told <- e.XID
		}
		run(t, cfg, func(w watched) {
			w.within(time.Second, "there", func(s *gpu.Snapshot) bool { return len(s.GPUs) == 1 })
			synctest.Wait()
			for _, x := range []uint64{31, 31, 63, 94} {
				a.XID(x)
			}
			synctest.Wait()
			close(told)
			var got []uint64
			for x := range told {
				got = append(got, x)
			}
			if len(got) != 4 || got[0] != 31 || got[1] != 31 || got[2] != 63 || got[3] != 94 {
				t.Errorf("%v", got)
			}
		})
	})
}
