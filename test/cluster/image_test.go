package cluster_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gpulet/gpulet/test/cluster"
)

// An archive names its image, and its layer has the files with folders before what is in them.
func TestImage(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, []byte("text"), 0o755); err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(dir, "image.tar")
	image := cluster.Image{Name: "name:1", Entrypoint: []string{"/opt/a/program"}, Files: map[string]string{"/opt/a/program": program}}
	if err := image.Write(archive); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	parts, _ := untar(t, data)
	var manifest []struct {
		Config           string
		RepoTags, Layers []string
	}
	if err := json.Unmarshal(parts["manifest.json"], &manifest); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(manifest[0].RepoTags, []string{"name:1"}) || parts[manifest[0].Config] == nil {
		t.Errorf("manifest: %s", parts["manifest.json"])
	}
	files, order := untar(t, parts[manifest[0].Layers[0]])
	if string(files["opt/a/program"]) != "text" {
		t.Errorf("layer: %v", slices.Sorted(maps.Keys(files)))
	}
	if slices.Index(order, "opt/a/") > slices.Index(order, "opt/a/program") || !slices.Contains(order, "opt/") {
		t.Errorf("order: %v", order)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 2 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// A dynamic program comes with its loader; what is missing is an error that names it.
func TestProgramImage(t *testing.T) {
	image, err := cluster.ProgramImage(t.Context(), "cat:1", "/usr/bin/cat", map[string]string{"/etc/more": "/etc/hostname"})
	if err != nil {
		t.Skip(err)
	}
	if image.Entrypoint[0] != "/usr/bin/cat" || len(image.Files) < 4 || image.Files["/etc/more"] == "" {
		t.Errorf("%+v", image)
	}
	if _, err := cluster.ProgramImage(t.Context(), "none:1", "/nowhere/program", nil); err == nil {
		t.Error("no error for a program that is not there")
	}
}

func untar(t *testing.T, data []byte) (map[string][]byte, []string) {
	t.Helper()
	files, order := map[string][]byte{}, []string(nil)
	r := tar.NewReader(bytes.NewReader(data))
	for {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, order
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name], order = text, append(order, header.Name)
	}
}
