package agent

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/gpulet/gpulet/kubelet"
)

// The pod of a process is found in each form of cgroup names.
func TestPodOf(t *testing.T) {
	const uid = "0b7ec5a7-7f5d-4e4f-9d3c-8d6c1f5f2b11"
	for name, c := range map[string]struct {
		text string
		want kubelet.UID
	}{
		"cgroupfs":          {"0::/kubepods/burstable/pod" + uid + "/4f0c\n", uid},
		"guaranteed":        {"0::/kubepods/pod" + uid + "/4f0c\n", uid},
		"systemd":           {"0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod0b7ec5a7_7f5d_4e4f_9d3c_8d6c1f5f2b11.slice/cri-containerd-4f0c.scope\n", uid},
		"v1":                {"12:memory:/kubepods/burstable/pod" + uid + "/4f0c\n11:cpu:/kubepods/burstable/pod" + uid + "/4f0c\n", uid},
		"own namespace":     {"0::/../../pod" + uid + "/4f0c\n", uid},
		"static":            {"0::/kubepods/burstable/pod0123456789abcdef0123456789abcdef/4f0c\n", "0123456789abcdef0123456789abcdef"},
		"below a root":      {"0::/nodes/a/kubepods/burstable/pod" + uid + "/4f0c", uid},
		"no pod":            {"0::/system.slice/nvidia-persistenced.service\n", ""},
		"a name like it":    {"0::/user.slice/tripod" + uid + "/x\n", ""},
		"more than a UID":   {"0::/kubepods/pod" + uid + "f/x\n", ""},
		"the process ended": {"", ""},
	} {
		got, ok := podOf([]byte(c.text))
		if got != c.want || ok != (c.want != "") {
			t.Errorf("%s: got %q, %v", name, got, ok)
		}
	}
}

// Files are read below the given root, and a process that is gone is nobody's.
func TestProcesses(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "7"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "7", "comm"), []byte("python3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := processes{root}
	if p.Name(7) != "python3" || p.Name(8) != "" {
		t.Errorf("names: %q, %q", p.Name(7), p.Name(8))
	}
	if uid, ok := p.Pod(7); ok {
		t.Errorf("a pod %s out of nothing", uid)
	}
}

func FuzzPodOf(f *testing.F) {
	f.Add([]byte("0::/kubepods/burstable/pod0b7ec5a7-7f5d-4e4f-9d3c-8d6c1f5f2b11/4f0c\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		uid, ok := podOf(data)
		if ok && len(uid) != 36 && len(uid) != 32 || !ok && uid != "" {
			t.Errorf("%q, %v", uid, ok)
		}
	})
}
