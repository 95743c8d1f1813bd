package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

// tree keeps the driver's files under a folder as the node has them. What others put beside them stays, except that a boot
// empties dev, which lives in memory on real machines.
type tree struct {
	root string
	have map[string]model.File
	boot string
}

// update writes what changed and removes what went. Files appear at once: they are written beside and renamed.
func (t *tree) update(files []model.File) error {
	want := make(map[string]model.File, len(files))
	for _, f := range files {
		want[f.Path] = f
		if f.Path == "/proc/sys/kernel/random/boot_id" && f.Content != t.boot {
			if t.boot != "" {
				t.reboot()
			}
			t.boot = f.Content
		}
	}
	for path := range t.have {
		if _, ok := want[path]; !ok {
			if err := t.remove(path); err != nil {
				return err
			}
			delete(t.have, path)
		}
	}
	for _, f := range files {
		if t.have[f.Path] == f {
			continue
		}
		if err := t.write(f); err != nil {
			return fmt.Errorf("show %s: %w", f.Path, err)
		}
		t.have[f.Path] = f
	}
	return nil
}

func (t *tree) reboot() {
	dev := filepath.Join(t.root, "dev")
	entries, _ := os.ReadDir(dev)
	for _, e := range entries {
		_ = os.RemoveAll(filepath.Join(dev, e.Name()))
	}
	for path := range t.have {
		if strings.HasPrefix(path, "/dev/") {
			delete(t.have, path)
		}
	}
}

func (t *tree) path(path string) string { return filepath.Join(t.root, filepath.FromSlash(path)) }

// remove takes a file away and the folders that are empty then, but not the tops.
func (t *tree) remove(path string) error {
	if err := os.Remove(t.path(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	emptied := true
	for dir := filepath.Dir(path); emptied && strings.Count(dir, "/") > 1; dir = filepath.Dir(dir) {
		emptied = os.Remove(t.path(dir)) == nil // it fails while something is in it
	}
	return nil
}

func (t *tree) write(f model.File) error {
	path := t.path(f.Path)
	if f.Kind == "dir" {
		return os.MkdirAll(path, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	temp := filepath.Join(filepath.Dir(path), ".gpusim-"+filepath.Base(path))
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := create(temp, f); err != nil {
		return err
	}
	return os.Rename(temp, path)
}

// create makes a device node where it is allowed, and a file in its place otherwise: nothing opens it.
func create(path string, f model.File) error {
	mode := os.FileMode(f.Mode)
	switch f.Kind {
	case "link":
		return os.Symlink(f.Content, path)
	case "char":
		err := unix.Mknod(path, unix.S_IFCHR|f.Mode, int(unix.Mkdev(f.Major, f.Minor)))
		if err == nil {
			return os.Chmod(path, mode)
		}
		if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) {
			return err
		}
	}
	if err := os.WriteFile(path, []byte(f.Content), mode|0o200); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

// put writes one file of the driver root or the library.
func put(path string, data []byte, mode os.FileMode) error {
	if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, data) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	temp := filepath.Join(filepath.Dir(path), ".gpusim-"+filepath.Base(path))
	if err := os.WriteFile(temp, data, mode); err != nil {
		return err
	}
	if err := os.Chmod(temp, mode); err != nil {
		return err
	}
	return os.Rename(temp, path)
}

func link(target, path string) error {
	if have, err := os.Readlink(path); err == nil && have == target {
		return nil
	}
	temp := path + ".gpusim"
	_ = os.Remove(temp)
	if err := os.Symlink(target, temp); err != nil {
		return err
	}
	return os.Rename(temp, path)
}
