package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gpulet/gpulet/agent"
	"github.com/gpulet/gpulet/agent/config"
	"github.com/gpulet/gpulet/gpu/gpufake"
)

// The commands speak to the agent that runs, and are told what it is set to.
func TestCommandsAskTheAgent(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	dir, err := os.MkdirTemp("", "gc")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "gpulet.yaml")
	if err := os.WriteFile(file, []byte("version: "+config.Version+"\nallocationPolicy: spread\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		done <- agent.Run(ctx, agent.Options{
			Version: "v7", Driver: gpufake.New(gpufake.T4(0)), Log: slog.New(slog.DiscardHandler),
			Sources: config.Sources{Flags: map[string]string{
				"config": file, "state-dir": dir + "/state", "run-dir": dir, "kubelet-root": dir + "/kubelet", "cdi-dir": dir + "/cdi",
				"listen": "", "api-server": "off",
			}},
		})
	}()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	cli := func(args ...string) (int, string) {
		var out, errs bytes.Buffer
		return run(append([]string{"gpulet"}, args...), strings.NewReader(""), &out, &errs), out.String() + errs.String()
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if code, text := cli("status", "--run-dir", dir); code == exitOK && strings.Contains(text, "Tesla T4") {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("no status: %d %s", code, text)
		}
	}
	for _, c := range []struct {
		args string
		want int
		says string
	}{
		{"explain 0", exitOK, "GPU 0 is GPU-00000000-0000-4000-8000-000000000000, a Tesla T4."},
		{"explain nothing", exitFailure, "nothing on this node is called"},
		{"config explain", exitOK, file + ":2:1"},
		{"config explain -o yaml", exitOK, "allocationPolicy: spread"},
		{"config reload", exitOK, "in force"},
		{"health clear 0", exitOK, "cleared"},
		{"health clear 9", exitFailure, "no GPU"},
		{"doctor", exitFailure, "ok    state          " + dir + "/state can be written"},
	} {
		words := strings.Fields(c.args)
		at := 1
		if words[0] == "config" || words[0] == "health" {
			at = 2
		}
		args := append(append(append([]string{}, words[:at]...), "--run-dir", dir), words[at:]...)
		if code, text := cli(args...); code != c.want || !strings.Contains(text, c.says) {
			t.Errorf("%s: code %d, it says %s", c.args, code, text)
		}
	}
	_, text := cli("status", "--run-dir", dir, "-o", "json")
	var s agent.Status
	if err := json.Unmarshal([]byte(text), &s); err != nil || s.Version != "v7" || len(s.GPUs) != 1 {
		t.Errorf("%v: %s", err, text)
	}
	if err := os.WriteFile(file, []byte("version: "+config.Version+"\nallocationPolicy: spreat\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, text := cli("config", "reload", "--run-dir", dir); code != exitFailure || !strings.Contains(text, `did you mean "spread"?`) {
		t.Errorf("reload of a wrong file: %d %s", code, text)
	}
}
