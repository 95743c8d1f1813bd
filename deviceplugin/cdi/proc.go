package cdi

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"strconv"
	"strings"
)

// Device numbers of Linux have 12 bits for the major and 20 for the minor.
const (
	maxMajor = 1<<12 - 1
	maxMinor = 1<<20 - 1
)

// wholeInstance stands for the compute instance in the key of a GPU instance's own capability.
const wholeInstance = -1

// access names the access capability of a GPU instance or of one compute instance of it. GPU is the minor number.
type access struct{ gpu, instance, compute int }

// path is its place below /proc/driver/nvidia/capabilities.
func (a access) path() string {
	if a.compute == wholeInstance {
		return fmt.Sprintf("gpu%d/mig/gi%d/access", a.gpu, a.instance)
	}
	return fmt.Sprintf("gpu%d/mig/gi%d/ci%d/access", a.gpu, a.instance, a.compute)
}

// capability is a capability of the driver: a device node that opens what it stands for.
type capability struct {
	minor uint32
	mode  fs.FileMode
	// fixed: the administrator forbids others to make the node.
	fixed bool
}

// parseMIGMinors reads /proc/driver/nvidia-caps/mig-minors: lines such as "gpu0/gi1/access 12" and "gpu0/gi1/ci0/access 13".
// Lines of other forms are skipped, and so is what is ambiguous: a wrong capability would open another tenant's instance.
func parseMIGMinors(data []byte) map[access]uint32 {
	minors, users := map[access]uint32{}, map[uint32]int{}
	twice := map[access]bool{}
	for line := range lines(data) {
		name, value, found := strings.Cut(line, " ")
		minor, ok := decimal(strings.TrimSpace(value), maxMinor)
		if !found || !ok {
			continue
		}
		users[uint32(minor)]++ // also of config and monitor
		a, ok := parseAccess(name)
		if !ok {
			continue
		}
		_, known := minors[a]
		twice[a] = known || twice[a]
		minors[a] = uint32(minor)
	}
	for a, minor := range minors {
		if twice[a] || users[minor] > 1 {
			delete(minors, a)
		}
	}
	return minors
}

// parseAccess reads "gpuN/giN/access" and "gpuN/giN/ciN/access".
func parseAccess(name string) (access, bool) {
	parts := strings.Split(name, "/")
	if len(parts) < 3 || len(parts) > 4 || parts[len(parts)-1] != "access" {
		return access{}, false
	}
	a := access{compute: wholeInstance}
	for i, field := range []struct {
		prefix string
		to     *int
	}{{"gpu", &a.gpu}, {"gi", &a.instance}, {"ci", &a.compute}}[:len(parts)-1] {
		digits, found := strings.CutPrefix(parts[i], field.prefix)
		n, ok := decimal(digits, maxMinor)
		if !found || !ok {
			return access{}, false
		}
		*field.to = n
	}
	return a, true
}

// parseCapability reads a file of /proc/driver/nvidia/capabilities: DeviceFileMinor, DeviceFileMode (decimal) and DeviceFileModify.
func parseCapability(data []byte) (capability, error) {
	c := capability{mode: 0o444}
	seen := map[string]bool{}
	for line := range lines(data) {
		name, value, found := strings.Cut(line, ":")
		limit := map[string]int{"DeviceFileMinor": maxMinor, "DeviceFileMode": 0o777, "DeviceFileModify": 1}[name]
		if limit == 0 {
			continue
		}
		n, ok := decimal(strings.TrimSpace(value), limit)
		if !found || !ok || seen[name] {
			return capability{}, fmt.Errorf("a capability says %q", line)
		}
		seen[name] = true
		switch name {
		case "DeviceFileMinor":
			c.minor = uint32(n)
		case "DeviceFileMode":
			c.mode = fs.FileMode(n)
		case "DeviceFileModify":
			c.fixed = n == 0
		}
	}
	if !seen["DeviceFileMinor"] {
		return capability{}, errors.New("a capability has no minor number")
	}
	return c, nil
}

// parseDevices reads the character devices of /proc/devices: the major number by the driver's name.
// A name with two numbers is left out.
func parseDevices(data []byte) map[string]uint32 {
	majors, twice := map[string]uint32{}, map[string]bool{}
	chars := false
	for line := range lines(data) {
		if strings.HasSuffix(line, "devices:") {
			chars = line == "Character devices:"
			continue
		}
		number, name, found := strings.Cut(strings.TrimSpace(line), " ")
		major, ok := decimal(number, maxMajor)
		if !chars || !found || !ok {
			continue
		}
		if known, there := majors[name]; there && known != uint32(major) {
			twice[name] = true
		}
		majors[name] = uint32(major)
	}
	for name := range twice {
		delete(majors, name)
	}
	return majors
}

// lines yields the lines without their ends.
func lines(data []byte) iter.Seq[string] {
	return func(yield func(string) bool) {
		for line := range bytes.Lines(data) {
			if !yield(strings.TrimRight(string(line), "\r\n")) {
				return
			}
		}
	}
}

// decimal reads a number of 0 to limit, without sign or leading zero.
func decimal(s string, limit int) (int, bool) {
	if s == "" || len(s) > 9 || len(s) > 1 && s[0] == '0' {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n <= limit
}
