package kubelet

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	podA   = "0a3f1c52-7d64-4c0a-9b0e-2f8b1c4d5e6f"
	podB   = "1b3f1c52-7d64-4c0a-9b0e-2f8b1c4d5e6f"
	static = "8f14e45fceea167a5a36dedd4bea2543"
	ctrA   = "5e0b3c6f9a1d4c7280e1f2a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7"
	ctrB   = "6e0b3c6f9a1d4c7280e1f2a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7"
)

type cgroupCase struct{ name, text, pod, container string }

func cgroups() []cgroupCase {
	u, v := strings.ReplaceAll(podA, "-", "_"), strings.ReplaceAll(podB, "-", "_")
	slice := "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + u + ".slice/"
	return []cgroupCase{
		{"v2, systemd, containerd", "0::" + slice + "cri-containerd-" + ctrA + ".scope\n", podA, ctrA},
		{"v2, systemd, CRI-O", "0::/kubepods.slice/kubepods-pod" + u + ".slice/crio-" + ctrA + ".scope\n", podA, ctrA},
		{"v2, systemd, CRI-O, below its scope", "0::" + slice + "crio-" + ctrA + ".scope/container\n", podA, ctrA},
		{"v2, systemd, CRI-O's monitor", "0::" + slice + "crio-conmon-" + ctrA + ".scope\n", podA, ""},
		{"v2, cgroupfs, CRI-O", "0::/kubepods/besteffort/pod" + podA + "/crio-" + ctrA + "\n", podA, ctrA},
		{"v2, cgroupfs, containerd or docker", "0::/kubepods/besteffort/pod" + podA + "/" + ctrA + "\n", podA, ctrA},
		{"v2, systemd, docker", "0::" + slice + "docker-" + ctrA + ".scope\n", podA, ctrA},
		{"v2, drivers differ", "0::/system.slice/containerd.service/kubepods-burstable-pod" + u + ".slice:cri-containerd:" + ctrA + "\n", podA, ctrA},
		{"v2, kubelet with a root of its own", "0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" + u + ".slice/cri-containerd-" + ctrA + ".scope", podA, ctrA},
		{"v2, as seen from another pod", "0::/../../kubepods-burstable-pod" + u + ".slice/cri-containerd-" + ctrA + ".scope\n", podA, ctrA},
		{"v2, cgroup removed", "0::/kubepods/pod" + podA + "/" + ctrA + " (deleted)\n", podA, ctrA},
		{"v2, static pod", "0::/kubepods/burstable/pod" + static + "/" + ctrA + "\n", static, ctrA},
		{"v2, nested cgroups", "0::" + slice + "cri-containerd-" + ctrA + ".scope/init.scope/" + ctrB + "\n", podA, ctrA},
		{"v2, a node in a container", "0::" + slice + "cri-containerd-" + ctrA + ".scope/kubelet.slice/kubelet-pod" + v + ".slice/cri-containerd-" + ctrB + ".scope\n", podA, ctrA},
		{"v2, in no container", "0::/kubepods/burstable/pod" + podA + "\n", podA, ""},
		{"v2, unknown runtime", "0::/kubepods/burstable/pod" + podA + "/c0ffee\n", podA, ""},
		{"v1, all alike", "12:memory:/kubepods/burstable/pod" + podA + "/" + ctrA + "\n11:cpu,cpuacct:/kubepods/burstable/pod" + podA + "/" + ctrA + "\n", podA, ctrA},
		{"v1, not in every hierarchy", "2:cpu:/\n1:name=systemd:/kubepods.slice/kubepods-pod" + u + ".slice/docker-" + ctrA + ".scope\n", podA, ctrA},
		{"v1, container in a later line", "3:rdma:/kubepods/pod" + podA + "\n2:cpu:/kubepods/pod" + podA + "/" + ctrA + "\n", podA, ctrA},
		{"v1, colon in the path", "0::/a:b/pod" + podA + "\n", podA, ""},
		{"daemon of the host", "0::/system.slice/nvidia-persistenced.service\n", "", ""},
		{"container outside of pods", "0::/system.slice/docker-" + ctrA + ".scope\n", "", ""},
		{"user session", "0::/user.slice/user-1000.slice/session-2.scope\n", "", ""},
		{"almost a pod", "0::/user.slice/tripod" + podA + "/x\n", "", ""},
		{"too long", "0::/kubepods/pod" + podA + "f/x\n", "", ""},
		{"too short", "0::/kubepods/pod" + podA[:35] + "\n", "", ""},
		{"podman", "0::/system.slice/podman.service\n", "", ""},
		{"a word", "0::/kubepods/podsomething/c0ffee\n", "", ""},
		{"upper case", "0::/kubepods/pod" + strings.ToUpper(podA) + "\n", "", ""},
		{"root", "0::/\n", "", ""},
		{"no line of a cgroup", "pod" + podA, "", ""},
		{"gone", "", "", ""},
	}
}

func TestOfCgroup(t *testing.T) {
	for _, c := range cgroups() {
		t.Run(c.name, func(t *testing.T) {
			pod, container, ok := ofCgroup(c.text)
			if string(pod) != c.pod || container != c.container || ok != (c.pod != "") {
				t.Errorf("%q: pod %q, container %q, %v", c.text, pod, container, ok)
			}
		})
	}
}

func FuzzCgroup(f *testing.F) {
	for _, c := range cgroups() {
		f.Add(c.text)
	}
	uid := regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$|^[0-9a-f]{32}$`)
	id := regexp.MustCompile(`^([0-9a-f]{64})?$`)
	f.Fuzz(func(t *testing.T, text string) {
		pod, container, ok := ofCgroup(text)
		if ok != (pod != "") || ok && !uid.MatchString(string(pod)) || !id.MatchString(container) || !ok && container != "" {
			t.Errorf("%q: pod %q, container %q, %v", text, pod, container, ok)
		}
	})
}

func TestProcesses(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "7"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"comm": "python3\n", "cgroup": "0::/kubepods/pod" + podA + "/" + ctrA + "\n"} {
		if err := os.WriteFile(filepath.Join(root, "7", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := NewProcesses(root)
	if pod, ok := p.Pod(7); pod != podA || !ok || p.Name(7) != "python3" {
		t.Errorf("process 7: %q %v %q", pod, ok, p.Name(7))
	}
	if pod, container, ok := p.Container(7); pod != podA || container != ctrA || !ok {
		t.Errorf("process 7: %q %q %v", pod, container, ok)
	}
	if pod, ok := p.Pod(8); ok || p.Name(8) != "" {
		t.Errorf("process 8: %q", pod)
	}
	if pod, ok := NewProcesses(filepath.Join(root, "none")).Pod(7); ok {
		t.Errorf("without /proc: %q", pod)
	}
}
