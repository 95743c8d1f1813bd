package cdi

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// node is a device node by its name below the folder of devices, such as "nvidia0" or "nvidia-caps/nvidia-cap12".
type node struct {
	name         string
	major, minor uint32
	// mode is 0 when the runtime shall take that of the host's node.
	mode  fs.FileMode
	fixed bool // nobody but the administrator makes it
}

func (n node) String() string { return fmt.Sprintf("/dev/%s (%d:%d)", n.name, n.major, n.minor) }

// machine is one look at the kernel's files: what numbers the device nodes have. It collects what is odd.
type machine struct {
	proc, dev *os.Root // nil when it cannot be opened
	majors    map[string]uint32
	minors    map[access]uint32
	reasons   []string
}

// look reads the kernel's tables. Nothing of it fails: what cannot be read is missing, with a reason.
func look(procRoot, devRoot string) *machine {
	m := &machine{}
	var err error
	if m.proc, err = os.OpenRoot(procRoot); err != nil {
		m.note(err.Error())
	} else {
		data, err := m.proc.ReadFile("devices")
		if err != nil {
			m.note("the device numbers are not known: " + err.Error())
		}
		m.majors = parseDevices(data)
		data, _ = m.proc.ReadFile("driver/nvidia-caps/mig-minors") // older drivers and GPUs without MIG have none
		m.minors = parseMIGMinors(data)
	}
	if m.dev, err = os.OpenRoot(devRoot); err != nil {
		m.note(err.Error())
	}
	return m
}

func (m *machine) close() {
	for _, r := range []*os.Root{m.proc, m.dev} {
		if r != nil {
			_ = r.Close()
		}
	}
}

func (m *machine) note(reason string) {
	if !slices.Contains(m.reasons, reason) {
		m.reasons = append(m.reasons, reason)
	}
}

// gpu is the node of the GPU with a minor number.
func (m *machine) gpu(minor int) (node, error) {
	if minor < 0 || minor > maxMinor {
		return node{}, fmt.Errorf("%d is not a minor number", minor)
	}
	n, ok := m.find(fmt.Sprintf("nvidia%d", minor), uint32(minor), "nvidia", "nvidia-frontend")
	if !ok {
		return node{}, fmt.Errorf("/dev/nvidia%d is not there, and /proc/devices has no nvidia", minor)
	}
	return n, nil
}

// capability is the node of an access capability.
func (m *machine) capability(a access) (node, error) {
	minor, known := m.minors[a]
	c := capability{minor: minor, mode: 0o444}
	if m.proc != nil {
		data, err := m.proc.ReadFile("driver/nvidia/capabilities/" + a.path())
		if err == nil {
			var told capability
			if told, err = parseCapability(data); err == nil && known && told.minor != minor {
				return node{}, fmt.Errorf("the driver tells two minor numbers of %s: %d and %d", a.path(), minor, told.minor)
			}
			if err == nil {
				c, known = told, true
			}
		}
		if err != nil && !known {
			return node{}, fmt.Errorf("read the capability of a MIG instance: %w", err)
		}
	}
	major, ok := m.majors["nvidia-caps"]
	if !known || !ok {
		return node{}, errors.New("/proc/devices has no nvidia-caps, or no minor number is known of " + a.path())
	}
	return node{name: fmt.Sprintf("nvidia-caps/nvidia-cap%d", c.minor), major: major, minor: c.minor, mode: c.mode, fixed: c.fixed}, nil
}

// control are the nodes that every container with a GPU gets, as far as the machine has them.
func (m *machine) control() []node {
	var nodes []node
	for _, want := range []struct {
		name   string
		minor  uint32
		owners []string
	}{
		{"nvidiactl", 255, []string{"nvidiactl", "nvidia", "nvidia-frontend"}},
		{"nvidia-uvm", 0, []string{"nvidia-uvm"}},
		{"nvidia-uvm-tools", 1, []string{"nvidia-uvm"}},
		{"nvidia-modeset", 254, []string{"nvidia-modeset"}},
	} {
		if n, ok := m.find(want.name, want.minor, want.owners...); ok {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// find knows a node from the folder of devices, or else from the kernel's table under the first owner that is listed.
func (m *machine) find(name string, minor uint32, owners ...string) (node, bool) {
	told := node{name: name, minor: minor}
	listed := false
	for _, owner := range owners {
		if told.major, listed = m.majors[owner]; listed {
			break
		}
	}
	there, ok := m.stat(name)
	if ok && listed && (there.major != told.major || there.minor != told.minor) {
		m.note(fmt.Sprintf("%s is not what the kernel says (%d:%d)", there, told.major, told.minor))
	}
	if ok {
		return there, true
	}
	return told, listed
}

// stat looks at a node of the folder of devices; false when it is not a character device.
func (m *machine) stat(name string) (node, bool) {
	if m.dev == nil {
		return node{}, false
	}
	info, err := m.dev.Lstat(name)
	if err != nil || info.Mode()&fs.ModeCharDevice == 0 {
		return node{}, false
	}
	sys, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return node{}, false
	}
	return node{name: name, major: unix.Major(sys.Rdev), minor: unix.Minor(sys.Rdev)}, true
}

// real reports whether the folder of devices is one, and not the picture of one: the kernel's null device is in it.
func (m *machine) real() bool {
	null, ok := m.stat("null")
	return ok && null.major == 1 && null.minor == 3
}

// provide makes the capability nodes that are missing and the links by which systemd and others find the numbers of all nodes.
// Without them a reload of systemd takes the GPU from running containers (nvidia-container-toolkit#48).
func (m *machine) provide(nodes []node) {
	slices.SortFunc(nodes, func(a, b node) int { return cmp.Compare(a.name, b.name) })
	nodes = slices.Compact(nodes)
	if !m.real() {
		m.note("capability nodes and links are not made: the folder of devices has no null device")
		return
	}
	for _, n := range nodes {
		there, ok := m.stat(n.name)
		switch {
		case ok && (there.major != n.major || there.minor != n.minor):
			m.note(fmt.Sprintf("%s is not what the kernel says (%d:%d)", there, n.major, n.minor))
			continue
		case !ok && path.Dir(n.name) != "nvidia-caps":
			continue // those are the driver's to make
		case !ok && n.fixed:
			m.note(n.String() + " is missing, and the driver's settings forbid to make it")
			continue
		case !ok:
			if err := m.mknod(n); err != nil {
				m.note(fmt.Sprintf("make %s: %v", n, err))
				continue
			}
		}
		if err := m.link(n); err != nil {
			m.note(fmt.Sprintf("make /dev/char/%d:%d: %v", n.major, n.minor, err))
		}
	}
}

func (m *machine) mknod(n node) error {
	dir, name := path.Split(n.name)
	if err := m.dev.MkdirAll(path.Clean(dir), 0o755); err != nil {
		return err
	}
	folder, err := m.dev.Open(path.Clean(dir))
	if err != nil {
		return err
	}
	defer func() { _ = folder.Close() }()
	fd := int(folder.Fd())
	if err := unix.Mknodat(fd, name, unix.S_IFCHR|uint32(n.mode.Perm()), int(unix.Mkdev(n.major, n.minor))); err != nil {
		return err
	}
	return unix.Fchmodat(fd, name, uint32(n.mode.Perm()), 0) // whatever the umask is
}

func (m *machine) link(n node) error {
	if err := m.dev.MkdirAll("char", 0o755); err != nil {
		return err
	}
	err := m.dev.Symlink("../"+n.name, fmt.Sprintf("char/%d:%d", n.major, n.minor))
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}
