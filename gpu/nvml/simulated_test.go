package nvml_test

import (
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/nvml"
	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// nodeEnv is the shape and the driver of the simulated node of a child process: go-nvml binds to one library for the life of a process.
const nodeEnv = "GPULET_TEST_SIMULATED"

// simulated runs tests of this binary in a process of their own, each with a node.
func simulated(t *testing.T, node string, tests ...string) {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("there is no gcc")
	}
	for _, test := range tests {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+test+"$", "-test.v")
		cmd.Env = append(os.Environ(), nodeEnv+"="+node, "GORACE=atexit_sleep_ms=0")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: "+test) {
			t.Errorf("%s: %v\n%s", test, err, out)
		} else {
			t.Logf("%s", out)
		}
	}
}

// hand is a clock that moves only when told.
type hand struct {
	mu  sync.Mutex
	now time.Time
}

func (h *hand) Now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *hand) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

// bench is a node, the driver on it, and a client of the model to compare with.
type bench struct {
	*testing.T
	clock  *hand
	sim    *sim.Node
	driver *nvml.Driver
	client *model.Client
	branch string
}

// start begins the node that the environment names; see sim.Options for strict.
func start(t *testing.T, strict bool) *bench {
	t.Helper()
	shape, driver, ok := strings.Cut(os.Getenv(nodeEnv), " ")
	if !ok {
		t.Skip("another test runs it in a process of its own")
	}
	b := &bench{T: t, clock: &hand{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}, branch: driver[:3]}
	b.sim = sim.New(t, sim.Options{Shape: shape, Driver: driver, Seed: 1, Clock: b.clock, Strict: strict})
	b.driver = nvml.New(nvml.Options{Library: b.sim.Library(), Now: b.clock.Now})
	b.must(b.driver.Open())
	t.Cleanup(func() { _ = b.driver.Close() })
	b.client = b.sim.Model.Connect(model.Caller{PID: 1, Name: "test"})
	if ret := b.client.InitWithFlags(t.Context(), 0); ret != model.Success {
		t.Fatal(ret)
	}
	b.clock.pass(time.Second) // what is now is not before what was
	return b
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) gpu(index int) (gpu.DriverGPU, gpu.Telemetry) {
	b.Helper()
	g, err := b.driver.GPU(index)
	b.must(err)
	return g, g.Telemetry()
}

// model is a handle for the model's own answers.
func (b *bench) model(index int) model.Device {
	b.Helper()
	d, ret := b.client.DeviceGetHandleByIndex(b.Context(), uint32(index))
	if ret != model.Success {
		b.Fatal(ret)
	}
	return d
}

// read reads and sorts by field and instance, and checks what holds of every reading.
func (b *bench) read(t gpu.Telemetry, ask gpu.Ask) readings {
	b.Helper()
	got, err := t.Read(ask)
	b.must(err)
	out := readings{b: b, at: map[gpu.Entity]map[gpu.Field]gpu.Reading{}}
	for _, r := range got {
		if out.at[r.Entity] == nil {
			out.at[r.Entity] = map[gpu.Field]gpu.Reading{}
		}
		if _, twice := out.at[r.Entity][r.Field]; twice {
			b.Errorf("field %d of %v is there twice", r.Field, r.Entity)
		}
		if a := r.Absent; a != nil && (a.Code == "" || a.Text == "" || r.Value != 0 || r.Text != "") {
			b.Errorf("field %d: %+v with %+v", r.Field, r, a)
		}
		if r.At.IsZero() || r.At.After(b.clock.Now()) {
			b.Errorf("field %d is of %s", r.Field, r.At)
		}
		out.uuid = r.Entity.GPU
		out.at[r.Entity][r.Field] = r
	}
	return out
}

type readings struct {
	b    *bench
	uuid gpu.UUID
	at   map[gpu.Entity]map[gpu.Field]gpu.Reading
}

func (r readings) of(instance uint32, f gpu.Field) gpu.Reading {
	r.b.Helper()
	got, ok := r.at[gpu.Entity{GPU: r.uuid, Instance: instance}][f]
	if !ok {
		r.b.Errorf("field %d of %d is not answered", f, instance)
	}
	return got
}

// about checks a value to a thousandth.
func (r readings) about(instance uint32, f gpu.Field, want float64) {
	r.b.Helper()
	got := r.of(instance, f)
	if d := got.Value - want; got.Absent != nil || d > want/1000+1e-9 || d < -want/1000-1e-9 {
		r.b.Errorf("field %d of %d is %v %+v, want %v", f, instance, got.Value, got.Absent, want)
	}
}

func (r readings) absent(instance uint32, f gpu.Field, code gpu.AbsenceCode, text string) {
	r.b.Helper()
	got := r.of(instance, f)
	if got.Absent == nil || got.Absent.Code != code || !strings.Contains(got.Absent.Text, text) {
		r.b.Errorf("field %d of %d is %v %+v, want %s with %q", f, instance, got.Value, got.Absent, code, text)
	}
}

// calls counts the library's calls while f runs, but for those of the test itself.
func (b *bench) calls(f func()) (n uint64, each map[string]uint64) {
	b.Helper()
	before, err := b.sim.Calls(b.Context())
	b.must(err)
	f()
	after, err := b.sim.Calls(b.Context())
	b.must(err)
	each = map[string]uint64{}
	for name, count := range after {
		if d := count - before[name]; d > 0 {
			each[name] = d
			n += d
		}
	}
	return n, each
}
