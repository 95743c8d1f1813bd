//go:build e2e

package cluster_test

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gpulet/gpulet/test/cluster"
)

// look lists what of the host the cluster in dir could leave changed. Other clusters may come and go.
func look(t *testing.T, dir string) map[string][]string {
	t.Helper()
	id := cluster.ID(dir)
	foreign := func(name string) bool { return strings.HasPrefix(name, "gpu") && !strings.HasPrefix(name, id) }
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, l := range links {
		names = append(names, l.Name)
	}
	var cgroups []string
	for _, pattern := range []string{"/sys/fs/cgroup/" + id + "*", "/sys/fs/cgroup/*/" + id + "*"} {
		found, _ := filepath.Glob(pattern)
		cgroups = append(cgroups, found...)
	}
	namespaces, _ := filepath.Glob("/run/netns/*")
	return map[string][]string{
		"links":      slices.DeleteFunc(names, foreign),
		"routes":     slices.DeleteFunc(lines(t, "/proc/net/route"), foreign),
		"mounts":     lines(t, "/proc/self/mountinfo"),
		"cgroups":    cgroups,
		"namespaces": namespaces,
		"processes":  processes(t, dir+"\x00"),
		"folders": {
			tree("/var/lib/kubelet"), tree("/var/lib/containerd"), tree("/var/lib/cni"), tree("/etc/cdi"), tree("/run/cdi"),
			tree("/run/containerd"), tree("/dev"),
		},
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
