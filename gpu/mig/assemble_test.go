package mig

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func at(size int, starts ...int) (out []Placement) {
	for _, s := range starts {
		out = append(out, Placement{s, size})
	}
	return out
}

// The profiles of public cards (enum, slices, memory in MiB, placements) with the names that newer drivers give them.
func TestNamesOfDriversThatDoNotTellThem(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		card   string
		memory uint64
		raw    []RawProfile
		want   []string
	}{
		{"A100 40 GB", 42505273344, []RawProfile{
			{Enum: 0, Slices: 1, MemoryMiB: 4864},
			{Enum: 7, Slices: 1, MemoryMiB: 4864},
			{Enum: 1, Slices: 2, MemoryMiB: 9856},
			{Enum: 2, Slices: 3, MemoryMiB: 19968},
			{Enum: 3, Slices: 4, MemoryMiB: 19968},
			{Enum: 4, Slices: 7, MemoryMiB: 40192},
			{Enum: 9, Slices: 1, MemoryMiB: 9856},
		}, []string{"1g.5gb", "1g.5gb+me", "2g.10gb", "3g.20gb", "4g.20gb", "7g.40gb", "1g.10gb"}},
		{"A100 80 GB", 81920 * mib, []RawProfile{
			{Enum: 0, Slices: 1, MemoryMiB: 9728}, {Enum: 1, Slices: 2, MemoryMiB: 19968}, {Enum: 2, Slices: 3, MemoryMiB: 40192}, {Enum: 4, Slices: 7, MemoryMiB: 80896},
		}, []string{"1g.10gb", "2g.20gb", "3g.40gb", "7g.80gb"}},
		{"A30", 24576 * mib, []RawProfile{
			{Enum: 0, Slices: 1, MemoryMiB: 5952}, {Enum: 1, Slices: 2, MemoryMiB: 11968}, {Enum: 8, Slices: 2, MemoryMiB: 11968}, {Enum: 3, Slices: 4, MemoryMiB: 24000},
		}, []string{"1g.6gb", "2g.12gb", "2g.12gb+me", "4g.24gb"}},
		{"RTX PRO 6000", 97887 * mib, []RawProfile{
			{Enum: 0, Slices: 1, MemoryMiB: 24192},
			{Enum: 10, Slices: 1, MemoryMiB: 24192},
			{Enum: 13, Slices: 1, MemoryMiB: 24192},
			{Enum: 15, Slices: 1, MemoryMiB: 24192},
			{Enum: 1, Slices: 2, MemoryMiB: 48512},
			{Enum: 3, Slices: 4, MemoryMiB: 97408},
		}, []string{"1g.24gb", "1g.24gb+gfx", "1g.24gb-me", "1g.24gb+me.all", "2g.48gb", "4g.96gb"}},
	} {
		for i := range c.raw {
			c.raw[i].ID, c.raw[i].Instances, c.raw[i].Placements = uint32(i), 1, at(1, i)
		}
		g, problems := Assemble(c.raw, c.memory)
		var got []string
		for _, p := range g.Profiles {
			got = append(got, p.Profile.String())
		}
		if !slices.Equal(got, c.want) || len(problems) > 0 {
			t.Errorf("%s: %v, want %v; %v", c.card, got, c.want, problems)
		}
	}
}

func TestAssemble(t *testing.T) {
	g, problems := Assemble([]RawProfile{
		{Enum: 2, ID: 9, Name: "MIG 3g.40gb", Slices: 3, Instances: 2, MemoryMiB: 40192, Placements: at(4, 4, 0)},
		{Enum: 0, ID: 19, Name: "MIG 1g.10gb", Slices: 1, Instances: 9, MemoryMiB: 9728, Placements: at(1, 0, 1, 2, 3, 4, 5, 6)}, // too many
		{Enum: 4, ID: 0, Name: "7g.80gb", Slices: 7, Instances: 1, Placements: at(8, 0)},
		{Enum: 77, ID: 50, Name: "MIG 5x.new", Slices: 5, Instances: 1, MemoryMiB: 1000, Placements: at(2, 8)},
		{Enum: 78, ID: 51, Slices: 5, Instances: 1, MemoryMiB: 1000, Placements: at(2, 8)},
		{Enum: 0, ID: 52, Name: "MIG 1g.10gb", Slices: 1, Instances: 1, Placements: at(1, 0)}, // a name that is taken
		{Enum: 1, ID: 14, Name: "MIG 2g.20gb", Slices: 2, Instances: 3},                       // nowhere to go
	}, 80<<30)
	if g.Axis != 10 || len(g.Profiles) != 6 || len(problems) != 5 {
		t.Errorf("axis %d, %d profiles, %q", g.Axis, len(g.Profiles), problems)
	}
	if p, ok := g.Profile(9); !ok || !slices.Equal(p.Placements, at(4, 0, 4)) || p.Max != 2 || p.MemoryBytes != 40192<<20 {
		t.Errorf("%+v", p)
	}
	if p, _ := g.Profile(19); p.Max != 7 {
		t.Errorf("%d of 1g.10gb fit", p.Max)
	}
	for _, id := range []uint32{50, 51, 52} {
		p, ok := g.Profile(id)
		if _, err := ParseProfile(p.Profile.String()); !ok || !errors.Is(err, ErrProfile) {
			t.Errorf("profile %d passes for %s", id, p.Profile)
		}
	}
	if p, _ := g.Profile(0); p.Profile.String() != "7g.80gb" {
		t.Errorf("%s", p.Profile)
	}
	if !slices.ContainsFunc(problems, func(s string) bool { return strings.Contains(s, "no placement") }) {
		t.Errorf("%q", problems)
	}
}

func TestProfileReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 9).Draw(t, "slices")
		p := Profile{
			Slices: n, Compute: rapid.IntRange(1, n).Draw(t, "compute"), MemoryGB: rapid.IntRange(1, 999).Draw(t, "gb"),
			Attributes: rapid.SampledFrom([]string{"", "+me", "+gfx", "+me.all", "-me", "+me+gfx"}).Draw(t, "attributes"),
		}
		got, err := ParseProfile(p.String())
		if err != nil || got != p || p.IsSlice() != (p.Instance() != p) {
			t.Fatalf("%s was read as %+v, %v", p, got, err)
		}
		if r := p.Resource(); strings.Contains(r, "+") || !strings.HasPrefix(r, "mig-") {
			t.Fatalf("%s", r)
		}
	})
}

func FuzzParseProfile(f *testing.F) {
	for _, s := range []string{"1g.10gb", "1c.3g.40gb+me", "1g.24gb-me", "2g.48gb+me.all", "", "g.gb", "0g.0gb", "3c.3g.40gb", "1g.10gb+", "1g.10gb-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		p, err := ParseProfile(name)
		if err != nil {
			if !errors.Is(err, ErrProfile) || p != (Profile{}) {
				t.Errorf("%+v %v", p, err)
			}
			return
		}
		if p.String() != name {
			t.Errorf("%q was read as %+v, which is written %q", name, p, p)
		}
	})
}

func TestOverlaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Placement{rapid.IntRange(0, 11).Draw(t, "a"), rapid.IntRange(1, 12).Draw(t, "n")}
		q := Placement{rapid.IntRange(0, 11).Draw(t, "b"), rapid.IntRange(1, 12).Draw(t, "m")}
		shared := false
		for i := p.Start; i < p.Start+p.Size; i++ {
			shared = shared || i >= q.Start && i < q.Start+q.Size
		}
		if p.Overlaps(q) != shared || q.Overlaps(p) != shared {
			t.Fatalf("%s and %s", p, q)
		}
	})
}
