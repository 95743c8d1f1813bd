package gpu

import (
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/gpulet/gpulet/gpu/mig"
)

const someUUID = UUID("GPU-01234567-89ab-cdef-0123-456789abcdef")

func TestDeviceID(t *testing.T) {
	slot := func(profile string, start int) mig.Slot {
		p, err := mig.ParseProfile(profile)
		if err != nil {
			t.Fatal(err)
		}
		return mig.Slot{Profile: p, Placement: mig.Placement{Start: start, Size: 1}}
	}
	for _, c := range []struct {
		device Device
		want   string
	}{
		{Device{GPU: someUUID}, string(someUUID)},
		{Device{GPU: someUUID, Replica: 3}, string(someUUID) + "::2"},
		{Device{Kind: Slice, GPU: someUUID, Slot: slot("3g.40gb", 4)}, string(someUUID) + ":3g.40gb:4"},
		{Device{Kind: Slice, GPU: someUUID, Slot: slot("1g.10gb+me", 0)}, string(someUUID) + ":1g.10gb_me:0"},
		{Device{Kind: Slice, GPU: someUUID, Slot: slot("1c.3g.40gb", 4), ComputeStart: 2}, string(someUUID) + ":1c.3g.40gb:4.2"},
		{Device{Kind: Slice, GPU: someUUID, Slot: slot("1c.2g.48gb+me.all", 6), ComputeStart: 1, Replica: 10}, ShortUUID(someUUID) + ":1c.2g.48gb_me.all:6.1::9"},
	} {
		if got := c.device.ID(); got != c.want || len(got) > MaxDeviceID {
			t.Errorf("%+v is %s, want %s", c.device, got, c.want)
		}
		same(t, c.device)
	}
	for _, bad := range []string{
		"", ":", "::", "::1", "-a", "GPU-a:", "GPU-a:3g.40gb", "GPU-a:3g.40gb:", "GPU-a:3g.40gb:04", "GPU-a:3g.40gb:4.0", "GPU-a:1c.3g.40gb:4",
		"GPU-a:1g.10gb+me:0", "GPU-a::", "GPU-a::01", "GPU-a::10000", "GPU-a:3g.40gb:100", "GPU-a:3g.40gb:1:2", "GPU a", "GPU-a/b", "GPU-ä",
		fmt.Sprintf("GPU-%060d", 0),
	} {
		if p, err := ParseDeviceID(bad); !errors.Is(err, ErrDeviceID) {
			t.Errorf("%q was read as %+v, %v", bad, p, err)
		}
	}
}

// same checks that an id is read back as what it was made of.
func same(t interface{ Errorf(string, ...any) }, d Device) {
	p, err := ParseDeviceID(d.ID())
	want := Parts{Kind: d.Kind, GPU: string(d.GPU), Profile: d.Slot.Profile, Start: d.Slot.Placement.Start, ComputeStart: d.ComputeStart, Replica: d.Replica}
	if p.GPU == ShortUUID(d.GPU) {
		want.GPU = p.GPU
	}
	if err != nil || p != want {
		t.Errorf("%s was read as %+v, %v; want %+v", d.ID(), p, err, want)
	}
}

func TestDeviceIDReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := Device{GPU: someUUID, Replica: rapid.IntRange(0, 100).Draw(t, "replica")}
		if rapid.Bool().Draw(t, "slice") {
			d.Kind = Slice
			slices := rapid.IntRange(1, 8).Draw(t, "slices")
			d.Slot.Profile = mig.Profile{
				Slices: slices, Compute: rapid.IntRange(1, slices).Draw(t, "compute"), MemoryGB: rapid.IntRange(1, 288).Draw(t, "memory"),
				Attributes: rapid.SampledFrom([]string{"", "+me", "+gfx", "-me", "+me.all"}).Draw(t, "attributes"),
			}
			d.Slot.Placement.Start = rapid.IntRange(0, 15).Draw(t, "start")
			if d.Slot.Profile.IsSlice() {
				d.ComputeStart = rapid.IntRange(0, 7).Draw(t, "computeStart")
			}
		}
		if len(d.ID()) > MaxDeviceID {
			t.Errorf("%s is too long", d.ID())
		}
		same(t, d)
	})
}

func FuzzParseDeviceID(f *testing.F) {
	for _, s := range []string{string(someUUID), string(someUUID) + ":1c.3g.40gb:4.2::7", "abc:1g.24gb-me:0", "::", ":::"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, id string) {
		p, err := ParseDeviceID(id)
		if err != nil {
			if !errors.Is(err, ErrDeviceID) {
				t.Errorf("%v", err)
			}
			return
		}
		d := Device{
			Kind: p.Kind, GPU: UUID(p.GPU), Slot: mig.Slot{Profile: p.Profile, Placement: mig.Placement{Start: p.Start}},
			ComputeStart: p.ComputeStart, Replica: p.Replica,
		}
		if d.ID() != id {
			t.Errorf("%q was read as %+v, which is written %q", id, p, d.ID())
		}
	})
}
