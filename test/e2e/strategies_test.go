//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// sliced puts GPUs into MIG mode and fills each with as many instances of a profile as fit.
func sliced(profile string, n int, gpus ...int) func(*testing.T, *sim.Node) {
	return func(t *testing.T, s *sim.Node) {
		t.Helper()
		for _, g := range gpus {
			if err := s.SetMIG(t.Context(), g, true); err != nil {
				t.Fatal(err)
			}
			for range n {
				if _, _, err := s.CreateInstance(t.Context(), g, profile, nil); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// mixed is eight A100: four whole, two in seven slices each, two shared by four pods each.
var mixed = spec{
	shape: "dgx-a100", prepare: sliced("1g.10gb", 7, 4, 5),
	config: `
migStrategy: mixed
gpus:
  - match: {indexes: [6, 7]}
    sharing: {nvidia.com/gpu: {replicas: 4, rename: nvidia.com/gpu.shared}}
`,
}

// What mixed offers.
var mixedOffers = map[string]int64{"nvidia.com/gpu": 4, "nvidia.com/mig-1g.10gb": 14, "nvidia.com/gpu.shared": 8}

// offers waits until the node offers exactly these.
func (m *machine) offers(t *testing.T, want map[string]int64, d time.Duration) {
	t.Helper()
	for resource, n := range want {
		m.allocatable(t, resource, n, d)
	}
}

// Pods that ask for whole GPUs, MIG slices and time-sliced replicas run, and have in them just what they were given.
func TestStrategies(t *testing.T) {
	on := machines(t, mixed, spec{
		shape: "hgx-h100", config: "migStrategy: single\n", prepare: sliced("1g.10gb", 7, 0, 1, 2, 3, 4, 5, 6, 7),
	})
	a, b := on[0], on[1]
	a.offers(t, mixedOffers, 20*time.Second)
	b.offers(t, map[string]int64{"nvidia.com/gpu": 56}, 20*time.Second)
	seen := map[string]bool{}
	pods := 0
	check := func(m *machine, resource string, n int) {
		t.Helper()
		pods++
		pod := runs(t, gpuPod(fmt.Sprintf("p%d", pods), m.Name(), resource, n))
		for _, id := range m.exactly(t, pod) {
			if seen[m.Name()+id] {
				t.Errorf("%s was given twice", id)
			}
			seen[m.Name()+id] = true
		}
	}
	for range 2 {
		check(a, "nvidia.com/gpu", 1)
		check(a, "nvidia.com/mig-1g.10gb", 1)
		check(a, "nvidia.com/gpu.shared", 1)
		check(b, "nvidia.com/gpu", 1)
	}
	check(a, "nvidia.com/mig-1g.10gb", 2)
	c := pods
	clean(t, on)
	none := machines(t, spec{shape: "v100x8", config: "migStrategy: none\n"})[0]
	none.offers(t, map[string]int64{"nvidia.com/gpu": 8}, 20*time.Second)
	clear(seen)
	for range 2 {
		check(none, "nvidia.com/gpu", 1)
	}
	proof("2.1a", "%d pods under mixed and single, %d under none: each has exactly its devices' nodes, environment and mounts", c, pods-c)
}

// A pod that asks for two GPUs gets the two with the most NVLinks between them, also when some are taken.
func TestBestPair(t *testing.T) {
	m := machines(t, spec{shape: "v100x8"})[0]
	m.offers(t, map[string]int64{"nvidia.com/gpu": 8}, 20*time.Second)
	links := nvlinks(t, m.sim.Model)
	free := []int{0, 1, 2, 3, 4, 5, 6, 7}
	var got []string
	take := func(n int) {
		t.Helper()
		pod := runs(t, gpuPod(fmt.Sprintf("take-%d", len(free)), m.Name(), "nvidia.com/gpu", n))
		var gpus []int
		for _, id := range m.exactly(t, pod) {
			i, err := m.sim.Model.FindGPU(id)
			if err != nil {
				t.Fatal(err)
			}
			gpus = append(gpus, i)
		}
		if n == 2 {
			best := 0
			for i, a := range free {
				for _, b := range free[i+1:] {
					best = max(best, links[a][b])
				}
			}
			if l := links[gpus[0]][gpus[1]]; l != best {
				t.Errorf("GPUs %v have %d links, the best free pair has %d", gpus, l, best)
			}
			got = append(got, fmt.Sprintf("%v of %d links", gpus, links[gpus[0]][gpus[1]]))
		}
		free = slices.DeleteFunc(free, func(i int) bool { return slices.Contains(gpus, i) })
	}
	take(2)
	take(1)
	take(2)
	take(2)
	proof("2.1b", "%d of %d pairs: %s", len(got), len(got), strings.Join(got, ", "))
}

// nvlinks counts the NVLinks between each two GPUs, as the simulated driver tells them.
func nvlinks(t *testing.T, n *model.Node) map[int]map[int]int {
	t.Helper()
	c := n.Connect(model.Caller{PID: 1, Name: "test"})
	defer c.Close()
	ctx := t.Context()
	if ret := c.InitWithFlags(ctx, 0); ret != model.Success {
		t.Fatal(ret)
	}
	out := map[int]map[int]int{}
	byPCI := map[string]int{}
	gpus := n.Status().GPUs
	for _, g := range gpus {
		byPCI[strings.ToLower(g.PCI)] = g.Index
		out[g.Index] = map[int]int{}
	}
	for _, g := range gpus {
		d, ret := c.DeviceGetHandleByIndex(ctx, uint32(g.Index))
		if ret != model.Success {
			t.Fatal(ret)
		}
		for link := range uint32(18) {
			p, ret := c.DeviceGetNvLinkRemotePciInfo(ctx, d, link)
			if ret != model.Success {
				continue
			}
			if peer, ok := byPCI[p.Sysfs()]; ok {
				out[g.Index][peer]++
			}
		}
	}
	return out
}
