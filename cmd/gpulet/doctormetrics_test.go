package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gpulet/gpulet/agent"
	"github.com/gpulet/gpulet/exporter"
	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
)

const wellPage = `# TYPE gpu_info gauge
gpu_info{gpu="0",UUID="GPU-a",Hostname="node-1"} 1
# TYPE gpu_pod_info gauge
gpu_pod_info{namespace="ml",pod="train-0",container="main",gpu="0",UUID="GPU-a"} 1
# TYPE DCGM_FI_DEV_GPU_UTIL gauge
DCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="GPU-a",namespace="ml",pod="train-0",container="main"} 97
# TYPE DCGM_FI_DEV_FB_USED gauge
DCGM_FI_DEV_FB_USED{gpu="0",UUID="GPU-a",namespace="ml",pod="train-0",container="main"} 70000
`

// wellStatus is of a node on which nothing is broken.
func wellStatus() agent.Status {
	now := time.Date(2026, 9, 30, 12, 0, 0, 0, time.UTC)
	return agent.Status{
		Version: "v1", Node: "node-1", Now: now, Driver: agent.Driver{Version: "550.54.15"},
		GPUs: []agent.GPU{{Index: 0, UUID: "GPU-a", MemoryBytes: 80 << 30, Health: agent.Health{State: "Healthy"}}},
		Claims: []kubelet.Holding{{Claim: kubelet.Claim{
			Resource: "nvidia.com/gpu", ID: "GPU-a", Pod: "u1", Namespace: "ml", Name: "train-0", Container: "main", Opened: now.Add(-time.Hour),
		}}},
		Metrics: exporter.Status{
			At: now.Add(-time.Second), Source: exporter.Auto, GPUs: []exporter.GPUStatus{{UUID: "GPU-a", Up: true}},
			Sources: []exporter.SourceStatus{{Name: "nvml", State: "ok"}, {Name: "dcgm", State: "unused", Reason: "NVML has everything that is asked for"}, {Name: "podresources", State: "ok"}},
			Absent: []exporter.AbsentStatus{
				{Metric: "DCGM_FI_DEV_VGPU_LICENSE_STATUS", Reason: gpu.NotSupported, Text: "this GPU does not have it", Count: 1, Of: 1},
				{Metric: "DCGM_FI_DEV_GPU_TEMP", Reason: gpu.Failed, Text: "unknown error", Count: 1, Of: 2},
			},
		},
	}
}

// scraped is what a Prometheus answers.
type scraped struct {
	age   string // of the newest sample in seconds; empty: it has none
	aside string // number of series with exported_pod
	pods  string // number of series of the pod
	body  string // instead of all that
}

func (s scraped) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query().Get("query")
	var value string
	switch {
	case r.URL.Path != "/api/v1/query":
		http.NotFound(w, r)
		return
	case s.body != "":
		_, _ = fmt.Fprint(w, s.body)
		return
	case query == `time() - max(timestamp(gpu_info{UUID="GPU-a"}))`:
		value = s.age
	case strings.Contains(query, `exported_pod!=""`):
		value = s.aside
	case query == `count(gpu_pod_info{namespace="ml",pod="train-0"})`:
		value = s.pods
	default:
		http.Error(w, "unexpected: "+query, http.StatusTeapot)
		return
	}
	result := []any{}
	if value != "" {
		result = append(result, map[string]any{"metric": map[string]string{}, "value": []any{1.5, value}})
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": map[string]any{"resultType": "vector", "result": result}})
}

// Each link that can break is found, named as the first that is broken, and what to do about it said.
func TestDoctorMetrics(t *testing.T) {
	well := scraped{age: "4.2", pods: "1"}
	for _, c := range []struct {
		name       string
		status     func(*agent.Status)
		page       func(string) string
		prometheus *scraped
		broken     string // the link; empty: none
		says       string
	}{
		{name: "all is well", prometheus: &well, says: "ok    Prometheus     it finds ml/train-0 by its namespace and pod"},
		{name: "without Prometheus", says: "ok    labels         1 container with series"},
		{name: "what this hardware lacks is no fault", says: "ok    sampler        absent, as this GPU does not have it: DCGM_FI_DEV_VGPU_LICENSE_STATUS"},
		{name: "what fails is a warning", says: "warn  sampler        absent, as unknown error: DCGM_FI_DEV_GPU_TEMP (1 of 2)"},
		{name: "a sick GPU", status: func(s *agent.Status) {
			s.GPUs[0].Health = agent.Health{State: "Unhealthy", Reason: "XID 79"}
		}, says: "warn  device         GPU 0 is Unhealthy: XID 79"},
		{name: "another agent", status: func(s *agent.Status) { s.Waiting = &agent.Owner{PID: 7, Version: "v0"} }, broken: "device", says: "another agent has this node: pid 7"},
		{name: "no driver", status: func(s *agent.Status) { s.Driver = agent.Driver{} }, broken: "device", says: "the driver is out of reach"},
		{name: "no GPU", status: func(s *agent.Status) { s.GPUs = nil }, broken: "device", says: "no GPU"},
		{name: "off", status: func(s *agent.Status) { s.Metrics = exporter.Status{Off: true} }, broken: "source", says: "-> set metrics.source to auto"},
		{name: "NVML fails", status: func(s *agent.Status) {
			s.Metrics.Sources[0] = exporter.SourceStatus{Name: "nvml", State: "failing", Reason: "no GPU answers"}
		}, broken: "source", says: "nvml gives nothing: no GPU answers"},
		{name: "DCGM fails and NVML is there", status: func(s *agent.Status) {
			s.Metrics.Sources[1] = exporter.SourceStatus{Name: "dcgm", State: "failing", Reason: "it crashed"}
		}, says: "warn  source         dcgm gives nothing: it crashed"},
		{name: "DCGM fails and was chosen", status: func(s *agent.Status) {
			s.Metrics.Source = exporter.OnlyDCGM
			s.Metrics.Sources[1] = exporter.SourceStatus{Name: "dcgm", State: "failing", Reason: "it crashed"}
		}, broken: "source", says: "start the host engine"},
		{name: "no set", status: func(s *agent.Status) { s.Metrics.At = time.Time{} }, broken: "sampler", says: "nothing was measured yet"},
		{name: "old set", status: func(s *agent.Status) { s.Metrics.At = s.Now.Add(-time.Minute) }, broken: "sampler", says: "1m0s old"},
		{name: "no GPU answers", status: func(s *agent.Status) {
			s.Metrics.GPUs[0] = exporter.GPUStatus{UUID: "GPU-a", Reason: "it hangs"}
		}, broken: "sampler", says: "GPU 0 is not measured: it hangs"},
		{name: "one of two GPUs answers", status: func(s *agent.Status) {
			s.Metrics.GPUs = append(s.Metrics.GPUs, exporter.GPUStatus{UUID: "GPU-b", Index: 1, Reason: "it hangs"})
		}, says: "warn  sampler        GPU 1 is not measured: it hangs"},
		{name: "podresources fails", status: func(s *agent.Status) {
			s.Metrics.Sources[2] = exporter.SourceStatus{Name: "podresources", State: "failing", Reason: "no such socket"}
		}, broken: "podresources", says: "no such socket"},
		{name: "a device of nobody", status: func(s *agent.Status) {
			s.Claims[0].Name, s.Claims[0].Namespace = "", ""
		}, says: "warn  podresources   1 device held"},
		{name: "a pod without gpu_pod_info", page: func(p string) string {
			return strings.Replace(p, "gpu_pod_info{namespace=\"ml\"", "gpu_pod_info{namespace=\"other\"", 1)
		}, broken: "labels", says: "gpu_pod_info does not have ml/train-0"},
		{name: "a pod that just began", page: func(string) string { return "" }, status: func(s *agent.Status) { s.Claims[0].Opened = s.Now }, says: "ok    labels         no pod"},
		{name: "a pod without use", page: func(p string) string {
			return strings.NewReplacer(`GPU_UTIL{gpu="0",UUID="GPU-a",namespace="ml"`, `GPU_UTIL{gpu="0"`, `FB_USED{gpu="0",UUID="GPU-a",namespace="ml"`, `FB_USED{gpu="0"`).Replace(p)
		}, says: "warn  labels         no series of use names ml/train-0"},
		{name: "why a pod has no use", status: func(s *agent.Status) {
			s.Metrics.Absent = []exporter.AbsentStatus{{Metric: "DCGM_FI_DEV_FB_USED", Field: family.FBUsed, Reason: gpu.Lost, Text: "the GPU fell off the bus"}}
		}, page: func(p string) string {
			return strings.ReplaceAll(strings.ReplaceAll(p, "GPU_UTIL{", "GPU_UTIL{other=\"1\","), `container="main"} `, `container="x"} `)
		}, says: "its device is not measured: the GPU fell off the bus"},
		{name: "bytes under a classic name", page: func(p string) string { return strings.Replace(p, "} 70000", "} 73400320000", 1) }, broken: "labels", says: "DCGM_FI_DEV_FB_USED is 7.340032e+10, which is no number of MiB"},
		{name: "old namespace", page: func(p string) string {
			return strings.NewReplacer(`GPU_UTIL{gpu="0",UUID="GPU-a",namespace="ml",pod="train-0",container=`, `GPU_UTIL{gpu="0",uuid="GPU-a",pod_namespace="ml",pod_name="train-0",container_name=`).Replace(p)
		}, says: "ok    labels         1 container"},
		{name: "no Prometheus there", prometheus: &scraped{body: "<html>"}, broken: "Prometheus", says: "does not answer as Prometheus"},
		{name: "Prometheus refuses", prometheus: &scraped{body: `{"status":"error","error":"too much"}`}, broken: "Prometheus", says: "too much"},
		{name: "not scraped", prometheus: &scraped{}, broken: "Prometheus", says: "does not have this node's GPUs"},
		{name: "scraped long ago", prometheus: &scraped{age: "130.4", pods: "1"}, broken: "Prometheus", says: "scraped this node 2m10s ago"},
		{name: "exported_pod", prometheus: &scraped{age: "1", aside: "3"}, broken: "Prometheus", says: "-> drop the scrape's own pod, namespace and container labels, as deployments/monitoring/scrape.yaml does"},
		{name: "a pod that Prometheus does not find", prometheus: &scraped{age: "1"}, broken: "Prometheus", says: "it does not find ml/train-0"},
		{name: "no page to look for", prometheus: &well, page: func(string) string { return "" }, status: func(s *agent.Status) { s.Claims = nil }, broken: "Prometheus", says: "no gpu_info"},
		{name: "the first of two", status: func(s *agent.Status) {
			s.Metrics.Sources[0] = exporter.SourceStatus{Name: "nvml", State: "failing", Reason: "no GPU answers"}
		}, page: func(string) string { return "" }, broken: "source", says: "fail  labels"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, text := wellStatus(), wellPage
			if c.status != nil {
				c.status(&s)
			}
			if c.page != nil {
				text = c.page(text)
			}
			page, err := readPage([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			m := chain{status: s, page: page}
			if c.prometheus != nil {
				server := httptest.NewServer(c.prometheus)
				defer server.Close()
				m.server = server.URL
			}
			var out bytes.Buffer
			err = m.walk(t.Context(), &out)
			switch {
			case c.broken == "" && err != nil:
				t.Errorf("it found %v\n%s", err, &out)
			case c.broken != "" && (err == nil || !strings.HasPrefix(err.Error(), "the first broken link is "+c.broken+":")):
				t.Errorf("it found %v and not the broken %s\n%s", err, c.broken, &out)
			case exitCode(err) != exitOK && exitCode(err) != exitFailure:
				t.Errorf("the exit code is %d", exitCode(err))
			case !strings.Contains(out.String(), c.says):
				t.Errorf("it does not say %q:\n%s", c.says, &out)
			}
		})
	}
}

// A Prometheus that cannot be reached is the broken link, and one that hangs does not hang doctor.
func TestDoctorMetricsPatience(t *testing.T) {
	page, err := readPage([]byte(wellPage))
	if err != nil {
		t.Fatal(err)
	}
	hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer hangs.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for _, server := range []string{hangs.URL, "http://127.0.0.1:1"} {
		f := chain{status: wellStatus(), page: page, server: server}.prometheus(ctx)
		if len(f) != 1 || f[0].verdict != fail || !strings.Contains(f[0].what, "ask Prometheus") || f[0].todo == "" {
			t.Errorf("%s: %+v", server, f)
		}
	}
}

func TestDoctorMetricsUsage(t *testing.T) {
	dir := t.TempDir()
	for args, want := range map[string]int{
		"--prometheus localhost:9090": exitUsage, "--prometheus ftp://x": exitUsage, "more": exitUsage,
		"--prometheus http://localhost:9090/ --run-dir " + dir: exitNotRunning, "--run-dir " + dir: exitNotRunning,
	} {
		var out, errs bytes.Buffer
		if code := run(append([]string{"gpulet", "doctor", "metrics"}, strings.Fields(args)...), nil, &out, &errs); code != want {
			t.Errorf("%s: code %d, want %d: %s", args, code, want, &errs)
		}
	}
	if _, err := readPage([]byte("no page {")); err == nil || errors.Is(err, agent.ErrNotRunning) {
		t.Errorf("a page that cannot be read gives %v", err)
	}
}
