//go:build e2e

package cluster_test

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// look lists what of the host a cluster could leave changed.
func look(t *testing.T) map[string][]string {
	t.Helper()
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, l := range links {
		names = append(names, l.Name)
	}
	cgroups, err := filepath.Glob("/sys/fs/cgroup/*/*")
	if err != nil {
		t.Fatal(err)
	}
	top, _ := filepath.Glob("/sys/fs/cgroup/*")
	namespaces, _ := filepath.Glob("/run/netns/*")
	return map[string][]string{
		"links":      names,
		"routes":     lines(t, "/proc/net/route"),
		"mounts":     lines(t, "/proc/self/mountinfo"),
		"cgroups":    slices.DeleteFunc(append(top, cgroups...), func(p string) bool { return !strings.Contains(p, "/gpu") }),
		"namespaces": namespaces,
		"processes":  processes(t, "/pause\x00--cluster"),
		"kubelet":    {tree("/var/lib/kubelet"), tree("/var/lib/containerd"), tree("/var/lib/cni"), tree("/etc/cdi"), tree("/run/cdi"), tree("/run/containerd")},
	}
}

func lines(t *testing.T, path string) []string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(data), "\n")
}

// tree names what is directly below a folder.
func tree(path string) string {
	entries, err := os.ReadDir(path)
	if err != nil {
		return path + ": none"
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return path + ": " + strings.Join(names, " ")
}

// processes returns the command lines that contain text.
func processes(t *testing.T, text string) []string {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, p := range paths {
		if line, err := os.ReadFile(p); err == nil && strings.Contains(string(line), text) && !strings.Contains(p, "/self/") {
			found = append(found, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

func same(t *testing.T, before, after map[string][]string) {
	t.Helper()
	for what := range before {
		if !slices.Equal(before[what], after[what]) {
			t.Errorf("%s changed\nbefore:\n%s\nafter:\n%s", what, strings.Join(before[what], "\n"), strings.Join(after[what], "\n"))
		}
	}
}
