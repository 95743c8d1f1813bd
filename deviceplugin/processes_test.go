package deviceplugin

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const uid, static = "0a3f1c52-7d64-4c0a-9b0e-2f8b1c4d5e6f", "8f14e45fceea167a5a36dedd4bea2543"

func cgroups() map[string]string {
	u := strings.ReplaceAll(uid, "-", "_")
	return map[string]string{
		"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + u + ".slice/cri-containerd-c0ffee.scope\n":                                       uid,
		"0::/kubepods.slice/kubepods-pod" + u + ".slice/crio-c0ffee.scope\n":                                                                                    uid,
		"0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod" + u + ".slice/cri-containerd-c0ffee.scope": uid,
		"0::/kubepods/besteffort/pod" + uid + "/c0ffee\n":                                                                                                       uid,
		"12:memory:/kubepods/burstable/pod" + uid + "/c0ffee\n11:cpu,cpuacct:/kubepods/burstable/pod" + uid + "/c0ffee\n":                                       uid,
		"2:cpu:/\n1:name=systemd:/kubepods.slice/kubepods-pod" + u + ".slice/docker-c0ffee.scope\n":                                                             uid,
		"0::/kubepods/burstable/pod" + static + "/c0ffee\n":                                                                                                     static,
		"0::/../../kubepods-burstable-pod" + u + ".slice/cri-containerd-c0ffee.scope\n":                                                                         uid, // as seen from another pod
		"0::/system.slice/nvidia-persistenced.service\n":                                                                                                        "",
		"0::/user.slice/user-1000.slice/session-2.scope\n":                                                                                                      "",
		"0::/user.slice/tripod" + uid + "/x\n":                                                                                                                  "",
		"0::/kubepods/pod" + uid + "f/x\n":                                                                                                                      "",
		"0::/system.slice/podman.service\n":                                                                                                                     "",
		"0::/kubepods/podsomething/c0ffee\n":                                                                                                                    "",
		"0::/kubepods/pod" + uid[:35] + "\n":                                                                                                                    "",
		"0::/kubepods/pod" + strings.ToUpper(uid) + "\n":                                                                                                        "",
		"0::/a:b/pod" + uid + "\n":                                                                                                                              uid,
		"0::/\n":                                                                                                                                                "",
		"pod" + uid:                                                                                                                                             "",
		"":                                                                                                                                                      "",
	}
}

func TestPodOfCgroup(t *testing.T) {
	for text, want := range cgroups() {
		got, ok := podOfCgroup(text)
		if string(got) != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", text, got, ok)
		}
	}
}

func FuzzPodOfCgroup(f *testing.F) {
	for text := range cgroups() {
		f.Add(text)
	}
	form := regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$|^[0-9a-f]{32}$`)
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := podOfCgroup(text)
		if ok != (got != "") || ok && !form.MatchString(string(got)) {
			t.Errorf("%q: %q, %v", text, got, ok)
		}
	})
}

func TestProcesses(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "7"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"comm": "python3\n", "cgroup": "0::/kubepods/pod" + uid + "/x\n"} {
		if err := os.WriteFile(filepath.Join(root, "7", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := NewProcesses(root)
	if pod, ok := p.Pod(7); pod != uid || !ok || p.Name(7) != "python3" {
		t.Errorf("process 7: %q %v %q", pod, ok, p.Name(7))
	}
	if pod, ok := p.Pod(8); ok || p.Name(8) != "" {
		t.Errorf("process 8: %q", pod)
	}
}
