package godcgm

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/NVIDIA/go-dcgm/pkg/dcgm"

	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

func gpu(id uint) []dcgm.GroupEntityPair {
	return []dcgm.GroupEntityPair{{EntityGroupId: dcgm.FE_GPU, EntityId: id}}
}

// one reads one field of one entity.
func (p *program) one(e []dcgm.GroupEntityPair, field dcgm.Short) value {
	p.t.Helper()
	list := p.do(request{Call: "values", Entities: e, Fields: []dcgm.Short{field}}).Values
	if len(list) != 1 || list[0].Field != field || list[0].ID != e[0].EntityId || list[0].Group != e[0].EntityGroupId {
		p.t.Fatalf("field %d of %+v: %+v", field, e, list)
	}
	return list[0]
}

// soon reads a field until it is as wanted: engines sample by themselves.
func (p *program) soon(e []dcgm.GroupEntityPair, field dcgm.Short, what string, is func(v value) bool) value {
	p.t.Helper()
	var v value
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if v = p.one(e, field); is(v) {
			return v
		}
	}
	p.t.Fatalf("field %d never has %s: %+v", field, what, v)
	return v
}

// A sampler finds the GPUs, watches fields, and reads each with its type, unit and time; what it does not watch, it does not get.
func TestValues(t *testing.T) {
	n, p := embedded(t, sim.Options{Shape: "hgx-h100"})
	if ids := p.do(request{Call: "gpus"}).IDs; !slices.Equal(ids, []uint{0, 1, 2, 3, 4, 5, 6, 7}) {
		t.Fatal(ids)
	}
	if err := n.SetLoad(t.Context(), sim.Whole(1), model.Load{Level: 80}); err != nil {
		t.Fatal(err)
	}
	if v := p.one(gpu(1), 203); v.Status != -16 {
		t.Errorf("before the watch: %+v", v)
	}
	p.do(request{Call: "watch", Group: -1, Period: 50 * time.Millisecond, Fields: []dcgm.Short{1, 50, 54, 57, 100, 150, 155, 156, 203, 230, 252, 393, 1001, 1009, 1085}})
	before := p.one(gpu(1), 203)
	if before.Status != 0 || before.Int != 80 || before.Type != 'i' || time.Since(time.UnixMicro(before.TS)).Abs() > time.Minute {
		t.Errorf("utilization: %+v", before)
	}
	s, err := n.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if v := p.one(gpu(1), 54); v.Text != s.GPUs[1].UUID {
		t.Errorf("UUID: %+v", v)
	}
	if v := p.one(gpu(1), 1); v.Text != s.Driver {
		t.Errorf("driver: %+v", v)
	}
	if v := p.one(gpu(1), 57); v.Text != "00000000:17:00.0" && v.Text == "" {
		t.Errorf("address: %+v", v)
	}
	if v := p.one(gpu(1), 155); v.Float < 100 || v.Float > 700 {
		t.Errorf("power: %+v", v)
	}
	if v := p.one(gpu(1), 230); v.Status != -14 {
		t.Errorf("before any XID: %+v", v)
	}
	p.soon(gpu(1), 1001, "the mean of the load", func(v value) bool { return v.Status == 0 && math.Abs(v.Float-0.8) < 0.001 })
	p.soon(gpu(1), 203, "a new sample", func(v value) bool { return v.TS > before.TS })
	first := p.one(gpu(1), 1085)
	p.soon(gpu(1), 1085, "more cycles", func(v value) bool { return v.Int > first.Int })
	if err := n.XID(t.Context(), sim.Whole(1), 31); err != nil {
		t.Fatal(err)
	}
	p.soon(gpu(1), 230, "the XID", func(v value) bool { return v.Status == 0 && v.Int == 31 })
	list := p.do(request{Call: "since", Group: -1, Since: time.UnixMicro(before.TS)})
	samples := 0
	for _, v := range list.Values {
		if v.Field == 203 && v.ID == 1 {
			samples++
		}
	}
	if samples < 2 || !list.Next.After(time.UnixMicro(before.TS)) {
		t.Errorf("%d samples since the first, next %v", samples, list.Next)
	}
	p.do(request{Call: "unwatch", Group: -1})
	if v := p.one(gpu(1), 203); v.Status != -16 {
		t.Errorf("after the watch: %+v", v)
	}
	if v := p.do(request{Call: "values", Entities: gpu(1), Fields: []dcgm.Short{203}, Number: 1}).Values[0]; v.Status != 0 || v.Int != 80 {
		t.Errorf("live: %+v", v)
	}
	if a, _ := p.try(request{Call: "values", Entities: gpu(1), Fields: []dcgm.Short{7}}); len(a.Values) != 1 || a.Values[0].Status != -13 {
		t.Errorf("an unknown field: %+v", a)
	}
	p.do(request{Call: "cleanup"})
}
