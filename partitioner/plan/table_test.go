package plan

import (
	"slices"
	"testing"

	"github.com/gpulet/gpulet/gpu/mig"
)

func only(g mig.Geometry, ids ...uint32) mig.Geometry {
	g.Profiles = slices.DeleteFunc(slices.Clone(g.Profiles), func(p mig.ProfileInfo) bool { return !slices.Contains(ids, p.ID) })
	return g
}

// Every layout of a geometry is found, no other is: the counts are those of an independent enumeration, and of the simulated driver.
func TestAllLayouts(t *testing.T) {
	base, double, media := []uint32{19, 14, 9, 5, 0}, []uint32{19, 14, 9, 5, 0, 15}, []uint32{19, 14, 9, 5, 0, 15, 20}
	for _, c := range []struct {
		card             string
		ids              []uint32
		layouts, maximal int
	}{
		{"A100-40", base, 298, 19},
		{"A100-80", base, 298, 19},
		{"A100-80", double, 723, 78},
		{"A100-80", media, 2319, 239},
		{"H100", base, 298, 19},
		{"H100", media, 2319, 239},
		{"H200", media, 2319, 239},
		{"B200", media, 2319, 239},
		{"A30", []uint32{14, 5, 0}, 26, 5},
		{"A30", []uint32{14, 5, 0, 21, 6}, 76, 17},
		{"RTX PRO 6000", []uint32{14, 5, 0}, 26, 5},
		{"RTX PRO 6000", []uint32{14, 47, 21, 65, 67, 5, 35, 64, 66, 0, 32}, 717, 302},
	} {
		full := newCard(t, c.card).geometry // the totals are those of all profiles
		g := only(full, c.ids...)
		s := spaceOf(&full, nil)
		usable := uint64(0)
		for i := range s.slots {
			if slices.ContainsFunc(g.Profiles, func(p mig.ProfileInfo) bool { return p.Profile == s.slots[i].slot.Profile }) {
				usable |= 1 << i
			}
		}
		table := makeTable(s, load{}, usable, worths(s, &Policy{}))
		maximal := 0
		for _, l := range table.layouts {
			if l.flex == 0 {
				maximal++
			}
		}
		if len(table.layouts) != c.layouts || maximal != c.maximal {
			t.Errorf("%s %v: %d layouts, %d of them maximal, want %d and %d", c.card, c.ids, len(table.layouts), maximal, c.layouts, c.maximal)
		}
	}
}

// Drivers before R510 refuse 4g beside 3g.
func TestApart(t *testing.T) {
	c := newCard(t, "A100-80")
	in := Input{GPUs: c.sliced(1), Demands: c.pods("4g.40gb", "3g.40gb")}
	if p := New().Plan(in); len(p.Unmet) != 0 {
		t.Errorf("4g and 3g do not fit: %+v", p.Unmet)
	}
	in.GPUs[0].Apart = [][2]mig.Profile{{c.profile("3g.40gb"), c.profile("4g.40gb")}}
	if p := New().Plan(in); len(p.Unmet) != 1 || p.Unmet[0].ID != "01" {
		t.Errorf("3g is placed beside 4g: %+v", p)
	}
}

func TestVec(t *testing.T) {
	var a, b vec
	for k := range maxKinds {
		a.set(k, 7*k)
		b.set(k, 127-7*k)
	}
	for k := range maxKinds {
		x, y := 7*k, 127-7*k
		if a.at(k) != x || a.minus(b).at(k) != max(x-y, 0) || a.plus(b).at(k) != min(x+y, 127) || a.capped(b).at(k) != min(x, y) || atLeast(a, b).at(k) != max(x, y) || a.plus(a).at(k) != min(2*x, 127) {
			t.Errorf("field %d", k)
		}
	}
	if !a.covers(a) || a.covers(b) || !a.plus(b).covers(b) {
		t.Error("covers")
	}
}
