package conformance

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/gpulet/gpulet/gpu/drivertest"
	"github.com/gpulet/gpulet/gpu/nvml"
	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/shapes"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// libraryEnv names the library for a child process: go-nvml binds to one library for the life of a process.
const libraryEnv = "GPUSIM_TEST_LIBRARY"

// child runs one test of this binary in a process of its own against a library, and gives its output.
func child(t *testing.T, test, library string, env ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+test+"$", "-test.v")
	cmd.Env = append(append(os.Environ(), libraryEnv+"="+library, "GORACE=atexit_sleep_ms=0"), env...)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+test) {
		t.Errorf("%s: %v\n%s", test, err, out)
	}
	return string(out)
}

// ofChild gives the library, or skips the test where it runs without its parent.
func ofChild(t *testing.T) string {
	t.Helper()
	library := os.Getenv(libraryEnv)
	if library == "" {
		t.Skip("another test runs it in a process of its own")
	}
	return library
}

func TestChildContract(t *testing.T) {
	drivertest.Run(t, nvml.New(nvml.Options{Library: ofChild(t)}))
}

// The product's driver keeps its contract on every shape, with instances and a process where there is MIG.
func TestContract(t *testing.T) {
	for _, shape := range shapes.Names() {
		t.Run(shape, func(t *testing.T) {
			n := sim.New(t, sim.Options{Shape: shape})
			if n.SetMIG(t.Context(), 0, true) == nil {
				for _, p := range profiles(t.Context(), n.Model) {
					_, _, _ = n.CreateInstance(t.Context(), 0, p, nil) // as many as fit
				}
				s := n.Model.Status().GPUs[0]
				if len(s.Instances) == 0 {
					t.Fatal("no instance")
				}
				if _, err := n.StartProcess(t.Context(), sim.In(0, s.Instances[0].GI), model.ProcessSpec{Memory: 1 << 20}); err != nil {
					t.Error(err)
				}
			}
			t.Log(child(t, "TestChildContract", n.Library()))
		})
	}
}
