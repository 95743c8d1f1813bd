package cdi

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	uuid0 = "GPU-00000000-0000-4000-8000-000000000000"
	uuid1 = "GPU-11111111-0000-4000-8000-000000000000"
)

// fixture is a folder that looks like a machine's: /proc, /dev, a driver's root and the CDI folder.
type fixture struct {
	t   *testing.T
	dir string
	cfg Config
}

// newFixture has a driver 550.54.15 whose capability minors follow the kernel's table: gpu G, instance I, compute C.
func newFixture(t *testing.T) *fixture {
	f := &fixture{t: t, dir: t.TempDir()}
	f.cfg = Config{
		Dir: f.path("cdi"), DriverRoot: f.path("driver"), DevRoot: f.path("dev"), ProcRoot: f.path("proc"),
		HookHostPath: "/opt/gpulet/gpulet", Every: time.Hour,
	}
	f.write("proc/devices", "Character devices:\n  1 mem\n195 nvidia\n195 nvidiactl\n235 nvidia-caps\n508 nvidia-uvm\n\nBlock devices:\n259 blkext\n")
	var minors strings.Builder
	minors.WriteString("config 1\nmonitor 2\n")
	for g := range 2 {
		for gi := range 8 {
			fmt.Fprintf(&minors, "gpu%d/gi%d/access %d\n", g, gi, capMinor(g, gi, wholeInstance))
			for ci := range 8 {
				fmt.Fprintf(&minors, "gpu%d/gi%d/ci%d/access %d\n", g, gi, ci, capMinor(g, gi, ci))
			}
		}
	}
	f.write("proc/driver/nvidia-caps/mig-minors", minors.String())
	for _, name := range []string{"libcuda.so", "libnvidia-ml.so", "libnvidia-ptxjitcompiler.so"} {
		f.write("driver/usr/lib/x86_64-linux-gnu/"+name+".550.54.15", "no ELF file")
	}
	f.write("driver/usr/lib/x86_64-linux-gnu/libz.so.1.3.1", "another's")
	f.write("driver/usr/lib/libcuda.so.550.54.15", "the one of 32 bits")
	f.write("driver/usr/bin/nvidia-smi", "program")
	f.write("driver/lib/firmware/nvidia/550.54.15/gsp_ga10x.bin", "firmware")
	f.mkdir("dev")
	return f
}

func capMinor(g, gi, ci int) int { return 3 + g*135 + gi*9 + 1 + ci }

func (f *fixture) path(name string) string { return filepath.Join(f.dir, name) }

func (f *fixture) mkdir(name string) {
	f.t.Helper()
	if err := os.MkdirAll(f.path(name), 0o755); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) write(name, content string) {
	f.t.Helper()
	f.mkdir(filepath.Dir(name))
	if err := os.WriteFile(f.path(name), []byte(content), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) read(name string) string {
	f.t.Helper()
	data, err := os.ReadFile(f.path(name))
	if err != nil {
		f.t.Fatal(err)
	}
	return string(data)
}

func (f *fixture) remove(name string) {
	f.t.Helper()
	if err := os.RemoveAll(f.path(name)); err != nil {
		f.t.Fatal(err)
	}
}

// files are the names in the CDI folder.
func (f *fixture) files() []string {
	entries, err := os.ReadDir(f.cfg.Dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		f.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// running is Specs with its Run under way and the inventory that it follows.
type running struct {
	*Specs
	f         *fixture
	snapshots *gpu.Feed[*gpu.Snapshot]
	version   uint64
}

// start runs Specs before the first look at the hardware.
func (f *fixture) start() *running {
	f.t.Helper()
	r := &running{Specs: New(f.cfg), f: f, snapshots: gpu.NewFeed(&gpu.Snapshot{})}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- r.Run(ctx, r.snapshots) }()
	f.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Error(err)
		}
	})
	return r
}

// see publishes a snapshot of these GPUs and waits until it is answered from.
func (r *running) see(gpus ...gpu.GPU) {
	r.f.t.Helper()
	_, changed := r.view.Get()
	r.publish(gpus...)
	<-changed
}

func (r *running) publish(gpus ...gpu.GPU) {
	r.version++
	r.snapshots.Set(&gpu.Snapshot{Version: r.version, Driver: gpu.DriverInfo{Version: "550.54.15"}, GPUs: gpus, Topology: &gpu.Topology{}})
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not in time: " + what)
		}
	}
}

// whole is a GPU that is not divided.
func whole(uuid gpu.UUID, minor int) gpu.GPU {
	return gpu.GPU{UUID: uuid, Index: minor, Minor: minor, Model: "NVIDIA A100-SXM4-80GB"}
}

// divided is a GPU in MIG mode.
func divided(uuid gpu.UUID, minor int, instances ...gpu.Instance) gpu.GPU {
	g := whole(uuid, minor)
	g.MIG = gpu.MIGState{Capable: true, Enabled: true, Pending: true}
	g.Instances = instances
	return g
}

// instance is a GPU instance such as "3g.40gb" at a start, with full or partial compute instances.
func instance(t *testing.T, id uint32, profile string, start, size int, compute ...gpu.ComputeInstance) gpu.Instance {
	t.Helper()
	return gpu.Instance{ID: id, Slot: mig.Slot{Profile: parse(t, profile), Placement: mig.Placement{Start: start, Size: size}}, Compute: compute}
}

// compute is a compute instance; each call with another serial is another creation.
func compute(t *testing.T, id uint32, profile string, start, serial int) gpu.ComputeInstance {
	t.Helper()
	p := parse(t, profile)
	return gpu.ComputeInstance{
		ID: id, UUID: gpu.UUID(fmt.Sprintf("MIG-%08d-0000-4000-8000-000000000000", serial)),
		Profile: p, Placement: mig.Placement{Start: start, Size: p.Compute}, MemoryBytes: 10 << 30,
	}
}

func parse(t *testing.T, profile string) mig.Profile {
	t.Helper()
	p, err := mig.ParseProfile(profile)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// slice is the device of a slot.
func slice(t *testing.T, uuid gpu.UUID, profile string, start, size, computeStart int) gpu.Device {
	t.Helper()
	return gpu.Device{
		Kind: gpu.Slice, GPU: uuid, Slot: mig.Slot{Profile: parse(t, profile), Placement: mig.Placement{Start: start, Size: size}},
		ComputeStart: computeStart,
	}
}

func wantFiles(t *testing.T, f *fixture, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := f.files(); !slices.Equal(got, want) {
		t.Errorf("the CDI folder has %q, want %q", got, want)
	}
}
