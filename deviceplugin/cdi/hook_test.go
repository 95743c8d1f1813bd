package cdi

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// bundle is a container that is about to start: its root is rootfs, and the text is what a runtime writes to a hook.
func bundle(t *testing.T) (f *fixture, state string) {
	f = &fixture{t: t, dir: t.TempDir()}
	f.write("bundle/config.json", `{"ociVersion":"1.2.0","root":{"path":"rootfs"},"process":{"args":["sh"]}}`)
	f.mkdir("bundle/rootfs")
	return f, fmt.Sprintf(`{"ociVersion":"1.2.0","id":"x","status":"creating","pid":7,"bundle":%q}`, f.path("bundle"))
}

const root = "bundle/rootfs/"

func (f *fixture) symlink(target, name string) {
	f.t.Helper()
	f.mkdir(filepath.Dir(name))
	if err := os.Symlink(target, f.path(name)); err != nil {
		f.t.Fatal(err)
	}
}

func wantLink(t *testing.T, f *fixture, name, target string) {
	t.Helper()
	if got, err := os.Readlink(f.path(name)); err != nil || got != target {
		t.Errorf("%s: %q %v, want %q", name, got, err, target)
	}
}

// After create-symlinks a program finds libcuda.so.1 and libcuda.so, whatever the image had.
func TestCreateSymlinks(t *testing.T) {
	args := []string{"create-symlinks", "/usr/lib64/libcuda.so.1=libcuda.so.550", "/usr/lib64/libcuda.so=libcuda.so.1"}
	for name, c := range map[string]struct {
		image  func(f *fixture)
		at     string // the folder of the links
		stderr string
	}{
		"an empty image":          {func(*fixture) {}, root + "usr/lib64", ""},
		"links of another driver": {func(f *fixture) { f.symlink("libcuda.so.470", root+"usr/lib64/libcuda.so.1") }, root + "usr/lib64", ""},
		"an absolute link":        {func(f *fixture) { f.mkdir(root + "lib"); f.symlink("/lib", root+"usr/lib64") }, root + "lib", ""},
		"a link out of the root": {func(f *fixture) {
			f.mkdir("bundle/usr")
			f.mkdir(root + "bundle")
			f.symlink("../../../../../../bundle", root+"usr/lib64")
		}, root + "bundle", ""},
		"a leftover": {func(f *fixture) {
			f.symlink("libcuda.so.470", root+"usr/lib64/libcuda.so.1")
			f.symlink("evil", root+"usr/lib64/.libcuda.so.1.gpulet")
		}, root + "usr/lib64", ""},
	} {
		t.Run(name, func(t *testing.T) {
			f, state := bundle(t)
			c.image(f)
			for range 2 { // the runtime may run it again
				var stderr bytes.Buffer
				if err := RunHook(t.Context(), args, strings.NewReader(state), &stderr); err != nil || stderr.String() != c.stderr {
					t.Fatal(err, stderr.String())
				}
			}
			wantLink(t, f, c.at+"/libcuda.so.1", "libcuda.so.550")
			wantLink(t, f, c.at+"/libcuda.so", "libcuda.so.1")
			if _, err := os.Lstat(f.path(c.at + "/.libcuda.so.1.gpulet")); err == nil {
				t.Error("a temporary name is left")
			}
		})
	}
}

// The image's own library stays, and that is told.
func TestCreateSymlinksKeepsFiles(t *testing.T) {
	f, state := bundle(t)
	f.write(root+"usr/lib64/libcuda.so.1", "the image's")
	var stderr bytes.Buffer
	err := RunHook(t.Context(), []string{"create-symlinks", "/usr/lib64/libcuda.so.1=libcuda.so.550"}, strings.NewReader(state), &stderr)
	if err != nil || !strings.Contains(stderr.String(), "stays") || f.read(root+"usr/lib64/libcuda.so.1") != "the image's" {
		t.Error(err, stderr.String())
	}
}

// Whatever links an image has, nothing outside its root changes.
func TestNoEscape(t *testing.T) {
	part := rapid.SampledFrom([]string{"a", "b", "c", "..", ".", "link0", "link1"})
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		f := &fixture{t: t, dir: dir}
		f.mkdir("root/a/b")
		f.mkdir("outside")
		path := func(label string) string {
			return strings.Join(rapid.SliceOfN(part, 1, 5).Draw(rt, label), "/")
		}
		for i := range 2 {
			target := path("target")
			switch rapid.IntRange(0, 2).Draw(rt, "form") {
			case 1:
				target = "/" + target
			case 2:
				target = f.path("outside")
			}
			f.symlink(target, "root/"+rapid.SampledFrom([]string{"", "a/", "a/b/"}).Draw(rt, "at")+fmt.Sprintf("link%d", i))
		}
		r, err := openRootfs(f.path("root"))
		if err != nil {
			rt.Fatal(err)
		}
		defer r.close()
		_, _ = r.symlink("x", "/"+path("link")+"/new")
		_ = r.writeFile("/"+path("file")+"/new", "content")
		for name, want := range map[string]int{"": 2, "outside": 0} {
			if got, err := os.ReadDir(f.path(name)); err != nil || len(got) != want {
				rt.Fatalf("outside of the root: %v %v", got, err)
			}
		}
	})
}

// After update-ldcache the container's linker cache knows our folders.
func TestUpdateCache(t *testing.T) {
	f, state := bundle(t)
	f.mkdir(root + "usr/lib64")
	f.write(root+"etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n")
	var stderr bytes.Buffer
	if err := RunHook(t.Context(), []string{"update-ldcache", "/usr/lib64"}, strings.NewReader(state), &stderr); err != nil {
		t.Fatal(err)
	}
	if got := f.read(root + linkerConfig); got != "/usr/lib64\n" {
		t.Errorf("%s has %q", linkerConfig, got)
	}
	if os.Getuid() != 0 || ldconfig() == "" {
		t.Skip("ldconfig needs root here")
	}
	if f.read(root+"etc/ld.so.cache") == "" {
		t.Error("no cache: " + stderr.String())
	}
}

// A container starts although its linker cache could not be made, and is not held up for long.
func TestUpdateCacheFails(t *testing.T) {
	f, state := bundle(t)
	f.write(root+"etc", "not a folder")
	var stderr bytes.Buffer
	if err := RunHook(t.Context(), []string{"update-ldcache", "/usr/lib64"}, strings.NewReader(state), &stderr); err != nil || stderr.Len() == 0 {
		t.Error(err, stderr.String())
	}
	r, err := openRootfs(f.path(root))
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	f.write("ldconfig", "#!/bin/sh\nsleep 60\n")
	if err := os.Chmod(f.path("ldconfig"), 0o755); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := updateCache(ctx, r, f.path("ldconfig"), []string{"/usr/lib64"}); err == nil || time.Since(begin) > 30*time.Second {
		t.Errorf("%v after %s", err, time.Since(begin))
	}
}

// A wrong call says what is wrong.
func TestHookErrors(t *testing.T) {
	_, state := bundle(t)
	f, _ := bundle(t)
	f.write("bundle/config.json", `{"root":{}}`)
	rootless := fmt.Sprintf(`{"bundle":%q}`, f.path("bundle"))
	for _, c := range []struct {
		args  []string
		state string
		want  string
	}{
		{nil, state, "want create-symlinks"},
		{[]string{"other"}, state, `"other"`},
		{[]string{"create-symlinks"}, "", "container's state"},
		{[]string{"create-symlinks"}, `{"bundle":"relative"}`, "no bundle"},
		{[]string{"create-symlinks"}, `{"bundle":"/does/not/exist"}`, "config.json"},
		{[]string{"create-symlinks"}, rootless, "names no root"},
		{[]string{"create-symlinks", "/usr/lib64/a=../../b"}, state, "name in the same folder"},
		{[]string{"create-symlinks", "relative=b"}, state, "name in the same folder"},
	} {
		if err := RunHook(t.Context(), c.args, strings.NewReader(c.state), &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q with %q: %v, want %q", c.args, c.state, err, c.want)
		}
	}
}

// The program for hooks is replaced as a whole.
func TestInstallHook(t *testing.T) {
	f := &fixture{t: t, dir: t.TempDir()}
	f.write("opt/gpulet/gpulet.tmp", "a copy that was cut short")
	for range 2 {
		if err := InstallHook(f.path("opt/gpulet/gpulet")); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(f.path("opt/gpulet/gpulet"))
	if err != nil || info.Mode() != 0o755 || info.Size() < 1000 {
		t.Error(info, err)
	}
	if entries, _ := os.ReadDir(f.path("opt/gpulet")); len(entries) != 1 {
		t.Error(entries)
	}
}

// A hook that the host cannot start would keep every container from starting.
func TestTryHook(t *testing.T) {
	f := &fixture{t: t, dir: t.TempDir()}
	if err := InstallHook(f.path("gpulet")); err != nil {
		t.Fatal(err)
	}
	if err := TryHook(t.Context(), "/", f.path("gpulet")); err != nil {
		t.Errorf("this program on this machine: %v", err)
	}
	for name, content := range map[string]string{
		"another loader": "#!/nowhere/ld-musl.so\n",
		"an old library": "#!/bin/sh\necho \"version GLIBC_9 not found\"; exit 1\n",
		"no program":     "no program\n",
	} {
		t.Run(name, func(t *testing.T) {
			f.write("hook", content)
			if err := os.Chmod(f.path("hook"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := TryHook(t.Context(), "/", f.path("hook")); err == nil || !strings.Contains(err.Error(), "does not run on the host") {
				t.Errorf("got %v", err)
			}
		})
	}
	f.write("hook", "#!/bin/sh\n")
	if err := TryHook(t.Context(), "/", f.path("hook")); err != nil {
		t.Errorf("a program that starts: %v", err)
	}
	if err := TryHook(t.Context(), f.dir, "/hook"); os.Geteuid() == 0 && err == nil {
		t.Error("it starts on a host without its loader")
	} else if os.Geteuid() != 0 && err != nil {
		t.Errorf("who is not root cannot try: %v", err)
	}
}
