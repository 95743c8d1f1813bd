package exporter

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
)

// A change of the layout swaps entities within a moment, and an id that comes again inherits nothing.
func TestLayoutSwap(t *testing.T) {
	play(t, func(t *testing.T) {
		r := newRig(t, divided(0, 3, 1))
		r.driver.absent[family.GREngine] = gpu.Absence{Code: gpu.NotSupported, Text: "not before Hopper"}
		r.run(t)
		after(time.Second)
		r.engine.tell(of(in(0, 1), family.GREngine, 0.9))
		after(time.Second)
		r.has(in(0, 1), family.GREngine, 0.9)
		old := r.Set()
		r.layout(divided(0, 2, 2))
		after(time.Millisecond)
		if _, ok := r.Set().Values[in(0, 3)]; ok {
			t.Error("the values of a vanished instance stay")
		}
		r.has(in(0, 1), family.FBUsed, 252)
		if v, _ := r.value(in(0, 1), family.GREngine); v.Absent == nil {
			t.Errorf("the new instance inherits %+v", v)
		}
		if r.Set().Generation == old.Generation {
			t.Error("the generation stays")
		}
		r.engine.tell(of(in(0, 1), family.GREngine, 0.1))
		after(time.Second)
		r.has(in(0, 1), family.GREngine, 0.1)
		r.layout(whole(0))
		after(time.Millisecond)
		r.has(uuid(0).Whole(), family.FBUsed, 252)
		if n := len(r.Set().Values); n != 1 {
			t.Errorf("%d entities", n)
		}
		r.layout()
		after(time.Second)
		if n := len(r.Set().Values); n != 0 {
			t.Errorf("%d entities without a GPU", n)
		}
	})
}

// A reading that was under way when the instance was replaced is not the new one's.
func TestLateReadingOfAReplacedInstance(t *testing.T) {
	play(t, func(t *testing.T) {
		r := newRig(t, divided(0, 1, 1))
		r.run(t)
		r.driver.set(in(0, 1), family.FBUsed, 1)
		release := r.driver.block(uuid(0))
		after(time.Second)
		r.layout(divided(0, 1, 2))
		after(100 * time.Millisecond)
		r.lacks(in(0, 1), family.FBUsed, gpu.NoData)
		r.driver.do(func() { r.driver.slow = 2 * time.Second })
		release()
		after(1500 * time.Millisecond) // the old reading came and a round ended, the new reading did not come
		r.lacks(in(0, 1), family.FBUsed, gpu.NoData)
		after(2 * time.Second)
		r.has(in(0, 1), family.FBUsed, 1)
	})
}

// The last XID is the newest code of the GPU, and 0 before any.
func TestLastXID(t *testing.T) {
	play(t, func(t *testing.T) {
		r := newRig(t, whole(0), whole(1), divided(2, 1, 1))
		r.xids.list = []sample.XID{{GPU: uuid(0), Class: "any"}}
		r.run(t)
		r.has(uuid(0).Whole(), family.XIDErrors, 0)
		now := time.Now()
		r.xids.mu.Lock()
		r.xids.list = []sample.XID{
			{GPU: uuid(0), Class: "any", Count: 3, Last: now},
			{GPU: uuid(0), Code: 31, Count: 2, Last: now},
			{GPU: uuid(0), Code: 79, Count: 1, Last: now.Add(-time.Minute)},
			{GPU: uuid(2), Code: 43, Count: 1, Last: now},
		}
		r.xids.mu.Unlock()
		after(time.Second)
		r.has(uuid(0).Whole(), family.XIDErrors, 31)
		r.has(uuid(1).Whole(), family.XIDErrors, 0)
		r.has(uuid(2).Whole(), family.XIDErrors, 43)
		if _, ok := r.value(in(2, 1), family.XIDErrors); ok {
			t.Error("an instance has the errors of its GPU")
		}
		after(time.Hour)
		r.has(uuid(0).Whole(), family.XIDErrors, 31)
	})
}

// Windows are maxima of 15 and 60 s, and belong to their entity.
func TestWindows(t *testing.T) {
	play(t, func(t *testing.T) {
		r := newRig(t, whole(0), divided(1, 1, 1))
		r.driver.set(uuid(0).Whole(), family.GPUUtil, 10)
		r.run(t)
		after(5 * time.Second)
		r.driver.set(uuid(0).Whole(), family.GPUUtil, 90)
		r.driver.set(uuid(0).Whole(), family.PowerInstant, 300)
		after(time.Second)
		r.driver.set(uuid(0).Whole(), family.GPUUtil, 20)
		r.driver.set(uuid(0).Whole(), family.PowerInstant, 100)
		r.driver.set(uuid(0).Whole(), family.FBUsed, 1024)
		windows := func(util, power [2]float64) {
			t.Helper()
			w := r.Set().Windows[uuid(0).Whole()]
			if w.Utilization != util || w.Power != power || w.Memory[1] != 1<<30 {
				t.Errorf("%+v", w)
			}
		}
		after(5 * time.Second)
		windows([2]float64{0.9, 0.9}, [2]float64{300, 300})
		after(15 * time.Second)
		windows([2]float64{0.2, 0.9}, [2]float64{100, 300})
		after(time.Minute)
		windows([2]float64{0.2, 0.2}, [2]float64{100, 100})
		if w := r.Set().Windows[in(1, 1)]; w.Power != [2]float64{-1, -1} || w.Memory[0] < 0 {
			t.Errorf("instance: %+v", w)
		}
		r.layout(whole(0), divided(1, 1, 2))
		after(time.Second)
		if w := r.Set().Windows[in(1, 1)]; w.Utilization[1] != 1001 {
			t.Errorf("a new instance: %+v", w)
		}
	})
}

// 1,000 changes of the layout leave nothing behind.
func TestNoGrowthOverLayoutChanges(t *testing.T) {
	play(t, func(t *testing.T) {
		r := newRig(t, divided(0, 7, 0))
		s := newSampler(r.Exporter)
		done := make(chan error)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { done <- s.run(ctx) }()
		for i := range 1000 {
			r.layout(divided(0, 1+i%7, i), whole(1+i%3))
			after(300 * time.Millisecond)
		}
		r.layout(divided(0, 2, 1001))
		after(3 * time.Second)
		if n := len(r.Set().Values); n != 3 {
			t.Errorf("%d entities", n)
		}
		if n := runtime.NumGoroutine(); n > 12 {
			t.Errorf("%d goroutines", n)
		}
		if len(s.entities) != 3 || len(s.units) != 1 || len(s.waiting) != 0 || len(s.plan.asks) > 20 {
			t.Errorf("%d entities, %d GPUs, %d waiting, %d asks are kept", len(s.entities), len(s.units), len(s.waiting), len(s.plan.asks))
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		s.readers.Wait()
	})
}
