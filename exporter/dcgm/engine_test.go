package dcgm

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/NVIDIA/go-dcgm/pkg/dcgm"

	"github.com/gpulet/gpulet/gpu"
)

// look reads once and gives the readings by entity and field.
func look(t *testing.T, e *engine, now time.Time) map[gpu.Entity]map[gpu.Field]gpu.Reading {
	t.Helper()
	parts, err := e.read(now)
	if err != nil {
		t.Fatal(err)
	}
	out := map[gpu.Entity]map[gpu.Field]gpu.Reading{}
	for _, p := range parts {
		readings, err := p.unpack()
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range readings {
			if out[r.Entity] == nil {
				out[r.Entity] = map[gpu.Field]gpu.Reading{}
			}
			if _, twice := out[r.Entity][r.Field]; twice {
				t.Errorf("%+v twice", r)
			}
			out[r.Entity][r.Field] = r
		}
	}
	return out
}

func connected(t *testing.T, lib *fakeLibrary, fields ...gpu.Field) *engine {
	t.Helper()
	e := &engine{lib: lib}
	if err := e.connect(request{Fast: time.Second, Fields: fields}); err != nil {
		t.Fatal(err)
	}
	return e
}

// GPU-level fields come once for each GPU; those that instances have come from each instance under NVML's id, and from GPUs that
// are not divided.
func TestLevels(t *testing.T) {
	lib := newFakeLibrary(0, 4)
	lib.layout = []instance{{id: 17, gpu: 4, nvml: 1, uuid: "GPU-4"}, {id: 18, gpu: 4, nvml: 2, uuid: "GPU-4"}}
	got := look(t, connected(t, lib, 155, 1001, 1009, 252), time.Now())
	type at struct {
		e gpu.Entity
		f gpu.Field
	}
	want := map[at]float64{
		{gpu.UUID("GPU-0").Whole(), 155}:              155,
		{gpu.UUID("GPU-0").Whole(), 1001}:             1001,
		{gpu.UUID("GPU-0").Whole(), 1009}:             1009,
		{gpu.UUID("GPU-0").Whole(), 252}:              252,
		{gpu.UUID("GPU-4").Whole(), 155}:              4155,
		{gpu.UUID("GPU-4").Whole(), 1009}:             5009,
		{gpu.Entity{GPU: "GPU-4", Instance: 1}, 1001}: 1701001,
		{gpu.Entity{GPU: "GPU-4", Instance: 1}, 252}:  1700252,
		{gpu.Entity{GPU: "GPU-4", Instance: 2}, 1001}: 1801001,
		{gpu.Entity{GPU: "GPU-4", Instance: 2}, 252}:  1800252,
	}
	n := 0
	for e, fields := range got {
		for f, r := range fields {
			n++
			if v, ok := want[at{e, f}]; !ok || r.Absent != nil || r.Value != v {
				t.Errorf("%+v field %d: %+v", e, f, r)
			}
		}
	}
	if n != len(want) {
		t.Errorf("%d readings, want %d", n, len(want))
	}
}

// A changed layout swaps the entities with the next reading, and gives back all that was watched before.
func TestLayoutChange(t *testing.T) {
	lib := newFakeLibrary(0)
	e, now := connected(t, lib, 155, 1001), time.Now()
	look(t, e, now)
	held := len(lib.watched)
	for i := range 20 {
		lib.layout = []instance{{id: uint(30 + i), gpu: 0, nvml: uint(i)}}
		now = now.Add(time.Second)
		got := look(t, e, now)
		if len(got) != 2 || got[gpu.Entity{GPU: "GPU-0", Instance: uint32(i)}][1001].Value != float64(100_000*(30+i)+1001) {
			t.Fatalf("%+v", got)
		}
	}
	lib.layout = nil
	if got := look(t, e, now.Add(time.Second)); len(got) != 1 || len(lib.watched) != held {
		t.Errorf("%+v, %d things held instead of %d", got, len(lib.watched), held)
	}
}

func TestUnknownFields(t *testing.T) {
	lib := newFakeLibrary(0, 1)
	lib.unknown = []gpu.Field{1084, 1611}
	got := look(t, connected(t, lib, 155, 1084, 1611), time.Now())
	for id := range uint(2) {
		fields := got[fakeUUID(id).Whole()]
		if fields[155].Absent != nil || fields[1084].Absent == nil || fields[1084].Absent.Code != gpu.NoFunction || fields[1611].Absent.Code != gpu.NoFunction {
			t.Errorf("%+v", fields)
		}
	}
}

// GPUs that differ in what can be profiled each give what they can.
func TestMixedProfiling(t *testing.T) {
	lib := newFakeLibrary(0, 1, 2)
	lib.prof = map[uint][]gpu.Field{0: {1001, 1004}, 1: {1001}}
	got := look(t, connected(t, lib, 155, 1001, 1004, 1084), time.Now())
	for _, c := range []struct {
		gpu   uint
		field gpu.Field
		there bool
	}{{0, 1001, true}, {0, 1004, true}, {1, 1001, true}, {1, 1004, false}, {2, 1001, false}, {2, 1004, false}, {2, 155, true}, {1, 1084, true}} {
		r, ok := got[fakeUUID(c.gpu).Whole()][c.field]
		if !ok || (r.Absent == nil) != c.there || r.Absent != nil && r.Absent.Code != gpu.NotSupported {
			t.Errorf("GPU %d field %d: %+v", c.gpu, c.field, r)
		}
	}
}

// Fields that cannot be watched together are watched one by one.
func TestMultiPass(t *testing.T) {
	lib := newFakeLibrary(0)
	lib.together = 1
	got := look(t, connected(t, lib, 1001, 1004, 1006), time.Now())[fakeUUID(0).Whole()]
	for _, f := range []gpu.Field{1001, 1004, 1006} {
		if r, ok := got[f]; !ok || r.Absent != nil {
			t.Errorf("field %d: %+v", f, r)
		}
	}
}

// One lost GPU costs itself, also one that has never told its name.
func TestLostGPU(t *testing.T) {
	lib := newFakeLibrary(0, 1)
	e, now := connected(t, lib, 155), time.Now()
	look(t, e, now)
	lib.lostGPU = map[uint]bool{1: true}
	got := look(t, e, now.Add(time.Second))
	if r := got[fakeUUID(0).Whole()][155]; r.Absent != nil || r.Value != 155 {
		t.Errorf("the well GPU: %+v", r)
	}
	if r := got[fakeUUID(1).Whole()][155]; r.Absent == nil || r.Absent.Code != gpu.Lost {
		t.Errorf("the lost GPU: %+v", r)
	}
	if got := look(t, connected(t, lib, 155), now); len(got) != 1 || got[fakeUUID(0).Whole()][155].Absent != nil {
		t.Errorf("anew: %+v", got)
	}
}

// Many instances are read in calls that DCGM and go-dcgm's buffers can take.
func TestLargeNode(t *testing.T) {
	lib := newFakeLibrary()
	for g := range uint(8) {
		lib.ids = append(lib.ids, g)
		for i := range uint(7) {
			lib.layout = append(lib.layout, instance{id: 100 + g*7 + i, gpu: g, nvml: i})
		}
	}
	var fields []gpu.Field
	for f := gpu.Field(1001); f <= 1016; f++ {
		fields = append(fields, f)
	}
	for f := gpu.Field(300); f < 600; f++ {
		fields = append(fields, f)
	}
	e := connected(t, lib, append(fields, 250, 251, 252, 253, 54)...)
	got := look(t, e, time.Now())
	if len(got) != 64 || lib.largest > maxValues {
		t.Errorf("%d entities, %d values in one call", len(got), lib.largest)
	}
	if got[gpu.Entity{GPU: "GPU-7", Instance: 6}][252].Absent != nil {
		t.Error("the last instance is missing")
	}
	if slices.Contains(lib.asked[pair{dcgm.FE_GPU_I, 100}], 300) {
		t.Error("a field of the GPU is asked of an instance")
	}
}

// Slow fields are read when they may have changed, and are there all the same.
func TestSlowFields(t *testing.T) {
	lib := newFakeLibrary(0)
	e, now := connected(t, lib, 155, 313), time.Now()
	calls := 0
	for i := range 15 {
		parts, err := e.read(now.Add(time.Duration(i) * time.Second))
		if err != nil || len(parts) != 2 {
			t.Fatalf("%+v, %v", parts, err)
		}
		for _, p := range parts {
			if !p.Same {
				calls++
			}
		}
	}
	if calls < 18 || calls > 22 {
		t.Errorf("%d sets read in 15 s, want one each second and one each 3 s", calls)
	}
}

// An engine that is gone, or is another than before, is an error; what is watched is made anew after a connect.
func TestLostEngine(t *testing.T) {
	lib := newFakeLibrary(0)
	e, now := connected(t, lib, 155), time.Now()
	look(t, e, now)
	lib.down = true
	var s statusError
	if _, err := e.read(now); !errors.As(err, &s) || s.status != statusConnectionLost {
		t.Errorf("%v", err)
	}
	lib.down = false
	if err := e.connect(request{Fast: time.Second, Fields: []gpu.Field{155}}); err != nil {
		t.Fatal(err)
	}
	if got := look(t, e, now); len(got) != 1 {
		t.Errorf("%+v", got)
	}
	lib.version = "4.6.0"
	if _, err := e.read(now.Add(lookPeriod)); !errors.As(err, &s) || s.status != statusConnectionLost {
		t.Errorf("another version: %v", err)
	}
}

func TestHostArgs(t *testing.T) {
	for _, c := range []struct {
		host      string
		addresses bool // the library has connection strings
		want      []string
	}{
		{"tcp://node:5555", true, []string{"tcp://node:5555"}},
		{"unix:///run/dcgm.sock", true, []string{"unix:///run/dcgm.sock"}},
		{"vsock://3:5555", false, []string{"vsock://3:5555"}},
		{"tcp://node:5555", false, []string{"node:5555", "0"}},
		{"unix:///run/dcgm.sock", false, []string{"/run/dcgm.sock", "1"}},
		{"node:5555", true, []string{"node:5555", "0"}},
		{"/run/dcgm.sock", true, []string{"/run/dcgm.sock", "1"}},
	} {
		if got := hostArgs(c.host, c.addresses); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.host, got, c.want)
		}
	}
}
