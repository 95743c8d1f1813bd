package dcgm

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpulet/gpulet/gpu"
)

// bench runs a Client above workers inside the test, with a fake clock.
type bench struct {
	t   *testing.T
	c   *Client
	lib *fakeLibrary

	mu     sync.Mutex // guards what follows
	starts []time.Time
	memory uint64
	last   *process
	refuse error
}

// inBench runs f with a Client that wants field 155 of one GPU.
func inBench(t *testing.T, o Config, f func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, c: New(o), lib: newFakeLibrary(0), memory: 1 << 20}
		b.c.start = b.start
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.c.Run(ctx) }()
		b.c.Want([]gpu.Field{155})
		f(t, b)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// start is a worker that serves the bench's library.
func (b *bench) start() (*process, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.starts = append(b.starts, time.Now())
	if b.refuse != nil {
		return nil, b.refuse
	}
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan struct{})
	go func() {
		_ = serve(ctx, inR, outW, &engine{lib: b.lib}, time.Now)
		cancel()
		_, _ = inR.Close(), outW.Close()
		close(done)
	}()
	b.last = &process{
		pid: len(b.starts), in: inW, out: outR, done: done, kill: cancel, exit: func() exit { return exit{} },
		memory: func() (uint64, error) { b.mu.Lock(); defer b.mu.Unlock(); return b.memory, nil },
	}
	return b.last, nil
}

func (b *bench) count() int { b.mu.Lock(); defer b.mu.Unlock(); return len(b.starts) }

// within waits for a batch as wanted, and gives it with the time that it took.
func (b *bench) within(d time.Duration, what string, ok func(*Batch) bool) (*Batch, time.Duration) {
	b.t.Helper()
	return within(b.t, b.c, d, what, ok)
}

func within(t *testing.T, c *Client, d time.Duration, what string, ok func(*Batch) bool) (*Batch, time.Duration) {
	t.Helper()
	began, deadline := time.Now(), time.After(d)
	for {
		batch, changed := c.Batches().Get()
		if ok(batch) {
			return batch, time.Since(began)
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("after %s not %s: %+v, %d readings", d, what, batch.State, len(batch.Readings))
		}
	}
}

func up(b *Batch) bool { return b.State.Up }

func down(code gpu.AbsenceCode, part string) func(*Batch) bool {
	return func(b *Batch) bool {
		return !b.State.Up && b.State.Code == code && strings.Contains(b.State.Reason, part)
	}
}

func TestReadings(t *testing.T) {
	inBench(t, Config{}, func(t *testing.T, b *bench) {
		got, _ := b.within(2*time.Second, "up", up)
		if len(got.Readings) != 1 || got.Readings[0].Value != 155 || got.State.Version != "4.6.1" || got.State.Host != "4.5.2" || got.State.PID != 1 || got.State.Memory != 1<<20 || !got.State.Wanted {
			t.Errorf("%+v", got)
		}
		at := got.At
		if next, took := b.within(2*time.Second, "a second reading", func(n *Batch) bool { return n.At.After(at) }); took > time.Second || len(next.Readings) != 1 {
			t.Errorf("after %s: %+v", took, next)
		}
		b.c.Want([]gpu.Field{203, 155, 203})
		if got, took := b.within(2*time.Second, "another field", func(n *Batch) bool { return len(n.Readings) == 2 }); took > time.Second || b.count() != 1 {
			t.Errorf("after %s, %d workers: %+v", took, b.count(), got)
		}
		b.c.Want(nil)
		got, _ = b.within(time.Second, "stopped", down(gpu.NoSource, "no field"))
		if got.Readings != nil || got.State.Wanted {
			t.Errorf("%+v", got)
		}
		<-b.last.done
		time.Sleep(time.Hour)
		if b.count() != 1 {
			t.Error("a worker runs although nothing is wanted")
		}
		b.c.Want([]gpu.Field{155})
		b.within(2*time.Second, "up again", up)
	})
}

// Pauses between starts grow from 1 s to 60 s, and are short again after a good minute. The reason is there all the time.
func TestBackOff(t *testing.T) {
	inBench(t, Config{}, func(t *testing.T, b *bench) {
		b.within(2*time.Second, "up", up)
		b.mu.Lock()
		b.refuse = errors.New("no such program")
		b.last.kill()
		b.starts = nil
		b.mu.Unlock()
		b.within(3*time.Second, "down", down(gpu.NoSource, "no such program"))
		time.Sleep(5 * time.Minute)
		b.mu.Lock()
		var pauses []time.Duration
		for i := range b.starts[1:] {
			pauses = append(pauses, b.starts[i+1].Sub(b.starts[i]))
		}
		b.refuse = nil
		b.mu.Unlock()
		for i, want := range []time.Duration{2, 4, 8, 16, 32, 60, 60} { // the first second was before the first of these
			if pauses[i] != want*time.Second {
				t.Errorf("pauses %v", pauses)
				break
			}
		}
		got, _ := b.within(61*time.Second, "up again", up)
		if got.State.Restarts < 8 {
			t.Errorf("%+v", got.State)
		}
		b.last.kill()
		if _, took := b.within(time.Minute, "down", func(b *Batch) bool { return !b.State.Up }); took > 2*time.Second {
			t.Errorf("a dead worker is noticed after %s", took)
		}
		if _, took := b.within(2*time.Minute, "up again", up); took < 59*time.Second {
			t.Errorf("up %s after a worker that did not live for a minute", took)
		}
		time.Sleep(time.Minute + 2*time.Second)
		b.last.kill()
		b.within(time.Minute, "down", func(b *Batch) bool { return !b.State.Up })
		if _, took := b.within(2*time.Minute, "up again", up); took > 2*time.Second {
			t.Errorf("up %s after a worker that did well", took)
		}
	})
}

// A library that hangs is ended after the deadline and started anew; the last readings stay with their times.
func TestHang(t *testing.T) {
	inBench(t, Config{}, func(t *testing.T, b *bench) {
		b.within(2*time.Second, "up", up)
		hang := make(chan struct{})
		b.lib.set(func() { b.lib.hang = hang })
		got, took := b.within(10*time.Second, "down", down(gpu.NoAnswer, "did not answer"))
		if took > 6*time.Second+time.Second || len(got.Readings) != 1 || time.Since(got.Readings[0].At) < 4*time.Second {
			t.Errorf("after %s: %+v", took, got)
		}
		if again, took := b.within(5*time.Second, "another worker", func(b *Batch) bool { return b.State.Restarts == 1 }); again.State.PID != 2 || again.State.Up || took > 2*time.Second {
			t.Errorf("after %s: %+v", took, again.State)
		}
		b.lib.set(func() { b.lib.hang = nil })
		close(hang)
		if got, took := b.within(5*time.Second, "up again", up); took > 2*time.Second || got.State.Restarts != 1 {
			t.Errorf("after %s: %+v", took, got.State)
		}
	})
}

// An engine whose calls return, but with nothing new, is started anew.
func TestFrozenEngine(t *testing.T) {
	inBench(t, Config{}, func(t *testing.T, b *bench) {
		b.within(2*time.Second, "up", up)
		time.Sleep(time.Hour)
		b.lib.set(func() { b.lib.frozen = time.Now() })
		got, took := b.within(10*time.Minute, "down", down(gpu.NoAnswer, "measured nothing"))
		if took < frozenAfter || took > frozenAfter+2*time.Second || got.State.Restarts != 0 {
			t.Errorf("after %s: %+v", took, got.State)
		}
		b.lib.set(func() { b.lib.frozen = time.Time{} })
		b.within(2*time.Second, "up again", up)
	})
}

// A node without DCGM says so once, and not each minute.
func TestSameReasonIsLoggedOnce(t *testing.T) {
	var l logged
	inBench(t, Config{Log: slog.New(slog.NewTextHandler(&l, nil))}, func(t *testing.T, b *bench) {
		b.within(2*time.Second, "up", up)
		b.lib.set(func() { b.lib.openErr = troublef(gpu.NoSource, "DCGM cannot be loaded") })
		b.last.kill()
		time.Sleep(time.Hour)
	})
	n := 0
	for _, line := range l.lines {
		n += strings.Count(line, "cannot be loaded")
	}
	if n != 1 {
		t.Errorf("logged %d times: %q", n, l.lines)
	}
}

// What is no longer wanted ends at once, also while the library hangs.
func TestStopWhileItHangs(t *testing.T) {
	inBench(t, Config{}, func(t *testing.T, b *bench) {
		b.within(2*time.Second, "up", up)
		hang := make(chan struct{})
		defer close(hang)
		b.lib.set(func() { b.lib.hang = hang })
		time.Sleep(2 * time.Second)
		began := time.Now()
		release, err := b.c.Quiesce(t.Context(), "GPU-0")
		if err != nil || time.Since(began) > 100*time.Millisecond {
			t.Errorf("Quiesce: %v after %s", err, time.Since(began))
		}
		release()
	})
}

func TestMemory(t *testing.T) {
	inBench(t, Config{Memory: 100 << 20}, func(t *testing.T, b *bench) {
		b.within(2*time.Second, "up", up)
		b.mu.Lock()
		b.memory = 101 << 20
		b.mu.Unlock()
		b.within(2*time.Second, "down", down(gpu.Failed, "used 101 MiB of memory, more than its 100 MiB"))
		<-b.last.done
		b.mu.Lock()
		b.memory = 10 << 20
		b.mu.Unlock()
		b.within(2*time.Second, "up again", up)
	})
}

// Another pace is taken without a new worker and without a gap.
func TestPace(t *testing.T) {
	inBench(t, Config{}, func(t *testing.T, b *bench) {
		b.within(2*time.Second, "up", up)
		b.c.Pace(200 * time.Millisecond)
		time.Sleep(time.Second)
		for range 5 {
			at, _ := b.c.Batches().Get()
			if got, took := b.within(time.Second, "another reading", func(n *Batch) bool { return n.At.After(at.At) }); took > 200*time.Millisecond || !got.State.Up {
				t.Errorf("after %s: %+v", took, got.State)
			}
		}
		if b.count() != 1 {
			t.Errorf("%d workers", b.count())
		}
	})
}

// An engine whose clock is put back goes on.
func TestClockPutBack(t *testing.T) {
	inBench(t, Config{}, func(t *testing.T, b *bench) {
		b.within(2*time.Second, "up", up)
		for i := range 10 {
			b.lib.set(func() { b.lib.frozen = time.Now().Add(-time.Hour) })
			time.Sleep(time.Minute)
			if got, _ := b.c.Batches().Get(); !got.State.Up || b.count() != 1 {
				t.Fatalf("after %d minutes, %d workers: %+v", i+1, b.count(), got.State)
			}
		}
	})
}

// While the driver is away the pauses are shorter: DCGM is there again soon after it.
func TestDriverAway(t *testing.T) {
	inBench(t, Config{}, func(t *testing.T, b *bench) {
		b.within(2*time.Second, "up", up)
		b.lib.set(func() { b.lib.openErr = statusError{statusNoNVML} })
		b.last.kill()
		time.Sleep(10 * time.Minute)
		b.lib.set(func() { b.lib.openErr = nil })
		if _, took := b.within(time.Minute, "up again", up); took > longestReconnect+time.Second {
			t.Errorf("up after %s", took)
		}
	})
}
