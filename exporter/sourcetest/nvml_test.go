package sourcetest_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/exporter/sourcetest"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/nvml"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// shapeEnv names the shape and the driver of the simulated node of a child process: go-nvml binds to one library for the life of a process.
const shapeEnv = "GPULET_TEST_SOURCE_SHAPE"

// NVML says of a node what is true of it, with GPM and without.
func TestNVML(t *testing.T) {
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("there is no gcc")
	}
	for _, shape := range []string{"dgx-a100 550.54.15", "hgx-h100 580.65.06"} {
		t.Run(shape, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChildNVML$", "-test.v")
			cmd.Env = append(os.Environ(), shapeEnv+"="+shape, "GORACE=atexit_sleep_ms=0")
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "--- PASS: TestChildNVML") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func TestChildNVML(t *testing.T) {
	shape, driver, ok := strings.Cut(os.Getenv(shapeEnv), " ")
	if !ok {
		t.Skip("another test runs it in a process of its own")
	}
	node := sim.New(t, sim.Options{Shape: shape, Driver: driver})
	stage := sourcetest.Set(t, node)
	d := nvml.New(nvml.Options{Library: node.Library()})
	if err := d.Open(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	telemetry := map[gpu.UUID]gpu.Telemetry{}
	for i := range 2 {
		g, err := d.GPU(i)
		if err != nil {
			t.Fatal(err)
		}
		id, _, err := g.Identity()
		if err != nil {
			t.Fatal(err)
		}
		telemetry[id.UUID] = g.Telemetry()
	}
	o := sourcetest.Options{Profiling: shape == "hgx-h100"}
	if driver < "570" { // the driver does not tell
		o.Lacks = []gpu.Field{family.Recovery}
	}
	stage.Run(t, func(_ context.Context, uuid gpu.UUID, ask gpu.Ask) ([]gpu.Reading, error) {
		if telemetry[uuid] == nil {
			return nil, errors.New("no such GPU")
		}
		return telemetry[uuid].Read(ask)
	}, o)
}
