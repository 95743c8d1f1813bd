package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const cgroupMount = "/sys/fs/cgroup"

// cgroupsV2 says whether the host has the unified hierarchy only.
func cgroupsV2() bool {
	var st unix.Statfs_t
	return unix.Statfs(cgroupMount, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC
}

// hierarchies returns the mount points below which a cgroup must exist: one on version 2, one a
// controller on version 1.
func hierarchies() ([]string, error) {
	if cgroupsV2() {
		return []string{cgroupMount}, nil
	}
	entries, err := os.ReadDir(cgroupMount)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, e := range entries {
		if e.IsDir() { // cpu -> cpu,cpuacct and the like are links
			paths = append(paths, filepath.Join(cgroupMount, e.Name()))
		}
	}
	return paths, nil
}

// makeCgroup makes the cgroup in every hierarchy, ready to hold pods.
func makeCgroup(name string) error {
	tops, err := hierarchies()
	if err != nil {
		return err
	}
	if cgroupsV2() {
		if err := delegate(cgroupMount); err != nil {
			return err
		}
	}
	for _, top := range tops {
		path := filepath.Join(top, name)
		if err := os.MkdirAll(path, 0o755); err != nil {
			return fmt.Errorf("make cgroup: %w", err)
		}
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} { // empty in a new cgroup of version 1
			value, err := os.ReadFile(filepath.Join(top, file))
			if err != nil || cgroupsV2() {
				continue
			}
			if err := os.WriteFile(filepath.Join(path, file), value, 0o600); err != nil {
				return fmt.Errorf("fill cgroup: %w", err)
			}
		}
		if cgroupsV2() {
			if err := delegate(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// delegate gives the children of a version 2 cgroup the controllers that the kubelet wants.
func delegate(path string) error {
	available, err := os.ReadFile(filepath.Join(path, "cgroup.controllers"))
	if err != nil {
		return err
	}
	for _, c := range strings.Fields(string(available)) {
		switch c {
		case "cpu", "cpuset", "memory", "pids", "hugetlb", "io":
			// One that cannot be passed on shows as the kubelet's own error, which names it.
			_ = os.WriteFile(filepath.Join(path, "cgroup.subtree_control"), []byte("+"+c), 0o600)
		}
	}
	return nil
}

// removeCgroups removes every cgroup whose name at the top begins with prefix. Their processes must
// have been told to end; the kernel may need a moment to let go of them.
func removeCgroups(prefix string) error {
	tops, err := hierarchies()
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		var left error
		for _, top := range tops {
			paths, _ := filepath.Glob(filepath.Join(top, prefix+"*"))
			for _, path := range paths {
				left = errors.Join(left, removeTree(path))
			}
		}
		if left == nil || time.Now().After(deadline) {
			return left
		}
	}
}

// removeTree removes folders from the leaves up; a cgroup's files cannot be removed, and need not be.
func removeTree(path string) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(path, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(path); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove cgroup %s: %w", path, err)
	}
	return nil
}
