package godcgm

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/gpulet/gpulet/test/gpusim/lib"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// In C, against NVIDIA's headers: structures of another version are refused, and threads may call at once.
func TestVersions(t *testing.T) {
	n := sim.New(t, sim.Options{Shape: "hgx-h100"})
	include, err := lib.DCGMHeaderDir(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir, err := n.DCGMLibrary(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(n.Dir, "versions")
	args := []string{"-std=gnu11", "-Wall", "-Wextra", "-Werror", "-pthread", "-I", include, "-o", binary, "testdata/versions.c", filepath.Join(dir, "libdcgm.so.4")}
	if text, err := exec.CommandContext(t.Context(), "gcc", args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	cmd := exec.CommandContext(t.Context(), binary)
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+dir)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
}
