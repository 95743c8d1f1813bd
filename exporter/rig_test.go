package exporter

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/gpulet/gpulet/exporter/dcgm"
	"github.com/gpulet/gpulet/exporter/expose"
	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/kubelet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// driver answers each field with a number that tells which field of which entity it is, unless a test says otherwise.
type driver struct {
	mu     sync.Mutex
	absent map[gpu.Field]gpu.Absence
	values map[gpu.Entity]map[gpu.Field]float64
	err    map[gpu.UUID]error
	hang   map[gpu.UUID]chan struct{}
	slow   time.Duration
	uses   map[gpu.UUID][]gpu.ProcessUse
	asks   map[gpu.UUID][]gpu.Ask
	used   map[gpu.UUID]int
	inside map[gpu.UUID]int // calls under way
	piled  int              // the most calls of one GPU at a time
}

func newDriver() *driver {
	return &driver{
		absent: map[gpu.Field]gpu.Absence{}, values: map[gpu.Entity]map[gpu.Field]float64{}, err: map[gpu.UUID]error{},
		hang: map[gpu.UUID]chan struct{}{}, uses: map[gpu.UUID][]gpu.ProcessUse{}, asks: map[gpu.UUID][]gpu.Ask{},
		used: map[gpu.UUID]int{}, inside: map[gpu.UUID]int{},
	}
}

func (d *driver) do(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

// enter waits while the GPU hangs.
func (d *driver) enter(ctx context.Context, uuid gpu.UUID) error {
	d.mu.Lock()
	hang, slow := d.hang[uuid], d.slow
	d.inside[uuid]++
	d.piled = max(d.piled, d.inside[uuid])
	d.mu.Unlock()
	defer d.do(func() { d.inside[uuid]-- })
	if hang != nil {
		select {
		case <-hang:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if slow > 0 {
		select {
		case <-time.After(slow):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err[uuid]
}

func (d *driver) Read(ctx context.Context, uuid gpu.UUID, ask gpu.Ask) ([]gpu.Reading, error) {
	d.do(func() { d.asks[uuid] = append(d.asks[uuid], ask) })
	if err := d.enter(ctx, uuid); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	n := len(ask.Whole) + len(ask.Instance)*len(ask.Instances)
	out := make([]gpu.Reading, 0, n)
	for _, f := range ask.Whole {
		out = append(out, d.reading(uuid.Whole(), f))
	}
	for _, in := range ask.Instances {
		for _, f := range ask.Instance {
			out = append(out, d.reading(gpu.Entity{GPU: uuid, Instance: in.ID}, f))
		}
	}
	return out, nil
}

func (d *driver) reading(e gpu.Entity, f gpu.Field) gpu.Reading {
	r := gpu.Reading{Entity: e, Field: f, Value: float64(f), At: time.Now()}
	if v, ok := d.values[e][f]; ok {
		r.Value = v
	}
	if a, ok := d.absent[f]; ok {
		r.Absent = &a
	}
	return r
}

func (d *driver) Use(ctx context.Context, uuid gpu.UUID) ([]gpu.ProcessUse, error) {
	d.do(func() { d.used[uuid]++ })
	if err := d.enter(ctx, uuid); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.uses[uuid], nil
}

// asked are the calls for measurements of a GPU.
func (d *driver) asked(uuid gpu.UUID) (asks []gpu.Ask) {
	d.do(func() { asks = slices.Clone(d.asks[uuid]) })
	return asks
}

// reads is how often a GPU's processes were asked for.
func (d *driver) reads(uuid gpu.UUID) (n int) {
	d.do(func() { n = d.used[uuid] })
	return n
}

func (d *driver) set(e gpu.Entity, f gpu.Field, v float64) {
	d.do(func() {
		if d.values[e] == nil {
			d.values[e] = map[gpu.Field]float64{}
		}
		d.values[e][f] = v
	})
}

// block makes a GPU hang until release.
func (d *driver) block(uuid gpu.UUID) (release func()) {
	c := make(chan struct{})
	d.do(func() { d.hang[uuid] = c })
	return func() {
		d.do(func() { delete(d.hang, uuid) })
		close(c)
	}
}

// engine is DCGM as a test has it.
type engine struct {
	mu     sync.Mutex
	wanted []gpu.Field
	wants  int
	pace   time.Duration
	feed   *gpu.Feed[*dcgm.Batch]
}

func (e *engine) Want(fields []gpu.Field) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.wanted = fields
	e.wants++
}

func (e *engine) Pace(fast time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.pace = fast
}

// paced is how often it shall read.
func (e *engine) paced() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.pace
}

func (e *engine) asked() []gpu.Field {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.wanted
}

func (e *engine) Batches() *gpu.Feed[*dcgm.Batch] { return e.feed }

// tell publishes readings of now.
func (e *engine) tell(readings ...gpu.Reading) {
	e.feed.Set(&dcgm.Batch{At: time.Now(), Readings: readings, State: dcgm.State{Wanted: true, Up: true, Took: 5 * time.Millisecond}})
}

func of(e gpu.Entity, f gpu.Field, v float64) gpu.Reading {
	return gpu.Reading{Entity: e, Field: f, Value: v, At: time.Now()}
}

type xids struct {
	mu   sync.Mutex
	list []sample.XID
}

func (x *xids) Counts() []sample.XID {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.list)
}

// rig is an Exporter with all that is around it.
type rig struct {
	*Exporter
	t         testing.TB
	driver    *driver
	engine    *engine
	xids      *xids
	settings  *gpu.Feed[Settings]
	snapshots *gpu.Feed[*gpu.Snapshot]
	claims    *gpu.Feed[*kubelet.ClaimSet]
	assigned  *gpu.Feed[*kubelet.Assigned]
	pods      *gpu.Feed[*kubelet.Pods]
	version   uint64
}

func defaults() Settings {
	return Settings{
		Source: Auto, Fast: time.Second, IdleBelow: 0.05,
		Expose: expose.Options{Fields: family.Defaults(), Profile: family.Classic, Hostname: expose.UpperHostname, Synthesize: true},
	}
}

func newRig(t testing.TB, gpus ...gpu.GPU) *rig {
	r := &rig{
		t: t, driver: newDriver(), engine: &engine{feed: gpu.NewFeed[*dcgm.Batch](nil)}, xids: &xids{},
		settings: gpu.NewFeed(defaults()), snapshots: gpu.NewFeed(&gpu.Snapshot{}),
		claims: gpu.NewFeed(&kubelet.ClaimSet{}), assigned: gpu.NewFeed(&kubelet.Assigned{}), pods: gpu.NewFeed(&kubelet.Pods{}),
	}
	r.Exporter = New(Config{
		Node: "n1", Settings: r.settings, Snapshots: r.snapshots, Driver: r.driver, Engine: r.engine,
		Claims: r.claims, Assigned: r.assigned, Pods: r.pods, XIDs: r.xids,
	})
	r.layout(gpus...)
	return r
}

// layout publishes an inventory.
func (r *rig) layout(gpus ...gpu.GPU) {
	r.version++
	r.snapshots.Set(&gpu.Snapshot{Version: r.version, Driver: gpu.DriverInfo{Version: "550.54.15"}, GPUs: gpus})
}

// play runs the exporter in a bubble of its own time, and f beside it.
func play(t *testing.T, f func(t *testing.T)) { synctest.Test(t, f) }

// run starts the exporter; it ends with the test's bubble.
func (r *rig) run(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	synctest.Wait()
}

// after lets time pass, and everything that it sets going come to rest.
func after(d time.Duration) {
	time.Sleep(d) // of the bubble's clock
	synctest.Wait()
}

func (r *rig) value(e gpu.Entity, f gpu.Field) (sample.Value, bool) {
	v, ok := r.Set().Values[e][f]
	return v, ok
}

// has checks a value.
func (r *rig) has(e gpu.Entity, f gpu.Field, want float64) {
	r.t.Helper()
	v, ok := r.value(e, f)
	if !ok || v.Absent != nil || v.V != want {
		r.t.Errorf("field %d of %v is %+v (%v), want %v", f, e, v, absence(v), want)
	}
}

// lacks checks that there is no value, for a reason.
func (r *rig) lacks(e gpu.Entity, f gpu.Field, code gpu.AbsenceCode) {
	r.t.Helper()
	v, ok := r.value(e, f)
	if !ok || v.Absent == nil || v.Absent.Code != code || v.Absent.Text == "" || v.V != 0 {
		r.t.Errorf("field %d of %v is %+v (%v), want the absence %s", f, e, v, absence(v), code)
	}
}

func absence(v sample.Value) string {
	if v.Absent == nil {
		return "there"
	}
	return fmt.Sprint(*v.Absent)
}

func (r *rig) source(name string) sample.Source {
	for _, s := range r.Set().Sources {
		if s.Name == name {
			return s
		}
	}
	r.t.Errorf("no source %s", name)
	return sample.Source{}
}

func uuid(i int) gpu.UUID { return gpu.UUID(fmt.Sprintf("GPU-%d", i)) }

// whole is a GPU that is not divided.
func whole(i int) gpu.GPU {
	return gpu.GPU{UUID: uuid(i), Index: i, Minor: i, Model: "NVIDIA A100-SXM4-80GB", MemoryBytes: 80 << 30, MIG: gpu.MIGState{Capable: true}}
}

// divided has instances 1 to n; serial makes their MIG UUIDs.
func divided(i, n, serial int) gpu.GPU {
	g := whole(i)
	g.MIG.Enabled, g.MIG.Pending = true, true
	p := mig.Profile{Compute: 1, Slices: 1, MemoryGB: 10}
	for k := range n {
		g.Instances = append(g.Instances, gpu.Instance{
			ID: uint32(k + 1), Slot: mig.Slot{Profile: p, Placement: mig.Placement{Start: k, Size: 1}},
			Compute: []gpu.ComputeInstance{{UUID: gpu.UUID(fmt.Sprintf("MIG-%d-%d-%d", i, k, serial)), Profile: p}},
		})
	}
	return g
}

func in(i int, id uint32) gpu.Entity { return gpu.Entity{GPU: uuid(i), Instance: id} }
