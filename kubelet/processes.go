package kubelet

import (
	"os"
	"path"
	"strconv"
	"strings"
)

// Processes tells of host processes, from a /proc of the host's pid namespace. It remembers nothing.
type Processes struct{ root string }

// NewProcesses reads below procRoot.
func NewProcesses(procRoot string) *Processes { return &Processes{procRoot} }

// Pod is the pod that a process belongs to; false when it belongs to none or is gone.
func (p *Processes) Pod(pid int) (UID, bool) {
	pod, _, ok := p.Container(pid)
	return pod, ok
}

// Container is the pod that a process belongs to and the runtime's id of its container, as in Container.ID; the id is empty
// when only the pod is known. False: it belongs to none, is gone, or is not to be seen from here.
func (p *Processes) Container(pid int) (pod UID, container string, ok bool) {
	return ofCgroup(p.read(pid, "cgroup"))
}

// Name is the short name of a process, empty when it is gone.
func (p *Processes) Name(pid int) string { return strings.TrimSpace(p.read(pid, "comm")) }

func (p *Processes) read(pid int, file string) string {
	root, err := os.OpenRoot(p.root)
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

// ofCgroup reads /proc/<pid>/cgroup: lines "<n>:<controllers>:<path>", several of cgroup v1 or one of v2. Of several the
// first that names a container counts: not every hierarchy of cgroup v1 needs to be in use.
func ofCgroup(text string) (pod UID, container string, ok bool) {
	for line := range strings.Lines(text) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		uid, id, found := ofCgroupPath(strings.TrimSuffix(parts[2], " (deleted)"))
		if found && !ok || id != "" {
			pod, container, ok = uid, id, true
		}
		if id != "" {
			break
		}
	}
	return pod, container, ok
}

// ofCgroupPath finds the pod's part of a path and the container's behind it. The path may begin anywhere: it is relative to
// the cgroup namespace of who reads it. What a container makes below its own cgroup does not count.
func ofCgroupPath(name string) (pod UID, container string, ok bool) {
	parts := strings.Split(name, "/")
	for i, part := range parts {
		// containerd makes "<slice>:cri-containerd:<id>" when the kubelet's driver is systemd and its own is not.
		slice, rest, mixed := strings.Cut(part, ":")
		if pod, ok = podOfSegment(slice); !ok {
			continue
		}
		if mixed {
			container = containerOfSegment(strings.Replace(rest, ":", "-", 1))
		} else if i+1 < len(parts) {
			container = containerOfSegment(parts[i+1])
		}
		return pod, container, true
	}
	return "", "", false
}

// podOfSegment: a pod's part of the path is "pod<uid>" with the kubelet's cgroupfs driver and "kubepods-<class>-pod<uid>.slice"
// with its systemd driver, where the UID is written with underscores.
func podOfSegment(s string) (UID, bool) {
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

// containerOfSegment: a container's part is its id, with the runtime's prefix (CRI-O always, the others under systemd) and
// ".scope" under systemd. CRI-O's "crio-conmon-<id>" is the container's monitor, which is not in the container.
func containerOfSegment(s string) string {
	s = strings.TrimSuffix(s, ".scope")
	for _, prefix := range []string{"cri-containerd-", "crio-", "docker-"} {
		if id, ok := strings.CutPrefix(s, prefix); ok {
			s = id
			break
		}
	}
	if !hexadecimal(s, 64) {
		return ""
	}
	return s
}

// podUID accepts a UUID of the API server, or the 32 hexadecimal digits that the kubelet gives a static pod.
func podUID(s string) (UID, bool) {
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
	return UID(s), true
}

func hexadecimal(s string, digits int) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(s) == digits
}
