package cluster

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// The addresses of a cluster do not overlap, whatever the seed, and none is the host's.
func TestPlan(t *testing.T) {
	for seed := range 256 {
		p, err := choosePlan(byte(seed))
		if err != nil {
			t.Fatal(err)
		}
		if p.second < 50 || p.second > 249 {
			t.Errorf("seed %d: %d", seed, p.second)
		}
		for i := 1; i <= 3; i++ {
			if p.pods(i).Contains(p.node(i)) || p.pods(i).Contains(p.service()) || p.node(i) == p.control() || p.node(i) == p.host() {
				t.Errorf("node %d of %v", i, p)
			}
		}
	}
	if mac := (plan{second: 60}).mac(plan{second: 60}.node(2)); mac != "02:00:0a:3c:01:66" {
		t.Error(mac)
	}
}

// The host's path of a path on a machine follows the machine's links, also absolute ones.
func TestHostPath(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(dir, "real"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	m := machine{pid: os.Getpid()}
	got := m.hostPath(filepath.Join(dir, "link", "file"))
	want := m.hostPath(filepath.Join(dir, "real", "file"))
	if got != want || filepath.Base(filepath.Dir(got)) != "real" {
		t.Errorf("%s, not %s", got, want)
	}
}

// A build's key follows from its source and its flags.
func TestKey(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "go.mod")
	var keys []string
	for _, b := range []build{{name: "a"}, {name: "a", static: true}, {name: "a", args: []string{"-tags", "x"}}} {
		for _, text := range []string{"one", "two"} {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			key, err := b.key(dir, "go1 amd64")
			if err != nil || slices.Contains(keys, key) {
				t.Errorf("%s %v", key, err)
			}
			keys = append(keys, key)
		}
	}
}
