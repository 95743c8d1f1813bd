package dcgm

import (
	"context"
	"math"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/shapes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hand is a clock that moves only when told.
type hand struct {
	mu  sync.Mutex
	now time.Time
}

func (c *hand) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// rig is an engine that is turned by hand: nothing runs beside the test.
type rig struct {
	*testing.T
	node  *model.Node
	clock *hand
	e     *Engine
	s     *Session
}

func newRig(t *testing.T, shape, version string) *rig {
	t.Helper()
	load, err := shapes.Load(shape)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{T: t, clock: &hand{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}}
	if r.node, err = model.New(load, model.Options{Clock: r.clock, Seed: 1}); err != nil {
		t.Fatal(err)
	}
	r.e = New(t.Context(), Config{Node: r.node, Version: version, Faults: &Faults{}, Caller: model.Caller{PID: 9, Admin: true, Name: "nv-hostengine"}})
	r.s = r.e.Session()
	t.Cleanup(func() {
		r.s.Close()
		r.e.Close()
	})
	return r
}

// pass lets time go by and turns the engine.
func (r *rig) pass(d time.Duration) {
	r.clock.mu.Lock()
	r.clock.now = r.clock.now.Add(d)
	r.clock.mu.Unlock()
	r.e.cycle(r.Context())
}

// call makes a call that must give that code.
func (r *rig) call(want Status, name string, fill func(w *writer)) *reader {
	r.Helper()
	w := &writer{}
	if fill != nil {
		fill(w)
	}
	got, out, _ := r.s.Call(r.Context(), name, w.b)
	if got != want {
		r.Fatalf("%s gives %d, want %d", name, got, want)
	}
	return &reader{b: out}
}

// watch makes a group of an entity and watches a field of it.
func (r *rig) watch(e pair, field uint16, period time.Duration, age float64, count uint32) (group, fields uint32) {
	r.Helper()
	group = r.call(OK, "dcgmGroupCreate", func(w *writer) { w.u32(1); w.text("g") }).u32()
	r.call(OK, "dcgmGroupAddEntity", func(w *writer) { w.u32(group, uint32(e.group), e.id) })
	fields = r.call(OK, "dcgmFieldGroupCreate", func(w *writer) { w.text(time.Now().String()); w.u32(1, uint32(field)) }).u32()
	r.call(OK, "dcgmWatchFields", func(w *writer) {
		w.u32(group, fields)
		w.u64(uint64(period.Microseconds()), math.Float64bits(age))
		w.u32(count)
	})
	return group, fields
}

// latest reads one field.
func (r *rig) latest(e pair, field uint16) Value {
	return r.s.latest(context.Background(), layout(r.node), e, field, false)
}
