package cdi

import (
	"fmt"
	"slices"
	"testing"

	"tags.cncf.io/container-device-interface/pkg/cdi"

	"pgregory.net/rapid"

	"github.com/gpulet/gpulet/gpu"
)

// Whatever the inventory shows and whatever is withdrawn: there is a spec for each device that exists and was not withdrawn, and
// for no other, and each opens the instance that exists now.
func TestSpecsAreTrue(t *testing.T) {
	f := newFixture(t)
	rapid.Check(t, func(rt *rapid.T) {
		f.remove("cdi")
		s := New(f.cfg)
		serial := 0
		type made struct{ gi, serial int }
		slots := map[int]made{} // of the GPU in MIG mode, by start
		divide := false
		withdrawn := map[string]int{} // the serial that was withdrawn; 0 for the whole GPU
		device := func(start int) gpu.Device { return slice(t, uuid0, "1g.10gb", start, 1, 0) }
		s.reconcile(&gpu.Snapshot{Version: 1, GPUs: []gpu.GPU{whole(uuid0, 0)}}, true)
		for step := range rapid.IntRange(1, 12).Draw(rt, "steps") {
			switch rapid.IntRange(0, 4).Draw(rt, "action") {
			case 0:
				divide, slots = !divide, map[int]made{}
			case 1, 2: // an instance comes, goes or is made anew
				start := rapid.IntRange(0, 3).Draw(rt, "start")
				if _, there := slots[start]; there && rapid.Bool().Draw(rt, "goes") || !divide {
					delete(slots, start)
				} else {
					serial++
					slots[start] = made{1 + start + 4*(serial%2), serial} // distinct ids below 8, some of them used again
					if slots[start].gi > 7 {
						slots[start] = made{0, serial}
					}
				}
			case 3:
				start := rapid.IntRange(-1, 3).Draw(rt, "which")
				d := gpu.Device{GPU: uuid0}
				if start >= 0 {
					d = device(start)
				}
				if err := s.Withdraw(d); err != nil {
					rt.Fatal(err)
				}
				if _, there := slots[start]; there || start < 0 && !divide {
					withdrawn[d.ID()] = slots[start].serial
				}
			case 4:
				for id := range withdrawn {
					p, _ := gpu.ParseDeviceID(id)
					d := gpu.Device{GPU: uuid0}
					if p.Kind == gpu.Slice {
						d = device(p.Start)
					}
					s.Restore(d)
					delete(withdrawn, id)
				}
			}
			g := whole(uuid0, 0)
			want := map[string]int{} // the GPU instance by id
			if divide {
				var instances []gpu.Instance
				for start := range 4 {
					if in, ok := slots[start]; ok {
						instances = append(instances, instance(t, uint32(in.gi), "1g.10gb", start, 1, compute(t, 0, "1g.10gb", 0, in.serial)))
						want[device(start).ID()] = in.gi
					}
				}
				g = divided(uuid0, 0, instances...)
			} else {
				want[uuid0] = -1
			}
			for id, of := range withdrawn {
				p, _ := gpu.ParseDeviceID(id)
				if _, there := want[id]; there && (p.Kind == gpu.Whole || slots[p.Start].serial == of) {
					delete(want, id)
				} else {
					delete(withdrawn, id)
				}
			}
			s.reconcile(&gpu.Snapshot{Version: uint64(step + 2), GPUs: []gpu.GPU{g}}, true)
			files := []string{driverFile}
			for id, gi := range want {
				files = append(files, fileName(id))
				spec, err := cdi.ReadSpec(f.path("cdi/"+fileName(id)), 0)
				if err != nil {
					rt.Fatal(err)
				}
				nodes := spec.Devices[0].ContainerEdits.DeviceNodes
				if gi >= 0 && nodes[1].Path != fmt.Sprintf("/dev/nvidia-caps/nvidia-cap%d", capMinor(0, gi, wholeInstance)) || (gi >= 0) != (len(nodes) == 3) {
					rt.Fatalf("%s of instance %d has %d nodes, %s", id, gi, len(nodes), nodes[len(nodes)-1].Path)
				}
			}
			slices.Sort(files)
			if got := f.files(); !slices.Equal(got, files) {
				rt.Fatalf("the CDI folder has %q, want %q", got, files)
			}
		}
	})
}
