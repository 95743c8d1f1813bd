package exporter

import (
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
)

// The first round reads everything; later each loop reads at its own period, in one call for each GPU and tick.
func TestLoops(t *testing.T) {
	play(t, func(t *testing.T) {
		r := newRig(t, whole(0), divided(1, 2, 1))
		r.run(t)
		r.has(uuid(0).Whole(), family.GPUUtil, 203)
		r.has(in(1, 2), family.FBUsed, 252)
		after(4 * time.Minute)
		r.has(uuid(0).Whole(), family.DriverVersion, float64(family.DriverVersion)) // read at the start alone
		r.driver.do(func() { clear(r.driver.asks) })
		if _, ok := r.value(in(1, 1), family.PowerUsage); ok {
			t.Error("an instance has the power of its GPU")
		}
		if _, ok := r.value(uuid(1).Whole(), family.FBUsed); ok {
			t.Error("a divided GPU has the memory of an undivided one")
		}
		after(time.Minute)
		slow := 0
		for _, a := range r.driver.asked(uuid(0)) {
			if slices.Contains(a.Whole, 393) { // remapped rows
				slow++
			}
			if !slices.Contains(a.Whole, family.GPUUtil) {
				t.Errorf("a separate call for %v", a.Whole)
			}
		}
		if n := len(r.driver.asked(uuid(0))); n != 60 || slow != 4 {
			t.Errorf("%d calls, %d with the slow fields, want 60 and 4", n, slow)
		}
		if a := r.driver.asked(uuid(1))[3]; len(a.Instances) != 2 || slices.Contains(a.Whole, family.FBUsed) || !slices.Contains(a.Instance, family.FBUsed) {
			t.Errorf("the divided GPU is asked %+v", a)
		}
		if r.driver.reads(uuid(0))+r.driver.reads(uuid(1)) > 0 {
			t.Error("processes are asked for although nobody shares a GPU")
		}
	})
}

// A GPU that hangs ages alone: it is down, its values go after three periods, and no calls pile up.
func TestHungGPUAgesAlone(t *testing.T) {
	play(t, func(t *testing.T) {
		r := newRig(t, whole(0), whole(1))
		r.run(t)
		after(5 * time.Second)
		release := r.driver.block(uuid(0))
		after(2 * time.Second)
		r.has(uuid(0).Whole(), family.GPUUtil, 203)
		after(3 * time.Second)
		r.lacks(uuid(0).Whole(), family.GPUUtil, gpu.NoAnswer)
		r.has(uuid(1).Whole(), family.GPUUtil, 203)
		set := r.Set()
		if set.Down[uuid(0)] == "" || len(set.Down) != 1 {
			t.Errorf("down: %v", set.Down)
		}
		if age := set.At.Sub(set.Values[uuid(1).Whole()][family.GPUUtil].At); age > time.Second {
			t.Errorf("the other GPU's value is %s old", age)
		}
		if s := r.source(nvmlSource); s.Stale == 0 || s.Reason != "" {
			t.Errorf("%+v", s)
		}
		after(4 * time.Second)
		if _, ok := r.Set().Windows[uuid(0).Whole()]; ok {
			t.Error("a GPU that does not answer has windows")
		}
		after(time.Minute)
		for f, v := range r.Set().Values[uuid(0).Whole()] {
			if v.Absent == nil {
				t.Errorf("field %d is still there", f)
			}
		}
		r.driver.do(func() {
			if r.driver.piled != 1 {
				t.Errorf("%d calls at a time", r.driver.piled)
			}
		})
		release()
		after(2 * time.Second)
		r.has(uuid(0).Whole(), family.GPUUtil, 203)
		r.has(uuid(0).Whole(), 393, 393)
		if len(r.Set().Down) != 0 {
			t.Errorf("down: %v", r.Set().Down)
		}
	})
}

// A GPU whose reads fail is down for the reason that the inventory knows, and errors are counted by kind.
func TestFailingGPU(t *testing.T) {
	play(t, func(t *testing.T) {
		r := newRig(t, whole(0), whole(1))
		r.run(t)
		r.driver.do(func() { r.driver.err[uuid(1)] = fmt.Errorf("read: %w", gpu.ErrLost) })
		after(time.Second)
		if why := r.Set().Down[uuid(1)]; why != "read: the GPU is lost" {
			t.Errorf("down because %q", why)
		}
		sick := whole(1)
		sick.Health = gpu.Health{State: gpu.Unhealthy, Reason: "XID 79: fell off the bus"}
		r.layout(whole(0), sick)
		after(time.Second)
		if why := r.Set().Down[uuid(1)]; why != sick.Health.Reason {
			t.Errorf("down because %q", why)
		}
		if n := r.source(nvmlSource).Errors[gpu.Lost]; n != 2 {
			t.Errorf("%d errors", n)
		}
		r.driver.do(func() { r.driver.err[uuid(1)] = gpu.ErrChanging })
		after(time.Second)
		if len(r.Set().Down) != 0 {
			t.Errorf("a GPU that is being changed is down: %v", r.Set().Down)
		}
		r.driver.do(func() { r.driver.err[uuid(1)] = gpu.ErrLost })
		after(time.Second)
		r.driver.do(func() { clear(r.driver.err); clear(r.driver.asks) })
		after(2 * time.Second)
		if asks := r.driver.asked(uuid(1)); len(asks) != 2 || !slices.Contains(asks[1].Whole, 393) {
			t.Errorf("a GPU that came back is not read anew: %+v", asks)
		}
	})
}

// address tells two maps apart.
func address(m map[gpu.Field]sample.Value) uintptr { return reflect.ValueOf(m).Pointer() }

// One reading that fails leaves no gap; one that goes on failing does, with its reason.
func TestPassingFailure(t *testing.T) {
	play(t, func(t *testing.T) {
		r := newRig(t, whole(0))
		r.run(t)
		after(2 * time.Second)
		e := uuid(0).Whole()
		r.driver.do(func() { r.driver.absent[family.GPUUtil] = gpu.Absence{Code: gpu.Failed, Text: "unknown error"} })
		after(2 * time.Second)
		r.has(e, family.GPUUtil, 203)
		after(2 * time.Second)
		r.lacks(e, family.GPUUtil, gpu.Failed)
		r.driver.do(func() { r.driver.absent[family.FBUsed] = gpu.Absence{Code: gpu.NotSupported, Text: "no such thing"} })
		after(time.Second)
		r.lacks(e, family.FBUsed, gpu.NotSupported)
		r.driver.do(func() { clear(r.driver.absent) })
		after(time.Second)
		r.has(e, family.GPUUtil, 203)
	})
}

// Whoever reads a set reads one moment, and what did not change is shared with the set before.
func TestOneSet(t *testing.T) {
	play(t, func(t *testing.T) {
		r := newRig(t, whole(0), whole(1))
		r.run(t)
		after(time.Second)
		release := r.driver.block(uuid(1))
		defer release()
		after(time.Second)
		var group sync.WaitGroup
		sets := make([]*sample.Set, 8)
		for i := range sets {
			group.Go(func() { sets[i] = r.Set() })
		}
		group.Wait()
		for _, s := range sets {
			if s != sets[0] {
				t.Error("two readers see two sets")
			}
		}
		before := r.Set()
		after(time.Second)
		now := r.Set()
		at := func(s *sample.Set, i int) uintptr { return address(s.Values[uuid(i).Whole()]) }
		if before == now || at(before, 1) != at(now, 1) {
			t.Error("an entity without news has a new map")
		}
		if at(before, 0) == at(now, 0) {
			t.Error("a set that was handed out was changed")
		}
		if before.Generation != now.Generation {
			t.Error("the generation grows although nothing changed")
		}
	})
}

// Settings change without a gap: what stays keeps its values, what is new is read at once, what goes is gone.
func TestSettingsChange(t *testing.T) {
	play(t, func(t *testing.T) {
		r := newRig(t, whole(0))
		r.run(t)
		after(time.Second)
		s := defaults()
		serial, _ := family.Lookup("DCGM_FI_DEV_SERIAL")
		s.Expose.Fields = append(s.Expose.Fields[:3:3], family.Selected{Family: serial, Type: family.Label})
		s.Fast = 250 * time.Millisecond
		release := r.driver.block(uuid(0))
		r.settings.Set(s)
		after(time.Millisecond)
		r.has(uuid(0).Whole(), family.GPUUtil, 203)
		r.lacks(uuid(0).Whole(), serial.Field, gpu.NoData)
		if _, ok := r.value(uuid(0).Whole(), family.MemCopyUtil); ok {
			t.Error("a field that is not asked for any more stays")
		}
		release()
		after(time.Millisecond)
		r.has(uuid(0).Whole(), serial.Field, float64(serial.Field))
		r.driver.do(func() { clear(r.driver.asks) })
		after(2 * time.Second)
		if n := len(r.driver.asked(uuid(0))); n < 8 || n > 9 {
			t.Errorf("%d calls in 2 s", n)
		}
	})
}

// Off reads nothing, wants nothing and shows nothing; on again begins anew.
func TestOff(t *testing.T) {
	play(t, func(t *testing.T) {
		r := newRig(t, whole(0))
		r.driver.absent[526] = gpu.Absence{Code: gpu.NoSource, Text: "only DCGM has it"}
		r.run(t)
		after(time.Second)
		if len(r.engine.asked()) == 0 {
			t.Error("DCGM is not wanted")
		}
		s := defaults()
		s.Off = true
		r.settings.Set(s)
		after(time.Millisecond)
		set := r.Set()
		if len(set.Values) != 0 || set.Snapshot != nil || len(r.engine.asked()) != 0 {
			t.Errorf("%d entities, DCGM is wanted for %v", len(set.Values), r.engine.asked())
		}
		r.driver.do(func() { clear(r.driver.asks) })
		r.layout(whole(0), whole(1))
		after(time.Minute)
		if len(r.driver.asked(uuid(0)))+len(r.driver.asked(uuid(1))) != 0 {
			t.Error("it reads")
		}
		if st := r.Describe(); !st.Off || len(st.Absent) != 0 {
			t.Errorf("%+v", st)
		}
		r.settings.Set(defaults())
		after(time.Millisecond)
		r.has(uuid(1).Whole(), family.GPUUtil, 203)
	})
}

// A scrape formats what is there, under the name of the node.
func TestGatherer(t *testing.T) {
	play(t, func(t *testing.T) {
		r := newRig(t, whole(0), divided(1, 2, 1))
		r.run(t)
		families, err := r.Gatherer().Gather()
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]int{}
		for _, f := range families {
			seen[f.GetName()] = len(f.GetMetric())
			for _, m := range f.GetMetric() {
				for _, l := range m.GetLabel() {
					if l.GetName() == "Hostname" && l.GetValue() != "n1" {
						t.Errorf("%s of %s", f.GetName(), l.GetValue())
					}
				}
			}
		}
		if seen["DCGM_FI_DEV_FB_USED"] != 3 || seen["gpu_up"] != 2 {
			t.Errorf("%v", seen)
		}
	})
}

// A shorter period takes effect at once, also for DCGM; values that are as old as the longer one allowed stay until they are read anew.
func TestShorterPeriod(t *testing.T) {
	play(t, func(t *testing.T) {
		r := newRig(t, whole(0))
		r.driver.absent[family.GREngine] = ampere()
		s := defaults()
		s.Fast = 10 * time.Second
		r.settings.Set(s)
		r.run(t)
		e := uuid(0).Whole()
		after(10 * time.Second)
		r.engine.tell(of(e, family.GREngine, 0.7))
		after(19 * time.Second)
		if r.engine.paced() != s.Fast {
			t.Errorf("DCGM reads each %s", r.engine.paced())
		}
		r.has(e, family.GPUUtil, 203)
		r.driver.do(func() { r.driver.slow = 400 * time.Millisecond })
		s.Fast = time.Second
		r.settings.Set(s)
		after(time.Millisecond)
		r.has(e, family.GPUUtil, 203)
		r.has(e, family.GREngine, 0.7)
		if r.engine.paced() != s.Fast {
			t.Errorf("DCGM reads each %s", r.engine.paced())
		}
		release := r.driver.block(uuid(0))
		defer release()
		after(35 * time.Second)
		r.lacks(e, family.GREngine, gpu.Stale)
		r.lacks(e, family.GPUUtil, gpu.NoAnswer)
	})
}
