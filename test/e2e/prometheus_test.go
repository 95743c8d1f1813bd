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
	"strings"
	"testing"
	"time"
)

// prometheus is a Prometheus server on this machine that scrapes the cluster's agents with the configuration that users copy.
type prometheus struct {
	address string
	log     string
}

// startPrometheus runs a server until the test ends. Of the shipped configuration it changes where the API server is, since it is
// not in a pod, and how often it scrapes.
func startPrometheus(t *testing.T) *prometheus {
	t.Helper()
	text, err := os.ReadFile("../../deployments/monitoring/scrape.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const role = "- role: pod\n"
	before, after, ok := strings.Cut(string(text), role)
	if !ok {
		t.Fatalf("the scrape configuration has no %q", role)
	}
	indent := strings.Repeat(" ", len(before)-strings.LastIndex(before, "\n")-1+2)
	config := "global: {scrape_interval: 1s, scrape_timeout: 1s}\n" + before + role + indent + "kubeconfig_file: " + here.cluster.Kubeconfig + "\n" + after
	dir := t.TempDir()
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
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
