package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gpulet/gpulet/agent"
	"github.com/gpulet/gpulet/agent/config"
	"github.com/gpulet/gpulet/deviceplugin"
	"github.com/gpulet/gpulet/deviceplugin/cdi"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
	"github.com/gpulet/gpulet/kubelet/plugin"
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

// Each way to fail has its code, so that scripts and the DaemonSet can tell them apart.
func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	right, wrong := filepath.Join(dir, "right.yaml"), filepath.Join(dir, "wrong.yaml")
	for file, text := range map[string]string{right: "version: " + config.Version, wrong: "version: " + config.Version + "\nmigStrategi: none"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args string
		want int
		says string
	}{
		{"", exitOK, "Exit codes"},
		{"version", exitOK, "gpulet dev"},
		{"config check " + right, exitOK, "is right"},
		{"config check " + wrong, exitUsage, `wrong.yaml:2:1: migStrategi: there is no such key; did you mean "migStrategy"?`},
		{"config check " + dir + "/none", exitUsage, "no such file"},
		{"config check", exitUsage, "takes one argument"},
		{"config chek", exitUsage, "there is no command"},
		{"config explain --migstrategy none", exitUsage, "not defined"},
		{"config explain --mig-strategy nome", exitUsage, `flag --mig-strategy: "nome" is not valid: did you mean "none"?`},
		{"config explain --config " + right + " --pass-device-specs", exitOK, "flag --pass-device-specs"},
		{"config explain --config " + right + " -o yaml", exitOK, "migStrategy: mixed"},
		{"config explain -o xml", exitUsage, "table or yaml"},
		{"statsu", exitUsage, "there is no command"},
		{"status more", exitUsage, "no argument"},
		{"status --run-dir " + dir, exitNotRunning, "no agent answers"},
		{"explain --run-dir " + dir + " 0", exitNotRunning, "no agent answers"},
		{"health clear --run-dir " + dir + " 0", exitNotRunning, "no agent answers"},
		{"config reload --run-dir " + dir, exitNotRunning, "no agent answers"},
		{"run --config " + wrong + " --state-dir " + dir, exitUsage, "migStrategi"},
		{"run --listen 9400", exitUsage, "want an address"},
		{"cdi-hook nonsense", exitFailure, "cdi-hook"},
		{"completion bash", exitOK, "complete"},
	} {
		t.Run(c.args, func(t *testing.T) {
			var out, errs bytes.Buffer
			got := run(append([]string{"gpulet"}, strings.Fields(c.args)...), strings.NewReader("{}"), &out, &errs)
			if text := out.String() + errs.String(); got != c.want || !strings.Contains(text, c.says) {
				t.Errorf("code %d, want %d; it says %q", got, c.want, text)
			}
		})
	}
	if got := exitCode(fmt.Errorf("run: %w", gpu.ErrLibraryStale)); got != exitStale {
		t.Errorf("a stale library has code %d", got)
	}
}

// A person sees what is there, who has it, and why what is wrong is so.
func TestPrintStatus(t *testing.T) {
	now := time.Date(2026, 9, 30, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	claim := kubelet.Claim{Resource: "nvidia.com/mig-3g.40gb", ID: "GPU-b:3g.40gb:0", Pod: "u1", Namespace: "ml", Name: "train-0", Container: "main", Opened: ago(3 * time.Hour)}
	s := agent.Status{
		Version: "v0.1.0", Node: "node-1", Started: ago(50 * time.Hour), Now: now,
		Driver:   agent.Driver{Version: "550.54.15", CUDA: "12.4", NVML: "12.550.54.15"},
		NotReady: []string{"nvidia.com/gpu is not registered: another plugin serves this resource"},
		GPUs: []agent.GPU{
			{Index: 0, UUID: "GPU-a", Model: "Tesla T4", PCI: "0000:10:00.0", MemoryBytes: 15 << 30, MIG: "unable", Health: agent.Health{State: "Healthy"}, Gaps: []string{"NUMA node: its sysfs entry says -2"}},
			{
				Index: 1, UUID: "GPU-b", Model: "NVIDIA A100-SXM4-80GB", PCI: "0000:11:00.0", NUMA: 1, MemoryBytes: 80 << 30, MIG: "on",
				Health: agent.Health{State: "Draining", Reason: "faulty memory is replaced at the next reset", Since: ago(5 * time.Minute)},
				Instances: []agent.Instance{{
					ID: 2, Slot: "3g.40gb@0", Health: agent.Health{State: "Healthy"},
					Compute: []agent.ComputeInstance{{UUID: "MIG-1", Profile: "3g.40gb", Health: agent.Health{State: "Healthy"}}},
				}},
				Gaps: []string{"NUMA node: its sysfs entry says -2"},
			},
		},
		Gaps: []string{"fabric state: driver 550.54.15 has no nvmlDeviceGetGpuFabricInfoV"},
		Resources: []agent.Resource{
			{
				Name: "nvidia.com/gpu", Registration: plugin.State{Resource: "nvidia.com/gpu", Reason: "another plugin serves this resource"},
				Devices: []deviceplugin.DeviceView{{ID: "GPU-a", GPU: "GPU-a", Healthy: true}},
			},
			{
				Name: "nvidia.com/mig-3g.40gb", Registration: plugin.State{Resource: "nvidia.com/mig-3g.40gb", Registered: true, Since: ago(time.Hour), Renewals: 2, Reason: "the kubelet was started again"},
				Devices: []deviceplugin.DeviceView{{ID: claim.ID, GPU: "GPU-b", Reason: "the GPU is draining", Claims: []kubelet.Claim{claim}}},
			},
		},
		Withheld: []agent.Withheld{{GPU: "GPU-b", What: "GPU instance 5 (1g.10gb@4)", Reason: "it has no compute instance, so nobody can use it"}},
		Moves:    []deviceplugin.Move{{Resource: "nvidia.com/mig-3g.40gb", ID: claim.ID, Stage: "leaving", Reason: "its pod has it", Since: ago(10 * time.Second)}},
		Claims:   []kubelet.Holding{{Claim: claim, Why: "the pod runs"}, {Claim: kubelet.Claim{Resource: "nvidia.com/gpu", ID: "GPU-a", Opened: ago(time.Second)}, Why: "the kubelet has not said whose it is"}},
		CDI: &cdi.State{
			Dir: "/var/run/cdi", Devices: []cdi.DeviceState{{ID: "GPU-a", Reason: "no device node /dev/nvidia0"}},
			Driver: cdi.DriverState{Version: "550.54.15", Libraries: 23},
		},
		Sources: []agent.Source{{Name: "the kubelet's Pods API", OK: true}, {Name: "the API server", OK: true, Reason: "not used: it is switched off"}, {Name: "HTTP :9400", Reason: "listen tcp :9400: bind: address already in use"}},
		Config:  agent.Config{File: "/etc/gpulet/gpulet.yaml", Since: ago(2 * time.Minute), Error: "/etc/gpulet/gpulet.yaml:2:1: x: there is no such key", Pending: []string{"health.interval"}},
	}
	var b bytes.Buffer
	if err := printStatus(&b, s); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/status.golden", b.Bytes())
	b.Reset()
	for _, what := range []string{"0", "GPU-b", claim.ID, "nvidia.com/gpu", "nvidia.com/mig-3g.40gb", "ml/train-0"} {
		lines, _ := s.Explain(what)
		fmt.Fprintf(&b, "== %s\n%s\n", what, strings.Join(lines, "\n"))
	}
	golden(t, "testdata/explain.golden", b.Bytes())
	b.Reset()
	if err := printStatus(&b, agent.Status{Version: "v2", Now: now, Started: now, Waiting: &agent.Owner{PID: 7, Version: "v1"}, Config: agent.Config{Since: now}}); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/waiting.golden", b.Bytes())
}

// Doctor says what it found and what to do, gives up what hangs, and fails only for what has to be seen to.
func TestExamine(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	say := func(f ...finding) check {
		return check{"thing", func(context.Context, config.Process) []finding { return f }}
	}
	hang := check{"driver", func(context.Context, config.Process) []finding { <-release; return nil }}
	var b bytes.Buffer
	err := examine(t.Context(), &b, []check{say(finding{ok, "fine", ""}, finding{warn, "odd", "look"})}, config.Process{}, time.Second)
	if err != nil {
		t.Errorf("a warning fails: %v", err)
	}
	err = examine(t.Context(), &b, []check{say(finding{fail, "broken", "mend it"}), hang}, config.Process{}, time.Millisecond)
	if err == nil || errors.As(err, new(usageError)) {
		t.Errorf("got %v", err)
	}
	for _, want := range []string{"ok    thing          fine", "warn  thing          odd", "-> look", "fail  thing          broken", "-> mend it", "fail  driver         no answer"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

// On a machine without anything doctor finishes and says so.
func TestDoctor(t *testing.T) {
	dir := t.TempDir()
	var out, errs bytes.Buffer
	code := run(strings.Fields("gpulet doctor --api-server off --nvml-library "+dir+"/none.so --kubelet-root "+dir+" --state-dir "+dir+" --cdi-dir "+dir+" --run-dir "+dir), nil, &out, &errs)
	if code != exitFailure {
		t.Errorf("code %d", code)
	}
	for _, want := range []string{"fail  driver", "fail  kubelet", "ok    CDI", "the lock is free", "start it with gpulet run"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}
