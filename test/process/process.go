// Package process runs the agent's real program over a simulated node and a fake kubelet, for tests and benchmarks that need neither
// root nor a cluster. It owns the processes that it starts and a folder for each.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/gpulet/gpulet/agent"
	"github.com/gpulet/gpulet/test/fakekubelet"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// Options say which agent to start. Sim and Kubelet outlive it.
type Options struct {
	Binary  string // of Build
	Dir     string // its state, configuration, CDI specs and admin socket; a second agent in one folder takes over the state
	Sim     *sim.Node
	Kubelet *fakekubelet.Kubelet
	Config  string    // the configuration file's text without the version line
	Listen  string    // address of the metrics; empty: none
	Args    []string  // more arguments
	Log     io.Writer // nil: dropped
}

// Agent is a running agent.
type Agent struct {
	dir  string
	cmd  *exec.Cmd
	done chan struct{}
	err  error // the exit status, once done is closed
}

// Build builds the program of this tree into a folder and gives its path. Flags are more flags of go build, such as -race.
func Build(ctx context.Context, dir string, flags ...string) (string, error) {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	out := filepath.Join(dir, "gpulet")
	if len(flags) == 0 {
		flags = []string{"-trimpath", "-ldflags", "-s -w"} // as it is shipped
	}
	cmd := exec.CommandContext(ctx, "go", slices.Concat([]string{"build", "-o", out}, flags, []string{"./cmd/gpulet"})...)
	cmd.Dir = string(root[:len(root)-1])
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the agent: %w\n%s", err, text)
	}
	return out, nil
}

// Start starts an agent. It ends with ctx, if not before.
func Start(ctx context.Context, o Options) (*Agent, error) {
	a := &Agent{dir: o.Dir, done: make(chan struct{})}
	for _, d := range []string{"state", "run", "cdi"} {
		if err := os.MkdirAll(filepath.Join(o.Dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	if err := a.Configure(o.Config); err != nil {
		return nil, err
	}
	args := append([]string{
		"run", "--config", a.file(), "--listen", o.Listen, "--api-server", "off", "--kubelet-root", o.Kubelet.Root(),
		"--device-plugins-dir", o.Kubelet.DevicePlugins(), "--state-dir", filepath.Join(o.Dir, "state"),
		"--run-dir", a.RunDir(), "--cdi-dir", filepath.Join(o.Dir, "cdi"),
	}, append(o.Sim.Flags(), o.Args...)...)
	a.cmd = exec.CommandContext(ctx, o.Binary, args...)
	a.cmd.Cancel = func() error { return a.cmd.Process.Signal(syscall.SIGTERM) }
	a.cmd.WaitDelay = 10 * time.Second
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	a.cmd.Stdout, a.cmd.Stderr = o.Log, o.Log
	if err := a.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		a.err = a.cmd.Wait()
		close(a.done)
	}()
	return a, nil
}

func (a *Agent) file() string { return filepath.Join(a.dir, "gpulet.yaml") }

// RunDir is the folder of the admin socket: the argument of --run-dir of other commands.
func (a *Agent) RunDir() string { return filepath.Join(a.dir, "run") }

// Client speaks to the agent as its commands do.
func (a *Agent) Client() agent.Client { return agent.Client{Socket: agent.Socket(a.RunDir())} }

// Configure replaces the configuration; a running agent loads it.
func (a *Agent) Configure(text string) error {
	next := a.file() + ".next"
	if err := os.WriteFile(next, []byte("version: gpulet.dev/v1\n"+text), 0o644); err != nil {
		return err
	}
	return os.Rename(next, a.file())
}

// PID is the agent's.
func (a *Agent) PID() int { return a.cmd.Process.Pid }

// Kill ends the agent as a crash does.
func (a *Agent) Kill() {
	_ = a.cmd.Process.Kill()
	<-a.done
}

// stopTime is how long an agent may take to end in good order: it waits 5 s for a successor.
const stopTime = 15 * time.Second

// Stop asks the agent to end and waits; the error is its exit status. An agent that goes on writes its goroutines to the log and
// is killed.
func (a *Agent) Stop() error {
	_ = a.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-a.done:
		return a.err
	case <-time.After(stopTime):
	}
	_ = a.cmd.Process.Signal(syscall.SIGQUIT)
	select {
	case <-a.done:
	case <-time.After(stopTime):
		a.Kill()
	}
	return fmt.Errorf("it did not end %v after SIGTERM", stopTime)
}

// Wait waits until the agent ends by itself, or ctx does. The code is its exit code, -1 when a signal ended it.
func (a *Agent) Wait(ctx context.Context) (code int, err error) {
	select {
	case <-a.done:
		return a.cmd.ProcessState.ExitCode(), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("the agent goes on: %w", ctx.Err())
	}
}

// Running says whether the agent has not ended; otherwise how it did.
func (a *Agent) Running() error {
	select {
	case <-a.done:
		return errors.Join(errors.New("the agent has ended"), a.err)
	default:
		return nil
	}
}
