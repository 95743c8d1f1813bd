package monitoring_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/gpulet/gpulet/deployments/monitoring"
)

// boardRules writes the boards' queries as recording rules, which promtool can check.
func boardRules(t *testing.T) string {
	t.Helper()
	type record struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	var rules []record
	for i, e := range monitoring.Expressions(nil) {
		rules = append(rules, record{fmt.Sprintf("board:query:%d", i), e.Query})
	}
	return write(t, "boards.yaml", map[string]any{"groups": []any{map[string]any{"name": "boards", "rules": rules}}})
}

// withoutDiscovery writes scrape.yaml with a fixed target.
func withoutDiscovery(t *testing.T) string {
	t.Helper()
	var config map[string]any
	load(t, "scrape.yaml", &config)
	for _, job := range config["scrape_configs"].([]any) {
		job := job.(map[string]any)
		delete(job, "kubernetes_sd_configs")
		job["static_configs"] = []any{map[string]any{"targets": []string{"localhost:9400"}}}
	}
	return write(t, "scrape.yaml", config)
}

func write(t *testing.T, name string, value any) string {
	t.Helper()
	data, err := yaml.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// relabel is a step of Prometheus' relabelling, in the spelling of either file.
type relabel struct {
	Regex, Action string
	TargetLabel   string
	Underscored   string `json:"target_label"`
}

// In both ways of scraping the target's own pod labels go, last of all, and the node's name comes.
func TestScrapingKeepsTheWorkloadsLabels(t *testing.T) {
	var scrape struct {
		ScrapeConfigs []struct {
			JobName        string    `json:"job_name"`
			HonorLabels    bool      `json:"honor_labels"`
			RelabelConfigs []relabel `json:"relabel_configs"`
		} `json:"scrape_configs"`
	}
	load(t, "scrape.yaml", &scrape)
	var monitor struct {
		Spec struct {
			PodMetricsEndpoints []struct {
				Port        string
				Relabelings []relabel
			}
		}
	}
	load(t, "podmonitor.yaml", &monitor)
	if len(scrape.ScrapeConfigs) != 1 || len(monitor.Spec.PodMetricsEndpoints) != 1 || scrape.ScrapeConfigs[0].JobName != "gpulet" {
		t.Fatalf("%+v %+v", scrape, monitor)
	}
	for name, steps := range map[string][]relabel{
		"scrape.yaml": scrape.ScrapeConfigs[0].RelabelConfigs, "podmonitor.yaml": monitor.Spec.PodMetricsEndpoints[0].Relabelings,
	} {
		if last := steps[len(steps)-1]; last.Action != "labeldrop" || last.Regex != "pod|namespace|container" {
			t.Errorf("%s ends with %+v", name, last)
		}
		if !slices.ContainsFunc(steps, func(r relabel) bool { return r.TargetLabel == "node" || r.Underscored == "node" }) {
			t.Errorf("%s does not set the node", name)
		}
	}
}
