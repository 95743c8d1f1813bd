package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// nodePath is the search path on a machine. The first three are binds that furnish makes.
const nodePath = "/run/programs/containerd:/run/programs/runc:/run/programs/kubernetes:" +
	"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// writable are the host's folders that a machine sees through an overlay in memory: what is written
// there stays in the machine, and mount points can be made there.
func writable() []string { return []string{"/dev", "/etc", "/opt", "/usr", "/var"} }

// furnish makes the machine's own view of the file system: the host's, with /run empty, the folders
// of writable private, and each bind (path in the view -> host path, a folder or a file) in place.
// It is called once, before anything runs in the machine.
func (m *machine) furnish(ctx context.Context, binds map[string]string) error {
	err := m.inside(func() error {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return fmt.Errorf("make mounts private: %w", err)
		}
		binds := maps.Clone(binds)
		for _, path := range []string{"/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/hugepages"} { // mounts below an overlay
			if _, err := os.Stat(path); err == nil {
				binds[path] = path
			}
		}
		// The sources are opened first: below, some of them go out of sight.
		sources := map[string]int{}
		for target, source := range binds {
			fd, err := unix.Open(source, unix.O_PATH|unix.O_CLOEXEC, 0)
			if err != nil {
				return fmt.Errorf("open %s: %w", source, err)
			}
			defer func() { _ = unix.Close(fd) }()
			sources[target] = fd
		}
		if err := unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
			return fmt.Errorf("mount /run: %w", err)
		}
		for _, folder := range writable() {
			if err := overlay(folder); err != nil {
				return err
			}
		}
		for _, target := range slices.Sorted(maps.Keys(binds)) { // a folder before what is in it
			if err := bind(sources[target], target); err != nil {
				return fmt.Errorf("bind %s on %s: %w", binds[target], target, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("furnish %s: %w", m.name, err)
	}
	// The machine's own processes, and mounts that pass on to containers as systemd has them.
	if _, err := m.run(ctx, "mount", "-t", "proc", "proc", "/proc"); err != nil {
		return err
	}
	_, err = m.run(ctx, "mount", "--make-rshared", "/")
	return err
}

func overlay(folder string) error {
	if st, err := os.Lstat(folder); err != nil || !st.IsDir() {
		return nil //nolint:nilerr // nothing there to keep apart
	}
	base := filepath.Join("/run/overlay", folder)
	upper, work := filepath.Join(base, "upper"), filepath.Join(base, "work")
	if err := errors.Join(os.MkdirAll(upper, 0o755), os.MkdirAll(work, 0o755)); err != nil {
		return err
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", folder, upper, work)
	if err := unix.Mount("overlay", folder, "overlay", 0, options); err != nil {
		return fmt.Errorf("overlay on %s: %w", folder, err)
	}
	return nil
}

// bind mounts what fd names on target, and makes target if it may.
func bind(fd int, target string) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if _, err := os.Stat(target); err != nil {
		if !private(target) {
			return fmt.Errorf("no such file, and it would be made on the host: %w", err)
		}
		if err := point(target, st.Mode&unix.S_IFMT == unix.S_IFDIR); err != nil {
			return err
		}
	}
	source := fmt.Sprintf("/proc/thread-self/fd/%d", fd)
	return unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, "")
}

// point makes a mount point.
func point(target string, folder bool) error {
	if folder {
		return os.MkdirAll(target, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(target, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// private says whether a path written on a machine stays there.
func private(path string) bool {
	actual, err := filepath.EvalSymlinks(filepath.Dir(path))
	for dir := filepath.Dir(path); err != nil && dir != "/"; {
		dir = filepath.Dir(dir)
		actual, err = filepath.EvalSymlinks(dir)
	}
	return slices.ContainsFunc(append(writable(), "/run"), func(top string) bool {
		return actual == top || strings.HasPrefix(actual, top+"/")
	})
}
