package drivertest

import (
	"math"
	"testing"
	"time"

	"github.com/gpulet/gpulet/gpu"
)

// Fields by what holds of their values: percent, parts of 1, what only grows, and what may be anything that is not negative.
func percents() []gpu.Field { return []gpu.Field{203, 204, 206, 207, 191} }

func parts() []gpu.Field {
	return []gpu.Field{254, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008, 1013, 1014, 1015, 1016}
}

func counters() []gpu.Field {
	return []gpu.Field{156, 202, 240, 241, 310, 311, 393, 394, 1084, 1085, 1091, 1092, 1420}
}

func amounts() []gpu.Field {
	return []gpu.Field{100, 101, 140, 150, 155, 157, 250, 251, 252, 253, 395, 449, 1009, 1010, 1523}
}

// unknown is a field that nobody has.
const unknown gpu.Field = 65000

// measures checks the telemetry of one GPU that answers.
func measures(t *testing.T, g gpu.DriverGPU, id gpu.Identity) {
	t.Helper()
	geometry, _, err := g.Geometry()
	if err != nil {
		t.Errorf("Geometry: %v", err)
	}
	layout, _, err := g.Layout(geometry)
	if err != nil {
		t.Errorf("Layout: %v", err)
	}
	ask := gpu.Ask{Whole: append([]gpu.Field{unknown, 50, 54}, percents()...)}
	ask.Whole = append(append(append(ask.Whole, parts()...), counters()...), amounts()...)
	ask.Instance = []gpu.Field{54, 250, 251, 252, 253, 254, 1001, 1085}
	for _, in := range layout.Instances {
		ref := gpu.InstanceRef{ID: in.ID}
		if len(in.Compute) > 0 {
			ref.MIG = in.Compute[0].UUID
		}
		ask.Instances = append(ask.Instances, ref)
	}
	none := gpu.InstanceRef{ID: 999, MIG: "MIG-00000000-0000-4000-8000-000000000000"}
	if layout.MIG.Enabled {
		ask.Instances = append(ask.Instances, none)
	}
	tel := g.Telemetry()
	before := readings(t, tel, ask, id)
	time.Sleep(120 * time.Millisecond) // profiling needs some time between two readings
	after := readings(t, tel, ask, id)
	for key, r := range after {
		old := before[key]
		if r.Absent == nil && old.Absent == nil && isCounter(key.field) && r.Value < old.Value {
			t.Errorf("%v falls from %v to %v", key, old.Value, r.Value)
		}
		if key.entity.Instance == none.ID && r.Absent == nil {
			t.Errorf("%v of an instance that does not exist is %v", key, r.Value)
		}
	}
	if layout.MIG.Enabled {
		if r := after[measure{id.UUID.Whole(), 203}]; r.Absent == nil || r.Absent.Code != gpu.NotSupported {
			t.Errorf("utilization in MIG mode: %+v", r)
		}
	}
	uses(t, tel)
	if err := tel.Release(); err != nil {
		t.Errorf("Release: %v", err)
	}
	readings(t, tel, ask, id)
	if err := tel.Release(); err != nil {
		t.Errorf("second Release: %v", err)
	}
}

type measure struct {
	entity gpu.Entity
	field  gpu.Field
}

func isCounter(f gpu.Field) bool {
	for _, c := range counters() {
		if c == f {
			return true
		}
	}
	return false
}

// readings reads, and checks that each answer was asked for and is a value or the reason why there is none.
func readings(t *testing.T, tel gpu.Telemetry, ask gpu.Ask, id gpu.Identity) map[measure]gpu.Reading {
	t.Helper()
	got, err := tel.Read(ask)
	if err != nil {
		t.Errorf("Read: %v", err)
	}
	asked := map[measure]bool{}
	for _, f := range ask.Whole {
		asked[measure{id.UUID.Whole(), f}] = f != unknown
	}
	for _, in := range ask.Instances {
		for _, f := range ask.Instance {
			asked[measure{gpu.Entity{GPU: id.UUID, Instance: in.ID}, f}] = true
		}
	}
	out := map[measure]gpu.Reading{}
	for _, r := range got {
		key := measure{r.Entity, r.Field}
		if _, ok := asked[key]; !ok {
			t.Errorf("%v was not asked for", key)
		}
		if _, twice := out[key]; twice {
			t.Errorf("%v is told twice", key)
		}
		out[key] = r
		checkReading(t, r)
	}
	for key, must := range asked {
		if _, ok := out[key]; must && !ok {
			t.Errorf("%v is not told", key)
		}
	}
	return out
}

func checkReading(t *testing.T, r gpu.Reading) {
	t.Helper()
	most := math.Inf(1)
	for _, f := range percents() {
		if f == r.Field {
			most = 100
		}
	}
	for _, f := range parts() {
		if f == r.Field {
			most = 1.01
		}
	}
	switch {
	case r.At.IsZero():
		t.Errorf("field %d has no time", r.Field)
	case r.Absent != nil:
		if r.Absent.Code == "" || r.Absent.Text == "" || r.Value != 0 || r.Text != "" {
			t.Errorf("field %d: %+v, absent by %+v", r.Field, r, r.Absent)
		}
	case !(r.Value >= 0 && r.Value <= most) || r.Value > 1<<53:
		t.Errorf("field %d of %v is %v", r.Field, r.Entity, r.Value)
	}
}

func uses(t *testing.T, tel gpu.Telemetry) {
	t.Helper()
	for range 2 {
		got, err := tel.Use()
		if err != nil {
			t.Errorf("Use: %v", err)
		}
		for _, p := range got {
			if p.PID < 1 || !(p.SM >= 0 && p.SM <= 1) || !(p.Memory >= 0 && p.Memory <= 1) || !p.Measured && p.SM+p.Memory > 0 || p.MPS && p.Measured {
				t.Errorf("%+v", p)
			}
		}
	}
}
