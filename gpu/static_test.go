package gpu_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

func profile(t interface{ Fatal(...any) }, name string) mig.Profile {
	p, err := mig.ParseProfile(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// instance is a GPU instance such as 3g.40gb at 4 with compute instances such as 3g.40gb, or 1c.3g.40gb one after the other.
func instance(t interface{ Fatal(...any) }, id uint32, name string, start, size int, compute ...string) gpu.Instance {
	in := gpu.Instance{ID: id, Slot: mig.Slot{Profile: profile(t, name), Placement: mig.Placement{Start: start, Size: size}}}
	at := 0
	for i, c := range compute {
		p := profile(t, c)
		in.Compute = append(in.Compute, gpu.ComputeInstance{
			ID: uint32(i), UUID: gpu.UUID("MIG-" + name + c + string(rune('a'+i))), Profile: p, Placement: mig.Placement{Start: at, Size: p.Compute},
		})
		at += p.Compute
	}
	return in
}

func TestStaticOffers(t *testing.T) {
	on := gpu.MIGState{Capable: true, Enabled: true, Pending: true}
	bad := gpu.Health{State: gpu.Unhealthy, Reason: "x"}
	sick := instance(t, 4, "1g.10gb", 6, 1, "1g.10gb")
	sick.Compute[0].Health = bad
	odd := instance(t, 6, "1g.10gb", 5, 1, "1g.10gb")
	odd.Slot.Profile.Attributes = "+id99"
	for _, c := range []struct {
		name     string
		gpu      gpu.GPU
		offers   string
		withheld string
	}{
		{"whole", gpu.GPU{UUID: "GPU-a"}, "GPU-a", ""},
		{"a sick GPU is offered with its health", gpu.GPU{UUID: "GPU-a", Health: bad}, "GPU-a!", ""},
		{"a pending mode changes nothing yet", gpu.GPU{UUID: "GPU-a", MIG: gpu.MIGState{Capable: true, Pending: true}}, "GPU-a", ""},
		{"no device node", gpu.GPU{UUID: "unknown-0", Minor: -1, Health: bad}, "", "GPU: its device node is not known: x"},
		{"MIG mode without instances", gpu.GPU{UUID: "GPU-a", MIG: on}, "", "GPU: it is in MIG mode and has no GPU instance"},
		{
			"instances",
			gpu.GPU{UUID: "GPU-a", MIG: on, Instances: []gpu.Instance{
				instance(t, 1, "3g.40gb", 0, 4, "3g.40gb"), instance(t, 2, "1g.10gb+me", 4, 1, "1g.10gb+me"), instance(t, 3, "1g.10gb", 5, 1), sick,
			}},
			"GPU-a:3g.40gb:0 GPU-a:1g.10gb_me:4 GPU-a:1g.10gb:6!",
			"GPU instance 3 (1g.10gb@5): it has no compute instance, so nobody can use it",
		},
		{
			"sub-slices",
			gpu.GPU{UUID: "GPU-a", MIG: on, Instances: []gpu.Instance{instance(t, 1, "3g.40gb", 4, 4, "1c.3g.40gb", "2c.3g.40gb")}},
			"GPU-a:1c.3g.40gb:4.0 GPU-a:2c.3g.40gb:4.1", "",
		},
		{"a sick GPU's slots", gpu.GPU{UUID: "GPU-a", MIG: on, Health: bad, Instances: []gpu.Instance{instance(t, 1, "7g.80gb", 0, 8, "7g.80gb")}}, "GPU-a:7g.80gb:0!", ""},
		{
			"unknown profile beside a known one",
			gpu.GPU{UUID: "GPU-a", MIG: on, Instances: []gpu.Instance{instance(t, 1, "1g.10gb", 0, 1, "1g.10gb"), odd}},
			"GPU-a:1g.10gb:0", "GPU instance 6 (1g.10gb+id99@5): its profile has no name that can be offered",
		},
	} {
		o := gpu.StaticOffers(&gpu.Snapshot{GPUs: []gpu.GPU{c.gpu}})
		var offers, withheld []string
		for _, x := range o.Offers {
			id := x.Device.ID()
			if !x.Health.Allocatable() {
				id += "!"
			}
			if (x.Device.Kind == gpu.Slice) != (x.Realized != nil) {
				t.Errorf("%s: %+v", c.name, x)
			}
			offers = append(offers, id)
		}
		for _, x := range o.Withheld {
			withheld = append(withheld, x.What+": "+x.Reason)
		}
		if got := strings.Join(offers, " "); got != c.offers {
			t.Errorf("%s: offers %q, want %q", c.name, got, c.offers)
		}
		if got := strings.Join(withheld, "; "); got != c.withheld {
			t.Errorf("%s: withheld %q, want %q", c.name, got, c.withheld)
		}
	}
}

// Whatever a driver reports, offers do not overlap, ids are unique and readable, and every instance is offered or withheld.
func TestStaticOffersNeverOverlap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := gpu.GPU{UUID: "GPU-a", MIG: gpu.MIGState{Enabled: true}}
		for i := range rapid.IntRange(0, 9).Draw(t, "instances") {
			name := rapid.SampledFrom([]string{"1g.10gb", "1g.20gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb", "1g.10gb+me"}).Draw(t, "profile")
			in := instance(t, uint32(i), name, rapid.IntRange(-1, 8).Draw(t, "start"), rapid.IntRange(0, 8).Draw(t, "size"))
			for j := range rapid.IntRange(0, 4).Draw(t, "compute") {
				ci := gpu.ComputeInstance{ID: uint32(j), UUID: gpu.UUID(rapid.SampledFrom([]string{"", "MIG-x"}).Draw(t, "uuid")), Profile: in.Slot.Profile}
				ci.Profile.Compute = rapid.IntRange(0, 8).Draw(t, "slices")
				ci.Placement = mig.Placement{Start: rapid.IntRange(0, 7).Draw(t, "cstart"), Size: rapid.IntRange(0, 4).Draw(t, "csize")}
				in.Compute = append(in.Compute, ci)
			}
			g.Instances = append(g.Instances, in)
		}
		o := gpu.StaticOffers(&gpu.Snapshot{GPUs: []gpu.GPU{g}})
		ids := map[string]bool{}
		for i, a := range o.Offers {
			id := a.Device.ID()
			if _, err := gpu.ParseDeviceID(id); err != nil || ids[id] {
				t.Fatalf("%s: %v, known %v", id, err, ids[id])
			}
			ids[id] = true
			for _, b := range o.Offers[:i] {
				if a.Realized.GPUInstance != b.Realized.GPUInstance && a.Device.Slot.Placement.Overlaps(b.Device.Slot.Placement) {
					t.Fatalf("%s overlaps %s", id, b.Device.ID())
				}
			}
		}
		want := 0
		for _, in := range g.Instances {
			want += max(1, len(in.Compute))
		}
		if len(g.Instances) > 0 && len(o.Offers)+len(o.Withheld) > want || len(o.Offers)+len(o.Withheld) < len(g.Instances) {
			t.Fatalf("%d offers and %d withheld of %d", len(o.Offers), len(o.Withheld), want)
		}
	})
}
