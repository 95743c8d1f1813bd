package dcgm

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// process is a running worker.
type process struct {
	pid int
	in  io.WriteCloser
	out io.ReadCloser
	// done is closed when it has ended and was waited for; then exit tells how.
	done <-chan struct{}
	exit func() exit
	kill func()
	// memory is its private memory in bytes.
	memory func() (uint64, error)
}

// self is this very program, even if its file was replaced.
const self = "/proc/self/exe"

// starter starts a worker.
type starter func() (*process, error)

// execute starts command as a worker. It dies with this process, has a process group of its own, and its stderr goes to log.
func execute(command []string, log *slog.Logger) starter {
	return func() (*process, error) {
		var pipes [3][2]*os.File // of its stdin, stdout, stderr: the end to read and the end to write
		closeAll := func() {
			for _, p := range pipes {
				_, _ = p[0].Close(), p[1].Close()
			}
		}
		for i := range pipes {
			var err error
			if pipes[i][0], pipes[i][1], err = os.Pipe(); err != nil {
				closeAll()
				return nil, fmt.Errorf("start DCGM's worker: %w", err)
			}
		}
		cmd := exec.Command(command[0], command[1:]...) //nolint:noctx // its life is kill's and stdin's
		cmd.Stdin, cmd.Stdout, cmd.Stderr = pipes[0][0], pipes[1][1], pipes[2][1]
		if command[0] == self {
			cmd.Args[0] = os.Args[0] // for those who list processes
		}
		cmd.Env = append(os.Environ(), "GOMAXPROCS=2", "GOTRACEBACK=single", "GOGC=50")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
		done, started := make(chan struct{}), make(chan error)
		said := &tail{}
		go func() {
			// The signal comes when the thread that started the child ends: this one stays until the child is gone.
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			err := cmd.Start()
			started <- err
			if err == nil {
				_ = cmd.Wait() // its outcome is in ProcessState
			}
			close(done)
		}()
		err := <-started
		for _, f := range []*os.File{pipes[0][0], pipes[1][1], pipes[2][1]} {
			_ = f.Close()
		}
		if err != nil {
			closeAll()
			<-done
			return nil, fmt.Errorf("start DCGM's worker: %w", err)
		}
		pid := cmd.Process.Pid
		heard := make(chan struct{})
		go func() {
			defer close(heard)
			defer func() { _ = pipes[2][0].Close() }()
			said.follow(pipes[2][0], log.With("pid", pid))
		}()
		return &process{
			pid: pid, in: pipes[0][1], out: pipes[1][0], done: done,
			kill: func() { _ = syscall.Kill(-pid, syscall.SIGKILL) },
			exit: func() exit {
				// A child of the worker's may hold stderr open.
				_ = pipes[2][0].SetReadDeadline(time.Now().Add(time.Second))
				<-heard
				return exit{state: cmd.ProcessState, said: said.lines()}
			},
			memory: func() (uint64, error) { return privateMemory(pid) },
		}, nil
	}
}

// stop ends the worker and frees what it used. It gives up only with ctx: what the driver holds in the kernel does not die, and
// another worker beside it would only be the next to hang.
func (p *process) stop(ctx context.Context, stuck func()) {
	_, _ = p.in.Close(), p.out.Close()
	for _, patience := range []time.Duration{time.Second, 5 * time.Second} {
		t := time.NewTimer(patience)
		select {
		case <-p.done:
			t.Stop()
			_ = p.exit() // waits for its last words
			return
		case <-t.C:
			p.kill()
		}
	}
	stuck()
	select {
	case <-p.done:
		_ = p.exit()
	case <-ctx.Done():
	}
}

// privateMemory is what a process has for itself, in bytes: RssAnon, or VmRSS of kernels that do not tell.
func privateMemory(pid int) (uint64, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, fmt.Errorf("look at the memory of DCGM's worker: %w", err)
	}
	for _, key := range []string{"RssAnon:", "VmRSS:"} {
		for line := range bytes.Lines(data) {
			if rest, ok := bytes.CutPrefix(line, []byte(key)); ok {
				var kib uint64
				if _, err := fmt.Sscanf(string(rest), "%d kB", &kib); err == nil {
					return kib << 10, nil
				}
			}
		}
	}
	return 0, fmt.Errorf("look at the memory of DCGM's worker: /proc/%d/status does not tell", pid)
}

// tail keeps what a worker wrote to stderr that may tell why it ended: the first line of a crash, and the last lines. It logs
// no more than logLines in logWindow.
type tail struct {
	mu    sync.Mutex // guards what follows
	crash string
	last  []string
}

const (
	tailLines = 8
	logLines  = 10
	logWindow = 10 * time.Second
	lineBytes = 400
)

func (t *tail) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.crash == "" {
		return slices.Clone(t.last)
	}
	return append([]string{t.crash}, t.last...)
}

// follow reads until the end. Long lines are cut.
func (t *tail) follow(r io.Reader, log *slog.Logger) {
	var began time.Time
	var logged, dropped int
	b := bufio.NewReaderSize(r, lineBytes)
	for {
		line, more, err := b.ReadLine()
		text := string(line)
		for more && err == nil {
			_, more, err = b.ReadLine()
		}
		if text != "" {
			t.mu.Lock()
			if t.crash == "" && tellsCrash(text) {
				t.crash = text
			}
			t.last = append(t.last[max(0, len(t.last)+1-tailLines):], text)
			t.mu.Unlock()
			if now := time.Now(); now.Sub(began) > logWindow {
				if dropped > 0 {
					log.Warn("DCGM's worker wrote more than is logged", "lines", dropped)
				}
				began, logged, dropped = now, 0, 0
			}
			if logged < logLines {
				logged++
				log.Info("DCGM's worker", "line", text)
			} else {
				dropped++
			}
		}
		if err != nil {
			return
		}
	}
}
