package xids

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/xid"
)

// ears are a Missed that runs, and what it told.
type ears struct {
	*Missed
	mu   sync.Mutex
	told []string // "GPU code", with the instance that is not the whole GPU
	last time.Time
}

func (e *ears) take(_ context.Context, uuid gpu.UUID, ev gpu.Event, at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := fmt.Sprintf("%s %d", uuid, ev.XID)
	if ev.GPUInstance != gpu.NoInstance {
		s += fmt.Sprintf(" in %d", ev.GPUInstance)
	}
	if ev.ComputeInstance != gpu.NoInstance {
		s += fmt.Sprintf("/%d", ev.ComputeInstance)
	}
	e.told, e.last = append(e.told, s), at
}

func (e *ears) heard() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.told)
}

func (e *ears) when() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.last
}

// listen runs a Missed in a bubble until f returns.
func listen(t *testing.T, f func(t *testing.T, e *ears)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := &ears{}
		e.Missed = NewMissed(xid.New([]uint64{79}, nil), e.take)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- e.Run(ctx) }()
		f(t, e)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func (e *ears) event(code uint64, instance uint32) {
	e.Event("GPU-1", gpu.Event{Kind: gpu.EventXID, XID: code, GPUInstance: instance}, time.Now())
}

func (e *ears) line(code uint64, instance uint32) {
	e.Line("GPU-1", Line{Code: code, Instance: instance, Compute: gpu.NoInstance}, time.Now())
}

func TestMissed(t *testing.T) {
	const whole = gpu.NoInstance
	for _, c := range []struct {
		name  string
		steps func(e *ears)
		want  []string
	}{
		{"both told it, the log first", func(e *ears) { e.line(95, whole); time.Sleep(2 * time.Second); e.event(95, whole) }, nil},
		{"both told it, the driver first", func(e *ears) { e.event(95, whole); time.Sleep(5 * time.Second); e.line(95, whole) }, nil},
		{"the driver told the last of a burst", func(e *ears) { e.line(95, whole); e.line(94, whole); e.event(94, whole) }, []string{"GPU-1 95"}},
		{"the driver told the same code once of twice", func(e *ears) { e.line(95, whole); e.line(95, whole); e.event(95, whole) }, []string{"GPU-1 95"}},
		{"the driver told nothing", func(e *ears) { e.line(95, whole); e.line(94, 2); e.line(95, whole) }, []string{"GPU-1 94 in 2", "GPU-1 95"}},
		{"no effect on health", func(e *ears) { e.line(31, whole); e.line(45, whole); e.line(79, whole) }, nil},
		{"the driver alone knows the instance", func(e *ears) { e.line(94, whole); e.event(94, 2) }, nil},
		{"the log alone knows the instance", func(e *ears) { e.line(94, 2); e.event(94, whole) }, nil},
		{"twice in one instance", func(e *ears) { e.line(94, 2); e.line(94, 2); e.event(94, 2) }, []string{"GPU-1 94 in 2"}},
		{"two instances at once", func(e *ears) { e.line(94, 1); e.line(94, 2); e.event(94, 2) }, []string{"GPU-1 94 in 1"}},
		{"two instances at once, the driver in between", func(e *ears) { e.line(94, 1); e.event(94, 2); e.line(94, 2) }, []string{"GPU-1 94 in 1"}},
		{"an instance and the whole", func(e *ears) { e.line(94, whole); e.line(94, 2); e.event(94, 2) }, []string{"GPU-1 94"}},
		{"a compute instance", func(e *ears) { e.Line("GPU-1", Line{Code: 94, Instance: 2, Compute: 1}, time.Now()) }, []string{"GPU-1 94 in 2/1"}},
		{"an event of long ago", func(e *ears) { e.event(95, whole); time.Sleep(time.Minute); e.line(95, whole) }, []string{"GPU-1 95"}},
		{"a storm hides nothing", func(e *ears) {
			for range 3 * maxSightings {
				e.line(94, whole)
			}
			e.line(95, whole)
			time.Sleep(wait / 2)
			for range 3 * maxSightings {
				e.line(94, whole)
			}
		}, []string{"GPU-1 94", "GPU-1 95"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			listen(t, func(t *testing.T, e *ears) {
				c.steps(e)
				time.Sleep(wait)
				synctest.Wait()
				got := e.heard()
				slices.Sort(got)
				if !slices.Equal(got, c.want) {
					t.Errorf("told %q, want %q", got, c.want)
				}
				time.Sleep(time.Hour)
				if n := len(e.heard()); n != len(c.want) {
					t.Errorf("later %d more", n-len(c.want))
				}
			})
		})
	}
}

func TestOtherGPUsEventsDoNotCount(t *testing.T) {
	listen(t, func(t *testing.T, e *ears) {
		e.line(95, gpu.NoInstance)
		e.Event("GPU-2", gpu.Event{XID: 95, GPUInstance: gpu.NoInstance}, time.Now())
		time.Sleep(wait)
		synctest.Wait()
		if got := e.heard(); !slices.Equal(got, []string{"GPU-1 95"}) {
			t.Errorf("told %q", got)
		}
	})
}

// TestWhenMissedIsTold: not before the driver had its time, then at once, with the time of the line.
func TestWhenMissedIsTold(t *testing.T) {
	listen(t, func(t *testing.T, e *ears) {
		began := time.Now()
		e.line(95, gpu.NoInstance)
		time.Sleep(time.Second)
		e.line(94, gpu.NoInstance)
		time.Sleep(wait - time.Second - time.Millisecond)
		synctest.Wait()
		if got := e.heard(); len(got) != 0 {
			t.Errorf("told %q too early", got)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if got := e.heard(); !slices.Equal(got, []string{"GPU-1 95"}) || !e.when().Equal(began) {
			t.Errorf("told %q at %v", got, e.when())
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := e.heard(); !slices.Equal(got, []string{"GPU-1 95", "GPU-1 94"}) {
			t.Errorf("told %q", got)
		}
	})
}

func TestSightingsTakeNoMemory(t *testing.T) {
	m := NewMissed(xid.Catalogue{}, nil)
	for code := range uint64(5000) {
		m.Event("GPU-1", gpu.Event{XID: code + 1000}, at(0))
		m.Line("GPU-2", Line{Code: code + 1000}, at(0))
	}
	if len(m.events) != maxSightings || len(m.lines) != maxSightings {
		t.Errorf("%d events and %d lines are kept", len(m.events), len(m.lines))
	}
}

// TestMissedIsWhatNoEventTold: of each code, whatever comes in which order within the wait, something is told exactly when the
// log has more of it than the driver told.
func TestMissedIsWhatNoEventTold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := NewMissed(xid.Catalogue{}, nil)
		ahead := map[uint64]int{}
		for range rapid.IntRange(0, maxAlike).Draw(t, "sightings") {
			code := rapid.SampledFrom([]uint64{74, 94, 95}).Draw(t, "code")
			if rapid.Bool().Draw(t, "event") {
				m.Event("GPU-1", gpu.Event{XID: code, GPUInstance: gpu.NoInstance}, at(0))
				ahead[code]--
			} else {
				m.Line("GPU-1", Line{Code: code, Instance: gpu.NoInstance, Compute: gpu.NoInstance}, at(0))
				ahead[code]++
			}
		}
		missed, next := m.due(at(0).Add(wait))
		if !next.IsZero() || len(m.lines) != 0 {
			t.Fatalf("%v wait for %s", m.lines, next)
		}
		for code, n := range ahead {
			if told := slices.ContainsFunc(missed, func(s sighting) bool { return s.code == code }); told != (n > 0) {
				t.Fatalf("XID %d: the log is ahead by %d, told: %v", code, n, told)
			}
		}
	})
}
