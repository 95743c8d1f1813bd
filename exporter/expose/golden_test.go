package expose_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"github.com/gpulet/gpulet/exporter/expose"
	"github.com/gpulet/gpulet/exporter/family"
)

var update = flag.Bool("update", false, "write the golden files")

func own(f *dto.MetricFamily) bool    { return strings.HasPrefix(f.GetName(), "gpu_") }
func notOwn(f *dto.MetricFamily) bool { return !own(f) }

// A scrape looks as it did before, in each profile: dashboards and rules go by it.
func TestGolden(t *testing.T) {
	set, classic := example()
	later, both, old, repeat := classic, classic, classic, classic
	later.Profile = family.DCGM47
	both.Profile, both.DriverLabel = family.Both, false
	pages := 0
	old.OldNamespace, old.Hostname, old.Synthesize = true, expose.BothHostnames, false
	repeat.Repeat, repeat.Hostname = true, expose.LowerHostname
	for _, c := range []struct {
		name    string
		options expose.Options
		without func(*dto.MetricFamily) bool
	}{
		{"classic", classic, own},
		{"dcgm47", later, own},
		{"both", both, own},
		{"old-namespace", old, own},
		{"repeat", repeat, own},
		{"own", classic, notOwn},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := text(t, slices.DeleteFunc(gather(t, gatherer(set, c.options)), c.without))
			file := filepath.Join("testdata", c.name+".prom")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			missing, added := lines(string(want), got), lines(got, string(want))
			if got != string(want) {
				t.Errorf("the page differs from %s (-update writes it anew); missing:\n%s\nadded:\n%s", file, missing, added)
			}
			pages++
		})
	}
	if !t.Failed() {
		fmt.Printf("PROOF 3.1b: %d golden pages: classic, dcgm47, both, the old namespace with both hostnames, repeated values, and the own families\n", pages)
	}
}

// lines are those of a that b does not have.
func lines(a, b string) string {
	in := strings.Split(b, "\n")
	return strings.Join(slices.DeleteFunc(strings.Split(a, "\n"), func(line string) bool { return slices.Contains(in, line) }), "\n")
}

// The table is the one list of gpulet's own families: all of them are on a page that has everything, with its labels and type.
func TestOwnFamiliesAreThoseOfTheTable(t *testing.T) {
	set, options := example()
	table := map[string]family.Own{}
	for _, o := range family.OwnFamilies() {
		table[o.Name] = o
	}
	for _, f := range slices.DeleteFunc(gather(t, gatherer(set, options)), notOwn) {
		o, ok := table[f.GetName()]
		if !ok {
			t.Errorf("%s is not in the table", f.GetName())
			continue
		}
		delete(table, f.GetName())
		if strings.ToLower(f.GetType().String()) != string(o.Type) || f.GetHelp() != o.Help {
			t.Errorf("%s is a %s, %q", f.GetName(), f.GetType(), f.GetHelp())
		}
		want := slices.Sorted(slices.Values(o.Labels))
		for _, m := range f.Metric {
			var names []string
			for _, l := range m.Label {
				names = append(names, l.GetName())
			}
			if !slices.Equal(names, want) {
				t.Errorf("%s has the labels %v, the table says %v", f.GetName(), names, want)
			}
		}
	}
	if len(table) > 0 {
		t.Errorf("not on the page: %v", slices.Sorted(maps.Keys(table)))
	}
}

// Linters of Prometheus find nothing in gpulet's own families.
func TestOwnFamiliesLint(t *testing.T) {
	set, options := example()
	families := slices.DeleteFunc(gather(t, gatherer(set, options)), notOwn)
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil || len(problems) > 0 {
		t.Error(err, problems)
	}
	if out := promtool(t, []byte(text(t, families)), "check", "metrics"); out != "" {
		t.Error(out)
	}
}

// Every field of the table can be exported under both names at once, in both formats.
func TestWholeTableParses(t *testing.T) {
	var fields []family.Selected
	for _, f := range family.Table() {
		fields = append(fields, family.Selected{Family: f, Type: f.Type, Help: f.Help})
	}
	set := newSet(fields, a100(0), a100(1, "7g.80gb"))
	o := options(fields)
	o.Profile = family.Both
	families := gather(t, gatherer(set, o))
	seen := map[string]string{}
	for _, f := range families {
		name := f.GetName() // OpenMetrics knows a counter without its ending
		if f.GetType() == dto.MetricType_COUNTER {
			name = strings.TrimSuffix(name, "_total")
		}
		if other, ok := seen[name]; ok {
			t.Errorf("%s and %s are one family in OpenMetrics", f.GetName(), other)
		}
		seen[name] = f.GetName()
	}
	if got := series(t, families, "DCGM_FI_DEV_SM_CLOCK_HERTZ"); len(got) != 2 {
		t.Errorf("clocks: %q", got)
	}
	openMetrics(t, families)
}
