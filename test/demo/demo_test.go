package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// isolate gives a test a temporary folder of its own, short because of the sockets in it, which must be empty in the end.
func isolate(t *testing.T) {
	t.Helper()
	dir, err := os.MkdirTemp("", "d")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	t.Cleanup(func() {
		left, _ := os.ReadDir(dir)
		if len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		_ = os.RemoveAll(dir)
	})
}

func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "gpulet")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../cmd/gpulet").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// The scenario comes out right, prints each step, and leaves nothing behind.
func TestOnce(t *testing.T) {
	program := build(t)
	isolate(t)
	var out bytes.Buffer
	began := time.Now()
	if err := command(&out).Run(t.Context(), []string{"demo", "--gpulet", program, "--once"}); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
	if took := time.Since(began); took > 2*time.Minute {
		t.Errorf("it took %s", took)
	}
	for _, want := range []string{" 1. ", "10. ", "/dev/nvidia-caps/", "XID 79", "::", "All steps came out right"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

// Without --once it goes on until it is interrupted, and that is no failure.
func TestInterrupt(t *testing.T) {
	program := build(t)
	isolate(t)
	ctx, cancel := context.WithCancel(t.Context())
	out := &watched{want: "Ctrl-C ends it", seen: cancel}
	if err := command(out).Run(ctx, []string{"demo", "--gpulet", program}); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
	if ctx.Err() == nil {
		t.Errorf("it did not wait\n%s", out.String())
	}
	cancel()
}

// watched calls seen when a text is printed. It is written by one goroutine.
type watched struct {
	bytes.Buffer
	want string
	seen func()
}

func (w *watched) Write(p []byte) (int, error) {
	n, err := w.Buffer.Write(p)
	if strings.Contains(string(p), w.want) {
		w.seen()
	}
	return n, err
}

// An agent that does not run fails the first step at once.
func TestAgentThatEnds(t *testing.T) {
	isolate(t)
	var out bytes.Buffer
	began := time.Now()
	err := command(&out).Run(t.Context(), []string{"demo", "--gpulet", "/bin/false", "--once"})
	if err == nil || !strings.Contains(out.String(), "FAILED") || !strings.Contains(out.String(), "exit status 1") {
		t.Errorf("%v\n%s", err, out.String())
	}
	if took := time.Since(began); took > patience/2 {
		t.Errorf("it took %s", took)
	}
}

func TestNoSuchProgram(t *testing.T) {
	isolate(t)
	if err := command(&bytes.Buffer{}).Run(t.Context(), []string{"demo", "--gpulet", "/nowhere/gpulet"}); err == nil {
		t.Error("it ran without a program")
	}
}
