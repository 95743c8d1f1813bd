package cdi

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tags.cncf.io/container-device-interface/pkg/cdi"

	"github.com/gpulet/gpulet/deviceplugin"
	"github.com/gpulet/gpulet/gpu"
)

var (
	_      deviceplugin.Specs = (*Specs)(nil)
	update                    = flag.Bool("update", false, "write the golden files")
)

// mixed has a whole GPU, one with a full slice, and a GPU instance with two sub-slices.
func mixed(t *testing.T) []gpu.GPU {
	t.Helper()
	return []gpu.GPU{
		whole(uuid0, 0),
		divided(uuid1, 1,
			instance(t, 2, "3g.40gb", 0, 4, compute(t, 0, "1c.3g.40gb", 0, 1), compute(t, 1, "2c.3g.40gb", 1, 2)),
			instance(t, 5, "1g.10gb+me", 6, 1, compute(t, 0, "1g.10gb+me", 0, 3))),
	}
}

// A runtime reads exactly these specs.
func TestGolden(t *testing.T) {
	for name, change := range map[string]func(f *fixture){
		"plain": func(*fixture) {},
		// The driver is in a container, the agent has the host's /dev elsewhere, and there is no program for hooks.
		"container": func(f *fixture) {
			f.cfg.HostDriverRoot, f.cfg.HostDevRoot, f.cfg.HookHostPath = "/run/nvidia/driver", "/run/nvidia/driver/dev", ""
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			change(f)
			f.start().see(mixed(t)...)
			golden := filepath.Join("testdata", name)
			for _, file := range f.files() {
				at := filepath.Join(golden, strings.ReplaceAll(file, ":", "@")) // Go modules have no colons in file names
				got := f.read("cdi/" + file)
				if *update {
					if err := os.MkdirAll(golden, 0o755); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(at, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				if want, err := os.ReadFile(at); err != nil || got != string(want) {
					t.Errorf("%s: %v, got\n%s\nwant\n%s", file, err, got, want)
				}
			}
			if want, _ := os.ReadDir(golden); len(want) != len(f.files()) {
				t.Errorf("%d golden files, %d specs: %q", len(want), len(f.files()), f.files())
			}
		})
	}
}

// inject lets a runtime's own registry edit an OCI spec. S is the OCI spec's type.
func inject[S any](t *testing.T, with func(*S, ...string) ([]string, error), names ...string) *S {
	t.Helper()
	s := new(S)
	if missing, err := with(s, names...); err != nil || len(missing) > 0 {
		t.Fatalf("inject %q: %v, missing %q", names, err, missing)
	}
	return s
}

// A container gets the nodes of what it was given and of nothing else.
func TestRuntimeInjects(t *testing.T) {
	f := newFixture(t)
	r := f.start()
	r.see(mixed(t)...)
	cache, err := cdi.NewCache(cdi.WithSpecDirs(f.cfg.Dir), cdi.WithAutoRefresh(false))
	if err != nil {
		t.Fatal(err)
	}
	if errs := cache.GetErrors(); len(errs) > 0 {
		t.Fatal(errs)
	}
	replica := gpu.Device{GPU: uuid0, Replica: 3}
	control := []string{"/dev/nvidia-uvm 508:0", "/dev/nvidia-uvm-tools 508:1", "/dev/nvidiactl 195:255"}
	caps := func(gi, ci int) []string {
		return []string{
			fmt.Sprintf("/dev/nvidia-caps/nvidia-cap%d 235:%[1]d", capMinor(1, gi, wholeInstance)),
			fmt.Sprintf("/dev/nvidia-caps/nvidia-cap%d 235:%[1]d", capMinor(1, gi, ci)), "/dev/nvidia1 195:1",
		}
	}
	for _, c := range []struct {
		name   string
		device gpu.Device
		want   []string
	}{
		{"whole", gpu.Device{GPU: uuid0}, []string{"/dev/nvidia0 195:0"}},
		{"replica", replica, []string{"/dev/nvidia0 195:0"}},
		{"slice", slice(t, uuid1, "1g.10gb+me", 6, 1, 0), caps(5, 0)},
		{"sub-slice", slice(t, uuid1, "2c.3g.40gb", 0, 4, 1), caps(2, 1)},
		{"replica of a sub-slice", func() gpu.Device {
			d := slice(t, uuid1, "1c.3g.40gb", 0, 4, 0)
			d.Replica = 2
			return d
		}(), caps(2, 0)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := r.Ready(c.device); err != nil {
				t.Fatal(err)
			}
			oci := inject(t, cache.InjectDevices, r.Name(c.device), r.DriverName())
			var got []string
			for i, d := range oci.Linux.Devices {
				got = append(got, fmt.Sprintf("%s %d:%d", d.Path, d.Major, d.Minor))
				rule := oci.Linux.Resources.Devices[i]
				if d.Type != "c" || rule.Type != "c" || *rule.Major != d.Major || *rule.Minor != d.Minor || rule.Access != "rw" || !rule.Allow {
					t.Errorf("%s is type %s with rule %+v", d.Path, d.Type, rule)
				}
			}
			slices.Sort(got)
			want := slices.Sorted(slices.Values(slices.Concat(c.want, control)))
			if !slices.Equal(got, want) {
				t.Errorf("the container has %q, want %q", got, want)
			}
			if !slices.Contains(oci.Process.Env, void) {
				t.Errorf("env %q lacks %s", oci.Process.Env, void)
			}
			nodes, err := r.Nodes(c.device)
			if err != nil || len(nodes) != len(want) {
				t.Errorf("Nodes: %v %v", nodes, err)
			}
			for _, n := range nodes {
				if n.ContainerPath != n.HostPath || !slices.ContainsFunc(want, func(w string) bool { return strings.HasPrefix(w, n.HostPath+" ") }) {
					t.Errorf("Nodes has %+v", n)
				}
			}
		})
	}
}
