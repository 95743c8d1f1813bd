package drivertest

import (
	"errors"
	"testing"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

// Change checks what a driver does to one GPU that can do MIG and that nobody uses. It leaves the GPU whole.
func Change(t *testing.T, d gpu.Driver, index int) {
	t.Helper()
	if err := d.Open(); err != nil {
		t.Fatalf("Open: %v", err)
	}
	defer func() { _ = d.Close() }()
	c := &changed{T: t, d: d, index: index, uuids: map[gpu.UUID]bool{}}
	c.mode(true, gpu.Activated)
	c.mode(true, gpu.Activated) // nothing to do is no error
	for _, p := range c.geometry.Profiles {
		for _, at := range p.Placements {
			c.one(p, at)
		}
	}
	c.full()
	c.events()
	c.mode(false, gpu.Activated)
	if _, err := c.g.CreateInstance(c.geometry.Profiles[0], c.geometry.Profiles[0].Placements[0]); !errors.Is(err, gpu.ErrNotSupported) {
		t.Errorf("an instance with MIG off: %v", err)
	}
}

// changed is the GPU that is changed.
type changed struct {
	*testing.T
	d        gpu.Driver
	index    int
	g        gpu.DriverGPU
	geometry mig.Geometry
	uuids    map[gpu.UUID]bool // of every compute instance so far
}

// lookUp takes a handle, as has to be done after each change of mode.
func (c *changed) lookUp() {
	c.Helper()
	var err error
	if c.g, err = c.d.GPU(c.index); err == nil {
		c.geometry, _, err = c.g.Geometry()
	}
	if err != nil {
		c.Fatalf("look up: %v", err)
	}
}

func (c *changed) mode(on bool, want gpu.Activation) {
	c.Helper()
	if c.g == nil {
		c.lookUp()
	}
	got, err := c.g.SetMode(on)
	if err != nil || got != want {
		c.Fatalf("SetMode(%v): %d %v, want %d", on, got, err, want)
	}
	c.lookUp()
	if l := c.layout(); want == gpu.Activated && (l.MIG.Enabled != on || l.MIG.Pending != on) {
		c.Errorf("after SetMode(%v): %+v", on, l.MIG)
	}
}

func (c *changed) layout() gpu.Layout {
	c.Helper()
	l, gaps, err := c.g.Layout(c.geometry)
	if err != nil || len(gaps) > 0 || len(l.Unread) > 0 {
		c.Fatalf("Layout: %v %v", gaps, err)
	}
	return l
}

// refused checks a refusal.
func (c *changed) refused(what string, err, want error) {
	c.Helper()
	if !errors.Is(err, want) {
		c.Errorf("%s: %v, want %v", what, err, want)
	}
}

// one makes one instance alone and destroys it again, with every mistake on the way.
func (c *changed) one(p mig.ProfileInfo, at mig.Placement) {
	c.Helper()
	slot := mig.Slot{Profile: p.Profile, Placement: at}
	id, err := c.g.CreateInstance(p, at)
	if err != nil {
		c.Fatalf("create %s: %v", slot, err)
	}
	if l := c.layout(); len(l.Instances) != 1 || l.Instances[0].Slot != slot || l.Instances[0].ID != id || len(l.Instances[0].Compute) > 0 {
		c.Fatalf("%d of %s: %+v", id, slot, l.Instances)
	}
	ci, err := c.g.CreateCompute(id)
	if err != nil {
		c.Fatalf("compute instance of %s: %v", slot, err)
	}
	if ci.Profile != p.Profile || ci.Placement.Size != p.Profile.Slices || ci.MemoryBytes != p.MemoryBytes || ci.UUID == "" || c.uuids[ci.UUID] {
		c.Errorf("%s: %+v", slot, ci)
	}
	c.uuids[ci.UUID] = true
	if l := c.layout(); len(l.Instances) != 1 || len(l.Instances[0].Compute) != 1 || l.Instances[0].Compute[0] != ci {
		c.Errorf("%+v, made %+v", l.Instances, ci)
	}
	_, err = c.g.CreateInstance(p, at)
	c.refused("a taken place", err, gpu.ErrNoRoom)
	if _, err = c.g.CreateInstance(p, mig.Placement{Start: 99, Size: at.Size}); err == nil || errors.Is(err, gpu.ErrNoRoom) {
		c.Errorf("a place that is none: %v", err)
	}
	_, err = c.g.CreateCompute(id)
	c.refused("another compute instance", err, gpu.ErrNoRoom)
	_, err = c.g.CreateCompute(id + 50)
	c.refused("a compute instance of nothing", err, gpu.ErrNotFound)
	c.refused("the GPU instance first", c.g.DestroyInstance(id), gpu.ErrInUse)
	c.refused("another instance", c.g.DestroyInstance(id+50), gpu.ErrNotFound)
	c.refused("another compute instance", c.g.DestroyCompute(id, ci.ID+50), gpu.ErrNotFound)
	if a, err := c.g.SetMode(false); err != nil || a != gpu.BlockedByUse {
		c.Errorf("MIG off with an instance: %d %v", a, err)
	}
	if a, err := c.g.SetMode(true); err != nil || a != gpu.Activated { // where the wish stays pending, it is taken back
		c.Errorf("MIG on again: %d %v", a, err)
	}
	if l := c.layout(); len(l.Instances) != 1 || len(l.Instances[0].Compute) != 1 || !l.MIG.Enabled || !l.MIG.Pending {
		c.Errorf("refusals changed something: %+v", l)
	}
	if err := errors.Join(c.g.DestroyCompute(id, ci.ID), c.g.DestroyInstance(id)); err != nil {
		c.Fatalf("destroy %s: %v", slot, err)
	}
	c.refused("the same again", c.g.DestroyCompute(id, ci.ID), gpu.ErrNotFound)
	c.refused("the same again", c.g.DestroyInstance(id), gpu.ErrNotFound)
	if l := c.layout(); len(l.Instances) > 0 {
		c.Errorf("%+v is left", l.Instances)
	}
}

// full makes as many of the smallest profile as there is room for, and destroys them; ids are used again.
func (c *changed) full() {
	c.Helper()
	p := c.geometry.Profiles[0]
	ids := map[uint32]bool{}
	for range 2 {
		made := []uint32{}
		for _, at := range p.Placements[:p.Max] {
			id, err := c.g.CreateInstance(p, at)
			if err != nil {
				c.Fatalf("create %s at %s: %v", p.Profile, at, err)
			}
			ids[id] = true
			made = append(made, id)
		}
		for _, o := range c.geometry.Profiles {
			_, err := c.g.CreateInstance(o, o.Placements[0])
			c.refused("one more "+o.Profile.String(), err, gpu.ErrNoRoom)
		}
		if l := c.layout(); len(l.Instances) != p.Max {
			c.Errorf("%d instances of %d", len(l.Instances), p.Max)
		}
		for _, id := range made {
			if err := c.g.DestroyInstance(id); err != nil {
				c.Fatalf("destroy %d: %v", id, err)
			}
		}
	}
	if len(ids) != p.Max {
		c.Errorf("ids %v for %d instances", ids, p.Max)
	}
}

// events checks that a change is told.
func (c *changed) events() {
	c.Helper()
	src, err := c.g.Watch()
	if errors.Is(err, gpu.ErrNotSupported) || errors.Is(err, gpu.ErrMissing) {
		return
	}
	if err != nil {
		c.Fatalf("Watch: %v", err)
	}
	defer func() { _ = src.Close() }()
	p := c.geometry.Profiles[0]
	id, err := c.g.CreateInstance(p, p.Placements[0])
	if err != nil {
		c.Fatalf("create: %v", err)
	}
	for e, err := src.Wait(10 * time.Second); e.Kind != gpu.EventMIGChange; e, err = src.Wait(10 * time.Second) {
		if err != nil {
			c.Errorf("a change is not told: %v", err)
			break
		}
	}
	if err := c.g.DestroyInstance(id); err != nil {
		c.Errorf("destroy: %v", err)
	}
}
