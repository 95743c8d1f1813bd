package daemon_test

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shows waits until the folder is as the node has it: every file with its content, and no other in the driver's folders.
func shows(t *testing.T, n *sim.Node) {
	t.Helper()
	var problem string
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if problem = compare(n); problem == "" {
			return
		}
	}
	t.Fatal(problem)
}

func compare(n *sim.Node) string {
	want := map[string]model.File{}
	for _, f := range n.Model.Files() {
		want[f.Path] = f
		path := filepath.Join(n.Dir, f.Path)
		info, err := os.Lstat(path)
		if err != nil {
			return err.Error()
		}
		switch f.Kind {
		case "file":
			if data, err := os.ReadFile(path); err != nil || string(data) != f.Content || uint32(info.Mode().Perm()) != f.Mode {
				return f.Path + " has another content or mode"
			}
		case "link":
			if to, err := os.Readlink(path); err != nil || to != f.Content {
				return f.Path + " links elsewhere"
			}
			if _, err := os.Stat(path); err != nil {
				return err.Error()
			}
		case "char":
			if os.Getuid() == 0 && info.Mode()&fs.ModeCharDevice == 0 && info.Size() != 0 {
				return f.Path + " is no device"
			}
		}
	}
	problem := ""
	_ = filepath.WalkDir(filepath.Join(n.Dir, "proc"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && want[strings.TrimPrefix(path, n.Dir)].Path == "" {
			problem = path + " should be gone"
		}
		return err
	})
	return problem
}

// The folder follows the node: instances, driver gone and back in another version, reboot.
func TestTrees(t *testing.T) {
	n := sim.New(t, sim.Options{Shape: "hgx-h100"})
	shows(t, n)
	old, err := os.ReadFile(n.Library())
	if err != nil {
		t.Fatal(err)
	}
	if err := n.SetMIG(t.Context(), 0, true); err != nil {
		t.Fatal(err)
	}
	id, _, err := n.CreateInstance(t.Context(), 0, "3g.40gb", nil)
	if err != nil {
		t.Fatal(err)
	}
	shows(t, n)
	ours := filepath.Join(n.Root("dev"), "nvidia-caps", "nvidia-cap12") // made by whoever needs it
	if err := os.WriteFile(ours, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := n.DestroyInstance(t.Context(), 0, id); err != nil {
		t.Fatal(err)
	}
	shows(t, n)
	if err := n.UnloadDriver(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	shows(t, n)
	if _, err := os.Stat(filepath.Join(n.Root("dev"), "nvidia0")); err == nil {
		t.Error("a GPU's device without a driver")
	}
	if _, err := os.Stat(ours); err != nil {
		t.Error(err)
	}
	if err := n.LoadDriver(t.Context(), "580.65.06"); err != nil {
		t.Fatal(err)
	}
	shows(t, n)
	now, err := os.ReadFile(n.Library())
	if err != nil || bytes.Equal(old, now) || !bytes.Contains(now, []byte("580.65.06")) {
		t.Errorf("the library is the old one: %v", err)
	}
	libraries, err := filepath.Glob(filepath.Join(n.Root("driver"), "usr/lib/x86_64-linux-gnu/*"))
	if err != nil || len(libraries) != 5 {
		t.Errorf("%v %v", libraries, err)
	}
	for _, l := range libraries {
		if _, err := os.Stat(l); err != nil {
			t.Error(err)
		}
	}
	if err := n.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	shows(t, n)
	if _, err := os.Stat(ours); err == nil {
		t.Error("dev outlives a reboot")
	}
}

// A folder that is served is not served twice; one that was left is taken over.
func TestFolder(t *testing.T) {
	n := sim.New(t, sim.Options{Shape: "a30x4"})
	if _, err := sim.Start(t.Context(), sim.Options{Shape: "a30x4", Dir: n.Dir}); err == nil || !strings.Contains(err.Error(), "served") {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(filepath.Join(n.Root("dev"), "rest"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := n.Halt(); err != nil {
		t.Fatal(err)
	}
	other, err := sim.Start(t.Context(), sim.Options{Shape: "a30x4", Dir: n.Dir})
	if err != nil {
		t.Fatal(err)
	}
	shows(t, other)
	if err := other.Stop(); err != nil {
		t.Error(err)
	}
}

// The kernel's log grows by a record for each XID, in the file that a reader has open, and begins anew with a boot.
func TestKernelLog(t *testing.T) {
	n := sim.New(t, sim.Options{Shape: "dgx-a100"})
	path := filepath.Join(n.Dir, "dev", "kmsg")
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	grows := func(want string) {
		t.Helper()
		var got []byte
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			more, err := io.ReadAll(f)
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, more...); strings.HasSuffix(string(got), "\n") {
				break
			}
		}
		if !strings.HasPrefix(string(got), want) || strings.Count(string(got), "\n") != 1 {
			t.Errorf("%q, want %q and so on", got, want)
		}
	}
	for i, want := range []string{"4,1,", "4,2,"} {
		if err := n.XID(t.Context(), sim.Whole(i), 79); err != nil {
			t.Fatal(err)
		}
		grows(want)
	}
	if err := n.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		data, err := os.ReadFile(path)
		if err == nil && len(data) == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("after a boot: %q %v", data, err)
		}
	}
}
