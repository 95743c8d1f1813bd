package cdi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// InstallHook copies the running program to a path, as this process sees it, where the host's runtime finds it for hooks. A
// runtime that starts a container meanwhile gets the old or the new program as a whole. Only the owner of the folder calls it.
func InstallHook(path string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("install the hook at %s: %w", path, err)
		}
	}()
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	// Always the same name: a copy that was cut short is large, and the next one takes its place.
	temporary := path + unfinished
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	to, err := os.OpenFile(temporary, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o700)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	err = errors.Join(err, to.Chmod(0o755), to.Sync(), to.Close())
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		_ = os.Remove(temporary)
	}
	return err
}

// tryTimeout is long for a program that only prints its help.
const tryTimeout = 5 * time.Second

// TryHook says why a program cannot be started on the host: it needs the loader and the C library of the image that it comes
// from, and its folder may be mounted without exec. A hook that does not start keeps each container from starting. root is the
// host's root as this process sees it, path the program below it. Where it cannot be tried, nothing is held against it.
func TryHook(ctx context.Context, root, path string) error {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--help")
	cmd.Env, cmd.Dir, cmd.WaitDelay = hookEnv(), "/", time.Second
	if root != "/" {
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	}
	out, err := cmd.CombinedOutput()
	if err == nil || ctx.Err() != nil || errors.Is(err, syscall.EPERM) { // EPERM: who is not root may not change its root
		return nil
	}
	return fmt.Errorf("%s does not run on the host: %w: %s", path, err, bytes.TrimSpace(out[:min(len(out), 500)]))
}
