package cdi

import (
	"net"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestDiscover(t *testing.T) {
	const lib = "driver/usr/lib/x86_64-linux-gnu/"
	three := []string{
		"/usr/lib/x86_64-linux-gnu/libcuda.so.550.54.15 libcuda.so.1", "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.550.54.15 libnvidia-ml.so.1",
		"/usr/lib/x86_64-linux-gnu/libnvidia-ptxjitcompiler.so.550.54.15 libnvidia-ptxjitcompiler.so.1",
	}
	for name, c := range map[string]struct {
		change  func(f *fixture)
		want    string // version asked for
		version string
		files   []string
		reason  string
	}{
		"as it is":     {func(*fixture) {}, "550.54.15", "550.54.15", three, ""},
		"unknown":      {func(*fixture) {}, "", "550.54.15", three, ""},
		"another":      {func(*fixture) {}, "570.1.2", "550.54.15", three, "the loaded driver is 570.1.2"},
		"two versions": {func(f *fixture) { f.write(lib+"libcuda.so.1000.1", "") }, "550.54.15", "550.54.15", three, ""},
		"the newest": {
			func(f *fixture) { f.write(lib+"libcuda.so.1000.1", "") }, "", "1000.1",
			[]string{"/usr/lib/x86_64-linux-gnu/libcuda.so.1000.1 libcuda.so.1"},
			"",
		},
		"a folder of links": {func(f *fixture) {
			if err := os.Symlink("usr/lib", f.path("driver/lib64")); err != nil {
				f.t.Fatal(err)
			}
		}, "550.54.15", "550.54.15", three, ""},
		"a link out of the root": {func(f *fixture) {
			if err := os.Symlink("/etc/passwd", f.path(lib+"libnvidia-evil.so.550.54.15")); err != nil {
				f.t.Fatal(err)
			}
		}, "550.54.15", "550.54.15", three, ""},
		"a folder by the name of a library": {func(f *fixture) { f.mkdir(lib + "libx.so.550.54.15") }, "550.54.15", "550.54.15", three, ""},
		"nothing":                           {func(f *fixture) { f.remove("driver/usr") }, "550.54.15", "", nil, "no library"},
		"no root":                           {func(f *fixture) { f.remove("driver") }, "550.54.15", "", nil, "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			c.change(f)
			d := discover(f.cfg.DriverRoot, c.want)
			var files []string
			for _, l := range d.libraries {
				files = append(files, l.path+" "+l.soname)
			}
			if d.version != c.version || !slices.Equal(files, c.files) || (d.reason == "") != (c.reason == "") || !strings.Contains(d.reason, c.reason) {
				t.Errorf("version %q, libraries %q, reason %q", d.version, files, d.reason)
			}
		})
	}
}

// A program is found behind links that are absolute within the driver's root, as Debian has them, and never outside of it.
func TestPrograms(t *testing.T) {
	f := newFixture(t)
	f.write("driver/usr/lib/nvidia/current/nvidia-debugdump", "program")
	f.mkdir("driver/etc/alternatives")
	for link, to := range map[string]string{
		"usr/bin/nvidia-debugdump":                  "/etc/alternatives/nvidia--nvidia-debugdump",
		"etc/alternatives/nvidia--nvidia-debugdump": "/usr/lib/nvidia/current/nvidia-debugdump",
		"usr/bin/nvidia-persistenced":               "/bin/sh",
		"usr/bin/nvidia-imex":                       "../../../../../../../../../../bin/sh",
		"usr/bin/nvidia-cuda-mps-control":           "nvidia-cuda-mps-control",
	} {
		if err := os.Symlink(to, f.path("driver/"+link)); err != nil {
			t.Fatal(err)
		}
	}
	want := []program{
		{"/usr/bin/nvidia-smi", "/usr/bin/nvidia-smi"}, {"/usr/bin/nvidia-debugdump", "/usr/lib/nvidia/current/nvidia-debugdump"},
	}
	if d := discover(f.cfg.DriverRoot, ""); !slices.Equal(d.programs, want) {
		t.Error(d.programs)
	}
}

// Sockets of the driver's daemons reach the container, plain files by their name do not.
func TestSockets(t *testing.T) {
	f := newFixture(t)
	f.mkdir("driver/run/nvidia-persistenced")
	f.write("driver/run/nvidia-fabricmanager/socket", "a file")
	t.Chdir(f.path("driver/run/nvidia-persistenced")) // a socket's path is short
	l, err := net.Listen("unix", "socket")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if d := discover(f.cfg.DriverRoot, ""); !slices.Equal(d.sockets, []string{"/run/nvidia-persistenced/socket"}) {
		t.Error(d.sockets)
	}
}

// A real library tells its short name.
func TestSoname(t *testing.T) {
	root, err := os.OpenRoot("/")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	for _, file := range []string{"usr/lib/x86_64-linux-gnu/libc.so.6", "usr/lib64/libc.so.6", "usr/lib/aarch64-linux-gnu/libc.so.6"} {
		if regular(root, file) {
			if got := soname(root, file); got != "" { // it is the file's own name
				t.Errorf("%s is %q", file, got)
			}
			return
		}
	}
	t.Skip("no library of a known name")
}

func TestCompareVersions(t *testing.T) {
	list := []string{"1000.1", "550.54.15", "550.54", "550.9", "550.163.01", "470.256.02"}
	slices.SortFunc(list, compareVersions)
	if want := []string{"470.256.02", "550.9", "550.54", "550.54.15", "550.163.01", "1000.1"}; !slices.Equal(list, want) {
		t.Error(list)
	}
}
