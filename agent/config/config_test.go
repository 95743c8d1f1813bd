package config

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gpulet/gpulet/deviceplugin"
	"github.com/gpulet/gpulet/exporter"
	"github.com/gpulet/gpulet/exporter/expose"
	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/partitioner"
	"github.com/gpulet/gpulet/partitioner/plan"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("%s differs; with -update it is written anew:\n%s", path, got)
	}
}

// Everything that is wrong is told at once, with line, column, key and what would be right.
func TestErrors(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if filepath.Base(file) == "full.yaml" {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Sources{}.Resolve(filepath.Base(file), data)
			var problems ProblemsError
			if !errors.As(err, &problems) {
				t.Fatalf("got %v", err)
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".golden", []byte(err.Error()+"\n"))
		})
	}
}

func full(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Each key of the file reaches the value that the agent runs with.
func TestFull(t *testing.T) {
	r, err := Sources{}.Resolve("full.yaml", full(t))
	if err != nil {
		t.Fatal(err)
	}
	four := deviceplugin.Sharing{Replicas: 4, Rename: "nvidia.com/gpu.shared", One: true}
	first := gpu.Selector{Models: []string{"*a100*"}, Indexes: []int{0, 1}}
	want := deviceplugin.Settings{
		Strategy:    deviceplugin.StrategySingle,
		Deliveries:  []deviceplugin.Delivery{deviceplugin.EnvVar, deviceplugin.CDIAnnotations},
		DeviceSpecs: true, IndexIDs: true, Policy: deviceplugin.Spread, Ignore: []string{"nvidia-persistenced"},
		Rules: []deviceplugin.Rule{
			{Match: first, Sharing: map[string]deviceplugin.Sharing{"nvidia.com/gpu": four, "*": four}},
			{
				Match:   gpu.Selector{UUIDs: []gpu.UUID{"GPU-5c0e8a7e-0e6b-4d5c-9b1f-2a3c4d5e6f70"}, PCI: []gpu.PCIAddress{"0000:0a:00.0"}},
				Names:   map[string]string{"nvidia.com/mig-1g.10gb.me": "example.com/small"},
				Sharing: map[string]deviceplugin.Sharing{"example.com/small": {Replicas: 2}},
			},
			{Match: first, Exclude: true},
			{Match: gpu.Selector{Indexes: []int{2}}},
			{Match: gpu.Selector{Indexes: []int{3}}},
			{Match: gpu.Selector{Indexes: []int{4}}},
		},
	}
	if !reflect.DeepEqual(r.Config.Plugin, want) {
		t.Errorf("got  %+v\nwant %+v", r.Config.Plugin, want)
	}
	health := Health{Interval: time.Second, Quarantine: time.Minute, CleanProbes: 5, IgnoreXIDs: []uint64{94}, FatalXIDs: []uint64{63, 64}}
	if !reflect.DeepEqual(r.Config.Health, health) {
		t.Errorf("got  %+v\nwant %+v", r.Config.Health, health)
	}
	metrics := Metrics{Collectors: "/etc/gpulet/counters.csv", Settings: exporter.Settings{
		Source: exporter.OnlyDCGM, Fast: 500 * time.Millisecond, IdleBelow: 0.1, CapacityType: "spot",
		Expose: expose.Options{Profile: family.Both, Hostname: expose.BothHostnames, OldNamespace: true, Repeat: true},
		DCGM:   exporter.DCGM{Host: "tcp://localhost:5555", Library: "/opt/dcgm/libdcgm.so.4", Memory: 256 << 20},
		Prices: []exporter.Price{
			{Model: "*A100*", DollarsPerHour: 4.1},
			{Model: "*A100*", Profile: "1g.*", CapacityType: "spot", DollarsPerHour: 1},
		},
	}}
	if !reflect.DeepEqual(r.Config.Metrics, metrics) {
		t.Errorf("got  %+v\nwant %+v", r.Config.Metrics, metrics)
	}
	partition := partitioner.Settings{
		Rules: []partitioner.Rule{
			{Match: first, Mode: partitioner.Keep},
			{Match: want.Rules[1].Match, Mode: partitioner.Keep},
			{Match: first, Mode: partitioner.Keep},
			{Match: gpu.Selector{Indexes: []int{2}}, Mode: partitioner.Whole},
			{Match: gpu.Selector{Indexes: []int{3}}, Mode: partitioner.Keep, Layout: counts("3g.40gb", 1, "1g.10gb+me", 1)},
			{Match: gpu.Selector{Indexes: []int{4}}, Mode: partitioner.Keep, Named: "all-balanced"},
		},
		Policy: plan.Policy{
			Allowed:   []mig.Profile{profile("1g.10gb"), profile("1g.10gb+me")},
			KeepWhole: 2, Spares: counts("1g.10gb", 3), Weights: counts("3g.40gb", 5, "1g.10gb", 0),
		},
		CommonSpares: 2, IdleTTL: 90 * time.Second, ModeCooldown: time.Hour, AgedAfter: 10 * time.Minute,
		AllowReset: true, Evict: true, DryRun: true, Namespace: "gpus", Label: true, PartedFile: "/etc/gpulet/mig-parted.yaml",
	}
	if !reflect.DeepEqual(r.Config.Partition, partition) {
		t.Errorf("got  %+v\nwant %+v", r.Config.Partition, partition)
	}
	var b bytes.Buffer
	if err := Explain(&b, r.Lines); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/explain.golden", b.Bytes())
}

// A flag wins over the environment, that over the file, that over the default.
func TestPrecedence(t *testing.T) {
	env := func(vars map[string]string) func(string) (string, bool) {
		return func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
	}
	file := "version: " + Version + "\nmigStrategy: none\n"
	for _, c := range []struct {
		name  string
		s     Sources
		file  string
		want  deviceplugin.Strategy
		where string
	}{
		{"default", Sources{}, "version: " + Version, "mixed", "default"},
		{"file", Sources{}, file, "none", "f.yaml:2:1"},
		{"env", Sources{Env: env(map[string]string{"GPULET_MIG_STRATEGY": "single"})}, file, "single", "environment GPULET_MIG_STRATEGY"},
		{"empty env", Sources{Env: env(map[string]string{"GPULET_MIG_STRATEGY": ""})}, file, "none", "f.yaml:2:1"},
		{
			"flag",
			Sources{Env: env(map[string]string{"GPULET_MIG_STRATEGY": "single"}), Flags: map[string]string{"mig-strategy": "mixed"}},
			file, "mixed", "flag --mig-strategy",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := c.s.Resolve("f.yaml", []byte(c.file))
			if err != nil {
				t.Fatal(err)
			}
			if r.Config.Plugin.Strategy != c.want {
				t.Errorf("got %s, want %s", r.Config.Plugin.Strategy, c.want)
			}
			for _, l := range r.Lines {
				if l.Path == "migStrategy" && l.Origin.String() != c.where {
					t.Errorf("it says that it comes from %s, want %s", l.Origin, c.where)
				}
			}
		})
	}
	_, err := Sources{Env: env(map[string]string{"GPULET_MIG_STRATEGY": "mixt"}), Flags: map[string]string{"state-dir": "here", "health-clean-probes": "x"}}.resolve("", nil)
	want := `environment GPULET_MIG_STRATEGY: "mixt" is not valid: did you mean "mixed"?
flag --health-clean-probes: "x": want a whole number
flag --state-dir: "here": want an absolute path`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// Defaults pass their own checks, and nothing is named twice.
func TestTable(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range Settings() {
		for _, name := range []string{"key " + s.Key, "flag " + s.Flag, "env " + s.Env()} {
			if seen[name] && !strings.HasSuffix(name, " ") {
				t.Errorf("%s is there twice", name)
			}
			seen[name] = true
		}
		if s.About == "" {
			t.Errorf("%s %s has no description", s.Key, s.Flag)
		}
		if s.Kind == Group {
			continue
		}
		for _, v := range s.split(s.Default) {
			if err := s.check(v); err != nil && !s.Required && s.Flag != "" {
				t.Errorf("the default of %s %s: %v", s.Key, s.Flag, err)
			}
		}
	}
}

// The documentation is what the table says.
func TestMarkdown(t *testing.T) {
	var b bytes.Buffer
	if err := Markdown(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "../../docs/configuration.md", b.Bytes())
	_, doc, _ := strings.Cut(example, "```yaml\n")
	doc, _, _ = strings.Cut(doc, "```")
	if _, err := (Sources{}).Resolve("example", []byte(doc)); err != nil {
		t.Errorf("the example in the documentation is wrong: %v", err)
	}
}

// A file of the settings in force gives the same settings.
func TestFile(t *testing.T) {
	r, err := Sources{}.Resolve("full.yaml", full(t))
	if err != nil {
		t.Fatal(err)
	}
	same(t, r)
}

func same(t *testing.T, r Resolved) {
	t.Helper()
	data, err := r.File()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Sources{}.Resolve("again", data)
	if err != nil {
		t.Fatalf("what was written is wrong: %v\n%s", err, data)
	}
	if !reflect.DeepEqual(again.Config, r.Config) {
		t.Fatalf("got  %+v\nwant %+v\n%s", again.Config, r.Config, data)
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Sources{}.Resolve("f", data)
		if err == nil {
			same(t, r)
			return
		}
		var problems ProblemsError
		if !errors.As(err, &problems) || len(problems) == 0 {
			t.Fatalf("not told as problems: %v", err)
		}
		for _, p := range problems {
			if p.Origin.Line < 1 || p.Origin.Column < 1 || p.Text == "" {
				t.Fatalf("without a place or a text: %+v", p)
			}
		}
	})
}

func stairs() string {
	var b strings.Builder
	for i := 0; b.Len() < MaxFile-1000; i++ {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

// Files made to break the reader are refused, in reasonable time.
func TestHostile(t *testing.T) {
	bomb := "version: " + Version + "\nignoreProcesses: &a [" + strings.Repeat("a,", 5_000) + "a]\ngpus:\n" +
		strings.Repeat("  - match: {models: *a}\n", 100)
	for name, data := range map[string]string{
		"deep lists": strings.Repeat("[", MaxFile), "deep maps": strings.Repeat("{a: ", MaxFile/4), "deep dashes": strings.Repeat("- ", MaxFile/2-2),
		"deep questions": strings.Repeat("? ", MaxFile/2-2), "deep tags": strings.Repeat("!a ", MaxFile/3-2), "deep anchors": strings.Repeat("&a ", MaxFile/3-2),
		"deep colons": strings.Repeat("a: ", MaxFile/3-2), "deep bracket lines": strings.Repeat("[\n", MaxFile/2-2), "stairs": stairs(),
		"long": strings.Repeat("a", MaxFile+1), "aliases": bomb, "anchors": strings.Repeat("&a ", 1000),
		"many problems": strings.Repeat("x: 1\n", 10_000),
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			if _, err := (Sources{}).Resolve("f", []byte(data)); err == nil {
				t.Error("it was accepted")
			} else if len(err.Error()) > 100_000 {
				t.Errorf("an error of %d characters", len(err.Error()))
			}
			if took := time.Since(began); took > time.Minute { // what blows up takes hours
				t.Errorf("it took %s", took)
			}
		})
	}
}
