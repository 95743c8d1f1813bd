package godcgm

import (
	"slices"
	"testing"
	"time"

	"github.com/NVIDIA/go-dcgm/pkg/dcgm"

	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// Groups, links, devices, fields, metric groups, the engine's own figures and injected values.
func TestRest(t *testing.T) {
	n, p := embedded(t, sim.Options{Shape: "hgx-h100"})
	p.do(request{Call: "group", Entities: append(gpu(0), gpu(3)...)})
	if a := p.do(request{Call: "group-info", Group: 0}); a.Number != 2 {
		t.Errorf("%v entities", a.Number)
	}
	if a, _ := p.try(request{Call: "group", Entities: gpu(12)}); a.Error == "" {
		t.Error("a GPU that is not there joins a group")
	}
	p.do(request{Call: "ungroup", Group: 0})
	for kind, want := range map[dcgm.Field_Entity_Group]int{dcgm.FE_GPU: 8, dcgm.FE_GPU_I: 0, dcgm.FE_GPU_CI: 0, dcgm.FE_CPU: 0} {
		if ids := p.do(request{Call: "entities", Kind: kind}).IDs; len(ids) != want {
			t.Errorf("%v: %v", kind, ids)
		}
	}
	d := p.do(request{Call: "device", Number: 2}).Device
	s, err := n.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d.UUID != s.GPUs[2].UUID || d.Identifiers.Model != s.GPUs[2].Name || d.DCGMSupported != "Yes" || d.PCI.FBTotal < 80_000 || d.Power != 700 {
		t.Errorf("%+v", d)
	}
	if len(d.Topology) != 7 || d.Topology[0].Link.PCIPaths() != "NV18" || d.Topology[6].BusID == "" {
		t.Errorf("topology %+v", d.Topology)
	}
	if a := p.do(request{Call: "p2p"}); len(a.IDs) != 64 || slices.Max(a.IDs) != 0 {
		t.Errorf("P2P %v", a.IDs)
	}
	if m := p.do(request{Call: "field", Fields: []dcgm.Short{1001}}).Meta; m.FieldType != 'd' || m.EntityLevel != dcgm.FE_GPU_CI || m.FieldID != 1001 {
		t.Errorf("%+v", m)
	}
	if g := p.do(request{Call: "metrics", Number: 0}).Metrics; len(g) != 1 || len(g[0].FieldIds) < 10 {
		t.Errorf("%+v", g)
	}
	if a := p.do(request{Call: "introspect"}); a.Number <= 0 {
		t.Errorf("%v KiB", a.Number)
	}
	if v := p.do(request{Call: "version"}).Text; len(v) < 10 {
		t.Error(v)
	}
	p.do(request{Call: "inject", Number: 4, Fields: []dcgm.Short{202}})
	if v := p.one(gpu(4), 202); v.Int != 4711 || v.Status != 0 {
		t.Errorf("injected: %+v", v)
	}
	const link2 = 1 | 2<<8
	p.do(request{Call: "group", Entities: []dcgm.GroupEntityPair{{EntityGroupId: dcgm.FE_LINK, EntityId: link2}}})
	p.do(request{Call: "watch", Group: 1, Period: time.Hour, Fields: []dcgm.Short{1508, 1525}})
	if list := p.do(request{Call: "link", Number: 2, Fields: []dcgm.Short{1508, 1525}}).Values; len(list) != 2 || list[0].Int != 3 || list[1].Int != 0 || list[1].Status != 0 {
		t.Errorf("link 2: %+v", list)
	}
}

// Before Hopper too there are profiling values: they are what DCGM is needed for.
func TestProfilingBeforeHopper(t *testing.T) {
	n, p := embedded(t, sim.Options{Shape: "v100x8"})
	if err := n.SetLoad(t.Context(), sim.Whole(0), model.Load{Level: 50}); err != nil {
		t.Fatal(err)
	}
	p.do(request{Call: "watch", Group: -1, Period: 30 * time.Millisecond, Fields: []dcgm.Short{1002, 94}})
	p.soon(gpu(0), 1002, "the mean of the load", func(v value) bool { return v.Status == 0 && v.Float > 0.499 && v.Float < 0.501 })
	if v := p.one(gpu(0), 94); v.Int != 0 && v.Int < blankNotSupported-2 {
		t.Errorf("GPM on a V100: %+v", v)
	}
	if g := p.do(request{Call: "metrics", Number: 0}).Metrics; len(g) < 2 {
		t.Errorf("%+v", g)
	}
}

// Health tells of what is broken, a registered policy of each XID.
func TestHealthAndPolicy(t *testing.T) {
	n, p := embedded(t, sim.Options{Shape: "hgx-h100"})
	if h := p.do(request{Call: "health", Group: -1}).Health; h.OverallHealth != 0 || len(h.Incidents) != 0 {
		t.Errorf("%+v", h)
	}
	if err := n.SetRowRemap(t.Context(), 5, model.RemappedRows{Pending: true}); err != nil {
		t.Fatal(err)
	}
	h := p.do(request{Call: "health", Group: -1}).Health
	if h.OverallHealth != 10 || len(h.Incidents) != 1 || h.Incidents[0].EntityInfo.EntityId != 5 || h.Incidents[0].System != dcgm.DCGM_HEALTH_WATCH_MEM {
		t.Errorf("%+v", h)
	}
	p.do(request{Call: "policy", Group: -1})
	if err := n.XID(t.Context(), sim.Whole(6), 79); err != nil {
		t.Fatal(err)
	}
	if a := p.do(request{Call: "violation"}); a.Number != 79 || len(a.IDs) != 1 || a.IDs[0] != 6 || a.Text != string(dcgm.XidPolicy) {
		t.Errorf("%+v", a)
	}
	p.do(request{Call: "cleanup"})
}
