package parted

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/partitioner/plan"
	"github.com/gpulet/gpulet/test/gpusim/direct"
	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/shapes"
)

// node is simulated hardware: where the geometries of the tests come from, and what says whether a layout can exist.
type node struct {
	t       *testing.T
	gpus    []GPU
	devices []gpu.DriverGPU
}

func newNode(t *testing.T, s model.Shape) *node {
	t.Helper()
	m, err := model.New(s, model.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	d := direct.New(m, model.Caller{PID: 1, Name: "test"})
	if err := d.Open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	n := &node{t: t}
	count, err := d.Count()
	if err != nil {
		t.Fatal(err)
	}
	for i := range count {
		device, err := d.GPU(i)
		if err != nil {
			t.Fatal(err)
		}
		id, _, err := device.Identity()
		if err != nil {
			t.Fatal(err)
		}
		geometry, _, err := device.Geometry()
		if err != nil {
			t.Fatal(err)
		}
		n.devices = append(n.devices, device)
		n.gpus = append(n.gpus, GPU{UUID: id.UUID, Index: i, DeviceID: id.PCIDeviceID, SubsystemID: id.PCISubsystemID, Geometry: geometry})
	}
	return n
}

// shape is a ready-made node.
func shape(t *testing.T, name string) *node {
	t.Helper()
	s, err := shapes.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return newNode(t, s)
}

// of is a node of the models.
func of(t *testing.T, models ...string) *node {
	t.Helper()
	s := model.Shape{Name: "test", Driver: "580.65.06", NUMANodes: 1, CPUs: 8}
	for _, m := range models {
		s.GPUs = append(s.GPUs, model.GPUShape{Model: m})
	}
	return newNode(t, s)
}

// cards are the geometries of the promise, with nodes that have them.
func cards() map[string]string {
	return map[string]string{
		"A30": "a30x4", "A100-40": "a100-40x8", "A100-80": "dgx-a100", "H100": "hgx-h100", "H200": "hgx-h200", "B200": "hgx-b200", "RTX PRO 6000": "rtx6000x4",
	}
}

// reach makes a target on the simulated GPU, with the planner's placements, and takes it away again.
func (n *node) reach(index int, target Target) {
	n.t.Helper()
	g, device := n.gpus[index], n.devices[index]
	if !target.MIG {
		return
	}
	activation, err := device.SetMode(true)
	if err != nil || activation != gpu.Activated {
		n.t.Fatalf("MIG mode: %v, %v", activation, err)
	}
	made := plan.New().Plan(plan.Input{GPUs: []plan.GPU{{
		UUID: g.UUID, Geometry: g.Geometry, Mode: plan.Mode{On: true}, Role: plan.Declared, Declared: target.Counts,
	}}})
	have := map[mig.Profile]int{}
	for _, s := range made.GPUs[0].Slots {
		i := slices.IndexFunc(g.Geometry.Profiles, func(p mig.ProfileInfo) bool { return p.Profile == s.Profile })
		id, err := device.CreateInstance(g.Geometry.Profiles[i], s.Placement)
		if err != nil {
			n.t.Fatalf("GPU %d, %s: create %s: %v", index, target, s, err)
		}
		defer func() {
			if err := device.DestroyInstance(id); err != nil {
				n.t.Fatal(err)
			}
		}()
		have[s.Profile]++
	}
	for _, c := range target.Counts {
		if have[c.Profile] != c.Count {
			n.t.Errorf("GPU %d, %s: %d of %s exist", index, target, have[c.Profile], c.Profile)
		}
	}
}

func load(t *testing.T, name string) *File {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	f, err := Parse(name, data)
	if err != nil {
		t.Fatalf("%s does not parse:\n%v", name, err)
	}
	return f
}
