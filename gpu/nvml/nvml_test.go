package nvml

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/drivertest"
	"github.com/gpulet/gpulet/gpu/mig"
)

// libraryEnv names a library to test with: go-nvml binds to one library for the life of a process, so each has its own.
const libraryEnv = "GPULET_TEST_NVML_LIBRARY"

// build compiles the stub as a driver branch.
func build(t *testing.T, branch, version string) string {
	t.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("there is no gcc")
	}
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/NVIDIA/go-nvml").Output()
	if err != nil {
		t.Fatal(err)
	}
	lib := filepath.Join(t.TempDir(), "libnvidia-ml.so.1")
	out, err := exec.CommandContext(t.Context(), gcc, "-shared", "-fPIC", "-O1", "-o", lib, "-I", filepath.Join(strings.TrimSpace(string(dir)), "gen/nvml"),
		"-DBRANCH="+branch, `-DVERSION="`+version+`"`, "testdata/stub.c", "-Wl,-soname,libnvidia-ml.so.1").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return lib
}

// A driver that lacks functions lacks features, with reasons, and the process lives.
func TestDriverBranches(t *testing.T) {
	for _, b := range []struct{ branch, version, run string }{
		{"470", "470.199.02", "TestOld"}, {"525", "525.147.05", "Test525"}, {"580", "580.65.06", "TestNew"},
	} {
		t.Run(b.branch, func(t *testing.T) {
			lib := build(t, b.branch, b.version)
			for _, run := range []string{b.run, "TestContract", "TestMonitor"} {
				cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+run+"$", "-test.v")
				cmd.Env = append(os.Environ(), libraryEnv+"="+lib, "GORACE=atexit_sleep_ms=0")
				out, err := cmd.CombinedOutput()
				if err != nil || !strings.Contains(string(out), "--- PASS: "+run) {
					t.Errorf("%s: %v\n%s", run, err, out)
				}
				t.Logf("%s", out)
			}
		})
	}
}

// Whatever single function a library lacks, the process lives: go-nvml would end it with code 127.
func TestNoMissingFunctionEndsTheProcess(t *testing.T) {
	if testing.Short() {
		t.Skip("links the stub once for each function")
	}
	lib := build(t, "580", "580.65.06")
	src, err := os.ReadFile("testdata/stub.c")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`(?m)^(?:R|const char \*)\s*\*?(nvml\w+)\(`).FindAllSubmatch(src, -1)
	if len(names) < 40 {
		t.Fatalf("%d functions found in the stub", len(names))
	}
	data, err := os.ReadFile(lib)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		name := string(n[1])
		// In the symbol table a missing function is one of another name.
		if !bytes.Contains(data, append([]byte(name), 0)) {
			continue // of another branch
		}
		other := filepath.Join(t.TempDir(), "libnvidia-ml.so.1")
		hidden := bytes.ReplaceAll(data, append(append([]byte{0}, name...), 0), append(append([]byte{0}, "gone"+name[4:]...), 0))
		if err := os.WriteFile(other, hidden, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWalk$", "-test.v")
		cmd.Env = append(os.Environ(), libraryEnv+"="+other, "GORACE=atexit_sleep_ms=0")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestWalk") {
			t.Errorf("without %s: %v\n%s", name, err, out)
		} else if !strings.Contains(string(out), strings.TrimSuffix(strings.TrimSuffix(name, "_v2"), "_v3")) && name != "nvmlErrorString" && !strings.HasPrefix(name, "nvmlDeviceGetGpuFabricInfo") {
			t.Errorf("without %s nothing is said of it:\n%s", name, out)
		}
	}
}

// TestWalk calls everything and takes any error.
func TestWalk(t *testing.T) {
	d := driver(t)
	say := func(what string, gaps []gpu.Gap, err error) { t.Log(what, gaps, err) }
	say("open", nil, d.Open())
	_, gaps, err := d.Info()
	say("info", gaps, err)
	_, err = d.Count()
	say("count", nil, err)
	var all []gpu.DriverGPU
	for i := range 2 {
		g, err := d.GPU(i)
		say("gpu", nil, err)
		if err != nil {
			return
		}
		all = append(all, g)
	}
	for _, g := range all {
		_, gaps, err := g.Identity()
		say("identity", gaps, err)
		geometry, gaps, err := g.Geometry()
		say("geometry", gaps, err)
		_, gaps, err = g.Layout(geometry)
		say("layout", gaps, err)
		_, gaps, err = g.Condition()
		say("condition", gaps, err)
		_, err = g.Processes()
		say("processes", nil, err)
		tel := g.Telemetry()
		for range 2 {
			_, err = tel.Read(gpu.Ask{Whole: Fields(), Instance: Fields(), Instances: []gpu.InstanceRef{{ID: 1, MIG: "MIG-cccccccc-0000-4000-8000-000000000000"}}})
			say("read", nil, err)
			_, err = tel.Use()
			say("use", nil, err)
		}
		say("release", nil, tel.Release())
		_, err = g.Links()
		say("links", nil, err)
		_, err = g.Ancestor(all[0])
		say("ancestor", nil, err)
		src, err := g.Watch()
		say("watch", nil, err)
		if err == nil {
			_, err = src.Wait(time.Millisecond)
			say("wait", nil, err)
			say("free", nil, src.Close())
		}
	}
	say("close", nil, d.Close())
}

// driver opens the library that the environment names.
func driver(t *testing.T) *Driver {
	t.Helper()
	lib := os.Getenv(libraryEnv)
	if lib == "" {
		t.Skip("run by TestDriverBranches, or with " + libraryEnv)
	}
	return New(Options{Library: lib})
}

func TestContract(t *testing.T) { drivertest.Run(t, driver(t)) }

// TestMonitor shows that the whole inventory comes up on the library, and ends while it waits for events.
func TestMonitor(t *testing.T) {
	d := driver(t)
	m := gpu.NewMonitor(gpu.MonitorConfig{Driver: d, SysRoot: t.TempDir(), ProcRoot: t.TempDir()})
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- m.Run(ctx) }()
	began := time.Now()
	var s *gpu.Snapshot
	for s == nil || s.Version == 0 {
		var changed <-chan struct{}
		if s, changed = m.Snapshots().Get(); s.Version == 0 {
			<-changed
		}
	}
	t.Logf("first snapshot after %s: %d GPUs", time.Since(began), len(s.GPUs))
	if len(s.GPUs) == 0 {
		t.Errorf("%+v", s)
	}
	cancel()
	began = time.Now()
	if err := <-done; err != nil || time.Since(began) > 3*time.Second {
		t.Errorf("%v after %s", err, time.Since(began))
	}
}

type want struct {
	nodeGaps  string // features, joined
	recovery  gpu.Recovery
	fabric    gpu.Fabric
	processes int
}

func TestOld(t *testing.T) {
	check(t, want{nodeGaps: "profile names from the driver,fabric state,graphics processes,MPS processes", processes: 1})
}

func Test525(t *testing.T) {
	check(t, want{nodeGaps: "MPS processes", fabric: gpu.FabricCompleted, processes: 2})
}

func TestNew(t *testing.T) {
	check(t, want{nodeGaps: "MPS processes", recovery: gpu.RecoveryDrainP2P, fabric: gpu.FabricInProgress, processes: 2})
}

// check reads the two GPUs of the stub.
func check(t *testing.T, w want) {
	t.Helper()
	d := driver(t)
	if err := d.Open(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	_, gaps, err := d.Info()
	var features []string
	for _, g := range gaps {
		features = append(features, g.Feature)
		if !strings.Contains(g.Reason, "has no nvml") || !strings.HasPrefix(g.Reason, "driver ") {
			t.Errorf("gap %+v", g)
		}
	}
	if got := strings.Join(features, ","); err != nil || got != w.nodeGaps {
		t.Errorf("gaps %q, want %q; %v", got, w.nodeGaps, err)
	}
	a, err := d.GPU(0)
	if err != nil {
		t.Fatal(err)
	}
	b, err := d.GPU(1)
	if err != nil {
		t.Fatal(err)
	}
	id, _, err := a.Identity()
	if err != nil || id != (gpu.Identity{
		UUID: "GPU-aaaaaaaa-0000-4000-8000-000000000000", Minor: 3, Model: "NVIDIA A100-SXM4-80GB", Architecture: "ampere",
		ComputeCapability: gpu.ComputeCapability{Major: 8}, PCI: "0000:07:00.0", PCIDeviceID: 0x20B210DE, PCISubsystemID: 0x147F10DE, MemoryBytes: 81920 << 20,
	}) {
		t.Errorf("%+v %v", id, err)
	}
	geometry, gaps, err := a.Geometry()
	var names strings.Builder
	for _, p := range geometry.Profiles {
		names.WriteString(p.Profile.String() + " ")
		if n := p.Profile.Slices; p.Engines != (mig.Engines{Decoders: n, Encoders: n + 1, JPEG: n + 2, OFA: n + 3}) {
			t.Errorf("media engines of %s: %+v", p.Profile, p.Engines)
		}
	}
	if err != nil || geometry.Axis != 8 || names.String() != "1g.10gb 3g.40gb 1g.10gb+me " || len(gaps) > 0 {
		t.Errorf("%+v %v %v", geometry, gaps, err)
	}
	l, gaps, err := a.Layout(geometry)
	if err != nil || len(gaps) > 0 || l.MIG != (gpu.MIGState{Capable: true, Enabled: true, Pending: true}) || len(l.Instances) != 2 {
		t.Fatalf("%+v %v %v", l, gaps, err)
	}
	if in := l.Instances[0]; in.ID != 7 || in.Slot.String() != "1g.10gb@0" || len(in.Compute) != 0 {
		t.Errorf("%+v", in)
	}
	in := l.Instances[1]
	if in.ID != 1 || in.Slot.String() != "3g.40gb@4" || len(in.Compute) != 2 {
		t.Fatalf("%+v", in)
	}
	if c := in.Compute[1]; c.ID != 1 || c.Profile.String() != "2c.3g.40gb" || c.Placement.String() != "{1}:2" || c.UUID != "MIG-dddddddd-0000-4000-8000-000000000000" {
		t.Errorf("%+v", c)
	}
	if l, _, err := b.Layout(geometry); err != nil || l.MIG.Capable || len(l.Instances) > 0 {
		t.Errorf("T4: %+v %v", l, err)
	}
	if g, gaps, err := b.Geometry(); err != nil || g.Axis != 0 || len(gaps) > 0 {
		t.Errorf("T4: %+v %v %v", g, gaps, err)
	}
	conditions(t, a, b, w)
	if p, err := a.Processes(); err != nil || len(p) != w.processes || p[0].PID != 100 || p[0].GPUInstance != 1 || len(p) > 1 && p[1].MemoryBytes != 0 {
		t.Errorf("%+v %v", p, err)
	}
	if links, err := a.Links(); err != nil || len(links) != 3 || links[0] != (gpu.Link{Remote: "0000:ab:00.0"}) || !links[2].Switch {
		t.Errorf("%+v %v", links, err)
	}
	if l, err := a.Ancestor(b); err != nil || l != gpu.AncestorHostBridge {
		t.Errorf("%v %v", l, err)
	}
	src, err := a.Watch()
	if err != nil {
		t.Fatal(err)
	}
	if e, err := src.Wait(time.Second); err != nil || e != (gpu.Event{Kind: gpu.EventXID, XID: 31, GPUInstance: 1}) {
		t.Errorf("%+v %v", e, err)
	}
	if _, err := src.Wait(time.Millisecond); !errors.Is(err, gpu.ErrTimeout) {
		t.Errorf("%v", err)
	}
	if err := src.Close(); err != nil {
		t.Error(err)
	}
}

func conditions(t *testing.T, a, b gpu.DriverGPU, w want) {
	t.Helper()
	c, gaps, err := a.Condition()
	if err != nil || c != (gpu.Condition{Uncorrected: 5, RemapFailed: true, Recovery: w.recovery, Fabric: w.fabric}) {
		t.Errorf("%+v %v %v", c, gaps, err)
	}
	if (len(gaps) == 1) != (w.recovery == gpu.RecoveryNone) {
		t.Errorf("gaps %v", gaps)
	}
	if c, _, err := b.Condition(); err != nil || !c.RemapPending || c.RemapFailed {
		t.Errorf("T4: %+v %v", c, err)
	}
}

func TestNoLibrary(t *testing.T) {
	d := New(Options{Library: filepath.Join(t.TempDir(), "libnvidia-ml.so.1")})
	if err := d.Open(); !errors.Is(err, gpu.ErrNoDriver) || !strings.Contains(err.Error(), "libnvidia-ml.so.1") {
		t.Errorf("%v", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func TestCandidates(t *testing.T) {
	root := t.TempDir()
	lib := filepath.Join(root, "usr/lib64", soname)
	if err := os.MkdirAll(filepath.Dir(lib), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(lib, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	got := New(Options{DriverRoot: root}).candidates()
	if len(got) != 2 || got[0] != soname || got[1] != lib {
		t.Errorf("%v", got)
	}
	if got := New(Options{DriverRoot: root, Library: "/x"}).candidates(); len(got) != 1 || got[0] != "/x" {
		t.Errorf("%v", got)
	}
}
