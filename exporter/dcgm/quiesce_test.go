package dcgm

import (
	"strings"
	"testing"
	"time"

	"github.com/gpulet/gpulet/gpu"
)

// While a GPU's mode changes there is no worker, however many holds there are and whatever is wanted meanwhile.
func TestQuiesce(t *testing.T) {
	inBench(t, Config{}, func(t *testing.T, b *bench) {
		b.within(2*time.Second, "up", up)
		first, err := b.c.Quiesce(t.Context(), "GPU-0")
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-b.last.done:
		default:
			t.Error("Quiesce came back before the worker had ended")
		}
		second, err := b.c.Quiesce(t.Context(), "GPU-1")
		if err != nil {
			t.Fatal(err)
		}
		b.within(time.Second, "given up", down(gpu.NoData, "gave the GPUs up"))
		first()
		first()
		b.c.Want([]gpu.Field{155, 203})
		time.Sleep(time.Minute)
		if b.count() != 1 {
			t.Error("a worker was started while a GPU is changed")
		}
		second()
		if got, took := b.within(5*time.Second, "up again", func(b *Batch) bool { return b.State.Up && len(b.Readings) == 2 }); took > time.Second {
			t.Errorf("after %s: %+v", took, got)
		}
	})
}

// A host engine that goes away and comes back costs no process; it detaches for a change, and takes the GPUs back after it.
func TestHostEngine(t *testing.T) {
	inBench(t, Config{Host: "tcp://localhost:5555"}, func(t *testing.T, b *bench) {
		b.within(2*time.Second, "up", up)
		b.lib.set(func() { b.lib.down = true })
		got, took := b.within(5*time.Second, "down", down(gpu.NoSource, "connection to DCGM's engine is lost"))
		if took > 2*time.Second || got.State.PID != 1 {
			t.Errorf("after %s: %+v", took, got.State)
		}
		b.within(5*time.Second, "refused", down(gpu.NoSource, "connection refused"))
		time.Sleep(time.Hour)
		b.lib.set(func() { b.lib.down = false; b.lib.version = "4.6.0" })
		got, took = b.within(time.Minute, "up again", up)
		if took > longestReconnect+time.Second || got.State.Host != "4.6.0" || got.State.Restarts != 0 || got.State.Reconnects < 100 || b.count() != 1 {
			t.Errorf("after %s: %+v", took, got.State)
		}
		release, err := b.c.Quiesce(t.Context(), "GPU-0")
		if err != nil {
			t.Fatal(err)
		}
		if b.lib.set(func() {}); !b.lib.detached {
			t.Error("the engine still holds the GPUs")
		}
		release()
		b.within(5*time.Second, "up after a change", up)
		if b.lib.set(func() {}); b.lib.detached {
			t.Error("the engine did not take the GPUs back")
		}
		release, err = b.c.Quiesce(t.Context(), "GPU-0")
		if err != nil {
			t.Fatal(err)
		}
		b.c.Want(nil)
		release()
		time.Sleep(time.Minute)
		if b.lib.set(func() {}); b.lib.detached {
			t.Error("the engine did not take the GPUs back, as nothing was wanted any more")
		}
		<-b.last.done
		b.c.Want([]gpu.Field{155})
		b.within(5*time.Second, "up", up)
		b.lib.set(func() { b.lib.detachErr = troublef(gpu.NoFunction, "libdcgm 4.2.0 lacks dcgmDetachDriver") })
		if _, err := b.c.Quiesce(t.Context(), "GPU-0"); err == nil || !strings.Contains(err.Error(), "lacks dcgmDetachDriver") {
			t.Errorf("%v", err)
		}
		b.within(5*time.Second, "up after a change that was refused", up)
		b.lib.set(func() { b.lib.down = true })
		b.within(5*time.Second, "down", down(gpu.NoSource, ""))
		if release, err = b.c.Quiesce(t.Context(), "GPU-0"); err != nil {
			t.Errorf("an engine that is not there keeps a GPU: %v", err)
		} else {
			release()
		}
	})
}
