package expose_test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

func gather(t testing.TB, g prometheus.Gatherer) []*dto.MetricFamily {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}

func encode(t testing.TB, w io.Writer, format expfmt.Format, families []*dto.MetricFamily) {
	t.Helper()
	e := expfmt.NewEncoder(w, format)
	for _, f := range families {
		if err := e.Encode(f); err != nil {
			t.Fatal(err)
		}
	}
	if c, ok := e.(expfmt.Closer); ok {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func text(t testing.TB, families []*dto.MetricFamily) string {
	t.Helper()
	var b strings.Builder
	encode(t, &b, expfmt.NewFormat(expfmt.TypeTextPlain), families)
	return b.String()
}

// parse reads a page as Prometheus does.
func parse(t fatal, page string) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	parsed, err := parser.TextToMetricFamilies(strings.NewReader(page))
	if err != nil {
		t.Fatalf("%v in:\n%s", err, page)
	}
	return parsed
}

// fatal is what testing and rapid have in common.
type fatal interface {
	Helper()
	Fatalf(format string, args ...any)
}

// series lists the page's series of a family as `{labels} value`, sorted, after a way through text and back.
func series(t testing.TB, families []*dto.MetricFamily, name string) (out []string) {
	t.Helper()
	f := parse(t, text(t, families))[name]
	if f == nil {
		return nil
	}
	for line := range strings.Lines(text(t, []*dto.MetricFamily{f})) {
		if !strings.HasPrefix(line, "#") {
			out = append(out, strings.TrimSpace(strings.TrimPrefix(line, name)))
		}
	}
	sort.Strings(out)
	return out
}

// find lists the series of a family whose labels have the given values, as values.
func find(t testing.TB, families []*dto.MetricFamily, name string, labels map[string]string) (out []float64) {
	t.Helper()
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.Metric {
			if has(m, labels) {
				out = append(out, m.GetGauge().GetValue()+m.GetCounter().GetValue())
			}
		}
	}
	return out
}

func has(m *dto.Metric, labels map[string]string) bool {
	got := map[string]string{}
	for _, l := range m.Label {
		got[l.GetName()] = l.GetValue()
	}
	for name, value := range labels {
		if v, ok := got[name]; v != value || !ok && value != "" {
			return false
		}
	}
	return true
}

// promtool runs Debian's promtool, or skips.
func promtool(t *testing.T, stdin []byte, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed: apt-get install prometheus")
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// openMetrics reads the page with Prometheus's own OpenMetrics parser.
func openMetrics(t *testing.T, families []*dto.MetricFamily) {
	t.Helper()
	var page bytes.Buffer
	encode(t, &page, expfmt.NewFormat(expfmt.TypeOpenMetrics), families)
	var stamped bytes.Buffer // promtool wants times, a page has none
	for line := range strings.Lines(page.String()) {
		if !strings.HasPrefix(line, "#") {
			line = strings.TrimSuffix(line, "\n") + " 1\n"
		}
		stamped.WriteString(line)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "page")
	if err := os.WriteFile(file, stamped.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, nil, "tsdb", "create-blocks-from", "openmetrics", file, filepath.Join(dir, "blocks"))
}
