package plan

import (
	"strings"
	"testing"
)

// Policy: GPUs kept whole, warm spares, declared layouts.
func TestPolicy(t *testing.T) {
	c := newCard(t, "H100")
	keep := Input{GPUs: c.gpus(2), Demands: c.pods("7g.80gb", "7g.80gb"), Policy: Policy{KeepWhole: 1}}
	p := New().Plan(keep)
	if got, want := drawn(&p), "0: whole | 1: 7g.80gb@0"; got != want || len(p.Unmet) != 1 || !strings.Contains(p.Unmet[0].Reason, "GPU 0 is left whole") {
		t.Errorf("got %s, want %s: %+v", got, want, p.Unmet)
	}
	keep.Demands = c.pods("gpu", "7g.80gb")
	p = New().Plan(keep)
	if got, want := drawn(&p), "0: whole | 1: 7g.80gb@0"; got != want || len(p.Unmet) != 0 {
		t.Errorf("got %s, want %s: %+v", got, want, p.Unmet)
	}

	spares := Input{GPUs: c.gpus(2), Demands: c.pods("3g.40gb"), Policy: Policy{Spares: []Count{{c.profile("1g.10gb"), 2}}}}
	p = New().Plan(spares)
	if got, want := drawn(&p), "0: 1g.10gb@2 1g.10gb@3 3g.40gb@4 | 1: whole"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	spares.Policy.KeepWhole, spares.Demands = 2, nil
	p = New().Plan(spares)
	if got, want := drawn(&p), "0: whole | 1: whole"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}

	declared := Input{GPUs: c.gpus(2), Demands: c.pods("1g.10gb", "2g.20gb")}
	g := &declared.GPUs[0]
	g.Role, g.Declared, g.Mode.On = Declared, []Count{{c.profile("1g.10gb"), 2}, {c.profile("2g.20gb"), 1}, {c.profile("3g.40gb"), 1}}, true
	g.Claims = []Claim{{Slot: c.slot("1g.10gb@6"), Holder: "pod a/b"}}
	g.Instances = []Instance{{Slot: c.slot("1g.10gb@6")}, {Slot: c.slot("3g.40gb@0")}, {Slot: c.slot("1g.20gb@4")}}
	p = New().Plan(declared)
	if got, want := drawn(&p), "0: 3g.40gb@0 2g.20gb@4 1g.10gb@6! | 1: 1g.10gb@6"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if len(p.Unmet) != 1 || p.Unmet[0].GPU != g.UUID || p.Unmet[0].Resource.Profile != c.profile("1g.10gb") {
		t.Errorf("%+v", p.Unmet)
	}
	check(t, &declared, &p)
}

// Fragmentation is told as what still fits.
func TestFits(t *testing.T) {
	c := newCard(t, "A100-80")
	in := Input{GPUs: c.sliced(2)}
	in.GPUs[0].Claims = []Claim{{Slot: c.slot("1g.10gb@1"), Holder: "pod a/b"}}
	in.GPUs[1].Instances = []Instance{{Slot: c.slot("2g.20gb@4")}}
	p := New().Plan(in)
	got := map[string]Fit{}
	for _, f := range p.Fits {
		got[f.Resource.String()] = Fit{Empty: f.Empty, Now: f.Now, After: f.After}
	}
	for name, want := range map[string]Fit{
		"gpu":            {Empty: 2}, // never whole: the mode cannot change
		"mig-7g.80gb":    {Empty: 2, Now: 1},
		"mig-4g.40gb":    {Empty: 2, Now: 1, After: 1},
		"mig-3g.40gb":    {Empty: 4, Now: 3, After: 2},
		"mig-2g.20gb":    {Empty: 6, Now: 5, After: 4},
		"mig-1g.20gb":    {Empty: 8, Now: 7, After: 6},
		"mig-1g.10gb":    {Empty: 14, Now: 13, After: 11},
		"mig-1g.10gb.me": {Empty: 2, Now: 2, After: 2},
	} {
		if got[name] != want {
			t.Errorf("%s: %+v, want %+v", name, got[name], want)
		}
	}
}

// A large pod that waited for long gets its place in the end: smaller ones that came later do not fill it again.
func TestAged(t *testing.T) {
	c := newCard(t, "H100")
	in := Input{GPUs: c.sliced(2), Demands: c.pods("3g.40gb", "1g.10gb", "1g.10gb")}
	for i := range in.GPUs {
		in.GPUs[i].Claims = []Claim{{Slot: c.slot("4g.40gb@0"), Holder: "pod t/a"}, {Slot: c.slot("1g.10gb@4"), Holder: "pod t/b"}}
		in.GPUs[i].Instances = []Instance{{Slot: c.slot("4g.40gb@0")}, {Slot: c.slot("1g.10gb@4")}}
	}
	in.GPUs[0].Claims = append(in.GPUs[0].Claims, Claim{Slot: c.slot("1g.10gb@5"), Holder: "pod t/c"})
	in.GPUs[1].Instances = append(in.GPUs[1].Instances, Instance{Slot: c.slot("1g.10gb@6")})
	p := New().Plan(in)
	if len(p.Grants) != 2 || len(p.Unmet) != 1 || p.Cost.Destroys != 0 {
		t.Errorf("%+v, waits %+v", p.Grants, p.Unmet)
	}
	in.Demands[0].Aged = true
	p = New().Plan(in)
	if got, want := drawn(&p), "0: 4g.40gb@0! 1g.10gb@4! 1g.10gb@5! 1g.10gb@6 | 1: 4g.40gb@0! 1g.10gb@4!"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if len(p.Grants) != 1 || len(p.Unmet) != 2 || !strings.Contains(p.Unmet[1].Reason, "slots 4-7 are kept free for pod t/p0, which waits for long") {
		t.Errorf("%+v, waits %+v", p.Grants, p.Unmet)
	}
	in.Demands[1].Priority = 5 // who comes first is served all the same
	in.Demands[2].Priority = 5
	if p = New().Plan(in); len(p.Grants) != 2 {
		t.Errorf("%+v, waits %+v", p.Grants, p.Unmet)
	}
}
