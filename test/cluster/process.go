package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A process is a long-running program on a machine, which can be stopped and started again.
type process struct {
	machine *machine
	name    string
	logFile string // on the host; appended to at each start
	argv    []string
	env     []string

	mu   sync.Mutex // guards the rest
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
}

// errForeign is what a cluster says that Attach found.
var errForeign = errors.New("only the program that brought the cluster up can start and stop its programs")

// start starts the program, and nothing if it runs already.
func (p *process) start() error {
	if p == nil {
		return errForeign
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.alive() {
		return nil
	}
	out, err := os.OpenFile(p.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	// It outlives any one call: it ends with stop, or with its machine.
	cmd := p.machine.command(context.Background(), p.argv...)
	cmd.Env = append(cmd.Env, p.env...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // an interrupt at the terminal is for us alone
	if err := p.machine.start(cmd); err != nil {
		return fmt.Errorf("start %s on %s: %w", p.name, p.machine.name, err)
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	p.cmd, p.done = cmd, done
	return nil
}

func (p *process) alive() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// stop sends the signal and waits until the program has ended, after ten seconds with force.
func (p *process) stop(signal unix.Signal) error {
	if p == nil {
		return errForeign
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.alive() {
		return nil
	}
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	return nil
}

// await calls ready every 50 ms until it returns nil. It gives up when ctx does, with what ready
// said last, or when the program has ended, with the end of its log.
func (p *process) await(ctx context.Context, ready func(context.Context) error) error {
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		p.mu.Lock()
		alive := p.alive()
		p.mu.Unlock()
		if !alive {
			return fmt.Errorf("%s on %s ended: %s", p.name, p.machine.name, tail(p.logFile))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s on %s is not ready: %w (%w)", p.name, p.machine.name, err, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// tail returns the last 2000 characters of a file.
func tail(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-2000):])
}
