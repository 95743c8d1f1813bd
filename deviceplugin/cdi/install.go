package cdi

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// InstallHook copies the running program to a path, as this process sees it, where the host's runtime finds it for hooks. A
// runtime that starts a container meanwhile gets the old or the new program as a whole.
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
	to, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	err = errors.Join(err, to.Chmod(0o755), to.Sync(), to.Close())
	if err == nil {
		err = os.Rename(to.Name(), path)
	}
	if err != nil {
		_ = os.Remove(to.Name())
	}
	return err
}
