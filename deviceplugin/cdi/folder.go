package cdi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"tags.cncf.io/container-device-interface/pkg/cdi"
	"tags.cncf.io/container-device-interface/specs-go"
)

// unfinished ends the name of a file that is being written. Runtimes read names that end with .json or .yaml alone.
const unfinished = ".tmp"

// folder is the CDI folder: ours are the files that begin with the prefix.
type folder struct{ path, prefix string }

// encode is the content of a spec's file, at the lowest version of CDI that has what the spec uses.
func encode(s specs.Spec) ([]byte, error) {
	var err error
	if s.Version, err = specs.MinimumRequiredVersion(&s); err != nil {
		return nil, err
	}
	data, err := json.MarshalIndent(s, "", "  ")
	return append(data, '\n'), err
}

// list names our spec files, and removes what an interrupted write left.
func (f folder) list() ([]string, error) {
	root, err := f.open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		switch name := e.Name(); {
		case !strings.HasPrefix(name, f.prefix):
		case strings.HasSuffix(name, unfinished):
			_ = root.Remove(name)
		case strings.HasSuffix(name, ".json"):
			names = append(names, name)
		}
	}
	return names, nil
}

// write puts a spec's content in place as a whole, or leaves what was there. It reports whether anything had to change.
// The runtimes' own reader must accept it first.
func (f folder) write(name string, data []byte) (changed bool, err error) {
	root, err := f.open()
	if err != nil {
		return false, err
	}
	defer func() { _ = root.Close() }()
	if old, err := root.ReadFile(name); err == nil && bytes.Equal(old, data) {
		return false, nil
	}
	temporary := name + unfinished
	defer func() {
		if err != nil {
			_ = root.Remove(temporary)
			err = fmt.Errorf("write %s: %w", name, err)
		}
	}()
	file, err := root.OpenFile(temporary, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return false, err
	}
	_, err = file.Write(data)
	if err = errors.Join(err, file.Chmod(0o644), file.Sync(), file.Close()); err != nil {
		return false, err
	}
	if _, err = cdi.ReadSpec(filepath.Join(f.path, temporary), 0); err != nil {
		return false, err
	}
	if err = root.Rename(temporary, name); err != nil {
		return false, err
	}
	return true, syncFolder(root)
}

// remove takes a spec away; one that is not there is fine.
func (f folder) remove(name string) error {
	root, err := f.open()
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	if err := root.Remove(name); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return syncFolder(root)
}

func (f folder) open() (*os.Root, error) {
	if err := os.MkdirAll(f.path, 0o755); err != nil {
		return nil, err
	}
	return os.OpenRoot(f.path)
}

func syncFolder(root *os.Root) error {
	d, err := root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
