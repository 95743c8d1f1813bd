package model_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/shapes"
)

func (r *rig) files() map[string]model.File {
	r.Helper()
	m, last := map[string]model.File{}, ""
	for _, f := range r.n.Files() {
		if f.Path <= last {
			r.Fatalf("%s comes after %s", f.Path, last)
		}
		m[f.Path], last = f, f.Path
	}
	return m
}

// TestFiles: what incumbents read under /proc, /sys and /dev, before and after changes of layout and driver.
func TestFiles(t *testing.T) {
	r := start(t, "dgx-a100")
	f := r.files()
	for path, part := range map[string]string{
		"/proc/driver/nvidia/version":                       "Kernel Module  550.54.15 ",
		"/proc/driver/nvidia/gpus/0000:07:00.0/information": "Device Minor: \t 0\n",
		"/proc/modules":                                  "\nnvidia 54386688 ",
		"/proc/devices":                                  "\n195 nvidia\n235 nvidia-caps\n508 nvidia-uvm\n",
		"/proc/driver/nvidia-caps/mig-minors":            "gpu1/gi7/ci0/access 202\n",
		"/sys/devices/pci0000:07/0000:07:00.0/vendor":    "0x10de\n",
		"/sys/devices/pci0000:07/0000:07:00.0/device":    "0x20b2\n",
		"/sys/devices/pci0000:07/0000:07:00.0/numa_node": "3\n",
		"/sys/devices/pci0000:07/0000:07:00.0/class":     "0x030200\n",
		"/sys/bus/pci/devices/0000:bd:00.0":              "devices/pci0000:bd/0000:bd:00.0",
		"/sys/devices/system/node/node3/cpulist":         "96-127\n",
		"/proc/sys/kernel/random/boot_id":                r.n.Status().BootID,
		"/sys/module/nvidia/version":                     "550.54.15\n",
	} {
		if !strings.Contains(f[path].Content, part) {
			t.Errorf("%s lacks %q:\n%.300s", path, part, f[path].Content)
		}
	}
	if g := f["/dev/nvidia7"]; g.Kind != "char" || g.Major != 195 || g.Minor != 7 || g.Mode != 0o666 {
		t.Errorf("%+v", g)
	}
	if c := f["/dev/nvidiactl"]; c.Kind != "char" || c.Minor != 255 {
		t.Errorf("%+v", c)
	}

	changed := r.n.Changed()
	d := r.mig(2)
	select {
	case <-changed:
	default:
		t.Error("a mode change is not told")
	}
	changed = r.n.Changed()
	gi, ci := r.full(d, 19, 0)
	select {
	case <-changed:
	default:
		t.Error("a new instance is not told")
	}
	access := "/proc/driver/nvidia/capabilities/gpu2/mig/gi7/access"
	f = r.files()
	want := 3 + 2*135 + 7*9
	if got := f[access].Content; got != fmt.Sprintf("DeviceFileMinor: %d\nDeviceFileMode: 292\nDeviceFileModify: 1\n", want) {
		t.Errorf("%s: %q", access, got)
	}
	if !strings.Contains(f["/proc/driver/nvidia-caps/mig-minors"].Content, fmt.Sprintf("gpu2/gi7/ci0/access %d\n", want+1)) ||
		!strings.Contains(f["/proc/driver/nvidia/capabilities/gpu2/mig/gi7/ci0/access"].Content, fmt.Sprintf("DeviceFileMinor: %d\n", want+1)) {
		t.Error("mig-minors and capabilities disagree")
	}
	r.want(r.c.ComputeInstanceDestroy(r.ctx, ci), model.Success)
	r.want(r.c.GpuInstanceDestroy(r.ctx, gi), model.Success)
	if _, there := r.files()[access]; there {
		t.Error("the capability outlives its instance")
	}

	if err := r.n.UnloadDriver(true); err != nil {
		t.Fatal(err)
	}
	for path, file := range r.files() {
		if strings.HasPrefix(path, "/dev/nvidia") || strings.HasPrefix(path, "/proc/driver") || path == "/proc/modules" && strings.Contains(file.Content, "nvidia") {
			t.Errorf("%s without a driver", path)
		}
	}
	if err := r.n.LoadDriver("470.256.02"); err != nil {
		t.Fatal(err)
	}
	if got := r.files()["/proc/devices"].Content; !strings.Contains(got, "195 nvidia-frontend\n") {
		t.Errorf("/proc/devices of 470: %s", got)
	}
}

// TestShapes: strict YAML, overrides, instances made at boot, the same seed the same node.
func TestShapes(t *testing.T) {
	s, err := model.ParseShape([]byte(`
name: own
driver: 535.183.01
gpus:
  - {model: t4, pci: "0000:65:00.0", uuid: GPU-11111111-2222-3333-4444-555555555555, minor: 3, numa: 1}
  - {model: a100-80, pci: "0000:01:00.0", instances: [{profile: 3g.40gb, start: 4}, {profile: 1g.10gb}, {profile: 2g.20gb, compute: [1c, 1c]}, {profile: 1g.10gb, compute: [none]}]}
numaNodes: 2
`))
	if err != nil {
		t.Fatal(err)
	}
	r := startShape(t, s)
	st := r.n.Status()
	if g := st.GPUs[1]; g.Name != "Tesla T4" || g.Minor != 3 || g.NUMA != 1 || g.UUID != "GPU-11111111-2222-3333-4444-555555555555" || g.PCI != "0000:65:00.0" {
		t.Errorf("GPUs are not in PCI order, or overrides are lost: %+v", g)
	}
	var got []string
	for _, i := range st.GPUs[0].Instances {
		got = append(got, fmt.Sprintf("%d %s@%d %d", i.GI, i.Profile, i.Placement.Start, len(i.Compute)))
	}
	if want := "1 3g.40gb@4 1,3 2g.20gb@0 2,7 1g.10gb@3 1,8 1g.10gb@2 0"; strings.Join(got, ",") != want {
		t.Errorf("instances %v, want %s", got, want)
	}
	if again := startShape(t, s).n.Status(); fmt.Sprint(again.GPUs) != fmt.Sprint(st.GPUs) {
		t.Error("the same seed makes another node")
	}
	other, err := model.New(s, model.Options{Seed: 2})
	if err != nil {
		t.Fatal(err)
	}
	if other.Status().GPUs[0].UUID == st.GPUs[0].UUID {
		t.Error("another seed makes the same UUID")
	}
	for _, bad := range []string{
		"driver: 550.1\ngpus: [{modell: t4}]", "driver: 550.1\ngpus: [{model: t5}]", "driver: x\ngpus: [{model: t4}]",
		"driver: 550.1\ngpus: [{model: t4, mig: true}]", "driver: 550.1\ngpus: [{model: t4, count: 2, minor: 1}]",
		"driver: 550.1\ngpus: [{model: t4, pci: zz}]", "driver: 550.1\nnvlink: {kind: rope}\ngpus: [{model: t4}]",
		"driver: 550.1\ngpus: [{model: t4, count: 99}]",
	} {
		if _, err := model.ParseShape([]byte(bad)); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	for _, bad := range []model.GPUShape{{Model: "a100-80", Instances: []model.InstanceShape{{Profile: "9g.1gb"}}}, {Model: "a100-80", Instances: []model.InstanceShape{{Profile: "7g.80gb"}, {Profile: "1g.10gb"}}}} {
		if _, err := model.New(model.Shape{Driver: "550.1", GPUs: []model.GPUShape{bad}}, model.Options{}); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

// FuzzParseShape: no input makes the parser or the node panic.
func FuzzParseShape(f *testing.F) {
	f.Add([]byte("name: x\ndriver: 550.54.15\ngpus: [{model: a100-80, count: 2, mig: true}]\n"))
	f.Add([]byte("driver: 470\nnumaNodes: 3\ncpus: 7\nnvlink: {kind: pairs}\ngpus: [{model: a30, instances: [{profile: 1g.6gb, start: 2}]}]\n"))
	f.Add([]byte("gpus: [{}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := model.ParseShape(data)
		if err != nil {
			return
		}
		if n, err := model.New(s, model.Options{}); err == nil {
			n.Files()
			n.Status()
		}
	})
}

// TestConcurrency: many clients at once on a node that changes under them.
func TestConcurrency(t *testing.T) {
	s, err := shapes.Load("hgx-h100")
	if err != nil {
		t.Fatal(err)
	}
	n, err := model.New(s, model.Options{Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := range 60 {
				c := n.Connect(model.Caller{PID: w + 1})
				_ = c.InitWithFlags(ctx, 0)
				d, _ := c.DeviceGetHandleByIndex(ctx, uint32(w%8))
				set, _ := c.EventSetCreate(ctx)
				_ = c.DeviceRegisterEvents(ctx, d, model.EventXidCritical|model.EventMigConfigChange, set)
				_, _ = c.DeviceGetUtilizationRates(ctx, d)
				_, _ = c.DeviceGetComputeRunningProcesses(ctx, d)
				if w < 8 {
					_ = c.EventSetFree(ctx, set)
					_, _ = c.DeviceSetMigMode(ctx, d, uint32(i%2))
					if gi, ret := c.DeviceCreateGpuInstance(ctx, d, 19); ret == model.Success {
						ci, _ := c.GpuInstanceCreateComputeInstance(ctx, gi, 0)
						_ = c.ComputeInstanceDestroy(ctx, ci)
						_ = c.GpuInstanceDestroy(ctx, gi)
					}
				} else {
					_ = n.InjectXID(w%8, 31, model.NoInstance, model.NoInstance)
					_, _ = c.EventSetWait(ctx, set, 1)
				}
				n.Files()
				n.Status()
				if w == 0 && i%20 == 19 {
					n.Reboot()
				}
				c.Close()
			}
		})
	}
	wg.Wait()
}
