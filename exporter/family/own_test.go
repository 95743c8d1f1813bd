package family_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/gpulet/gpulet/exporter/family"
)

// Own families follow Prometheus's rules for names, units and help.
func TestOwnFamiliesLint(t *testing.T) {
	registry := prometheus.NewRegistry()
	for _, o := range family.OwnFamilies() {
		values := slices.Repeat([]string{"x"}, len(o.Labels))
		desc := prometheus.NewDesc(o.Name, o.Help, o.Labels, nil)
		var m prometheus.Metric
		switch o.Type {
		case family.Counter:
			m = prometheus.MustNewConstMetric(desc, prometheus.CounterValue, 1, values...)
		case family.Gauge:
			m = prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, 1, values...)
		case family.Histogram:
			m = prometheus.MustNewConstHistogram(desc, 1, 1, map[float64]uint64{1: 1}, values...)
		default:
			t.Fatalf("%s has the type %q", o.Name, o.Type)
		}
		if err := registry.Register(one{m}); err != nil {
			t.Errorf("%s: %v", o.Name, err)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if len(families) != len(family.OwnFamilies()) {
		t.Errorf("%d families gathered, want %d", len(families), len(family.OwnFamilies()))
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	for _, o := range family.OwnFamilies() {
		if o.Unit != "" && !strings.HasSuffix(strings.TrimSuffix(o.Name, "_total"), "_"+o.Unit) {
			t.Errorf("%s does not end in its unit %s", o.Name, o.Unit)
		}
		if o.From == "" {
			t.Errorf("%s does not say what it is made of", o.Name)
		}
	}
}

type one struct{ prometheus.Metric }

func (o one) Describe(c chan<- *prometheus.Desc) { c <- o.Desc() }
func (o one) Collect(c chan<- prometheus.Metric) { c <- o.Metric }
