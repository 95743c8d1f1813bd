package lib_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/gpulet/gpulet/test/gpusim/lib"
	"github.com/gpulet/gpulet/test/gpusim/model"
)

// The branches are all that the model's table tells apart.
func TestBranches(t *testing.T) {
	known := map[model.Branch]bool{470: true}
	for _, b := range model.Symbols() {
		known[b] = true
	}
	for _, b := range lib.Branches() {
		delete(known, b)
	}
	if len(known) > 0 {
		t.Errorf("%v are missing", known)
	}
}

// A version's library comes out of a folder of built ones too, with the version in it.
func TestFolder(t *testing.T) {
	path, err := lib.Build(t.Context(), 550)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "550.so"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(lib.DirEnv, dir)
	got, err := lib.Library(t.Context(), "570.124.06") // exports what 550 does
	if err != nil || !bytes.Contains(got, []byte("570.124.06\x00")) || len(got) != len(data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := lib.Library(t.Context(), "580.65.06"); err == nil {
		t.Error("a library from nowhere")
	}
}
