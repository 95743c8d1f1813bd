package direct_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/gpu/nvml"
	"github.com/gpulet/gpulet/test/gpusim/direct"
	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// sameEnv names the shape for a child process: go-nvml binds to one library for the life of a process.
const sameEnv = "GPUSIM_TEST_SAME"

// The product's driver over the C library and this one say the same of the same GPUs, and do the same to them.
func TestSameAsTheLibrary(t *testing.T) {
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("there is no gcc")
	}
	for _, shape := range []string{"dgx-a100", "hgx-h100", "a30x4", "rtx6000x4", "mixed", "v100x8", "odd"} {
		t.Run(shape, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChildSame$", "-test.v")
			cmd.Env = append(os.Environ(), sameEnv+"="+shape, "GORACE=atexit_sleep_ms=0")
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "--- PASS: TestChildSame") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func TestChildSame(t *testing.T) {
	shape := os.Getenv(sameEnv)
	if shape == "" {
		t.Skip("another test runs it in a process of its own")
	}
	n := sim.New(t, sim.Options{Shape: shape, Seed: 1})
	p := pair{t, n, nvml.New(nvml.Options{Library: n.Library()}), direct.New(n.Model, model.Caller{})}
	for _, d := range []gpu.Driver{p.library, p.direct} {
		must(t, d.Open())
		defer func() { must(t, d.Close()) }()
	}
	p.compare("Info", func(d gpu.Driver) answer { return told(d.Info()) })
	count, err := p.library.Count()
	must(t, err)
	p.compare("Count", func(d gpu.Driver) answer { n, err := d.Count(); return answer{n, nil, err} })
	p.compare("GPU past the end", func(d gpu.Driver) answer { _, err := d.GPU(count); return answer{err: err} })
	for i := range count {
		p.look(i)
	}
	p.changes()
	for i := range count {
		p.look(i)
	}
	if shape == "hgx-h100" || shape == "v100x8" { // it takes its time
		p.failures()
	}
}

type pair struct {
	t               *testing.T
	n               *sim.Node
	library, direct gpu.Driver
}

type answer struct {
	value any
	gaps  []gpu.Gap
	err   error
}

func told[V any](v V, gaps []gpu.Gap, err error) answer { return answer{v, gaps, err} }

// compare asks both. Of errors the call and the meaning count, of gaps what is lacking; their texts may differ.
func (p pair) compare(what string, ask func(d gpu.Driver) answer) {
	p.t.Helper()
	a, b := ask(p.library), ask(p.direct)
	if a.err == nil && !reflect.DeepEqual(a.value, b.value) || essence(a) != essence(b) {
		p.t.Errorf("%s\nby the library %+v %s\ndirectly       %+v %s", what, a.value, essence(a), b.value, essence(b))
	}
}

func essence(a answer) string {
	if e := (*gpu.DriverError)(nil); errors.As(a.err, &e) {
		return fmt.Sprintf("failed: %s %v", e.Call, e.Kind)
	}
	if a.err != nil {
		return "failed"
	}
	lacks := []string{"fine"}
	for _, g := range a.gaps {
		lacks = append(lacks, "lacks "+g.Feature)
	}
	return strings.Join(lacks, ", ")
}

// look compares all that can be read of a GPU.
func (p pair) look(i int) {
	with := func(f func(g gpu.DriverGPU) answer) func(d gpu.Driver) answer {
		return func(d gpu.Driver) answer {
			g, err := d.GPU(i)
			if err != nil {
				return answer{err: err}
			}
			return f(g)
		}
	}
	p.compare("Identity", with(func(g gpu.DriverGPU) answer { return told(g.Identity()) }))
	p.compare("Geometry", with(func(g gpu.DriverGPU) answer { return told(g.Geometry()) }))
	p.compare("Layout", with(func(g gpu.DriverGPU) answer {
		geometry, _, _ := g.Geometry()
		return told(g.Layout(geometry))
	}))
	p.compare("Condition", with(func(g gpu.DriverGPU) answer { return told(g.Condition()) }))
	p.compare("Processes", with(func(g gpu.DriverGPU) answer { h, err := g.Processes(); return answer{h, nil, err} }))
	p.compare("Links", with(func(g gpu.DriverGPU) answer { l, err := g.Links(); return answer{l, nil, err} }))
}

// changes divides GPU 0, each step taken by both drivers: what the one did, the other is refused or sees gone.
func (p pair) changes() {
	step := func(what string, f func(g gpu.DriverGPU) (any, error)) {
		p.t.Helper()
		run := func(d gpu.Driver) answer {
			g, err := d.GPU(0)
			must(p.t, err)
			v, err := f(g)
			return answer{v, nil, err}
		}
		p.compare(what, run)
	}
	g, err := p.direct.GPU(0)
	must(p.t, err)
	geometry, _, err := g.Geometry()
	must(p.t, err)
	step("the mode with another client", func(g gpu.DriverGPU) (any, error) { return g.SetMode(true) })
	if len(geometry.Profiles) == 0 {
		return
	}
	small := geometry.Profiles[0]
	if l, _, _ := g.Layout(geometry); !l.MIG.Enabled {
		step("create before the mode", func(g gpu.DriverGPU) (any, error) { return g.CreateInstance(small, small.Placements[0]) })
	}
	p.force()
	id, err := g.CreateInstance(small, small.Placements[0])
	must(p.t, err)
	step("a taken place", func(g gpu.DriverGPU) (any, error) { return g.CreateInstance(small, small.Placements[0]) })
	step("a wrong place", func(g gpu.DriverGPU) (any, error) { return g.CreateInstance(small, mig.Placement{Start: 99, Size: 1}) })
	step("an unknown profile", func(g gpu.DriverGPU) (any, error) {
		return g.CreateInstance(mig.ProfileInfo{ID: 4711}, small.Placements[0])
	})
	p.look(0) // a GPU instance without a compute instance
	ci, err := g.CreateCompute(id)
	must(p.t, err)
	step("a filled instance", func(g gpu.DriverGPU) (any, error) { return g.CreateCompute(id) })
	step("no such instance", func(g gpu.DriverGPU) (any, error) { return g.CreateCompute(77) })
	_, err = p.n.StartProcess(p.t.Context(), model.Target{GPU: 0, GI: id, CI: ci.ID}, model.ProcessSpec{PID: 4711, Memory: 1 << 20})
	must(p.t, err)
	step("a busy compute instance", func(g gpu.DriverGPU) (any, error) { return nil, g.DestroyCompute(id, ci.ID) })
	step("a filled instance", func(g gpu.DriverGPU) (any, error) { return nil, g.DestroyInstance(id) })
	step("no such compute instance", func(g gpu.DriverGPU) (any, error) { return nil, g.DestroyCompute(id, 77) })
	step("no such instance", func(g gpu.DriverGPU) (any, error) { return nil, g.DestroyInstance(77) })
	step("mode off with instances", func(g gpu.DriverGPU) (any, error) { return g.SetMode(false) })
	p.foreign(small)
	step("mode on again", func(g gpu.DriverGPU) (any, error) { return g.SetMode(true) })
}

// foreign lets an administrator make and destroy an instance while both drivers watch.
func (p pair) foreign(profile mig.ProfileInfo) {
	var sources []gpu.EventSource
	for _, d := range []gpu.Driver{p.library, p.direct} {
		g, err := d.GPU(0)
		must(p.t, err)
		src, err := g.Watch()
		must(p.t, err)
		sources = append(sources, src)
	}
	id, _, err := p.n.CreateInstance(p.t.Context(), 0, profile.Profile.String(), nil)
	must(p.t, err)
	must(p.t, p.n.DestroyInstance(p.t.Context(), 0, id))
	for i, src := range sources {
		for range 4 { // a GPU instance and its compute instance come and go
			if e, err := src.Wait(10 * time.Second); err != nil || e != (gpu.Event{Kind: gpu.EventMIGChange, GPUInstance: gpu.NoInstance, ComputeInstance: gpu.NoInstance}) {
				p.t.Errorf("driver %d: %+v %v", i, e, err)
			}
		}
		if e, err := src.Wait(time.Millisecond); !errors.Is(err, gpu.ErrTimeout) {
			p.t.Errorf("driver %d: %+v %v", i, e, err)
		}
		must(p.t, src.Close())
	}
}

// force switches the mode on while the drivers hold nothing.
func (p pair) force() {
	for _, d := range []gpu.Driver{p.library, p.direct} {
		must(p.t, d.Close())
	}
	if err := p.n.SetMIG(p.t.Context(), 0, true); err != nil {
		p.t.Fatal(err)
	}
	for _, d := range []gpu.Driver{p.library, p.direct} {
		must(p.t, d.Open())
	}
}

// failures makes single calls fail with every code there is.
func (p pair) failures() {
	for _, call := range []string{
		"nvmlDeviceGetUUID", "nvmlDeviceGetName", "nvmlDeviceGetMigMode", "nvmlDeviceGetGpuInstances", "nvmlGpuInstanceGetInfo",
		"nvmlGpuInstanceGetComputeInstances", "nvmlComputeInstanceGetInfo", "nvmlDeviceGetTotalEccErrors", "nvmlDeviceGetRemappedRows",
		"nvmlDeviceGetFieldValues", "nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetGraphicsRunningProcesses",
		"nvmlDeviceGetGpuInstanceProfileInfo", "nvmlDeviceGetGpuInstancePossiblePlacements", "nvmlDeviceSetMigMode",
	} {
		for code := model.Uninitialized; code <= model.Unknown; code++ {
			if code == model.InsufficientSize || code.String() == fmt.Sprintf("%v %d", model.Unknown, int(code)) {
				continue // the library asks for a larger buffer by that; there is no such code
			}
			must(p.t, p.n.FailCalls(p.t.Context(), model.ErrorFault{Call: call, GPU: 0, Return: code}))
			before := p.t.Failed()
			p.look(0)
			p.compare("SetMode", func(d gpu.Driver) answer {
				g, err := d.GPU(0)
				must(p.t, err)
				a, err := g.SetMode(true)
				return answer{a, nil, err}
			})
			if p.t.Failed() && !before {
				p.t.Fatalf("with %s failing by %v", call, code)
			}
			must(p.t, p.n.ClearFaults(p.t.Context(), -1))
		}
	}
}
