package deviceplugin

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

func profile(name string) mig.Profile {
	p, err := mig.ParseProfile(name)
	if err != nil {
		panic(err)
	}
	return p
}

// node makes a snapshot of GPUs named GPU-0, GPU-1 and so on. Each is told by its layout: "" for a whole GPU, "mig" for one in
// MIG mode without instances, or instances such as "3g.40gb@0:4 1g.10gb@4:1"; sub-slices fill theirs: "3g.40gb@0:4/1c.3g.40gb/2c.3g.40gb".
func node(layouts ...string) *gpu.Snapshot {
	s := &gpu.Snapshot{Version: 1}
	uuids := make([]gpu.UUID, 0, len(layouts))
	for i, layout := range layouts {
		g := gpu.GPU{
			UUID: gpu.UUID(fmt.Sprintf("GPU-%d", i)), Index: i, Minor: i, Model: "NVIDIA A100-SXM4-80GB", NUMA: i / 4,
			PCI: gpu.PCIAddress(fmt.Sprintf("0000:%02x:00.0", i)), MemoryBytes: 80 << 30, Geometry: a100(),
		}
		g.MIG.Capable = true
		g.MIG.Enabled = layout != ""
		for n, text := range strings.Fields(layout) {
			if text != "mig" {
				g.Instances = append(g.Instances, instance(g.UUID, uint32(n+1), text))
			}
		}
		s.GPUs = append(s.GPUs, g)
		uuids = append(uuids, g.UUID)
	}
	s.Topology = gpu.NewTopology(uuids, func(i, j int) int { return 100 - 10*(j-i) })
	return s
}

func a100() mig.Geometry {
	g := mig.Geometry{Axis: 8}
	for _, p := range []struct {
		name   string
		size   int
		starts []int
	}{
		{"1g.10gb", 1, []int{0, 1, 2, 3, 4, 5, 6}},
		{"1g.10gb+me", 1, []int{0, 1, 2, 3, 4, 5, 6}},
		{"1g.20gb", 2, []int{0, 2, 4, 6}},
		{"2g.20gb", 2, []int{0, 2, 4}},
		{"3g.40gb", 4, []int{0, 4}},
		{"4g.40gb", 4, []int{0}},
		{"7g.80gb", 8, []int{0}},
	} {
		info := mig.ProfileInfo{Profile: profile(p.name)}
		for _, start := range p.starts {
			info.Placements = append(info.Placements, mig.Placement{Start: start, Size: p.size})
		}
		g.Profiles = append(g.Profiles, info)
	}
	return g
}

func instance(on gpu.UUID, id uint32, text string) gpu.Instance {
	parts := strings.Split(text, "/")
	var name string
	var start, size int
	if _, err := fmt.Sscanf(strings.NewReplacer("@", " ", ":", " ").Replace(parts[0]), "%s %d %d", &name, &start, &size); err != nil {
		panic(err)
	}
	in := gpu.Instance{ID: id, Slot: mig.Slot{Profile: profile(name), Placement: mig.Placement{Start: start, Size: size}}}
	if len(parts) == 1 {
		parts = append(parts, name)
	}
	at := 0
	for i, c := range parts[1:] {
		p := profile(c)
		in.Compute = append(in.Compute, gpu.ComputeInstance{
			ID: uint32(i), UUID: gpu.UUID(fmt.Sprintf("MIG-%s-%d-%d", on, id, i)), Profile: p, Placement: mig.Placement{Start: at, Size: p.Compute},
		})
		at += p.Compute
	}
	return in
}

// slot is a device such as "3g.40gb@0" of GPU-n.
func slot(n int, text string) gpu.Device {
	name, at, _ := strings.Cut(text, "@")
	start := 0
	_, _ = fmt.Sscan(at, &start)
	for _, info := range a100().Profiles {
		for _, p := range info.Placements {
			if info.Profile == profile(name) && p.Start == start {
				return gpu.Device{Kind: gpu.Slice, GPU: gpu.UUID(fmt.Sprintf("GPU-%d", n)), Slot: mig.Slot{Profile: info.Profile, Placement: p}}
			}
		}
	}
	panic("no such slot: " + text)
}

func mixed() Settings {
	return Settings{Strategy: StrategyMixed, Deliveries: []Delivery{CDICRI}, Policy: Pack}
}

func equal(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got  %s\n want %s", what, got, want)
	}
}
