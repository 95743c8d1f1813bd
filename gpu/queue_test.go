package gpu

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestQueueRunsOneCallOfALaneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueues(nil)
		var running, most atomic.Int32
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				err := q.Do(t.Context(), "a", LaneInventory, "x", time.Minute, func() error {
					if n := running.Add(1); n > most.Load() {
						most.Store(n)
					}
					time.Sleep(time.Second)
					running.Add(-1)
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if most.Load() != 1 {
			t.Errorf("%d calls at a time", most.Load())
		}
	})
}

func TestStuckLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		back := make(chan Stuck, 1)
		q := NewQueues(func(s Stuck) { back <- s })
		hang := make(chan struct{})
		began := time.Now()
		err := q.Do(t.Context(), "a", LaneInventory, "nvmlX", time.Second, func() error { <-hang; return nil })
		var stuck *StuckError
		if !errors.Is(err, ErrDeadline) || !errors.As(err, &stuck) || stuck.Call != "nvmlX" || !stuck.Since.Equal(began) || time.Since(began) != time.Second {
			t.Fatalf("%v after %s", err, time.Since(began))
		}
		before := runtime.NumGoroutine()
		began = time.Now()
		for range 1000 {
			if err := q.Do(t.Context(), "a", LaneInventory, "y", time.Hour, func() error { t.Error("called"); return nil }); !errors.Is(err, ErrDeadline) {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("a stuck lane answered after %s", took)
		}
		if n := runtime.NumGoroutine(); n > before {
			t.Errorf("%d goroutines became %d", before, n)
		}
		// Other lanes and GPUs go on.
		for _, k := range []laneKey{{"a", LaneTelemetry}, {"b", LaneInventory}, {Node, LaneInventory}} {
			if err := q.Do(t.Context(), k.gpu, k.lane, "z", time.Second, func() error { return nil }); err != nil {
				t.Errorf("%v: %v", k, err)
			}
		}
		if s := q.Stuck(); len(s) != 1 || s[0].GPU != "a" || s[0].Lane != LaneInventory || !q.Busy() {
			t.Errorf("%v", s)
		}
		close(hang)
		if s := <-back; s.Call != "nvmlX" {
			t.Errorf("%v", s)
		}
		if err := q.Do(t.Context(), "a", LaneInventory, "y", time.Second, func() error { return nil }); err != nil || len(q.Stuck()) != 0 || q.Busy() {
			t.Errorf("%v %v", err, q.Stuck())
		}
	})
}

func TestCallGivenUpByItsCallerIsFoundStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueues(nil)
		hang := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if err := q.Do(ctx, "a", LaneEvents, "wait", time.Hour, func() error { <-hang; return nil }); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		var stuck *StuckError
		if err := q.Do(t.Context(), "a", LaneEvents, "free", 2*time.Second, func() error { return nil }); !errors.As(err, &stuck) || stuck.Call != "wait" {
			t.Errorf("%v", err)
		}
		close(hang)
	})
}

func TestWaitingForTheTurnCountsAgainstTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueues(nil)
		var all sync.WaitGroup
		all.Go(func() {
			_ = q.Do(t.Context(), "a", LaneChange, "long", time.Minute, func() error { time.Sleep(30 * time.Second); return nil })
		})
		synctest.Wait()
		if err := q.Do(t.Context(), "a", LaneChange, "y", time.Minute, func() error { return nil }); err != nil {
			t.Error(err)
		}
		all.Wait()
	})
}

func TestCallGivesTheResult(t *testing.T) {
	q := NewQueues(nil)
	want := errors.New("refused")
	n, err := Call(t.Context(), q, "a", LaneChange, "x", time.Minute, func() (int, error) { return 7, want })
	if n != 7 || !errors.Is(err, want) {
		t.Errorf("%d %v", n, err)
	}
}

func BenchmarkCall(b *testing.B) {
	q := NewQueues(nil)
	for b.Loop() {
		_ = q.Do(b.Context(), "a", LaneInventory, "x", time.Minute, func() error { return nil })
	}
}
