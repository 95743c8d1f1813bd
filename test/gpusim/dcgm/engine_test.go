package dcgm

import (
	"math"
	"testing"
	"time"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

// A value is there after the next cycle, moves once each period, and stays with its time in between. A mean takes its whole period.
func TestCycle(t *testing.T) {
	r := newRig(t, "dgx-a100", "4.6.1")
	gpu := pair{GPU, 2}
	if err := r.node.SetLoad(model.WholeGPU(2), model.Load{Kind: "ramp", Level: 100, Period: 100 * time.Second}); err != nil {
		t.Fatal(err)
	}
	if v := r.latest(gpu, 203); v.Status != NotWatched {
		t.Errorf("%+v", v)
	}
	r.watch(gpu, 203, 10*time.Second, 0, 1)
	r.watch(gpu, 1002, 10*time.Second, 0, 1)
	if v := r.latest(gpu, 203); v.Status != NoData || v.Int < blankInt {
		t.Errorf("before the cycle: %+v", v)
	}
	r.pass(0)
	first := r.latest(gpu, 203)
	if first.Status != OK || first.Int != 0 {
		t.Errorf("%+v", first)
	}
	if v := r.latest(gpu, 1002); v.Status != NoData {
		t.Errorf("a mean of no time: %+v", v)
	}
	r.pass(9 * time.Second)
	if v := r.latest(gpu, 203); v != first {
		t.Errorf("within the period: %+v", v)
	}
	r.pass(time.Second)
	if v := r.latest(gpu, 203); v.Int != 10 || v.TS != first.TS+10_000_000 {
		t.Errorf("%+v", v)
	}
	if v := r.latest(gpu, 1002); v.Status != OK || math.Abs(v.Float-0.05) > 0.001 {
		t.Errorf("the mean of a ramp from 0 to 10: %+v", v)
	}
	r.pass(10 * time.Second)
	if v := r.latest(gpu, 1002); math.Abs(v.Float-0.15) > 0.001 {
		t.Errorf("the mean of the next period: %+v", v)
	}
}

// Samples are kept by age and count, the greatest of all watchers; the latest has no age.
func TestKeeping(t *testing.T) {
	for _, c := range []struct {
		name  string
		age   float64
		count uint32
		want  int
	}{
		{"by count", 0, 3, 3}, {"by age", 4.5, 0, 5}, {"whichever is less", 2.5, 100, 3},
	} {
		r := newRig(t, "dgx-a100", "4.6.1")
		group, fields := r.watch(pair{GPU, 0}, 150, time.Second, c.age, c.count)
		for range 20 {
			r.pass(time.Second)
		}
		since := func() int {
			in := r.call(OK, "dcgmGetValuesSince_v2", func(w *writer) { w.u32(group, fields); w.u64(0) })
			in.u64()
			return int(in.u32())
		}
		if got := since(); got != c.want {
			t.Errorf("%s: %d samples, want %d", c.name, got, c.want)
		}
		r.call(OK, "dcgmDetachDriver", nil)
		r.pass(time.Hour)
		if since() == 0 {
			t.Errorf("%s: the latest is gone", c.name)
		}
	}
}

// Monotonic counters: active cycles over elapsed cycles is the activity of any window, exactly.
func TestCounters(t *testing.T) {
	r := newRig(t, "hgx-h100", "4.6.1")
	if err := r.node.SetLoad(model.WholeGPU(0), model.Load{Level: 35}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []uint16{1084, 1085, 1086, 1092} {
		r.watch(pair{GPU, 0}, id, time.Second, 0, 1)
	}
	var before [4]int64
	for round := range 3 {
		r.pass(7 * time.Second)
		var now [4]int64
		for i, id := range []uint16{1084, 1085, 1086, 1092} {
			now[i] = r.latest(pair{GPU, 0}, id).Int
			if round > 0 && now[i] <= before[i] {
				t.Errorf("field %d goes from %d to %d", id, before[i], now[i])
			}
		}
		if active := float64(now[1]-before[1]) / float64(now[0]-before[0]); round > 0 && math.Abs(active-0.35) > 1e-6 {
			t.Errorf("active %v", active)
		}
		before = now
	}
}

// The level rule for each kind of entity, and what no field can be asked of.
func TestLevels(t *testing.T) {
	gpu := &entity{group: GPU, id: 1}
	gi := &entity{group: Instance, id: 8, parent: gpu}
	ci := &entity{group: Compute, id: 8, parent: gi}
	for _, c := range []struct {
		asked *entity
		level Group
		want  *entity
	}{
		{gpu, GPU, gpu},
		{gpu, Instance, gpu},
		{gpu, Compute, gpu},
		{gi, GPU, gpu},
		{gi, Instance, gi},
		{gi, Compute, gi},
		{ci, GPU, gpu},
		{ci, Instance, gi},
		{ci, Compute, ci},
		{gpu, Link, nil},
		{nil, GPU, nil},
	} {
		if got := c.asked.owner(Field{Level: c.level}); got != c.want {
			t.Errorf("a field of level %d asked of %+v is answered by %+v", c.level, c.asked, got)
		}
	}
}

// An engine of 4.5 knows none of the fields of 4.6, and one of 4.6 does not know what no DCGM has.
func TestKnownFields(t *testing.T) {
	for _, c := range []struct {
		version string
		field   uint16
		want    Status
	}{{"4.5.2", 1085, UnknownField}, {"4.6.1", 1085, OK}, {"4.10.0", 1611, OK}, {"4.5.2", 203, OK}, {"4.6.1", 7, UnknownField}, {"4.6.1", 699, OK}} {
		r := newRig(t, "hgx-h100", c.version)
		r.call(c.want, "dcgmFieldGroupCreate", func(w *writer) { w.text("f"); w.u32(1, uint32(c.field)) })
	}
	r := newRig(t, "hgx-h100", "4.6.1")
	r.watch(pair{GPU, 0}, 699, time.Second, 0, 1)
	r.pass(0)
	if v := r.latest(pair{GPU, 0}, 699); v.Status != OK || v.Int != blankInt+int64(BlankNotSupported) {
		t.Errorf("a field that is not simulated: %+v", v)
	}
}

// Each XID since the watch is a sample, also of several in one moment, and of its GPU alone.
func TestXIDSamples(t *testing.T) {
	r := newRig(t, "hgx-h100", "4.6.1")
	if err := r.node.InjectXID(0, 43, model.NoInstance, model.NoInstance); err != nil {
		t.Fatal(err)
	}
	r.pass(time.Second)
	group, fields := r.watch(pair{GPU, 0}, 230, time.Second, 600, 0)
	r.pass(time.Second)
	if v := r.latest(pair{GPU, 0}, 230); v.Status != NoData {
		t.Errorf("from before the watch: %+v", v)
	}
	for _, code := range []uint64{13, 31, 79} {
		if err := r.node.InjectXID(0, code, model.NoInstance, model.NoInstance); err != nil {
			t.Fatal(err)
		}
	}
	r.pass(time.Second)
	if v := r.latest(pair{GPU, 0}, 230); v.Int != 79 || v.Status != OK {
		t.Errorf("%+v", v)
	}
	in := r.call(OK, "dcgmGetValuesSince_v2", func(w *writer) { w.u32(group, fields); w.u64(0) })
	in.u64()
	if n := in.u32(); n != 3 {
		t.Errorf("%d of 3 XIDs", n)
	}
	late := r.e.Session()
	defer late.Close()
	r.s = late
	r.watch(pair{GPU, 1}, 230, time.Second, 600, 0)
	r.pass(time.Second)
	if v := r.latest(pair{GPU, 1}, 230); v.Status != NoData {
		t.Errorf("another GPU: %+v", v)
	}
}

// A session that ends takes its watches with it and leaves those of others.
func TestSessionEnds(t *testing.T) {
	r := newRig(t, "hgx-h100", "4.6.1")
	mine := r.s
	r.watch(pair{GPU, 0}, 150, time.Second, 0, 1)
	r.s = r.e.Session()
	r.watch(pair{GPU, 0}, 150, time.Second, 0, 1)
	r.watch(pair{GPU, 0}, 155, time.Second, 0, 1)
	r.pass(0)
	r.s.Close()
	r.s = mine
	if a, b := r.latest(pair{GPU, 0}, 150), r.latest(pair{GPU, 0}, 155); a.Status != OK || b.Status != NotWatched {
		t.Errorf("%+v %+v", a, b)
	}
}

// A link carries its part of the GPU's traffic while it is up.
func TestLinkTraffic(t *testing.T) {
	r := newRig(t, "hgx-h100", "4.6.1")
	if err := r.node.SetLoad(model.WholeGPU(0), model.Load{Level: 100}); err != nil {
		t.Fatal(err)
	}
	of := func(link uint32) pair { return pair{Link, uint32(GPU) | link<<8} }
	r.watch(of(3), 1532, time.Second, 0, 1)
	r.watch(pair{GPU, 0}, 1011, time.Second, 0, 1)
	r.pass(0)
	r.pass(time.Second)
	whole, one := r.latest(pair{GPU, 0}, 1011), r.latest(of(3), 1532)
	if one.Status != OK || one.Int == 0 || one.Int != whole.Int/18 {
		t.Errorf("link 3 sends %+v of %+v", one, whole)
	}
	if err := r.node.SetNvLinkDown(0, 3, true); err != nil {
		t.Fatal(err)
	}
	r.pass(time.Second)
	if v := r.latest(of(3), 1532); v.Status != OK || v.Int != 0 {
		t.Errorf("a link that is down sends %+v", v)
	}
	if v := r.latest(of(40), 1508); v.Status != NotWatched {
		t.Errorf("%+v", v)
	}
}
