package gpufake

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

// changes is what a test set of a GPU's changes; guarded by the driver's mu.
type changes struct {
	made       int // calls, refused or not
	fail       map[int]error
	hang       map[int]chan struct{}
	activation gpu.Activation
	lanes      int // calls that run at this moment
	crowded    bool
}

// FailChange makes the k-th call from now on that changes this GPU fail, counted from 1; it changes nothing.
func (g *GPU) FailChange(k int, err error) {
	g.do(func() {
		if g.changes.fail == nil {
			g.changes.fail = map[int]error{}
		}
		g.changes.fail[g.changes.made+k] = err
	})
}

// HangChange makes the k-th call from now on that changes this GPU block until the function that it returns is called; then it
// takes effect.
func (g *GPU) HangChange(k int) (release func()) {
	c := make(chan struct{})
	g.do(func() {
		if g.changes.hang == nil {
			g.changes.hang = map[int]chan struct{}{}
		}
		g.changes.hang[g.changes.made+k] = c
	})
	return sync.OnceFunc(func() { close(c) })
}

// SetActivation is what becomes of accepted changes of mode: Activated unless set. NeedsReset leaves them pending until Reset,
// the others change nothing.
func (g *GPU) SetActivation(a gpu.Activation) { g.do(func() { g.changes.activation = a }) }

// Reset is a reset of the GPU: instances are gone, and a pending mode holds.
func (g *GPU) Reset() {
	g.do(func() {
		g.layout.Instances = nil
		g.layout.MIG.Enabled = g.layout.MIG.Pending
	})
	g.changed()
}

// Changes is how often a call tried to change the GPU, and whether two of them ever ran at the same time.
func (g *GPU) Changes() (calls int, crowded bool) {
	g.do(func() { calls, crowded = g.changes.made, g.changes.crowded })
	return calls, crowded
}

// changed raises the event of another layout.
func (g *GPU) changed() {
	g.Send(gpu.Event{Kind: gpu.EventMIGChange, GPUInstance: gpu.NoInstance, ComputeInstance: gpu.NoInstance})
}

// change makes a call that changes the GPU. f runs under the lock with a copy of the layout, which becomes the GPU's when f gives true.
func (h *handle) change(name string, f func(l *gpu.Layout) (bool, error)) error {
	g := h.g
	var hang chan struct{}
	var refused error
	g.do(func() {
		c := &g.changes
		c.made++
		hang, refused = c.hang[c.made], c.fail[c.made]
		c.lanes++
		c.crowded = c.crowded || c.lanes > 1
	})
	defer g.do(func() { g.changes.lanes-- })
	if hang != nil {
		<-hang
	}
	changed := false
	err := h.call(name, func() {
		if refused != nil {
			return
		}
		l := g.layout
		l.Instances = slices.Clone(l.Instances)
		for i := range l.Instances {
			l.Instances[i].Compute = slices.Clone(l.Instances[i].Compute)
		}
		if changed, refused = f(&l); changed {
			g.layout = l
		}
	})
	if changed {
		g.changed()
	}
	return cmp.Or(err, refused)
}

// busy reports whether a process is on an instance or a part of it. The caller holds the lock.
func (g *GPU) busy(instance, compute uint32) bool {
	return slices.ContainsFunc(g.holders, func(p gpu.Holder) bool {
		return p.GPUInstance == instance && (compute == gpu.NoInstance || p.ComputeInstance == compute)
	})
}

// SetMode implements gpu.Changer.
func (h *handle) SetMode(on bool) (a gpu.Activation, err error) {
	a = gpu.NotActivated
	err = h.change("SetMode", func(l *gpu.Layout) (bool, error) {
		switch {
		case !l.MIG.Capable:
			return false, refuse("SetMode", "not supported", gpu.ErrNotSupported)
		case l.MIG.Enabled == on:
			a, l.MIG.Pending = gpu.Activated, on
			return true, nil
		case len(l.Instances) > 0 || len(h.g.holders) > 0 || len(h.g.sources) > 0 || h.g.telemetry.held > 0:
			a = gpu.BlockedByUse
			return false, nil
		}
		switch a = h.g.changes.activation; a {
		case gpu.Activated:
			l.MIG.Enabled, l.MIG.Pending = on, on
		case gpu.NeedsReset:
			l.MIG.Pending = on
		default:
			return false, nil
		}
		return true, nil
	})
	return a, err
}

// CreateInstance implements gpu.Changer.
func (h *handle) CreateInstance(profile mig.ProfileInfo, at mig.Placement) (id uint32, err error) {
	const call = "CreateInstance"
	err = h.change(call, func(l *gpu.Layout) (bool, error) {
		p, ok := h.g.Profiles.Profile(profile.ID)
		switch {
		case !l.MIG.Enabled:
			return false, refuse(call, "not supported", gpu.ErrNotSupported)
		case !ok || !slices.Contains(p.Placements, at):
			return false, refuse(call, "invalid argument", gpu.ErrEnd)
		}
		same, slicesUsed, most := 0, p.Profile.Slices, 0
		for _, o := range h.g.Profiles.Profiles {
			most = max(most, o.Profile.Slices)
		}
		taken := map[uint32]bool{}
		for _, in := range l.Instances {
			taken[in.ID] = true
			slicesUsed += in.Slot.Profile.Slices
			if in.Slot.Profile == p.Profile {
				same++
			}
			if in.Slot.Placement.Overlaps(at) {
				return false, refuse(call, "insufficient resources", gpu.ErrNoRoom)
			}
		}
		if same >= p.Max || slicesUsed > most {
			return false, refuse(call, "insufficient resources", gpu.ErrNoRoom)
		}
		for id = 1; taken[id]; id++ {
		}
		l.Instances = append(l.Instances, gpu.Instance{ID: id, Slot: mig.Slot{Profile: p.Profile, Placement: at}})
		slices.SortFunc(l.Instances, func(a, b gpu.Instance) int { return cmp.Compare(a.Slot.Placement.Start, b.Slot.Placement.Start) })
		return true, nil
	})
	return id, err
}

// instance finds an instance of a layout.
func instance(l *gpu.Layout, id uint32) *gpu.Instance {
	i := slices.IndexFunc(l.Instances, func(in gpu.Instance) bool { return in.ID == id })
	if i < 0 {
		return nil
	}
	return &l.Instances[i]
}

// CreateCompute implements gpu.Changer.
func (h *handle) CreateCompute(id uint32) (ci gpu.ComputeInstance, err error) {
	const call = "CreateCompute"
	err = h.change(call, func(l *gpu.Layout) (bool, error) {
		in := instance(l, id)
		switch {
		case !l.MIG.Enabled:
			return false, refuse(call, "not supported", gpu.ErrNotSupported)
		case in == nil:
			return false, refuse(call, "not found", gpu.ErrNotFound)
		case len(in.Compute) > 0:
			return false, refuse(call, "insufficient resources", gpu.ErrNoRoom)
		}
		ci = h.g.fill(in.Slot.Profile)
		in.Compute = []gpu.ComputeInstance{ci}
		return true, nil
	})
	return ci, err
}

// fill makes the compute instance that fills a profile, with a UUID that never was. The caller holds the lock.
func (g *GPU) fill(p mig.Profile) gpu.ComputeInstance {
	g.serial++
	ci := gpu.ComputeInstance{
		UUID:    gpu.UUID(fmt.Sprintf("MIG-%08d-%04d-4000-8000-000000000000", g.ID.Minor, g.serial)),
		Profile: p, Placement: mig.Placement{Start: 0, Size: p.Slices},
	}
	for _, o := range g.Profiles.Profiles {
		if o.Profile == p {
			ci.MemoryBytes = o.MemoryBytes
		}
	}
	return ci
}

// DestroyCompute implements gpu.Changer.
func (h *handle) DestroyCompute(id, compute uint32) error {
	const call = "DestroyCompute"
	return h.change(call, func(l *gpu.Layout) (bool, error) {
		if !l.MIG.Enabled {
			return false, refuse(call, "not supported", gpu.ErrNotSupported)
		}
		in := instance(l, id)
		if in == nil || !slices.ContainsFunc(in.Compute, func(c gpu.ComputeInstance) bool { return c.ID == compute }) {
			return false, refuse(call, "not found", gpu.ErrNotFound)
		}
		if h.g.busy(id, compute) {
			return false, refuse(call, "in use", gpu.ErrInUse)
		}
		in.Compute = slices.DeleteFunc(in.Compute, func(c gpu.ComputeInstance) bool { return c.ID == compute })
		return true, nil
	})
}

// DestroyInstance implements gpu.Changer.
func (h *handle) DestroyInstance(id uint32) error {
	const call = "DestroyInstance"
	return h.change(call, func(l *gpu.Layout) (bool, error) {
		in := instance(l, id)
		switch {
		case !l.MIG.Enabled:
			return false, refuse(call, "not supported", gpu.ErrNotSupported)
		case in == nil:
			return false, refuse(call, "not found", gpu.ErrNotFound)
		case len(in.Compute) > 0 || h.g.busy(id, gpu.NoInstance):
			return false, refuse(call, "in use", gpu.ErrInUse)
		}
		l.Instances = slices.DeleteFunc(l.Instances, func(in gpu.Instance) bool { return in.ID == id })
		return true, nil
	})
}
