package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// doctor runs `gpulet doctor metrics` and gives what it says, with its exit code.
func (n *node) doctor(args ...string) (said string, code int) {
	n.t.Helper()
	ctx, cancel := within(n.t)
	defer cancel()
	out, err := exec.CommandContext(ctx, binary, append([]string{"doctor", "metrics", "--run-dir", n.agent.RunDir()}, args...)...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		n.t.Fatal(err)
	}
	if exit != nil {
		code = exit.ExitCode()
	}
	return string(out), code
}

// doctorSays asks doctor until it says all of that, ending with that code.
func (n *node) doctorSays(code int, words []string, args ...string) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), 2*patience)
	defer cancel()
	for {
		said, got := n.doctor(args...)
		missing := ""
		for _, w := range words {
			if !strings.Contains(said, w) {
				missing = w
			}
		}
		if got == code && missing == "" {
			return
		}
		if !pause(ctx, time.Second) {
			n.t.Fatalf("doctor ends with %d, not %d, and does not say %q:\n%s", got, code, missing, said)
		}
	}
}

// freeAddress is one on which nobody listens now.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// prometheus runs a Prometheus that scrapes the agent, until the test ends. The function gives its target other labels.
func (n *node) prometheus(target string) (address string, label func(labels string)) {
	n.t.Helper()
	address = freeAddress(n.t)
	dir := filepath.Join(n.dir, "prometheus")
	file := filepath.Join(dir, "prometheus.yaml")
	write := func(labels string) {
		text := fmt.Sprintf("scrape_configs:\n  - job_name: gpulet\n    scrape_interval: 1s\n    static_configs: [{targets: [%q], labels: {%s}}]\n", target, labels)
		err := os.MkdirAll(dir, 0o755)
		if err == nil {
			err = os.WriteFile(file, []byte(text), 0o600)
		}
		if err != nil {
			n.t.Fatal(err)
		}
	}
	write("")
	cmd := exec.CommandContext(n.t.Context(), "prometheus", "--config.file", file, "--storage.tsdb.path", filepath.Join(dir, "data"), "--web.listen-address", address)
	cmd.Stdout, cmd.Stderr = io.Discard, n.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return "http://" + address, func(labels string) {
		write(labels)
		if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
			n.t.Error(err)
		}
	}
}

// A person asks doctor why a metric is missing: all is well up to Prometheus, then a label is pushed aside, then the GPUs are lost.
func TestDoctorMetrics(t *testing.T) {
	t.Parallel()
	n := prepare(t, wanted{hardware: threeGPUs()})
	n.listen = freeAddress(t)
	n.start()
	n.measured()
	pod, _ := n.runs(slice, 1)
	server, label := n.prometheus(n.listen)
	name := pod.Namespace + "/" + pod.Name
	n.doctorSays(0, []string{"ok    device", "ok    source         nvml answers", "ok    sampler", "ok    podresources", "ok    labels         1 container", "it finds " + name}, "--prometheus", server)
	label("pod: gpulet-x, namespace: gpulet")
	n.doctorSays(1, []string{"ok    labels", "the first broken link is Prometheus: pods are in the label exported_pod"}, "--prometheus", server)
	label("")
	n.doctorSays(0, []string{"it finds " + name}, "--prometheus", server)
	for g := range 3 {
		if err := n.sim.Hang(t.Context(), g, false); err != nil {
			t.Fatal(err)
		}
	}
	n.doctorSays(1, []string{"the first broken link is source: nvml gives nothing", "GPU 2 is not measured"})
	for g := range 3 {
		if err := n.sim.Unhang(t.Context(), g); err != nil {
			t.Fatal(err)
		}
	}
	n.doctorSays(0, []string{"measurements of 3 GPUs"})
	if err := n.sim.SetLost(t.Context(), 1, true); err != nil {
		t.Fatal(err)
	}
	n.doctorSays(0, []string{"warn  device         GPU 1 is Unhealthy", "warn  sampler        GPU 1 is not measured", "-> gpulet explain 1"})
	if err := n.sim.SetLost(t.Context(), 1, false); err != nil {
		t.Fatal(err)
	}
	if said, code := n.doctor("--prometheus", "http://"+freeAddress(t)); code != 1 || !strings.Contains(said, "the first broken link is Prometheus: ask Prometheus") {
		t.Errorf("without a Prometheus doctor ends with %d:\n%s", code, said)
	}
}
