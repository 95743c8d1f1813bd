package model_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/shapes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// handClock moves only when told.
type handClock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *handClock { return &handClock{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)} }

func (c *handClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *handClock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// rig is a node with one administrator's client that has called Init.
type rig struct {
	*testing.T
	ctx   context.Context
	clock *handClock
	n     *model.Node
	c     *model.Client
}

func start(t *testing.T, shape string, opts ...func(*model.Options)) *rig {
	t.Helper()
	s, err := shapes.Load(shape)
	if err != nil {
		t.Fatal(err)
	}
	return startShape(t, s, opts...)
}

func startShape(t *testing.T, s model.Shape, opts ...func(*model.Options)) *rig {
	t.Helper()
	r := &rig{T: t, ctx: t.Context(), clock: newClock()}
	o := model.Options{Clock: r.clock, Seed: 1}
	for _, f := range opts {
		f(&o)
	}
	n, err := model.New(s, o)
	if err != nil {
		t.Fatal(err)
	}
	r.n = n
	r.c = r.connect(model.Caller{PID: 1, Name: "test"})
	return r
}

func driver(version string) func(*model.Options) {
	return func(o *model.Options) { o.Driver = version }
}

func (r *rig) connect(who model.Caller) *model.Client {
	r.Helper()
	c := r.n.Connect(who)
	r.Cleanup(c.Close)
	r.want(c.InitWithFlags(r.ctx, 0), model.Success)
	return c
}

func (r *rig) want(got, want model.Return) {
	r.Helper()
	if got != want {
		r.Fatalf("got %v (%d), want %v", got, got, want)
	}
}

// ok fails the test unless the call succeeded.
func ok[V any](r *rig, v V, ret model.Return) V {
	r.Helper()
	r.want(ret, model.Success)
	return v
}

func (r *rig) gpu(index uint32) model.Device {
	r.Helper()
	d, ret := r.c.DeviceGetHandleByIndex(r.ctx, index)
	return ok(r, d, ret)
}

// mig gives a GPU with MIG mode on.
func (r *rig) mig(index uint32) model.Device {
	r.Helper()
	d := r.gpu(index)
	activation, ret := r.c.DeviceSetMigMode(r.ctx, d, 1)
	r.want(ret, model.Success)
	r.want(activation, model.Success)
	return d
}

// full creates a GPU instance at a start (-1: the driver's choice) with one compute instance that fills it.
func (r *rig) full(d model.Device, profileID uint32, at int) (model.GPUInstance, model.ComputeInstance) {
	r.Helper()
	gi := r.gi(d, profileID, at)
	info, ret := r.c.GpuInstanceGetInfo(r.ctx, gi)
	r.want(ret, model.Success)
	p, ret := r.c.DeviceGetGpuInstanceProfileInfoByIdV(r.ctx, d, info.ProfileID, 2)
	if ret != model.Success {
		for e := uint32(0); ; e++ { // an older driver
			p, ret = r.c.DeviceGetGpuInstanceProfileInfo(r.ctx, d, e)
			if ret == model.InvalidArgument {
				r.Fatalf("no profile %d", profileID)
			}
			if ret == model.Success && p.ID == profileID {
				break
			}
		}
	}
	for e := uint32(0); ; e++ {
		q, ret := r.c.GpuInstanceGetComputeInstanceProfileInfo(r.ctx, gi, e, 0)
		if ret == model.InvalidArgument {
			r.Fatalf("no compute profile of %d slices", p.SliceCount)
		}
		if ret == model.Success && q.SliceCount == p.SliceCount {
			ci, ret := r.c.GpuInstanceCreateComputeInstance(r.ctx, gi, q.ID)
			return gi, ok(r, ci, ret)
		}
	}
}

func (r *rig) gi(d model.Device, profileID uint32, at int) model.GPUInstance {
	r.Helper()
	if at < 0 {
		gi, ret := r.c.DeviceCreateGpuInstance(r.ctx, d, profileID)
		return ok(r, gi, ret)
	}
	for _, p := range r.placements(d, profileID) {
		if p.Start == uint32(at) {
			gi, ret := r.c.DeviceCreateGpuInstanceWithPlacement(r.ctx, d, profileID, p)
			return ok(r, gi, ret)
		}
	}
	r.Fatalf("profile %d has no start %d", profileID, at)
	return 0
}

func (r *rig) placements(d model.Device, profileID uint32) []model.Placement {
	r.Helper()
	p, ret := r.c.DeviceGetGpuInstancePossiblePlacements(r.ctx, d, profileID)
	return ok(r, p, ret)
}
