package agent

import (
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/gpulet/gpulet/kubelet"
)

// processes tells of the host's processes, from /proc. It implements deviceplugin.Processes.
type processes struct{ procRoot string }

// Pod is the pod whose cgroup a process is in.
func (p processes) Pod(pid int) (kubelet.UID, bool) { return podOf(p.read(pid, "cgroup")) }

// Name is the short name of a process, of at most 15 bytes; empty when it is gone.
func (p processes) Name(pid int) string { return strings.TrimSpace(string(p.read(pid, "comm"))) }

func (p processes) read(pid int, file string) []byte {
	root, err := os.OpenRoot(p.procRoot)
	if err != nil {
		return nil
	}
	defer func() { _ = root.Close() }()
	data, _ := root.ReadFile(path.Join(strconv.Itoa(pid), file))
	return data
}

// podOf finds a pod's UID in the text of a cgroup file. The kubelet names the pod's cgroup pod<UID>, with _ for - where systemd
// makes it (pod_container_manager_linux.go, 1.37.2); the UIDs of static pods are 32 digits.
func podOf(cgroup []byte) (kubelet.UID, bool) {
	m := regexp.MustCompile(`[/-]pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})(?:[/.\n]|$)`).FindSubmatch(cgroup)
	if m == nil {
		return "", false
	}
	return kubelet.UID(strings.ReplaceAll(string(m[1]), "_", "-")), true
}
