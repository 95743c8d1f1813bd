package expose_test

import (
	"fmt"
	"time"

	"github.com/gpulet/gpulet/exporter/expose"
	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/kubelet"
)

func now() time.Time { return time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC) }

// a100 is a GPU of a snapshot, with one GPU instance for each profile; none: MIG mode is off.
func a100(index int, profiles ...string) gpu.GPU {
	g := gpu.GPU{
		UUID: gpu.UUID(fmt.Sprintf("GPU-%08d-0000-4000-8000-000000000000", index)), Index: index, Minor: index,
		Model: "NVIDIA A100-SXM4-80GB", PCI: gpu.PCIAddress(fmt.Sprintf("0000:%02x:00.0", 0xa7+index)),
		MIG: gpu.MIGState{Capable: true, Enabled: len(profiles) > 0, Pending: len(profiles) > 0},
	}
	for i, name := range profiles {
		p, err := mig.ParseProfile(name)
		if err != nil {
			panic(err)
		}
		g.Instances = append(g.Instances, gpu.Instance{
			ID:      uint32(7 + i),
			Slot:    mig.Slot{Profile: p, Placement: mig.Placement{Start: i, Size: 1}},
			Compute: []gpu.ComputeInstance{{UUID: gpu.UUID(fmt.Sprintf("MIG-%d-%d", index, i)), Profile: p}},
		})
	}
	return g
}

// newSet has a value of each field for each entity of the GPUs, on its own level.
func newSet(fields []family.Selected, gpus ...gpu.GPU) *sample.Set {
	s := &sample.Set{
		At: now(), Generation: 1, Snapshot: &gpu.Snapshot{Version: 1, Driver: gpu.DriverInfo{Version: "550.54.15"}, GPUs: gpus},
		Values: map[gpu.Entity]map[gpu.Field]sample.Value{}, Down: map[gpu.UUID]string{}, Windows: map[gpu.Entity]sample.Windows{},
	}
	for _, g := range gpus {
		s.Values[g.UUID.Whole()] = map[gpu.Field]sample.Value{}
		s.Windows[g.UUID.Whole()] = sample.Windows{Utilization: [2]float64{0.5, 0.75}, Power: [2]float64{300, 310}, Memory: [2]float64{1 << 30, 2 << 30}}
		for _, in := range g.Instances {
			e := gpu.Entity{GPU: g.UUID, Instance: in.ID}
			s.Values[e] = map[gpu.Field]sample.Value{}
			s.Windows[e] = sample.Windows{Utilization: [2]float64{0.25, -1}, Power: [2]float64{-1, -1}, Memory: [2]float64{1 << 30, -1}}
		}
		for _, f := range fields {
			v := sample.Value{V: float64(f.Field) + float64(g.Index)/4, At: now(), Source: "nvml"}
			switch {
			case f.Type == family.Label:
				v = sample.Value{Text: fmt.Sprintf("text-%d", f.Field), At: now()}
			case f.Unit == "ratio":
				v.V = 0.5
			}
			if f.Level == family.LevelGPU && (f.Field != family.GPUUtil || !g.MIG.Enabled) || !g.MIG.Enabled {
				s.Values[g.UUID.Whole()][f.Field] = v
			}
			for _, in := range g.Instances {
				if f.Level != family.LevelGPU {
					v.V += 0.001
					s.Values[gpu.Entity{GPU: g.UUID, Instance: in.ID}][f.Field] = v
				}
			}
		}
	}
	return s
}

func (n node) set(e gpu.Entity, f gpu.Field, v float64) {
	n.Values[e][f] = sample.Value{V: v, At: now(), Source: "nvml"}
}

// node is a sample set in the making.
type node struct{ *sample.Set }

func container(name string) sample.Container {
	return sample.Container{Namespace: "team", Pod: name, Container: "main", UID: kubelet.UID("uid-" + name)}
}

func (n node) hold(e gpu.Entity, c sample.Container, s sample.Sharing) {
	d := gpu.Device{Kind: gpu.Whole, GPU: e.GPU}
	resource := "nvidia.com/gpu"
	if e.Instance != gpu.NoInstance {
		for _, in := range n.Snapshot.GPU(e.GPU).Instances {
			if in.ID == e.Instance {
				d.Kind, d.Slot, resource = gpu.Slice, in.Slot, "nvidia.com/"+in.Slot.Profile.Resource()
			}
		}
	}
	n.Holds = append(n.Holds, sample.Hold{Container: c, Resource: resource, ID: d.ID(), Device: d, Entity: e, Sharing: s, Since: now()})
}

func (n node) share(e gpu.Entity, c sample.Container, utilization, bytes float64) {
	n.Shares = append(n.Shares, sample.Share{Container: c, Entity: e, Part: sample.Part{Utilization: utilization, MemoryBytes: bytes}})
}

// selected picks fields of the table.
func selected(fields ...gpu.Field) (out []family.Selected) {
	for _, f := range family.Table() {
		for _, want := range fields {
			if f.Field == want {
				out = append(out, family.Selected{Family: f, Type: f.Type, Help: f.Help})
			}
		}
	}
	return out
}

func options(fields []family.Selected) expose.Options {
	return expose.Options{
		Node: "node-1", Fields: fields, Profile: family.Classic, Hostname: expose.UpperHostname, DriverLabel: true, Synthesize: true,
	}
}

func gatherer(s *sample.Set, o expose.Options) *expose.Gatherer {
	return expose.New(func() *sample.Set { return s }, func() expose.Options { return o })
}

const vbios gpu.Field = 85

// example has each case once: a GPU in two slices, of which one is held; a GPU that two containers share, one without a known
// part of its time; and a GPU that is lost.
func example() (*sample.Set, expose.Options) {
	fields := selected(
		family.DriverVersion, family.SMClock, family.GPUTemp, family.PowerUsage, family.TotalEnergy, family.GPUUtil, family.FBUsed,
		family.FBFree, family.GREngine, vbios,
	)
	all := append(selected(family.Recovery, family.SWPowerCap, family.ThermalViolation), fields...)
	n := node{newSet(all, a100(0, "3g.40gb", "4g.40gb"), a100(1), a100(2))}
	gpus := n.Snapshot.GPUs

	slice := gpu.Entity{GPU: gpus[0].UUID, Instance: 7}
	n.set(slice, family.GREngine, 0.07)
	n.hold(slice, container("sliced"), sample.Exclusive)
	n.share(slice, container("sliced"), 0.07, 3<<30)
	n.set(gpus[0].UUID.Whole(), family.Recovery, float64(gpu.RecoveryNone))

	shared := gpus[1].UUID.Whole()
	n.set(shared, family.GPUUtil, 85)
	n.set(shared, family.FBUsed, 10240)
	n.set(shared, family.Recovery, float64(gpu.RecoveryDrainP2P))
	for _, name := range []string{"one", "two"} {
		n.hold(shared, container(name), sample.TimeSlicing)
	}
	n.share(shared, container("one"), 0.6, 4<<30)
	n.Shares = append(n.Shares, sample.Share{Container: container("two"), Entity: shared, Part: sample.Part{
		MemoryBytes: 2 << 30, NoUtil: &gpu.Absence{Code: gpu.Unattributed, Text: "its processes are not known"},
	}})
	n.Rests = []sample.Rest{{Entity: shared, Part: sample.Part{Utilization: 0.25, MemoryBytes: 4 << 30}, Why: "a process belongs to no pod"}}

	lost := gpus[2].UUID
	n.Down[lost] = "the GPU is lost to the driver"
	gpus[2].Health = gpu.Health{State: gpu.Unhealthy, Reason: "XID 79: fell off the bus at 11:59:00 UTC; it returns after a reset or reboot"}
	for f := range n.Values[lost.Whole()] {
		n.Values[lost.Whole()][f] = sample.Value{Absent: &gpu.Absence{Code: gpu.Stale, Text: "it is older than three periods"}}
	}
	delete(n.Windows, lost.Whole())

	n.Ledger = []sample.Account{
		{Container: container("sliced"), Resource: "nvidia.com/mig-3g.40gb", Allocated: 120, Idle: 20, Dollars: 0.05},
		{Container: container("one"), Resource: "nvidia.com/gpu", Allocated: 60, Idle: 0, Dollars: -1},
	}
	n.XIDs = []sample.XID{{GPU: lost, Code: 79, Class: "lost", Count: 2, Last: now()}}
	n.Sources = []sample.Source{
		{Name: "nvml", Last: now(), Latency: sample.Histogram{Bounds: []float64{0.01, 0.1}, Counts: []uint64{8, 1, 1}, Sum: 0.5}, Errors: map[gpu.AbsenceCode]uint64{gpu.Lost: 3}, Stale: 4},
		{Name: "dcgm", Reason: "the engine is away", Restarts: 1},
		{Name: "kmsg", Unused: true, Reason: "it may not be read"},
	}
	return n.Set, options(fields)
}
