//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// prometheus is a Prometheus server on this machine that scrapes the cluster's agents with the configuration that users copy.
type prometheus struct {
	address string
	log     string
}

// startPrometheus runs a server until the test ends, with the shipped configuration. Debian's Prometheus is built without the
// discovery of Kubernetes: the agents' pods are listed instead, with what the discovery would tell of them.
func startPrometheus(t *testing.T, agents ...*core.Pod) *prometheus {
	t.Helper()
	text, err := os.ReadFile("../../deployments/monitoring/scrape.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var shipped struct {
		ScrapeConfigs []map[string]any `json:"scrape_configs"`
	}
	if err := yaml.Unmarshal(text, &shipped); err != nil {
		t.Fatal(err)
	}
	job := shipped.ScrapeConfigs[0]
	if job["kubernetes_sd_configs"] == nil {
		t.Fatalf("the shipped job does not look for pods: %v", job)
	}
	delete(job, "kubernetes_sd_configs")
	var targets []map[string]any
	for _, pod := range agents {
		for _, port := range pod.Spec.Containers[0].Ports {
			const meta = "__meta_kubernetes_pod_"
			targets = append(targets, map[string]any{
				"targets": []string{net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(int(port.ContainerPort)))},
				"labels": map[string]string{
					meta + "label_app_kubernetes_io_name": pod.Labels["app.kubernetes.io/name"], meta + "container_port_name": port.Name,
					meta + "phase": string(pod.Status.Phase), meta + "node_name": pod.Spec.NodeName, meta + "name": pod.Name,
					"namespace": pod.Namespace, "pod": pod.Name, "container": pod.Spec.Containers[0].Name, // as an operator adds them
				},
			})
		}
	}
	job["static_configs"] = targets
	config, err := yaml.Marshal(map[string]any{
		"global": map[string]string{"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": []any{job},
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &prometheus{address: l.Addr().String(), log: filepath.Join(dir, "log")}
	_ = l.Close()
	out, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "prometheus", "--config.file", file, "--storage.tsdb.path", filepath.Join(dir, "data"), "--web.listen-address", p.address)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		_ = out.Close()
		if t.Failed() {
			text, _ := os.ReadFile(p.log)
			t.Logf("%s\n%s", config, text)
		}
	})
	return p
}

// series is one result of a query.
type series struct {
	Metric map[string]string `json:"metric"`
	Value  [2]any            `json:"value"`
}

func (s series) number(t *testing.T) float64 {
	t.Helper()
	text, _ := s.Value[1].(string)
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// query asks once.
func (p *prometheus) query(ctx context.Context, expr string) ([]series, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+"/api/v1/query?query="+url.QueryEscape(expr), nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct {
		Error string `json:"error"`
		Data  struct {
			Result []series `json:"result"`
		} `json:"data"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, err
	}
	if answer.Error != "" {
		return nil, fmt.Errorf("%s: %s", expr, answer.Error)
	}
	return answer.Data.Result, nil
}

// await asks until the answer is as it should be, at most for a minute.
func (p *prometheus) await(t *testing.T, expr string, is func([]series) bool) []series {
	t.Helper()
	var got []series
	var err error
	for ctx := within(t, time.Minute); ctx.Err() == nil; pause(ctx, 200*time.Millisecond) {
		var now []series
		if now, err = p.query(ctx, expr); err == nil {
			if got = now; is(got) {
				return got
			}
		}
	}
	t.Fatalf("%s never gave what it should: %v %v", expr, got, err)
	return nil
}

// some accepts any answer that is not empty.
func some(s []series) bool { return len(s) > 0 }
