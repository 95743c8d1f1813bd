package cluster

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// An Image is one layer: some files of this machine.
type Image struct {
	Name       string   // as pods name it
	Entrypoint []string // command and first arguments
	Files      map[string]string
}

// Write writes the image as a docker archive to out, for LoadImage. Files is path in the image ->
// path on this machine; links are followed, and each file keeps its permissions.
func (i Image) Write(out string) error {
	if err := i.write(out); err != nil {
		return fmt.Errorf("image %s: %w", i.Name, err)
	}
	return nil
}

func (i Image) write(out string) error {
	layer, err := os.CreateTemp(filepath.Dir(out), ".layer-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(layer.Name()) }()
	defer func() { _ = layer.Close() }()
	hash := sha256.New()
	if err := writeLayer(io.MultiWriter(layer, hash), i.Files); err != nil {
		return err
	}
	digest := hex.EncodeToString(hash.Sum(nil))
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"Entrypoint": i.Entrypoint, "Env": []string{"PATH=/usr/local/bin:/usr/bin:/bin:/"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + digest}},
	})
	if err != nil {
		return err
	}
	sum := sha256.Sum256(config)
	configName := hex.EncodeToString(sum[:]) + ".json"
	manifest, err := json.Marshal([]any{map[string]any{
		"Config": configName, "RepoTags": []string{i.Name}, "Layers": []string{digest + "/layer.tar"},
	}})
	if err != nil {
		return err
	}
	if _, err := layer.Seek(0, io.SeekStart); err != nil {
		return err
	}
	temp := out + ".part"
	archive, err := os.Create(temp)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp) }()
	defer func() { _ = archive.Close() }()
	w := tar.NewWriter(archive)
	st, err := layer.Stat()
	if err != nil {
		return err
	}
	parts := []struct {
		name string
		size int64
		data io.Reader
	}{
		{configName, int64(len(config)), strings.NewReader(string(config))},
		{digest + "/layer.tar", st.Size(), layer},
		{"manifest.json", int64(len(manifest)), strings.NewReader(string(manifest))},
	}
	for _, p := range parts {
		if err := w.WriteHeader(&tar.Header{Name: p.name, Mode: 0o644, Size: p.size}); err != nil {
			return err
		}
		if _, err := io.Copy(w, p.data); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return os.Rename(temp, out)
}

func writeLayer(to io.Writer, files map[string]string) error {
	w := tar.NewWriter(to)
	made := map[string]bool{"/": true}
	var folder func(string) error
	folder = func(dir string) error {
		if made[dir] {
			return nil
		}
		if err := folder(path.Dir(dir)); err != nil {
			return err
		}
		made[dir] = true
		return w.WriteHeader(&tar.Header{Name: strings.TrimPrefix(dir, "/") + "/", Typeflag: tar.TypeDir, Mode: 0o755})
	}
	for _, dir := range []string{"/tmp", "/etc", "/var", "/run", "/usr/lib"} { // what programs and mounts expect
		if err := folder(dir); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := folder(path.Dir(name)); err != nil {
			return err
		}
		if err := addFile(w, name, files[name]); err != nil {
			return err
		}
	}
	return w.Close()
}

func addFile(w *tar.Writer, name, source string) error {
	f, err := os.Open(source)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	header := &tar.Header{Name: strings.TrimPrefix(name, "/"), Mode: int64(st.Mode().Perm()), Size: st.Size()}
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(w, f)
	return err
}
