package dcgm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gpulet/gpulet/gpu"
)

// Work is the worker's process: it serves an agent on stdin and stdout until either closes. What libdcgm prints goes to stderr.
func Work(ctx context.Context) error {
	// The kernel takes the worker rather than the agent when their container has no memory left.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	// libdcgm must not write between frames.
	private, err := unix.FcntlInt(os.Stdout.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return fmt.Errorf("keep the pipe to the agent: %w", err)
	}
	out := os.NewFile(uintptr(private), "agent")
	defer func() { _ = out.Close() }()
	if err := unix.Dup3(int(os.Stderr.Fd()), int(os.Stdout.Fd()), 0); err != nil {
		return fmt.Errorf("turn stdout to stderr: %w", err)
	}
	return serve(ctx, os.Stdin, out, &engine{lib: &libdcgm{}, limit: confine}, time.Now)
}

// confine bounds what this process can allocate, should it grow faster than the agent looks. That it fails is no error.
func confine(memory uint64) {
	bound := 2*memory + 1<<30 // the stacks of threads and Go's own arenas count as data
	_ = unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: bound, Max: bound})
}

// serve answers the requests of an agent until in closes. It returns then also while libdcgm does not: the process has to end.
func serve(ctx context.Context, in io.Reader, out io.Writer, e *engine, now func() time.Time) error {
	ended := make(chan error, 2)
	requests := make(chan request)
	go func() {
		for {
			var r request
			if err := readFrame(in, &r); err != nil {
				ended <- err
				return
			}
			select {
			case requests <- r:
			case <-ctx.Done():
				return
			}
		}
	}()
	go func() {
		for {
			select {
			case r := <-requests:
				if err := writeFrame(out, e.answer(r, now())); err != nil {
					ended <- err
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	select {
	case err := <-ended:
		if errors.Is(err, io.EOF) {
			return nil
		}
		return fmt.Errorf("serve DCGM: %w", err)
	case <-ctx.Done():
		return nil
	}
}

// answer does what a request says.
func (e *engine) answer(r request, now time.Time) answer {
	a := answer{Version: protocolVersion, Seq: r.Seq}
	if r.Version != protocolVersion {
		a.Problem = &gpu.Absence{Code: gpu.Failed, Text: fmt.Sprintf("the agent speaks version %d, its worker %d: the program was replaced", r.Version, protocolVersion)}
		return a
	}
	var err error
	switch r.Do {
	case verbConnect:
		if e.limit != nil {
			e.limit(r.Memory)
		}
		if err = e.connect(r); err == nil {
			a.Library, a.Engine, err = e.lib.versions()
		}
	case verbWatch:
		e.watch(r)
	case verbRead:
		a.Parts, err = e.read(now)
	case verbDetach:
		err = e.detach()
	default:
		err = troublef(gpu.Failed, "the worker does not know %q", r.Do)
	}
	if err != nil {
		a.Problem, a.Lost, a.Parts = absenceOf(err), true, nil
	}
	return a
}
