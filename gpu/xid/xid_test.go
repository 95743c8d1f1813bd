package xid

import "testing"

func TestCatalogueIsSorted(t *testing.T) {
	table := Table()
	for i, e := range table {
		if e.Name == "" {
			t.Errorf("XID %d has no name", e.XID)
		}
		if i > 0 && table[i-1].XID >= e.XID {
			t.Errorf("XID %d comes after %d", e.XID, table[i-1].XID)
		}
	}
}

func TestLookup(t *testing.T) {
	plain := New(nil, nil)
	own := New([]uint64{48, 79, 9999}, []uint64{13, 79})
	for _, c := range []struct {
		name string
		cat  Catalogue
		xid  uint64
		want Effect
	}{
		{"an application's own fault harms nothing", plain, 13, None},
		{"page fault", plain, 31, None},
		{"cleanup", plain, 45, None},
		{"contained error asks the probe", plain, 94, Probe},
		{"uncontained error needs a reset", plain, 95, Reset},
		{"off the bus", plain, 79, Reset},
		{"double bit", plain, 48, Reset},
		{"firmware processor", plain, 119, Reset},
		{"link", plain, 74, Quarantine},
		{"corrected rate", plain, 92, None},
		{"unknown numbers ask the probe", plain, 4711, Probe},
		{"the zero catalogue works", Catalogue{}, 79, Reset},
		{"ignored by the user", own, 48, None},
		{"unknown and ignored", own, 9999, None},
		{"fatal by the user", own, 13, Reset},
		{"fatal wins over ignored", own, 79, Reset},
	} {
		if got := c.cat.Lookup(c.xid); got.Effect != c.want || got.XID != c.xid {
			t.Errorf("%s: XID %d gives %v, want %v", c.name, c.xid, got.Effect, c.want)
		}
	}
}
