package model_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/shapes"
)

// TestRandomMIG plays an administrator at random and compares with a ledger of its own: instances never overlap, capacity agrees with
// trying, ids are unique, what is busy is never destroyed, and what a call said it did is what is there.
func TestRandomMIG(t *testing.T) {
	names := []string{"dgx-a100", "a30x4", "hgx-h100", "rtx6000x4", "odd"}
	var nodes []model.Shape
	for _, name := range names {
		s, err := shapes.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		s.GPUs = s.GPUs[:1]
		s.GPUs[0].Count, s.GPUs[0].MIG = 1, true
		nodes = append(nodes, s)
	}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.SampledFrom(nodes).Draw(t, "shape")
		n, err := model.New(s, model.Options{Clock: newClock(), Seed: rapid.Uint64().Draw(t, "seed")})
		if err != nil {
			t.Fatal(err)
		}
		m := &machine{n: n, c: n.Connect(model.Caller{PID: 1}), live: map[uint32]*instance{}}
		defer m.c.Close()
		if ret := m.c.InitWithFlags(t.Context(), 0); ret != model.Success {
			t.Fatal(ret)
		}
		m.open(t)
		t.Repeat(map[string]func(*rapid.T){
			"create":  m.create,
			"compute": m.compute,
			"run":     m.run,
			"end":     m.end,
			"destroy": m.destroy,
			"":        m.check,
		})
	})
}

type instance struct {
	handle  model.GPUInstance
	profile model.GpuInstanceProfileInfo
	at      model.Placement
	cis     map[uint32]model.ComputeInstance
	procs   map[uint32][]int // by compute instance
}

type machine struct {
	n        *model.Node
	c        *model.Client
	d        model.Device
	profiles []model.GpuInstanceProfileInfo
	places   map[uint32][]model.Placement
	live     map[uint32]*instance
}

func (m *machine) open(t *rapid.T) {
	ctx := t.Context()
	m.places = map[uint32][]model.Placement{}
	var ret model.Return
	if m.d, ret = m.c.DeviceGetHandleByIndex(ctx, 0); ret != model.Success {
		t.Fatal(ret)
	}
	for e := uint32(0); ; e++ {
		p, ret := m.c.DeviceGetGpuInstanceProfileInfo(ctx, m.d, e)
		if ret == model.InvalidArgument {
			return
		}
		if ret == model.Success {
			m.profiles = append(m.profiles, p)
			m.places[p.ID], ret = m.c.DeviceGetGpuInstancePossiblePlacements(ctx, m.d, p.ID)
			if ret != model.Success {
				t.Fatal(ret)
			}
		}
	}
}

func (m *machine) some(t *rapid.T) *instance {
	if len(m.live) == 0 {
		t.Skip("no instance")
	}
	var ids []uint32
	for id := range uint32(32) {
		if m.live[id] != nil {
			ids = append(ids, id)
		}
	}
	return m.live[rapid.SampledFrom(ids).Draw(t, "instance")]
}

func (m *machine) create(t *rapid.T) {
	p := rapid.SampledFrom(m.profiles).Draw(t, "profile")
	var gi model.GPUInstance
	var ret model.Return
	if rapid.Bool().Draw(t, "placed") {
		gi, ret = m.c.DeviceCreateGpuInstanceWithPlacement(t.Context(), m.d, p.ID, rapid.SampledFrom(m.places[p.ID]).Draw(t, "placement"))
	} else {
		gi, ret = m.c.DeviceCreateGpuInstance(t.Context(), m.d, p.ID)
	}
	if ret == model.InsufficientResources {
		return
	}
	if ret != model.Success {
		t.Fatalf("create %s: %v", p.Name, ret)
	}
	info, ret := m.c.GpuInstanceGetInfo(t.Context(), gi)
	if ret != model.Success || info.ProfileID != p.ID {
		t.Fatalf("info: %v %+v", ret, info)
	}
	if m.live[info.ID] != nil {
		t.Fatalf("id %d is given twice", info.ID)
	}
	m.live[info.ID] = &instance{handle: gi, profile: p, at: info.Placement, cis: map[uint32]model.ComputeInstance{}, procs: map[uint32][]int{}}
}

func (m *machine) compute(t *rapid.T) {
	i := m.some(t)
	ci, ret := m.c.GpuInstanceCreateComputeInstance(t.Context(), i.handle, uint32(rapid.IntRange(0, 4).Draw(t, "profile")))
	if ret != model.Success {
		return
	}
	info, ret := m.c.ComputeInstanceGetInfo(t.Context(), ci)
	if ret != model.Success {
		t.Fatal(ret)
	}
	if _, twice := i.cis[info.ID]; twice {
		t.Fatalf("compute instance id %d is given twice", info.ID)
	}
	i.cis[info.ID] = ci
}

func (m *machine) run(t *rapid.T) {
	i := m.some(t)
	for id := range i.cis {
		info, _ := m.c.GpuInstanceGetInfo(t.Context(), i.handle)
		pid, err := m.n.StartProcess(model.Target{GPU: 0, GI: info.ID, CI: id}, model.ProcessSpec{Memory: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		i.procs[id] = append(i.procs[id], pid)
		return
	}
}

func (m *machine) end(t *rapid.T) {
	i := m.some(t)
	for id, pids := range i.procs {
		for _, pid := range pids {
			if err := m.n.EndProcess(pid); err != nil {
				t.Fatal(err)
			}
		}
		delete(i.procs, id)
	}
}

func (m *machine) destroy(t *rapid.T) {
	i := m.some(t)
	for id, ci := range i.cis {
		ret := m.c.ComputeInstanceDestroy(t.Context(), ci)
		want := model.Success
		if len(i.procs[id]) > 0 {
			want = model.InUse
		}
		if ret != want {
			t.Fatalf("destroy compute instance %d with %d processes: %v", id, len(i.procs[id]), ret)
		}
		if ret == model.Success {
			delete(i.cis, id)
		}
		break
	}
	want := model.Success
	if len(i.cis) > 0 {
		want = model.InUse
	}
	if ret := m.c.GpuInstanceDestroy(t.Context(), i.handle); ret != want {
		t.Fatalf("destroy with %d compute instances: %v", len(i.cis), ret)
	}
	if want == model.Success {
		for id, x := range m.live {
			if x == i {
				delete(m.live, id)
			}
		}
	}
}

// check compares the node with the ledger.
func (m *machine) check(t *rapid.T) {
	ctx := t.Context()
	seen, uuids := 0, map[string]bool{}
	for _, p := range m.profiles {
		list, ret := m.c.DeviceGetGpuInstances(ctx, m.d, p.ID)
		if ret != model.Success {
			t.Fatal(ret)
		}
		for _, gi := range list {
			info, _ := m.c.GpuInstanceGetInfo(ctx, gi)
			if x := m.live[info.ID]; x == nil || x.handle != gi || x.at != info.Placement {
				t.Fatalf("%+v is not in the ledger", info)
			}
			seen++
		}
	}
	if seen != len(m.live) {
		t.Fatalf("%d instances listed, %d made", seen, len(m.live))
	}
	var axis [16]int
	for _, i := range m.live {
		for s := i.at.Start; s < i.at.Start+i.at.Size; s++ {
			if axis[s]++; axis[s] > 1 {
				t.Fatalf("slice %d is given twice", s)
			}
		}
	}
	for _, i := range m.live {
		for _, ci := range i.cis {
			info, ret := m.c.ComputeInstanceGetInfo(ctx, ci)
			if ret != model.Success {
				t.Fatal(ret)
			}
			u, _ := m.c.DeviceGetUUID(ctx, info.Device)
			if uuids[u] {
				t.Fatalf("MIG UUID %s twice", u)
			}
			uuids[u] = true
		}
	}
	m.capacity(t)
}

// capacity compares RemainingCapacity with how many can really be made, over all choices of placements.
func (m *machine) capacity(t *rapid.T) {
	p := rapid.SampledFrom(m.profiles).Draw(t, "capacity of")
	told, ret := m.c.DeviceGetGpuInstanceRemainingCapacity(t.Context(), m.d, p.ID)
	if ret != model.Success {
		t.Fatal(ret)
	}
	if most := m.most(t, p.ID, 0); int(told) != most {
		t.Fatalf("capacity of %s is told as %d, %d can be made", p.Name, told, most)
	}
}

func (m *machine) most(t *rapid.T, profile uint32, from int) int {
	best := 0
	for k := from; k < len(m.places[profile]); k++ {
		gi, ret := m.c.DeviceCreateGpuInstanceWithPlacement(t.Context(), m.d, profile, m.places[profile][k])
		if ret != model.Success {
			continue
		}
		best = max(best, 1+m.most(t, profile, k+1))
		if ret := m.c.GpuInstanceDestroy(t.Context(), gi); ret != model.Success {
			t.Fatal(ret)
		}
	}
	return best
}
