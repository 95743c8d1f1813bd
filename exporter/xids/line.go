package xids

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/gpulet/gpulet/gpu"
)

// Place is how the kernel log names a GPU: by its PCI address or by its UUID; the other is empty.
type Place struct {
	PCI  gpu.PCIAddress
	UUID gpu.UUID
}

// Line is an XID error in the kernel log.
type Line struct {
	Place Place
	Code  uint64
	// Instance and Compute are the GPU instance and the compute instance that were hit; gpu.NoInstance where the log names none.
	Instance, Compute uint32
	// Graphics: it is of a graphics exception, for which the driver writes many lines at once, one for each SM and register.
	Graphics bool
}

// graphicsException is the code of the errors with many lines (seen in leptonai/gpud#46 and vllm-project/vllm#5901: each a few
// milliseconds after the other).
const graphicsException = 13

// ParseLine reads one line of the kernel log, with or without the header of /dev/kmsg or the time of dmesg before it.
// Errors are lines such as
//
//	NVRM: Xid (PCI:0000:07:00): 79, pid=1234, name=python, GPU has fallen off the bus.
//	NVRM: Xid (PCI:0000:07:00 GPU-I:05): 94, pid=1234, name=python, Contained: ...
//	NVRM: Xid (PCI:0000:07:00 GPU-I:05 GPU-CI:00): 13, pid=1234, name=python, ...
//	NVRM: Xid (0000:07:00): 31, Ch 00000010, ...
//
// They have to begin so: names of processes and of files are in the log too, and anybody may choose them. What a program wrote
// into /dev/kmsg itself is none: the kernel marks it by its facility.
func ParseLine(s string) (Line, bool) {
	rest, ok := strings.CutPrefix(message(s), "NVRM: Xid (")
	if !ok {
		return Line{}, false
	}
	where, rest, ok := strings.Cut(rest, "): ")
	if !ok {
		return Line{}, false
	}
	var l Line
	if l.Place, ok = parsePlace(where); !ok {
		return Line{}, false
	}
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(rest)
	}
	code, err := strconv.ParseUint(rest[:end], 10, 32)
	if err != nil || code == 0 || end < len(rest) && !strings.ContainsRune(",.; \r", rune(rest[end])) {
		return Line{}, false
	}
	l.Code, l.Instance, l.Compute = code, parseInstance(where, "GPU-I:"), gpu.NoInstance
	l.Graphics = code == graphicsException && strings.Contains(rest[end:], ", Graphics ")
	if l.Instance != gpu.NoInstance {
		l.Compute = parseInstance(where, "GPU-CI:")
	}
	return l, true
}

// message is a line without what the kernel put before it.
func message(s string) string {
	if head, text, ok := strings.Cut(s, ";"); ok && header(head) {
		if !fromKernel(head) {
			return ""
		}
		s = text
	}
	for range 2 { // the time, and who called
		if !strings.HasPrefix(s, "[") {
			break
		}
		_, text, ok := strings.Cut(s, "] ")
		if !ok {
			break
		}
		s = text
	}
	return s
}

// header reports whether s is what /dev/kmsg puts before a semicolon: "priority,sequence,microseconds,flags", and maybe more.
func header(s string) bool {
	fields := strings.Split(s, ",")
	if len(fields) < 4 {
		return false
	}
	for _, f := range fields[:3] {
		if _, err := strconv.ParseUint(f, 10, 64); err != nil {
			return false
		}
	}
	return true
}

// fromKernel reports whether the kernel wrote the record with this header: its priority is 8 times the facility plus the level,
// and no program can give its own record the kernel's facility, which is 0 (kernel/printk/printk.c, devkmsg_write).
func fromKernel(head string) bool {
	priority, _, _ := strings.Cut(head, ",")
	n, err := strconv.ParseUint(priority, 10, 64)
	return err == nil && n < 8
}

// parsePlace reads what is between the parentheses. Instances may follow the address.
func parsePlace(s string) (Place, bool) {
	s, _, _ = strings.Cut(s, " ")
	if strings.HasPrefix(s, "GPU-") {
		for _, c := range []byte(s) {
			if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
				return Place{}, false
			}
		}
		return Place{UUID: gpu.UUID(s)}, len(s) > len("GPU-") && len(s) <= gpu.MaxDeviceID
	}
	pci, ok := parsePCI(strings.TrimPrefix(s, "PCI:"))
	return Place{PCI: pci}, ok
}

// parseInstance finds an instance behind the address, " GPU-I:05" and maybe " GPU-CI:00". The driver writes decimal numbers
// (open-gpu-kernel-modules, kernel_rc.c).
func parseInstance(s, name string) uint32 {
	for _, word := range strings.Fields(s)[1:] {
		if text, ok := strings.CutPrefix(word, name); ok {
			if n, err := strconv.ParseUint(text, 10, 32); err == nil {
				return uint32(n)
			}
		}
	}
	return gpu.NoInstance
}

// parsePCI brings an address, whose domain and function may be missing, into the form of sysfs.
func parsePCI(s string) (gpu.PCIAddress, bool) {
	parts := strings.Split(s, ":")
	if len(parts) == 2 {
		parts = append([]string{"0"}, parts...)
	}
	if len(parts) != 3 {
		return "", false
	}
	slot, function, has := strings.Cut(parts[2], ".")
	if !has {
		function = "0"
	}
	var n [4]uint64
	for i, f := range []struct {
		text string
		most uint64
	}{{parts[0], 0xffffffff}, {parts[1], 0xff}, {slot, 0x1f}, {function, 7}} {
		v, err := strconv.ParseUint(f.text, 16, 32)
		if err != nil || v > f.most {
			return "", false
		}
		n[i] = v
	}
	return gpu.PCIAddress(fmt.Sprintf("%04x:%02x:%02x.%x", n[0], n[1], n[2], n[3])), true
}
