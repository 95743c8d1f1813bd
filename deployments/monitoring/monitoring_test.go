package monitoring_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/gpulet/gpulet/deployments/monitoring"
	"github.com/gpulet/gpulet/exporter/family"
)

// everything is a query of a dashboard, a rule or the adapter, with where it is.
func everything(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, e := range monitoring.Expressions(nil) {
		out[e.Board+"/"+e.Panel] += "\n" + e.Query
	}
	for _, r := range rules(t) {
		out["rules/"+r.Record+r.Alert] += "\n" + r.Expr
	}
	var adapter struct {
		Rules struct {
			Custom []struct {
				SeriesQuery, MetricsQuery string
				Name                      struct{ As string }
			}
		}
	}
	load(t, "adapter.yaml", &adapter)
	for _, r := range adapter.Rules.Custom {
		if !strings.HasPrefix(r.SeriesQuery, r.Name.As+"{") || !strings.Contains(r.MetricsQuery, "<<.GroupBy>>") {
			t.Errorf("the adapter's rule for %q is %+v", r.Name.As, r)
		}
		out["adapter/"+r.Name.As] += "\n" + r.SeriesQuery
	}
	return out
}

type rule struct{ Record, Alert, Expr string }

func rules(t *testing.T) []rule {
	t.Helper()
	var file struct{ Groups []struct{ Rules []rule } }
	load(t, "rules.yaml", &file)
	var out []rule
	for _, g := range file.Groups {
		out = append(out, g.Rules...)
	}
	return out
}

func load(t *testing.T, name string, into any) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// Each metric and label that a query names is one that gpulet has.
func TestQueriesNameWhatExists(t *testing.T) {
	metrics := map[string]bool{"up": true}
	labels := map[string]bool{ // of DCGM's families, of the scrape, and what Prometheus makes of a clash
		"gpu": true, "UUID": true, "GPU_I_PROFILE": true, "GPU_I_ID": true, "Hostname": true, "namespace": true, "pod": true, "container": true,
		"instance": true, "job": true, "node": true, "exported_pod": true,
	}
	for _, f := range family.Table() {
		metrics[f.Classic] = true
	}
	for _, o := range family.OwnFamilies() {
		metrics[o.Name] = true
		for _, l := range o.Labels {
			labels[l] = true
		}
	}
	for _, r := range rules(t) {
		metrics[r.Record] = r.Record != ""
	}
	metric := regexp.MustCompile(`\b(?:DCGM_\w+|(?:gpu|namespace|namespace_pod)[_:][\w:]+|up)\b`)
	matcher := regexp.MustCompile(`[{,]\s*(\w+)\s*(?:=~|!~|!=|=)`)
	grouping := regexp.MustCompile(`\b(?:by|on|group_left|without|ignoring)\s*\(([^)]*)\)`)
	for where, query := range everything(t) {
		bare := grouping.ReplaceAllString(regexp.MustCompile(`"[^"]*"`).ReplaceAllString(query, `""`), "")
		found := metric.FindAllString(regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(bare, ""), -1)
		if len(found) == 0 {
			t.Errorf("%s names no metric: %s", where, query)
		}
		for _, m := range found {
			if !metrics[m] {
				t.Errorf("%s names %s, which is not in the table", where, m)
			}
		}
		var named []string
		for _, m := range matcher.FindAllStringSubmatch(query, -1) {
			named = append(named, m[1])
		}
		for _, m := range grouping.FindAllStringSubmatch(query, -1) {
			named = append(named, strings.FieldsFunc(m[1], func(r rune) bool { return r == ',' || r == ' ' })...)
		}
		for _, l := range named {
			if !labels[l] {
				t.Errorf("%s names the label %s, which no family has", where, l)
			}
		}
	}
}

// What is said of a device sums up the pods that share it: a bare query of these two would speak of one pod.
func TestDeviceRulesSumOverPods(t *testing.T) {
	shared := regexp.MustCompile(`DCGM_FI_DEV_(?:GPU_UTIL|FB_USED)\b`)
	for _, r := range rules(t) {
		bare := regexp.MustCompile(`sum by \(Hostname, gpu, UUID, GPU_I_ID\) \(DCGM_FI_DEV_(?:GPU_UTIL|FB_USED)\)`).ReplaceAllString(r.Expr, "")
		if r.Alert != "GPUPodLabelsShadowed" && shared.MatchString(bare) {
			t.Errorf("%s%s does not sum over pods: %s", r.Record, r.Alert, r.Expr)
		}
	}
}

// The board of GPUs asks what NVIDIA's dashboard 12239 asks, so that who knows that one finds the same.
func TestGPUBoardIsThatOf12239(t *testing.T) {
	var got []string
	for _, e := range monitoring.Expressions(map[string]string{"instance": "I", "gpu": "G"}) {
		if e.Board == "gpulet-gpus" {
			got = append(got, strings.ReplaceAll(e.Query, `{instance=~"I", gpu=~"G"}`, ""))
		}
	}
	want := []string{
		"group by (instance) (DCGM_FI_DEV_GPU_TEMP)", "group by (gpu) (DCGM_FI_DEV_GPU_TEMP)",
		"DCGM_FI_DEV_GPU_TEMP", "avg(DCGM_FI_DEV_GPU_TEMP)", "DCGM_FI_DEV_POWER_USAGE", "sum(DCGM_FI_DEV_POWER_USAGE)",
		"DCGM_FI_DEV_SM_CLOCK * 1000000", "DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "DCGM_FI_DEV_FB_USED",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// Grafana takes the boards: they parse, panels neither overlap nor share an id, and each asks something.
func TestBoards(t *testing.T) {
	names, err := fs.Glob(monitoring.Files, "dashboards/*.json")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	uids := map[string]bool{}
	for _, name := range names {
		data, err := fs.ReadFile(monitoring.Files, name)
		if err != nil {
			t.Fatal(err)
		}
		var b struct {
			UID, Title    string
			SchemaVersion int
			Panels        []struct {
				ID          int
				Title, Type string
				GridPos     struct{ X, Y, W, H int }
				Targets     []struct{ Expr string }
			}
		}
		if err := json.Unmarshal(data, &b); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if b.UID == "" || b.Title == "" || b.SchemaVersion == 0 || uids[b.UID] {
			t.Errorf("%s: uid %q, title %q, schema %d", name, b.UID, b.Title, b.SchemaVersion)
		}
		uids[b.UID] = true
		ids, cells := map[int]bool{}, map[[2]int]string{}
		for _, p := range b.Panels {
			if ids[p.ID] || p.Title == "" || p.Type == "" || len(p.Targets) == 0 || p.GridPos.X+p.GridPos.W > 24 {
				t.Errorf("%s: panel %+v", name, p)
			}
			ids[p.ID] = true
			for x := range p.GridPos.W {
				for y := range p.GridPos.H {
					at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
					if other, taken := cells[at]; taken {
						t.Fatalf("%s: %q lies over %q", name, p.Title, other)
					}
					cells[at] = p.Title
				}
			}
		}
	}
}

// No variable of Grafana stays in a query.
func TestExpressionsAreFilled(t *testing.T) {
	for _, e := range monitoring.Expressions(map[string]string{"namespace": "team-[ab]"}) {
		if strings.ContainsAny(e.Query, "$") {
			t.Errorf("%s/%s: %s", e.Board, e.Panel, e.Query)
		}
		if strings.Contains(e.Query, "namespace=~") && !strings.Contains(e.Query, `namespace=~"team-[ab]"`) {
			t.Errorf("%s/%s has another namespace: %s", e.Board, e.Panel, e.Query)
		}
	}
}

// Each alert says how bad it is and what to do, and has a test.
func TestAlertsAreTested(t *testing.T) {
	var tests struct {
		Tests []struct {
			AlertRuleTest []struct {
				Alertname string
				ExpAlerts []any `json:"exp_alerts"`
			} `json:"alert_rule_test"`
			PromqlExprTest []struct{ Expr string } `json:"promql_expr_test"`
		}
	}
	load(t, "testdata/rules_test.yaml", &tests)
	fires, silent, recorded := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, c := range tests.Tests {
		for _, a := range c.AlertRuleTest {
			fires[a.Alertname] = fires[a.Alertname] || len(a.ExpAlerts) > 0
			silent[a.Alertname] = silent[a.Alertname] || len(a.ExpAlerts) == 0
		}
		for _, e := range c.PromqlExprTest {
			recorded[e.Expr] = true
		}
	}
	for _, r := range rules(t) {
		if r.Alert != "" && (!fires[r.Alert] || !silent[r.Alert]) {
			t.Errorf("%s is not tested both to fire and to keep silent", r.Alert)
		}
		if r.Record != "" && !recorded[r.Record] {
			t.Errorf("%s is not tested", r.Record)
		}
	}
}

// The real promtool takes the configurations and the rules, runs the rules' tests, and takes each query of the boards.
func TestPromtool(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed: ", err)
	}
	run := func(args ...string) (string, error) {
		out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput()
		return string(out), err
	}
	for _, args := range [][]string{
		{"check", "rules", "rules.yaml"},
		{"check", "config", "static.yaml"},
		{"test", "rules", "testdata/rules_test.yaml"},
		{"check", "rules", boardRules(t)},
	} {
		if out, err := run(args...); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	out, err := run("check", "config", "scrape.yaml")
	if err != nil && strings.Contains(out, "field kubernetes_sd_configs not found") {
		t.Log("this promtool is built without Kubernetes, as Debian's is: scrape.yaml is checked without its discovery")
		out, err = run("check", "config", withoutDiscovery(t))
	}
	if err != nil {
		t.Errorf("promtool check config scrape.yaml: %v\n%s", err, out)
	}
}
