package cdi

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// char makes a character device in the fixture, or skips the test where that is not allowed.
func (f *fixture) char(name string, major, minor uint32) {
	f.t.Helper()
	f.mkdir(filepath.Dir(name))
	err := unix.Mknod(f.path(name), unix.S_IFCHR|0o600, int(unix.Mkdev(major, minor)))
	if errors.Is(err, unix.EPERM) {
		f.t.Skip("device nodes cannot be made here")
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) look() *machine {
	m := look(f.cfg.ProcRoot, f.cfg.DevRoot)
	f.t.Cleanup(m.close)
	return m
}

// Where the numbers of a GPU come from.
func TestGPUNode(t *testing.T) {
	t.Run("the kernel's table", func(t *testing.T) {
		f := newFixture(t)
		f.write("dev/nvidia0", "no device")
		if n, err := f.look().gpu(0); err != nil || n.String() != "/dev/nvidia0 (195:0)" {
			t.Error(n, err)
		}
	})
	t.Run("before R550", func(t *testing.T) {
		f := newFixture(t)
		f.write("proc/devices", "Character devices:\n195 nvidia-frontend\n")
		if n, err := f.look().gpu(3); err != nil || n.String() != "/dev/nvidia3 (195:3)" {
			t.Error(n, err)
		}
	})
	t.Run("nowhere", func(t *testing.T) {
		f := newFixture(t)
		f.remove("proc")
		f.remove("dev")
		m := f.look()
		if n, err := m.gpu(0); err == nil {
			t.Error(n)
		}
		if len(m.reasons) != 2 || m.control() != nil {
			t.Error(m.reasons, m.control())
		}
	})
	t.Run("no minor number", func(t *testing.T) {
		if n, err := newFixture(t).look().gpu(-1); err == nil {
			t.Error(n)
		}
	})
	t.Run("the node itself", func(t *testing.T) {
		f := newFixture(t)
		f.char("dev/nvidia0", 1, 3)
		m := f.look()
		if n, err := m.gpu(0); err != nil || n.String() != "/dev/nvidia0 (1:3)" {
			t.Error(n, err)
		}
		if len(m.reasons) != 1 || !strings.Contains(m.reasons[0], "not what the kernel says (195:0)") {
			t.Error(m.reasons)
		}
	})
}

// Where the numbers of a capability come from.
func TestCapabilityNode(t *testing.T) {
	a := access{0, 1, 0}
	file := "proc/driver/nvidia/capabilities/" + a.path()
	const minors = "proc/driver/nvidia-caps/mig-minors"
	for name, c := range map[string]struct {
		change func(f *fixture)
		want   string // empty: an error
		fixed  bool
	}{
		"the table":      {func(*fixture) {}, fmt.Sprintf("/dev/nvidia-caps/nvidia-cap%d (235:%[1]d)", capMinor(0, 1, 0)), false},
		"the instance's": {func(f *fixture) { f.remove(minors); f.write(file, "DeviceFileMinor: 77\nDeviceFileMode: 292\n") }, "/dev/nvidia-caps/nvidia-cap77 (235:77)", false},
		"both": {func(f *fixture) {
			f.write(file, fmt.Sprintf("DeviceFileMinor: %d\nDeviceFileModify: 0\n", capMinor(0, 1, 0)))
		}, fmt.Sprintf("/dev/nvidia-caps/nvidia-cap%d (235:%[1]d)", capMinor(0, 1, 0)), true},
		"they differ": {func(f *fixture) { f.write(file, "DeviceFileMinor: 77\n") }, "", false},
		"none":        {func(f *fixture) { f.remove(minors) }, "", false},
		"no major":    {func(f *fixture) { f.write("proc/devices", "Character devices:\n195 nvidia\n") }, "", false},
		"a link elsewhere": {func(f *fixture) {
			f.remove(minors)
			f.write("outside", "DeviceFileMinor: 77\n")
			f.mkdir(filepath.Dir(file))
			if err := os.Symlink(f.path("outside"), f.path(file)); err != nil {
				f.t.Fatal(err)
			}
		}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			c.change(f)
			n, err := f.look().capability(a)
			if c.want == "" {
				if err == nil {
					t.Error(n)
				}
				return
			}
			if err != nil || n.String() != c.want || n.fixed != c.fixed {
				t.Errorf("%v %v fixed %v, want %s", n, err, n.fixed, c.want)
			}
		})
	}
}

// The nodes of a slice are made on the host, with links; those that configure MIG never are.
func TestProvide(t *testing.T) {
	f := newFixture(t)
	f.char("dev/null", 1, 3)
	f.char("dev/nvidia1", 195, 1)
	taken := capMinor(1, 2, 0)
	f.char(fmt.Sprintf("dev/nvidia-caps/nvidia-cap%d", taken), 1, 3)
	f.write(fmt.Sprintf("proc/driver/nvidia/capabilities/%s", access{1, 5, 0}.path()), fmt.Sprintf("DeviceFileMinor: %d\nDeviceFileModify: 0\n", capMinor(1, 5, 0)))
	r := f.start()
	for range 2 { // the second time all is there
		r.see(mixed(t)...)
	}
	var made []string
	for _, dir := range []string{"dev/nvidia-caps", "dev/char"} {
		entries, err := os.ReadDir(f.path(dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			made = append(made, e.Name())
		}
	}
	nodes := []int{capMinor(1, 2, wholeInstance), capMinor(1, 2, 1), capMinor(1, 5, wholeInstance)}
	want := []string{"195:1", fmt.Sprintf("nvidia-cap%d", taken)}
	for _, n := range nodes {
		want = append(want, fmt.Sprintf("nvidia-cap%d", n), fmt.Sprintf("235:%d", n))
		var st unix.Stat_t
		if err := unix.Stat(f.path(fmt.Sprintf("dev/char/235:%d", n)), &st); err != nil || st.Rdev != unix.Mkdev(235, uint32(n)) || st.Mode != unix.S_IFCHR|0o444 {
			t.Errorf("capability %d: %v, mode %o", n, err, st.Mode)
		}
	}
	slices.Sort(want)
	slices.Sort(made)
	if !slices.Equal(made, want) {
		t.Errorf("made %q, want %q", made, want)
	}
	reasons := r.State().Reasons
	for i, want := range []string{"not what the kernel says", "settings forbid"} {
		if len(reasons) != 2 || !strings.Contains(reasons[i], want) {
			t.Errorf("no reason says %q: %q", want, reasons)
		}
	}
}

// The picture of a /dev stays as it is.
func TestProvideNothing(t *testing.T) {
	f := newFixture(t)
	r := f.start()
	r.see(mixed(t)...)
	entries, err := os.ReadDir(f.cfg.DevRoot)
	if err != nil || len(entries) > 0 {
		t.Error(entries, err)
	}
	if reasons := r.State().Reasons; len(reasons) != 1 || !strings.Contains(reasons[0], "no null device") {
		t.Error(reasons)
	}
}
