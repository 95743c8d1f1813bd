package parted

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each mistake is told with its line, its field and what would be right; several at once.
func TestParseTellsWhatIsWrong(t *testing.T) {
	const entry = "version: v1\nmig-configs:\n  c:\n"
	for name, c := range map[string]struct {
		file string
		want []string
	}{
		"empty":            {"", []string{"f: version: it is missing: a file begins with `version: v1`"}},
		"not YAML":         {"version: [", []string{"f:1: this is not YAML"}},
		"two documents":    {"version: v1\n---\nversion: v1\n", []string{"f:3: a second document begins here"}},
		"a list":           {"- version: v1\n", []string{"f:1: want keys and values, got a list"}},
		"no version":       {"mig-configs: {c: [{devices: all, mig-enabled: false}]}", []string{"f:1: version: it is missing; valid is v1"}},
		"other version":    {"version: v2\nmig-configs: {}\n", []string{`f:1: version: "v2" is not understood; valid is v1`}},
		"unknown at top":   {"version: v1\nmig-config: {}\n", []string{"f:1: mig-configs: it is missing", `f:2: mig-config: there is no such field; did you mean "mig-configs"? valid are version, mig-configs`}},
		"no configuration": {"version: v1\nmig-configs: {}\n", []string{"f:2: mig-configs: it is empty"}},
		"no entry":         {"version: v1\nmig-configs:\n  c: []\n", []string{`f:3: mig-configs["c"]: it is empty: want at least one entry`}},
		"no list":          {"version: v1\nmig-configs:\n  c: {devices: all}\n", []string{`f:3: mig-configs["c"]: want a list of entries, got keys and values`}},
		"nothing in entry": {entry + "    - {}\n", []string{`mig-configs["c"][0].devices: it is missing; valid are "all" and a list of indexes`, `mig-configs["c"][0].mig-enabled: it is missing; valid are true and false`}},
		"unknown field": {
			entry + "    - devices: all\n      mig-enabled: false\n      mig-device: {}\n",
			[]string{`f:6: mig-configs["c"][0].mig-device: there is no such field; did you mean "mig-devices"? valid are devices, device-filter, mig-enabled, mig-devices`},
		},
		"devices": {entry + "    - devices: some\n      mig-enabled: false\n", []string{`f:4: mig-configs["c"][0].devices: valid are "all" and a list of indexes such as [0, 1], got "some"`}},
		"index":   {entry + "    - devices: [0, -1, x]\n      mig-enabled: false\n", []string{`f:4: mig-configs["c"][0].devices[1]: valid are indexes`, `devices[2]: valid are indexes of GPUs from 0 on, got "x"`}},
		"enabled": {entry + "    - devices: all\n      mig-enabled: maybe\n", []string{`f:5: mig-configs["c"][0].mig-enabled: valid are true and false, got "maybe"`}},
		"enabled in quotes": {
			entry + "    - devices: all\n      mig-enabled: \"true\"\n      mig-devices: {}\n",
			[]string{`f:5: mig-configs["c"][0].mig-enabled: valid are true and false, got "true"`},
		},
		"nothing to make": {entry + "    - devices: all\n      mig-enabled: true\n", []string{`f:4: mig-configs["c"][0].mig-devices: it is missing where mig-enabled is true`}},
		"made while off":  {entry + "    - devices: all\n      mig-enabled: false\n      mig-devices: {1g.5gb: 1}\n", []string{`f:6: mig-configs["c"][0].mig-devices: it names instances where mig-enabled is false`}},
		"profile":         {entry + "    - devices: all\n      mig-enabled: true\n      mig-devices:\n        1g5gb: 7\n", []string{`f:7: mig-configs["c"][0].mig-devices["1g5gb"]: "1g5gb" is not a MIG profile name`}},
		"count":           {entry + "    - devices: all\n      mig-enabled: true\n      mig-devices:\n        1g.5gb: -1\n        2g.10gb: many\n", []string{`f:7: mig-configs["c"][0].mig-devices["1g.5gb"]: valid are counts from 0 on, got -1`, `f:8: mig-configs["c"][0].mig-devices["2g.10gb"]: valid are counts from 0 on, got "many"`}},
		"all counts zero": {entry + "    - devices: all\n      mig-enabled: true\n      mig-devices: {1g.5gb: 0, 2g.10gb: 0}\n", []string{`f:6: mig-configs["c"][0].mig-devices: all counts are 0`}},
		"filter":          {entry + "    - device-filter: [\"0x20B010DE\", A100]\n      devices: all\n      mig-enabled: false\n", []string{`f:4: mig-configs["c"][0].device-filter[1]: "A100" is no PCI device; valid is 0x<device><vendor>`}},
		"unquoted filter": {entry + "    - device-filter: 0x20B010DE\n      devices: all\n      mig-enabled: false\n", []string{`f:4: mig-configs["c"][0].device-filter: want a text in quotes`}},
		"twice":           {"version: v1\nmig-configs:\n  c: [{devices: all, mig-enabled: false}]\n  c: [{devices: all, mig-enabled: false}]\n", []string{`f:4: mig-configs: "c" is there twice, the first time in line 3`}},
		"several at once": {
			entry + "    - devices: none\n      mig-enabled: 7\n  d: []\n",
			[]string{`f:4: mig-configs["c"][0].devices`, `f:5: mig-configs["c"][0].mig-enabled`, `f:6: mig-configs["d"]`},
		},
		"endless alias": {"version: v1\nmig-configs:\n  c: &c\n    - *c\n", []string{`f:4: mig-configs["c"][0]: want keys and values, got a list`}},
		"endless merge": {"version: v1\nmig-configs:\n  c:\n    - &c\n      <<: *c\n      devices: all\n      mig-enabled: false\n", []string{"the file holds more than"}},
		"nested deep":   {"version: v1\nmig-configs: " + strings.Repeat("[", 100), []string{"nests more than"}},
		"listed deep":   {strings.Repeat("- ", 100_000), []string{"nests more than"}},
		"large":         {"version: v1\n#" + strings.Repeat("x", MaxFile), []string{"the file has more than 256 KiB"}},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := Parse("f", []byte(c.file))
			var all ProblemsError
			if f != nil || !errors.As(err, &all) {
				t.Fatalf("got %v, %v", f, err)
			}
			rest := err.Error()
			for _, w := range c.want {
				_, after, found := strings.Cut(rest, w)
				if !found {
					t.Fatalf("got:\n%v\nwithout, or not in this order: %s", err, w)
				}
				rest = after
			}
			if len(all) != len(c.want) {
				t.Errorf("want %d problems:\n%v", len(c.want), err)
			}
		})
	}
}

// What YAML has for people who repeat themselves works as in mig-parted.
func TestParseFollowsAnchors(t *testing.T) {
	f, err := Parse("f", []byte(`
version: v1
mig-configs:
  a:
    - &base {devices: all, mig-enabled: true, mig-devices: {1g.5gb: 7}}
  b:
    - <<: *base
      devices: [1]
`))
	if err != nil {
		t.Fatal(err)
	}
	if e := f.find("b").entries[0]; e.all || len(e.indexes) != 1 || !e.enabled || len(e.counts) != 1 || e.counts[0].n != 7 {
		t.Errorf("got %+v", e)
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatal(err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("version: v1\nmig-configs: {a: &a [{devices: [0], mig-enabled: yes, mig-devices: {1c.3g.20gb+me: 2}}], b: *a}"))
	f.Add([]byte("version: v1\nmig-configs:\n  a:\n  - <<: [&x {devices: all}, {mig-enabled: false}]\n    device-filter: '0x20B710DE:0x1'\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse("f", data)
		if err != nil {
			var all ProblemsError
			if file != nil || !errors.As(err, &all) || len(all) == 0 || len(all) > maxProblems+1 {
				t.Fatalf("got %v, %v", file, err)
			}
			return
		}
		if len(file.Names()) == 0 {
			t.Fatal("a file without a configuration is right")
		}
		for _, c := range file.configs {
			for _, e := range c.entries {
				if e.line < 1 || len(e.counts) > 0 && !e.enabled || !e.all && len(e.indexes) == 0 && len(e.counts) > 1000 {
					t.Fatalf("entry %+v", e)
				}
			}
			// It never panics, whatever is asked of a GPU without MIG.
			_, _ = file.Resolve(c.name, []GPU{{UUID: "GPU-0"}})
		}
	})
}
