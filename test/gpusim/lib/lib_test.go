package lib_test

import (
	"bytes"
	"debug/elf"
	"os"
	"path/filepath"
	"regexp"
	"slices"
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

// libdcgm exports what the binding can call, since a function that is missing ends the process, and nothing else; a make of it lacks
// what it says, and comes out of a folder of built ones too.
func TestDCGM(t *testing.T) {
	headers, err := lib.DCGMHeaderDir(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(headers, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	var called []string
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`C\.((?:dcgm[A-Z]\w*|Dcgm\w*|errorString))\(`).FindAllSubmatch(data, -1) {
			if name := string(m[1]); !regexp.MustCompile(`_[tf]$`).MatchString(name) && !slices.Contains(called, name) {
				called = append(called, name)
			}
		}
	}
	dir := t.TempDir()
	if err := lib.WriteDCGM(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	t.Setenv(lib.DirEnv, dir)
	for name, v := range lib.DCGMVariants() {
		data, err := lib.DCGM(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := elf.NewFile(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		symbols, err := f.DynamicSymbols()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range symbols {
			if s.Section != elf.SHN_UNDEF {
				got = append(got, s.Name)
			}
		}
		want := slices.DeleteFunc(slices.Clone(called), func(s string) bool { return slices.Contains(v.Without, s) })
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("variant %q exports %d functions, want %d: %v", name, len(got), len(want), got)
		}
	}
}
