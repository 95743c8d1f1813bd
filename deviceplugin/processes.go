package deviceplugin

import (
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/gpulet/gpulet/kubelet"
)

// NewProcesses reads host processes below a /proc of the host's pid namespace.
func NewProcesses(procRoot string) Processes { return procFiles(procRoot) }

type procFiles string

// Pod implements Processes.
func (p procFiles) Pod(pid int) (kubelet.UID, bool) { return podOfCgroup(p.read(pid, "cgroup")) }

// Name implements Processes.
func (p procFiles) Name(pid int) string { return strings.TrimSpace(p.read(pid, "comm")) }

func (p procFiles) read(pid int, file string) string {
	root, err := os.OpenRoot(string(p))
	if err != nil {
		return ""
	}
	defer func() { _ = root.Close() }()
	data, err := root.ReadFile(path.Join(strconv.Itoa(pid), file))
	if err != nil {
		return ""
	}
	return string(data)
}

// podOfCgroup reads the pod's UID from /proc/<pid>/cgroup: lines "<n>:<controllers>:<path>", several of cgroup v1 or one of v2.
// A pod's part of the path is "pod<uid>" with the kubelet's cgroupfs driver and "kubepods-<class>-pod<uid>.slice" with its
// systemd driver, where the UID is written with underscores. The path may begin anywhere: it is relative to the cgroup
// namespace of who reads it.
func podOfCgroup(text string) (kubelet.UID, bool) {
	for line := range strings.Lines(text) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for part := range strings.SplitSeq(parts[2], "/") {
			if uid, ok := podOfSegment(part); ok {
				return uid, true
			}
		}
	}
	return "", false
}

func podOfSegment(s string) (kubelet.UID, bool) {
	if slice, ok := strings.CutSuffix(s, ".slice"); ok {
		i := strings.LastIndex(slice, "-pod")
		if i < 0 {
			return "", false
		}
		return podUID(strings.ReplaceAll(slice[i+len("-pod"):], "_", "-"))
	}
	uid, ok := strings.CutPrefix(s, "pod")
	if !ok {
		return "", false
	}
	return podUID(uid)
}

// podUID accepts a UUID of the API server, or the 32 hexadecimal digits that the kubelet gives a static pod.
func podUID(s string) (kubelet.UID, bool) {
	switch len(s) {
	case 36:
		for _, i := range []int{8, 13, 18, 23} {
			if s[i] != '-' {
				return "", false
			}
		}
		if !hexadecimal(strings.ReplaceAll(s, "-", ""), 32) {
			return "", false
		}
	case 32:
		if !hexadecimal(s, 32) {
			return "", false
		}
	default:
		return "", false
	}
	return kubelet.UID(s), true
}

func hexadecimal(s string, digits int) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(s) == digits
}
