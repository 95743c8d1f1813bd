package dcgm

import (
	"testing"
	"time"

	"github.com/gpulet/gpulet/gpu"
)

// A profiling field that comes later is there with the next reading, and the other pace is taken.
func TestLaterFields(t *testing.T) {
	lib := newFakeLibrary(0)
	e, now := connected(t, lib, 155), time.Now()
	look(t, e, now)
	e.watch(request{Fast: 200 * time.Millisecond, Fields: []gpu.Field{155, 1001}})
	for i := range 3 {
		now = now.Add(200 * time.Millisecond)
		lib.set(func() { lib.calls = 0 })
		got := look(t, e, now)
		if r := got[gpu.UUID("GPU-0").Whole()][1001]; r.Absent != nil || r.Value != 1001 {
			t.Errorf("reading %d: %+v", i, r)
		}
	}
}

// What another profiler holds up is there when that is done.
func TestBusyProfiler(t *testing.T) {
	lib := newFakeLibrary(0)
	lib.busy = true
	e, now := connected(t, lib, 155, 1001, 1002), time.Now()
	held := 0
	for i := range 4 {
		lib.busy = i < 2
		got := look(t, e, now)[gpu.UUID("GPU-0").Whole()]
		if r := got[1001]; lib.busy && (r.Absent == nil || r.Absent.Code != gpu.Failed) || !lib.busy && r.Absent != nil || got[155].Absent != nil {
			t.Errorf("minute %d: %+v", i, r)
		}
		held = len(lib.watched)
		now = now.Add(watchAgain)
	}
	e.unwatch()
	if held == 0 || len(lib.watched) != 0 {
		t.Errorf("%d things held, %d after", held, len(lib.watched))
	}
}

// An engine that gave a GPU another number tells of the GPU that has it now.
func TestRenumberedGPUs(t *testing.T) {
	lib := newFakeLibrary(0, 1)
	e, now := connected(t, lib, 155), time.Now()
	look(t, e, now)
	lib.names = map[uint]gpu.UUID{0: "GPU-1", 1: "GPU-0"}
	got := look(t, e, now.Add(lookPeriod))
	if got[gpu.UUID("GPU-1").Whole()][155].Value != 155 || got[gpu.UUID("GPU-0").Whole()][155].Value != 1155 {
		t.Errorf("%+v", got)
	}
}

// Another instance under the ids of one that is gone is watched anew.
func TestReusedInstance(t *testing.T) {
	lib := newFakeLibrary(0)
	lib.layout = []instance{{id: 3, gpu: 0, nvml: 7, profile: 19}}
	e, now := connected(t, lib, 1001), time.Now()
	look(t, e, now)
	before := e.watches
	lib.layout = []instance{{id: 3, gpu: 0, nvml: 7, profile: 14}}
	if look(t, e, now.Add(time.Second)); e.watches == before {
		t.Error("it is watched as the one before")
	}
}

// Values of an engine whose clock is ahead are of the moment in which they came; one that does not change grows old.
func TestClockAhead(t *testing.T) {
	lib := newFakeLibrary(0)
	e, now := connected(t, lib, 155), time.Now()
	at := func(ahead time.Time) time.Duration {
		lib.frozen, now = ahead, now.Add(time.Second)
		return now.Sub(look(t, e, now)[gpu.UUID("GPU-0").Whole()][155].At)
	}
	stuck := now.Add(time.Hour)
	for i := range 5 {
		if age := at(stuck).Round(time.Millisecond); age != time.Duration(i)*time.Second {
			t.Errorf("it is %s old after %d s", age, i)
		}
	}
	if age := at(stuck.Add(time.Second)).Round(time.Millisecond); age != 0 {
		t.Errorf("a new value is %s old", age)
	}
}

// A GPU that is lost when the watches are made costs itself, and is watched when it is back.
func TestLostAtTheBeginning(t *testing.T) {
	lib := newFakeLibrary(0, 1)
	e, now := connected(t, lib, 155), time.Now()
	look(t, e, now)
	e.unwatch()
	lib.lostGPU = map[uint]bool{1: true}
	now = now.Add(time.Second)
	got := look(t, e, now)
	if got[gpu.UUID("GPU-0").Whole()][155].Value != 155 || got[gpu.UUID("GPU-1").Whole()][155].Absent == nil || len(lib.grouped) != 1 {
		t.Errorf("%+v", got)
	}
	lib.lostGPU = nil
	look(t, e, now.Add(watchAgain))
	if len(lib.grouped) != 2 {
		t.Errorf("%v are watched", lib.grouped)
	}
	e.unwatch()
	if len(lib.watched) != 0 {
		t.Errorf("%d things held", len(lib.watched))
	}
}
