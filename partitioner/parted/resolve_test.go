package parted

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

// targets writes what Resolve said, GPU by GPU; "-" is a GPU that it leaves alone.
func (n *node) targets(made map[gpu.UUID]Target) (out []string) {
	for _, g := range n.gpus {
		if target, ok := made[g.UUID]; ok {
			out = append(out, target.String())
		} else {
			out = append(out, "-")
		}
	}
	return out
}

// Files as users have them divide each GPU as mig-parted would.
func TestResolve(t *testing.T) {
	a100 := shape(t, "a100-40x8")
	station := of(t, "a100-80", "a100-80", "a100-80", "t4", "a100-80")
	for _, c := range []struct {
		file, name string
		node       *node
		want       string // one per GPU; one for all when they are alike
	}{
		{"site.yaml", "half-and-half", a100, "MIG off|MIG off|MIG off|MIG off|7 x 1g.5gb|3 x 2g.10gb|2 x 3g.20gb|2 x 1g.5gb, 1 x 2g.10gb, 1 x 3g.20gb"},
		{"site.yaml", "all-but-one", of(t, "a100-40", "a100-40"), "MIG off|2 x 1g.5gb, 1 x 2g.10gb, 1 x 3g.20gb"},
		{"site.yaml", "by-board", a100, "no instances"},
		{"site.yaml", "by-board", of(t, "a100-80"), "-"},
		{"site.yaml", "media", a100, "6 x 1g.5gb, 1 x 1g.5gb+me"},
		{"site.yaml", "full-size-sub-slices", a100, "2 x 3g.20gb"},
		{"station.yaml", "station-off", station, "MIG off|MIG off|MIG off|-|MIG off"},
		{"station.yaml", "station-mixed", station, "MIG off|2 x 3g.40gb|1 x 1g.10gb, 3 x 2g.20gb|MIG off|7 x 1g.10gb"},
		{"shipped.yaml", "all-disabled", station, "MIG off|MIG off|MIG off|-|MIG off"},
		{"shipped.yaml", "all-1g.10gb", of(t, "a100-80", "a100-40", "a30"), "7 x 1g.10gb|4 x 1g.10gb|-"},
		{"shipped.yaml", "all-balanced", of(t, "h100", "a30", "t4"), "2 x 1g.10gb, 1 x 2g.20gb, 1 x 3g.40gb|2 x 1g.6gb, 1 x 2g.12gb|-"},
	} {
		t.Run(c.file+"/"+c.name, func(t *testing.T) {
			made, err := load(t, c.file).Resolve(c.name, c.node.gpus)
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(c.node.targets(made), "|")
			if want := strings.TrimSuffix(strings.Repeat(c.want+"|", len(c.node.gpus)), "|"); got != c.want && got != want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// What cannot be is refused with the reason, the place in the file and what could be.
func TestRefusals(t *testing.T) {
	a100 := shape(t, "a100-40x8")
	body := func(entries string) string { return "version: v1\nmig-configs:\n  c:\n" + entries }
	for _, c := range []struct {
		name, file, config string
		node               *node
		want               string
	}{
		{"unknown name", body("    - {devices: all, mig-enabled: false}\n"), "d", a100, `there is no configuration "d"; valid are c`},
		{
			"nearest name", "version: v1\nmig-configs: {all-1g.5gb: &c [{devices: all, mig-enabled: false}], all-off: *c}", "all-1g-5gb", a100,
			`there is no configuration "all-1g-5gb"; did you mean "all-1g.5gb"? valid are all-1g.5gb, all-off`,
		},
		{
			"profile of another GPU", body("    - {devices: all, mig-enabled: true, mig-devices: {1g.10gb: 7}}\n"), "c", shape(t, "hgx-h200"),
			`f:4: mig-configs["c"][0].mig-devices["1g.10gb"]: GPUs 0-7: there is no profile 1g.10gb here; did you mean "1g.18gb"? valid are 1g.18gb, 1g.18gb+me, 1g.35gb, 2g.35gb, 3g.71gb, 4g.71gb, 7g.141gb`,
		},
		{
			"too many", body("    - devices: [1, 2, 5]\n      mig-enabled: true\n      mig-devices:\n        3g.20gb: 3\n"), "c", a100,
			`f:7: mig-configs["c"][0].mig-devices["3g.20gb"]: GPUs 1-2, 5: at most 2 of 3g.20gb fit, not 3`,
		},
		{
			"not together", body("    - devices: [0]\n      mig-enabled: true\n      mig-devices: {4g.20gb: 1, 3g.20gb: 2}\n"), "c", a100,
			`f:6: mig-configs["c"][0].mig-devices: GPU 0: 2 x 3g.20gb, 1 x 4g.20gb do not fit together; the most of it that does is 1 x 3g.20gb, 1 x 4g.20gb`,
		},
		{
			"one media engine", body("    - devices: [0]\n      mig-enabled: true\n      mig-devices: {1g.24gb: 1, 1g.24gb+me.all: 1}\n"), "c", shape(t, "rtx6000x4"),
			`1 x 1g.24gb, 1 x 1g.24gb+me.all do not fit together`,
		},
		{
			"sub-slices", body("    - devices: [0]\n      mig-enabled: true\n      mig-devices: {1c.3g.20gb: 2}\n"), "c", a100,
			`compute instances smaller than their GPU instance are not made; ask for 3g.20gb`,
		},
		{
			"no MIG", body("    - devices: [0]\n      mig-enabled: true\n      mig-devices: {}\n"), "c", of(t, "t4"),
			`f:4: mig-configs["c"][0].devices: GPU 0: it cannot be divided: it has no MIG`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := Parse("f", []byte(c.file))
			if err != nil {
				t.Fatal(err)
			}
			made, err := f.Resolve(c.config, c.node.gpus)
			if err == nil || made != nil {
				t.Fatalf("it is taken as %v", made)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
	t.Run("unknown board", func(t *testing.T) {
		f, err := Parse("f", []byte(body("    - {device-filter: '0x20B010DE:0x134F10DE', devices: all, mig-enabled: false}\n")))
		if err != nil {
			t.Fatal(err)
		}
		gpus := []GPU{{UUID: "GPU-1", DeviceID: 0x20B010DE, Geometry: a100.gpus[0].Geometry}}
		if _, err := f.Resolve("c", gpus); err == nil || !strings.Contains(err.Error(), "what board it is on is not known") {
			t.Errorf("got %v", err)
		}
	})
}

// Every configuration that mig-parted ships either is reached on a card, or is for other cards and says so.
func TestShippedConfigurationsAreReached(t *testing.T) {
	f := load(t, "shipped.yaml")
	for card, name := range cards() {
		t.Run(card, func(t *testing.T) {
			n := shape(t, name)
			n.gpus, n.devices = n.gpus[:1], n.devices[:1]
			reached, untouched, refused := 0, 0, 0
			for _, c := range f.Names() {
				made, err := f.Resolve(c, n.gpus)
				target, mine := made[n.gpus[0].UUID]
				switch {
				case err != nil:
					refused++
					if !strings.Contains(err.Error(), "there is no profile") {
						t.Errorf("%s: %v", c, err)
					}
				case !mine:
					untouched++
				default:
					reached++
					n.reach(0, target)
				}
			}
			t.Logf("%d of %d reached, %d for other cards by their filter, %d by their profiles", reached, len(f.Names()), untouched, refused)
			if reached < 8 {
				t.Errorf("only %d are for this card", reached)
			}
		})
	}
}

// The names that are made from the hardware are mig-parted's, with its counts, and each is reached.
func TestNamed(t *testing.T) {
	for card, want := range map[string]string{
		"A30":          "1g.6gb:4 1g.6gb.me:1 2g.12gb:2 2g.12gb.me:1 4g.24gb:1 balanced:2 x 1g.6gb, 1 x 2g.12gb",
		"A100-40":      "1g.5gb:7 1g.5gb.me:1 1g.10gb:4 2g.10gb:3 3g.20gb:2 4g.20gb:1 7g.40gb:1 balanced:2 x 1g.5gb, 1 x 2g.10gb, 1 x 3g.20gb",
		"A100-80":      "1g.10gb:7 1g.10gb.me:1 1g.20gb:4 2g.20gb:3 3g.40gb:2 4g.40gb:1 7g.80gb:1 balanced:2 x 1g.10gb, 1 x 2g.20gb, 1 x 3g.40gb",
		"H100":         "1g.10gb:7 1g.10gb.me:1 1g.20gb:4 2g.20gb:3 3g.40gb:2 4g.40gb:1 7g.80gb:1 balanced:2 x 1g.10gb, 1 x 2g.20gb, 1 x 3g.40gb",
		"H200":         "1g.18gb:7 1g.18gb.me:1 1g.35gb:4 2g.35gb:3 3g.71gb:2 4g.71gb:1 7g.141gb:1 balanced:2 x 1g.18gb, 1 x 2g.35gb, 1 x 3g.71gb",
		"B200":         "1g.23gb:7 1g.23gb.me:1 1g.45gb:4 2g.45gb:3 3g.90gb:2 4g.90gb:1 7g.180gb:1 balanced:2 x 1g.23gb, 1 x 2g.45gb, 1 x 3g.90gb",
		"RTX PRO 6000": "1g.24gb:4 1g.24gb.gfx:4 1g.24gb.me:1 1g.24gb.me.all:1 1g.24gb-me:4 2g.48gb:2 2g.48gb.gfx:2 2g.48gb.me.all:1 2g.48gb-me:2 4g.96gb:1 4g.96gb.gfx:1 balanced:2 x 1g.24gb, 1 x 2g.48gb",
	} {
		t.Run(card, func(t *testing.T) {
			n := shape(t, cards()[card])
			f := Named(n.gpus)
			var got []string
			for _, name := range f.Names() {
				made, err := f.Resolve(name, n.gpus)
				if err != nil || len(made) != len(n.gpus) {
					t.Fatalf("%s: %v", name, err)
				}
				target := made[n.gpus[0].UUID]
				n.reach(0, target)
				switch {
				case name == "all-disabled" && target.String() == "MIG off", name == "all-enabled" && target.String() == "no instances":
				case name == "all-balanced":
					got = append(got, "balanced:"+target.String())
				case len(target.Counts) == 1:
					got = append(got, fmt.Sprintf("%s:%d", strings.TrimPrefix(name, "all-"), target.Counts[0].Count))
				default:
					t.Errorf("%s is %s", name, target)
				}
			}
			for _, w := range strings.Fields(strings.SplitAfter(want, "balanced:")[0]) {
				if !strings.HasSuffix(w, "balanced:") && !slices.Contains(got, w) {
					t.Errorf("%s is missing among %v", w, got)
				}
			}
			if last := got[len(got)-1]; !strings.HasSuffix(want, last) {
				t.Errorf("got %s, want %s", last, want)
			}
		})
	}
}

// On a node of several types each gets its own counts, and what is for one type leaves the others alone.
func TestNamedOnMixedNodes(t *testing.T) {
	n := of(t, "a100-80", "h100", "a100-40", "t4", "odd")
	f := Named(n.gpus)
	for name, want := range map[string]string{
		"all-disabled": "MIG off|MIG off|MIG off|-|MIG off",
		"all-1g.10gb":  "7 x 1g.10gb|7 x 1g.10gb|4 x 1g.10gb|-|-",
		"all-3g.20gb":  "-|-|2 x 3g.20gb|-|-",
	} {
		made, err := f.Resolve(name, n.gpus)
		if got := strings.Join(n.targets(made), "|"); err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", name, got, err, want)
		}
	}
	if e := f.find("all-1g.10gb").entries; len(e) != 2 || len(e[0].filters) != 2 || len(e[1].filters) != 1 {
		t.Errorf("want one entry for each count: %+v", e)
	}
	if e := Named(n.gpus[:1]).find("all-1g.10gb").entries; len(e) != 1 || e[0].filters != nil {
		t.Errorf("a node of one type needs no filter: %+v", e)
	}
	if names := Named(of(t, "t4").gpus).Names(); len(names) != 0 {
		t.Errorf("a node without MIG has %v", names)
	}
}

// A driver that says too much of a profile is not believed.
func TestNamedDoesNotBelieveTheDriver(t *testing.T) {
	n := of(t, "a30")
	g := n.gpus[0]
	for i := range g.Geometry.Profiles {
		g.Geometry.Profiles[i].Max = max(2, g.Geometry.Profiles[i].Max)
	}
	me, err := mig.ParseProfile("2g.12gb+me")
	if err != nil {
		t.Fatal(err)
	}
	made, err := Named([]GPU{g}).Resolve("all-2g.12gb.me", []GPU{g})
	if err != nil || made[g.UUID].Counts[0].Profile != me || made[g.UUID].Counts[0].Count != 1 {
		t.Errorf("got %v, %v", made, err)
	}
}

// A user's file goes before what is made from the hardware.
func TestMerge(t *testing.T) {
	n := of(t, "a100-40")
	f, err := Parse("f", []byte("version: v1\nmig-configs: {all-balanced: [{devices: all, mig-enabled: true, mig-devices: {7g.40gb: 1}}]}"))
	if err != nil {
		t.Fatal(err)
	}
	both := Merge(f, Named(n.gpus))
	for name, want := range map[string]string{"all-balanced": "1 x 7g.40gb", "all-2g.10gb": "3 x 2g.10gb"} {
		made, err := both.Resolve(name, n.gpus)
		if err != nil || made[n.gpus[0].UUID].String() != want {
			t.Errorf("%s: got %v, %v, want %s", name, made, err, want)
		}
	}
	if names := Merge(nil, nil).Names(); len(names) != 0 {
		t.Errorf("nothing and nothing make %v", names)
	}
}
