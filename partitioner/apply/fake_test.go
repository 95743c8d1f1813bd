package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/kubelet"
)

const uuid0 = gpu.UUID("GPU-00000000-0000-4000-8000-000000000000")

var errDied = errors.New("the process died")

// geometry is an H100's, without the profiles that no test needs.
func geometry() mig.Geometry {
	g := mig.Geometry{Axis: 8}
	add := func(slices_, gb, size int, id uint32, starts ...int) {
		p := mig.ProfileInfo{Profile: mig.Profile{Compute: slices_, Slices: slices_, MemoryGB: gb}, ID: id}
		for _, s := range starts {
			p.Placements = append(p.Placements, mig.Placement{Start: s, Size: size})
		}
		g.Profiles = append(g.Profiles, p)
	}
	add(1, 10, 1, 19, 0, 1, 2, 3, 4, 5, 6)
	add(2, 20, 2, 14, 0, 2, 4)
	add(3, 40, 4, 9, 0, 4)
	add(7, 80, 8, 0, 0)
	return g
}

// place is the slot of a name such as "3g.40gb@4".
func place(name string) mig.Slot {
	for _, p := range geometry().Profiles {
		for _, at := range p.Placements {
			if s := (mig.Slot{Profile: p.Profile, Placement: at}); s.String() == name {
				return s
			}
		}
	}
	panic("no slot " + name)
}

func device(slot mig.Slot) gpu.Device { return gpu.Device{Kind: gpu.Slice, GPU: uuid0, Slot: slot} }

// machine is one GPU with everybody who may use it. It outlives executors. Changes and journal writes are counted: at the one called
// dieAt the process dies, and nothing that it does from then on has an effect.
type machine struct {
	t         failer
	dir, boot string
	layout    gpu.Layout
	made      int
	held      map[uint32]bool  // GPU instances with a handle that was not given back
	busy      map[uint32]int   // GPU instances with a process, and its pid
	refuse    map[string]error // by call: the driver's answer, once
	always    bool             // refuse again and again
	lost      map[string]bool  // by call: it is done, and nobody hears of it
	act       gpu.Activation
	pending   bool // a change of mode stays pending

	ops, dieAt int
	late       bool // the last operation takes effect
	dead       bool

	claims    *gpu.Feed[*kubelet.ClaimSet]
	pods      *gpu.Feed[*kubelet.Pods]
	listing   *gpu.Feed[*Listing]
	offers    uint64
	withdrawn map[gpu.Device]bool
	quiesced  int
	journalOK bool
}

// failer is a test of the standard library or of rapid.
type failer interface {
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

func newMachine(t failer, dir string) *machine {
	return &machine{
		t: t, dir: dir, boot: "boot-1", layout: gpu.Layout{MIG: gpu.MIGState{Capable: true, Enabled: true, Pending: true}},
		held: map[uint32]bool{}, busy: map[uint32]int{}, refuse: map[string]error{}, lost: map[string]bool{},
		claims:  gpu.NewFeed(&kubelet.ClaimSet{Complete: true}),
		pods:    gpu.NewFeed(&kubelet.Pods{Synced: true}),
		listing: gpu.NewFeed(&Listing{}), withdrawn: map[gpu.Device]bool{}, journalOK: true,
	}
}

// start is a new process.
func (m *machine) start() *Executor {
	m.dead, m.dieAt, m.ops = false, 0, 0
	m.withdrawn = map[gpu.Device]bool{}
	snapshot := &gpu.Snapshot{Version: 1, GPUs: []gpu.GPU{{UUID: uuid0, Index: 0, Architecture: "hopper", Geometry: geometry()}}}
	e := New(Config{
		Hardware: m, Snapshots: gpu.NewFeed(snapshot), Claims: m.claims, Pods: m.pods, Listing: m.listing,
		Offers: func() uint64 { return m.offers }, Withdrawer: m, Quiescers: []Quiescer{m}, Processes: m, StateDir: m.dir, BootID: m.boot,
	})
	e.save = func(dir string, uuid gpu.UUID, j journal) error {
		return m.op("journal", func() error {
			if !m.journalOK {
				return errors.New("no space left on device")
			}
			return saveJournal(dir, uuid, j)
		})
	}
	return e
}

// op is one operation with an effect.
func (m *machine) op(name string, effect func() error) error {
	if m.dead {
		return errDied
	}
	m.ops++
	if m.dieAt > 0 && m.ops == m.dieAt {
		m.dead = true
		if m.late {
			_ = effect()
		}
		return errDied
	}
	if err := m.refuse[name]; err != nil {
		if !m.always {
			delete(m.refuse, name)
		}
		if m.lost[name] {
			_ = effect()
		}
		return err
	}
	return effect()
}

func (m *machine) reboot() {
	m.boot += "+"
	m.layout = gpu.Layout{MIG: gpu.MIGState{Capable: true}} // a Hopper forgets its mode too
	clear(m.held)
	clear(m.busy)
}

func (m *machine) instance(id uint32) *gpu.Instance {
	for i := range m.layout.Instances {
		if m.layout.Instances[i].ID == id {
			return &m.layout.Instances[i]
		}
	}
	return nil
}

func (m *machine) Layout(context.Context, gpu.UUID) (gpu.Layout, error) {
	if m.dead {
		return gpu.Layout{}, errDied
	}
	if err := m.refuse["layout"]; err != nil {
		return gpu.Layout{}, err
	}
	l := m.layout
	l.Instances = slices.Clone(l.Instances)
	for i := range l.Instances {
		l.Instances[i].Compute = slices.Clone(l.Instances[i].Compute)
	}
	return l, nil
}

func (m *machine) Holders(context.Context, gpu.UUID) (out []gpu.Holder, err error) {
	if err := m.refuse["holders"]; err != nil {
		return nil, err
	}
	for id, pid := range m.busy {
		out = append(out, gpu.Holder{PID: pid, GPUInstance: id})
	}
	return out, nil
}

func (m *machine) CreateInstance(_ context.Context, _ gpu.UUID, slot mig.Slot) (id uint32, err error) {
	if slot == (mig.Slot{}) {
		if err := m.refuse["turn"]; err != nil {
			return 0, err
		}
		return 0, gpu.ErrNotSupported
	}
	err = m.op("create-instance", func() error {
		if !m.layout.MIG.Enabled {
			return gpu.ErrNotSupported
		}
		for _, in := range m.layout.Instances {
			if in.Slot.Placement.Overlaps(slot.Placement) {
				return gpu.ErrNoRoom
			}
		}
		for m.instance(id) != nil {
			id++ // the driver gives an id again
		}
		m.layout.Instances = append(m.layout.Instances, gpu.Instance{ID: id, Slot: slot})
		return nil
	})
	return id, err
}

func (m *machine) CreateCompute(_ context.Context, _ gpu.UUID, id uint32) (ci gpu.ComputeInstance, err error) {
	err = m.op("create-compute", func() error {
		in := m.instance(id)
		switch {
		case in == nil:
			return gpu.ErrNotFound
		case len(in.Compute) > 0:
			return gpu.ErrNoRoom
		}
		m.made++
		ci = gpu.ComputeInstance{UUID: gpu.UUID(fmt.Sprintf("MIG-%04d", m.made)), Profile: in.Slot.Profile}
		in.Compute = append(in.Compute, ci)
		return nil
	})
	return ci, err
}

func (m *machine) DestroyCompute(_ context.Context, _ gpu.UUID, id, _ uint32) error {
	return m.op("destroy-compute", func() error {
		in := m.instance(id)
		switch {
		case in == nil || len(in.Compute) == 0:
			return gpu.ErrNotFound
		case m.busy[id] != 0:
			return gpu.ErrInUse
		}
		m.check(in)
		in.Compute = nil
		return nil
	})
}

// check is what must hold whenever something that could be used is destroyed.
func (m *machine) check(in *gpu.Instance) {
	d := device(in.Slot)
	claims, _ := m.claims.Get()
	listing, _ := m.listing.Get()
	switch {
	case !claims.Complete || len(claims.ByID[d.ID()]) > 0:
		m.t.Fatalf("destroyed %s, which is claimed", in.Slot)
	case listing.Pickable[d] != "":
		m.t.Fatalf("destroyed %s, which is on offer", in.Slot)
	case !m.withdrawn[d]:
		m.t.Fatalf("destroyed %s behind an open gate", in.Slot)
	case in.Health.Reason == "foreign":
		m.t.Fatalf("destroyed %s of an administrator", in.Slot)
	}
}

func (m *machine) DestroyInstance(_ context.Context, _ gpu.UUID, id uint32) error {
	return m.op("destroy-instance", func() error {
		in := m.instance(id)
		switch {
		case in == nil:
			return gpu.ErrNotFound
		case len(in.Compute) > 0 || m.held[id]:
			return gpu.ErrInUse
		case in.Health.Reason == "foreign":
			m.t.Fatalf("destroyed %s of an administrator", in.Slot)
		}
		m.layout.Instances = slices.DeleteFunc(m.layout.Instances, func(i gpu.Instance) bool { return i.ID == id })
		return nil
	})
}

func (m *machine) SetMode(_ context.Context, _ gpu.UUID, on bool) (act gpu.Activation, err error) {
	err = m.op("set-mode", func() error {
		if len(m.layout.Instances) > 0 || len(m.busy) > 0 {
			m.t.Fatal("changed the mode of a GPU in use")
		}
		if m.quiesced == 0 {
			m.t.Fatal("changed the mode without asking for quiet")
		}
		m.layout.MIG.Pending = on
		if !m.pending {
			m.layout.MIG.Enabled = on
		}
		act = m.act
		return nil
	})
	return act, err
}
