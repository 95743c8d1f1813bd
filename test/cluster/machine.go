package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A machine is a set of namespaces (mounts, network, processes) and the process that keeps them:
// their first one. When it is killed, the kernel ends every process in them, and mounts, links and
// routes go with the last.
type machine struct {
	name string
	pid  int // of the keeper, as the host counts; 0 when the machine is off

	keeper *exec.Cmd      // nil when another process started it
	eof    io.WriteCloser // held open as long as this process lives, unless the machine is detached
}

// keeperArgs marks a keeper in the process table, so that it can be found with no record of it.
func keeperArgs(dir, name string) []string { return []string{"--cluster", dir, name} }

// boot starts the keeper. Unless it is detached, the machine does not outlive this process.
func (m *machine) boot(pause, dir string, detached bool) error {
	args := keeperArgs(dir, m.name)
	if !detached {
		args = append(args, "--until-eof")
	}
	cmd := exec.Command(pause, args...) //nolint:gosec // our own program
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID,
		Setsid:     true,
	}
	if !detached {
		var err error
		if m.eof, err = cmd.StdinPipe(); err != nil {
			return err
		}
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s (this needs root): %w", m.name, err)
	}
	m.keeper, m.pid = cmd, cmd.Process.Pid
	return nil
}

// halt ends everything in the machine and returns when nothing of it is left.
func (m *machine) halt() error {
	if m.pid == 0 {
		return nil
	}
	pid := m.pid
	m.pid = 0
	if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("end %s: %w", m.name, err)
	}
	if m.keeper != nil {
		_ = m.keeper.Wait() // that it was killed is no news
		if m.eof != nil {
			_ = m.eof.Close()
		}
		m.keeper, m.eof = nil, nil
		return nil
	}
	for deadline := time.Now().Add(20 * time.Second); alive(pid); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d of %s does not end", pid, m.name)
		}
	}
	return nil
}

// alive says whether a process has not ended yet; one that nobody has waited for has.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, fields, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(fields, "Z") && !strings.HasPrefix(fields, "X")
}

// command prepares argv to run in the machine. Start it with start or run it with run, which enter
// the machine's namespaces first; the process is a child of this one all the same.
func (m *machine) command(ctx context.Context, argv ...string) *exec.Cmd {
	if !strings.Contains(argv[0], "/") {
		argv = append([]string{"/usr/bin/env"}, argv...) // to be looked for there, not here
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // the caller's command is the point
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "PATH=") || strings.HasPrefix(kv, "KUBECONFIG=")
	}), "PATH="+nodePath)
	cmd.Dir = "/"
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// start starts cmd in the machine.
func (m *machine) start(cmd *exec.Cmd) error {
	return m.inside(func() error { return cmd.Start() })
}

// run runs cmd in the machine and waits for it; what it printed is part of the error.
func (m *machine) run(ctx context.Context, argv ...string) (string, error) {
	cmd := m.command(ctx, argv...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	err := m.start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return out.String(), fmt.Errorf("on %s: %s: %w: %s", m.name, strings.Join(argv, " "), err, strings.TrimSpace(out.String()))
	}
	return out.String(), nil
}

// inside calls f on a thread that is in the machine's mount and network namespaces, and whose
// children are in its process namespace. The thread is not used again afterwards.
func (m *machine) inside(f func() error) error {
	if m.pid == 0 {
		return fmt.Errorf("%s is off", m.name)
	}
	result := make(chan error, 1)
	go onThread(func() {
		err := m.enter()
		if err == nil {
			err = f()
		}
		result <- err
	})
	return <-result
}

// onThread calls f on a thread that ends afterwards. The main thread is never that: it would not end
// but keep the namespaces that f enters, and /proc/self would be about them.
func onThread(f func()) {
	runtime.LockOSThread() // without unlock: the thread ends with the goroutine
	if unix.Gettid() != unix.Getpid() {
		f()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		onThread(f) // elsewhere: this goroutine occupies the main thread meanwhile
	}()
	<-done
	runtime.UnlockOSThread()
}

func (m *machine) enter() error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	kinds := []struct {
		name string
		flag int
	}{{"pid", unix.CLONE_NEWPID}, {"net", unix.CLONE_NEWNET}, {"mnt", unix.CLONE_NEWNS}}
	files := make([]*os.File, len(kinds))
	for i, k := range kinds { // all before the first is entered: afterwards /proc is another one
		f, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", m.pid, k.name))
		if err != nil {
			return fmt.Errorf("enter %s: %w", m.name, err)
		}
		defer func() { _ = f.Close() }()
		files[i] = f
	}
	for i, k := range kinds {
		if err := unix.Setns(int(files[i].Fd()), k.flag); err != nil {
			return fmt.Errorf("enter the %s namespace of %s: %w", k.name, m.name, err)
		}
	}
	return nil
}

// hostPath is where the host sees a path of the machine's view. It follows the view's own links,
// and holds until the machine is off.
func (m *machine) hostPath(path string) string {
	root := fmt.Sprintf("/proc/%d/root", m.pid)
	todo := strings.Split(strings.Trim(filepath.Clean(path), "/"), "/")
	done := "/"
	for links := 0; len(todo) > 0; {
		next := filepath.Join(done, todo[0])
		todo = todo[1:]
		target, err := os.Readlink(root + next)
		if err != nil || links > 40 {
			done = next
			continue
		}
		links++
		if filepath.IsAbs(target) {
			done = "/"
		}
		todo = append(strings.Split(strings.Trim(filepath.Clean(target), "/"), "/"), todo...)
	}
	return root + done
}

// keepers returns the keepers of dir's machines that run now, by machine name, from the process
// table: it finds what a run left that could not clean up.
func keepers(dir string) (map[string]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	found := map[string]int{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		line, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err != nil {
			continue
		}
		args := strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")
		if len(args) >= 4 && slices.Equal(args[1:3], []string{"--cluster", dir}) && filepath.Base(args[0]) == "pause" {
			found[args[3]] = pid
		}
	}
	return found, nil
}
