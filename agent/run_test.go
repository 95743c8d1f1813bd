package agent

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gpulet/gpulet/agent/config"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/gpufake"
	"github.com/gpulet/gpulet/test/fakekubelet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A node's GPUs become allocatable, a pod gets one, and status and explain say whose it is.
func TestRun(t *testing.T) {
	m := newMachine(t)
	divided := gpufake.A100(1)
	divided.Divide("3g.40gb@0", "1g.10gb@4")
	p := m.start("v1", gpufake.A100(0), divided)
	p.await("ready", ready)
	m.allocatable("nvidia.com/gpu", 1)
	m.allocatable("nvidia.com/mig-1g.10gb", 1)
	pod, err := m.kubelet.RunPod(t.Context(), fakekubelet.Requesting("train", "nvidia.com/mig-1g.10gb", 1))
	if err != nil {
		t.Fatal(err)
	}
	s := p.await("the claim with its pod", func(s Status) bool { return len(s.Claims) == 1 && s.Claims[0].Name == pod.Name })
	for _, what := range []string{"1", s.Claims[0].ID, pod.Ref(), "nvidia.com/mig-1g.10gb"} {
		lines, ok := s.Explain(what)
		if !ok || !strings.Contains(strings.Join(lines, "\n"), "nvidia.com/mig-1g.10gb") {
			t.Errorf("explain %s: %q", what, lines)
		}
	}
	if lines, ok := s.Explain("nothing"); ok {
		t.Errorf("explain nothing: %q", lines)
	}
	p.stop()
	if p.err != nil {
		t.Errorf("it ended with %v", p.err)
	}
}

// A change of the configuration reaches the kubelet; a wrong one is shown and changes nothing.
func TestReload(t *testing.T) {
	m := newMachine(t)
	p := m.start("v1", gpufake.T4(0))
	p.await("ready", ready)
	m.configure(header + "gpus: [{sharing: {nvidia.com/gpu: {replicas: 4}}}]\n")
	if err := p.client.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.allocatable("nvidia.com/gpu", 4)
	m.configure(header + "gpus: [{sharing: {nvidia.com/gpu: {replica: 8}}}]\n")
	err := p.client.Reload(t.Context())
	if err == nil || !strings.Contains(err.Error(), `did you mean "replicas"?`) {
		t.Errorf("a wrong file: %v", err)
	}
	p.await("the error in status", func(s Status) bool { return strings.Contains(s.Config.Error, "gpulet.yaml:4:") && ready(s) })
	m.allocatable("nvidia.com/gpu", 4)
	m.configure(header + "gpus: [{sharing: {nvidia.com/gpu: {replicas: 4}}}]\nhealth: {}\n")
	if err := p.client.Reload(t.Context()); err == nil {
		t.Error("health twice was accepted")
	}
}

// A second agent waits, ready and warm, and takes over when the first leaves: the kubelet never sees fewer devices.
func TestHandOver(t *testing.T) {
	m := newMachine(t)
	first := m.start("v1", gpufake.T4(0), gpufake.T4(1))
	first.await("ready", ready)
	m.allocatable("nvidia.com/gpu", 2)
	if _, err := m.kubelet.RunPod(t.Context(), fakekubelet.Requesting("train", "nvidia.com/gpu", 1)); err != nil {
		t.Fatal(err)
	}
	second := m.start("v2", gpufake.T4(0), gpufake.T4(1))
	s := second.await("that it waits", func(s Status) bool { return s.Waiting != nil && len(s.GPUs) == 2 })
	if len(s.NotReady) > 0 || s.Waiting.Version != "v1" {
		t.Errorf("a waiting agent is not ready: %v, %+v", s.NotReady, s.Waiting)
	}
	if len(s.Resources) > 0 {
		t.Errorf("a waiting agent lists %v", s.Resources)
	}
	before := len(m.kubelet.Lists("nvidia.com/gpu"))
	least := make(chan int64)
	watching, stopWatching := context.WithCancel(t.Context())
	go func() {
		low := m.kubelet.Allocatable("nvidia.com/gpu")
		_ = m.kubelet.Wait(watching, "the end of the test", func() bool {
			low = min(low, m.kubelet.Allocatable("nvidia.com/gpu"))
			return false
		})
		least <- low
	}()
	first.stop()
	if first.err != nil {
		t.Errorf("the first ended with %v", first.err)
	}
	s = second.await("ready", func(s Status) bool { return ready(s) && len(s.Claims) == 1 })
	if s.Claims[0].Name != "train" {
		t.Errorf("the claim is %+v", s.Claims[0])
	}
	pod, err := m.kubelet.RunPod(t.Context(), fakekubelet.Requesting("other", "nvidia.com/gpu", 1))
	if err != nil {
		t.Errorf("a pod after the hand-over: %v (%+v)", err, pod)
	}
	stopWatching()
	if low := <-least; low != 2 {
		t.Errorf("allocatable fell to %d", low)
	}
	for _, l := range m.kubelet.Lists("nvidia.com/gpu")[before:] {
		if l.Healthy() != 2 {
			t.Errorf("a list of %d healthy devices", l.Healthy())
		}
	}
}

// A successor with other settings gives a GPU under its new name only when the first no longer can under the old one.
func TestHandOverToOtherNames(t *testing.T) {
	m := newMachine(t)
	first := m.start("v1", gpufake.T4(0))
	first.await("ready", ready)
	m.allocatable("nvidia.com/gpu", 1)
	m.config = filepath.Join(t.TempDir(), "other.yaml")
	m.configure(header + "gpus: [{sharing: {nvidia.com/gpu: {replicas: 2, rename: nvidia.com/gpu.shared}}}]\n")
	second := m.start("v2", gpufake.T4(0))
	second.await("that it waits", func(s Status) bool { return s.Waiting != nil })
	both := make(chan bool, 1)
	watching, stopWatching := context.WithCancel(t.Context())
	go func() {
		seen := false
		_ = m.kubelet.Wait(watching, "the end of the test", func() bool {
			seen = seen || m.kubelet.Allocatable("nvidia.com/gpu") > 0 && m.kubelet.Allocatable("nvidia.com/gpu.shared") > 0
			return false
		})
		both <- seen
	}()
	first.stop()
	m.allocatable("nvidia.com/gpu.shared", 2)
	stopWatching()
	if <-both {
		t.Error("the kubelet could give the GPU under both names")
	}
}

// Another version of the kernel driver ends the agent with the error that the exit code is made of.
func TestStale(t *testing.T) {
	m := newMachine(t)
	p := m.start("v1", gpufake.T4(0))
	p.await("ready", ready)
	p.driver.SetOpenError(&gpu.DriverError{Call: "nvmlInit_v2", Text: "Driver/library version mismatch", Kind: gpu.ErrLibraryStale})
	p.driver.Restart()
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		t.Fatal("it goes on")
	}
	if !errors.Is(p.err, gpu.ErrLibraryStale) {
		t.Errorf("it ended with %v", p.err)
	}
}

// The network address tells health, readiness and metrics.
func TestWeb(t *testing.T) {
	m := newMachine(t)
	p := m.start("v1", gpufake.T4(0))
	p.await("ready", ready)
	get := func(path string) (int, string) {
		resp, err := http.Get("http://" + p.listen + path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	for path, want := range map[string]string{
		"/healthz": "ok", "/readyz": "ok", "/metrics": `gpulet_devices{resource="nvidia.com/gpu",state="free"} 1`, "/api/v1/status": `"GPU-00000000-`,
	} {
		if code, body := get(path); code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	_, body := get("/metrics")
	for _, want := range []string{`gpulet_gpu_health{gpu="0",state="Healthy",uuid="GPU-00000000-0000-4000-8000-000000000000"} 1`, "gpulet_owner 1", "gpulet_ready 1", "gpulet_config_valid 1"} {
		if !strings.Contains(body, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// The admin socket is for root alone, and clears what is held against a GPU.
func TestAdmin(t *testing.T) {
	m := newMachine(t)
	sick := gpufake.T4(0)
	p := m.start("v1", sick)
	p.await("ready", ready)
	info, err := os.Stat(p.client.Socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket is %v, %v", info.Mode(), err)
	}
	for deadline := time.Now().Add(10 * time.Second); sick.Watched() == 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	sick.XID(62)
	p.await("the XID", func(s Status) bool { return s.GPUs[0].Health.State == gpu.Unhealthy.String() })
	if err := p.client.ClearHealth(t.Context(), "7"); err == nil {
		t.Error("a GPU that is not there was cleared")
	}
	if err := p.client.ClearHealth(t.Context(), "0"); err != nil {
		t.Fatal(err)
	}
	p.await("health", func(s Status) bool { return s.GPUs[0].Health.State == gpu.Healthy.String() })
	set, err := p.client.Settings(t.Context())
	if err != nil || len(set.Lines) == 0 || !strings.Contains(set.File, "deviceListStrategy") {
		t.Errorf("the configuration is %+v, %v", set, err)
	}
	p.stop()
	if _, err := p.client.Status(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("after its end it says %v", err)
	}
}

// An upgrade that is taken back leaves the agent that stays with an admin socket: the waiting one had taken its path.
func TestAdminAfterRollback(t *testing.T) {
	m := newMachine(t)
	p := m.start("v1", gpufake.T4(0))
	p.await("ready", ready)
	second, err := listenAdmin(t.Context(), filepath.Dir(p.client.Socket))
	if err != nil {
		t.Fatal(err)
	}
	_ = second.Close()
	if _, err := p.client.Status(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Fatalf("the path leads to %v", err)
	}
	p.await("an answer again", ready)
	if err := os.Remove(p.client.Socket); err != nil { // a cleaner of temporary files
		t.Fatal(err)
	}
	p.await("an answer once more", ready)
}

// An agent that hangs does not hang who asks.
func TestClientOfHungAgent(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if _, err := (Client{Socket: l.Addr().String(), Timeout: 50 * time.Millisecond}).Status(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("got %v", err)
	}
}

// A state folder in which nothing can be written, as on a full disk, costs what is remembered and not the GPUs.
func TestFullDisk(t *testing.T) {
	m := newMachine(t)
	for _, file := range []string{ownerFile, "claims.json", "gpu-health.json", "config-last-good.yaml", "bin"} {
		if err := os.MkdirAll(filepath.Join(m.state, file, "in the way"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p := m.start("v1", gpufake.T4(0))
	p.await("ready", ready)
	m.allocatable("nvidia.com/gpu", 1)
	p.stop()
	if p.err != nil {
		t.Errorf("it ended with %v", p.err)
	}
}

// A state folder that cannot be had ends the agent with the reason.
func TestNoState(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := Run(t.Context(), Options{Driver: gpufake.New(), Log: slog.New(slog.DiscardHandler), Sources: config.Sources{Flags: map[string]string{
		"state-dir": filepath.Join(file, "state"), "run-dir": t.TempDir(), "listen": "", "api-server": "off",
	}}})
	if err == nil || !strings.Contains(err.Error(), "state folder") {
		t.Errorf("got %v", err)
	}
}
