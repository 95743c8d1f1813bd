package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// agent is the agent's process. It is used from one goroutine.
type agent struct {
	program string
	args    []string
	logFile string
	cmd     *exec.Cmd     // nil while it does not run
	ended   chan struct{} // closed when it has ended
}

// errEnded is the error of what waits for an agent that has ended by itself.
var errEnded = errors.New("the agent has ended")

// alive is errEnded when the agent is not there any more.
func (a *agent) alive() error {
	select {
	case <-a.ended:
		return fmt.Errorf("%w: %s", errEnded, a.cmd.ProcessState)
	default:
		return nil
	}
}

func newAgent(program string, args []string, logFile string) (*agent, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return nil, fmt.Errorf("the agent's program: %w (make build builds it)", err)
	}
	return &agent{program: path, args: args, logFile: logFile}, nil
}

func (a *agent) start() error {
	log, err := os.OpenFile(a.logFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	a.cmd = exec.Command(a.program, a.args...)
	a.cmd.Stdout, a.cmd.Stderr = log, log
	// Its own process group: Ctrl-C reaches this program, which then ends the agent in its turn.
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := a.cmd.Start(); err != nil {
		a.cmd = nil
		return fmt.Errorf("start the agent: %w", err)
	}
	cmd, ended := a.cmd, make(chan struct{})
	a.ended = ended
	go func() {
		_ = cmd.Wait() // ProcessState has it
		close(ended)
	}()
	return nil
}

// kill ends the agent without a word.
func (a *agent) kill() {
	if a.cmd == nil {
		return
	}
	_ = a.cmd.Process.Kill()
	<-a.ended
	a.cmd = nil
}

// stop ends the agent as a kubelet does: SIGTERM, and SIGKILL after some seconds.
func (a *agent) stop() error {
	if a.cmd == nil {
		return nil
	}
	_ = a.cmd.Process.Signal(syscall.SIGTERM)
	defer func() { a.cmd = nil }()
	select {
	case <-a.ended:
		if code := a.cmd.ProcessState.ExitCode(); code != 0 {
			return fmt.Errorf("the agent exited with %d after SIGTERM", code)
		}
		return nil
	case <-time.After(10 * time.Second):
		_ = a.cmd.Process.Kill()
		<-a.ended
		return errors.New("the agent did not end within 10 s of SIGTERM")
	}
}

// command runs another command of the program and returns what it printed.
func (a *agent) command(ctx context.Context, args ...string) (string, error) {
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, a.program, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("gpulet %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return out.String(), nil
}

func (a *agent) tail(lines int) string {
	data, err := os.ReadFile(a.logFile)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
