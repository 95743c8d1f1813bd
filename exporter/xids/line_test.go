package xids

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/gpulet/gpulet/gpu"
)

func TestParseLine(t *testing.T) {
	const at = "0000:07:00.0"
	for _, c := range []struct {
		name, line string
		want       string // place and code; empty: it is no XID
	}{
		{"plain", "NVRM: Xid (PCI:0000:07:00): 79, pid=1234, name=python, GPU has fallen off the bus.", at + " 79"},
		{"kmsg", "4,12345,67890123,-;NVRM: Xid (PCI:0000:07:00): 79, pid=1234, name=python, GPU has fallen off the bus.", at + " 79"},
		{"kmsg with a caller", "4,12345,67890123,-,caller=T1234;NVRM: Xid (PCI:0000:07:00): 31, Ch 00000010", at + " 31"},
		{"dmesg", "[  123.456789] NVRM: Xid (PCI:0000:07:00): 31, Ch 00000010", at + " 31"},
		{"dmesg with a caller", "[  123.456789] [  T1234] NVRM: Xid (PCI:0000:07:00): 31, Ch 00000010", at + " 31"},
		{"nobody's process", "NVRM: Xid (PCI:0000:3b:00): 13, pid='<unknown>', name=<unknown>, Graphics Exception", "0000:3b:00.0 13"},
		{"an instance", "NVRM: Xid (PCI:0000:07:00 GPU-I:05): 94, pid=1, name=x, Contained", at + " 94 in 5"},
		{"a compute instance", "NVRM: Xid (PCI:0000:07:00 GPU-I:11 GPU-CI:00): 13, pid=1, name=x", at + " 13 in 11/0"},
		{"a compute instance alone", "NVRM: Xid (PCI:0000:07:00 GPU-CI:00): 13, pid=1, name=x", at + " 13"},
		{"an instance that is none", "NVRM: Xid (PCI:0000:07:00 GPU-I:x): 94, pid=1, name=x", at + " 94"},
		{"a function", "NVRM: Xid (PCI:0000:07:00.0): 79, x", at + " 79"},
		{"upper case", "NVRM: Xid (PCI:0000:3B:1F): 79, x", "0000:3b:1f.0 79"},
		{"a long domain", "NVRM: Xid (PCI:00000000:07:00.0): 79, x", at + " 79"},
		{"a domain of its own", "NVRM: Xid (PCI:000a:01:00): 119, Timeout", "000a:01:00.0 119"},
		{"a virtual domain", "NVRM: Xid (PCI:10000:01:00): 119, Timeout", "10000:01:00.0 119"},
		{"no domain", "NVRM: Xid (PCI:07:00): 79, x", at + " 79"},
		{"an old driver", "NVRM: Xid (0000:07:00): 31, Ch 00000010", at + " 31"},
		{"a UUID", "NVRM: Xid (GPU-5ae6a4d2-2f1c-4b7e-8d0f-0a1b2c3d4e5f): 48, x", "GPU-5ae6a4d2-2f1c-4b7e-8d0f-0a1b2c3d4e5f 48"},
		{"nothing behind the code", "NVRM: Xid (PCI:0000:07:00): 45", at + " 45"},
		{"a point behind the code", "NVRM: Xid (PCI:0000:07:00): 45. Ended", at + " 45"},

		{"a switch's error", "nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): 24007, Non-fatal, Link 46", ""},
		{"a process of that name", "traps: NVRM: Xid (PCI:0000:07:00): 79, x[77] general protection", ""},
		{"a process of that name in an XID", "NVRM: Xid (PCI:0000:07:00): 31, pid=7, name=NVRM: Xid (PCI:0000:08:00): 79, x", at + " 31"},
		{"a file of that name", "4,1,2,-;EXT4-fs (loop0): mounted NVRM: Xid (PCI:0000:07:00): 79, ", ""},
		{"a program's own record", "12,12345,67890123,-;NVRM: Xid (PCI:0000:07:00): 79, pid=1234, name=python, x", ""},
		{"a semicolon before it", "mounted /x;NVRM: Xid (PCI:0000:07:00): 79, ", ""},
		{"a further line of a record", " NVRM: Xid (PCI:0000:07:00): 79, ", ""},
		{"other words of the driver", "NVRM: GPU at PCI:0000:07:00: GPU-5ae6a4d2-2f1c-4b7e-8d0f-0a1b2c3d4e5f", ""},
		{"no code", "NVRM: Xid (PCI:0000:07:00): x79", ""},
		{"code 0", "NVRM: Xid (PCI:0000:07:00): 0, x", ""},
		{"a code that is none", "NVRM: Xid (PCI:0000:07:00): 99999999999999999999, x", ""},
		{"a negative code", "NVRM: Xid (PCI:0000:07:00): -1, x", ""},
		{"a word", "NVRM: Xid (PCI:0000:07:00): 79th, x", ""},
		{"no place", "NVRM: Xid (): 79, x", ""},
		{"half a place", "NVRM: Xid (PCI:07): 79, x", ""},
		{"a bus too far", "NVRM: Xid (PCI:0000:107:00): 79, x", ""},
		{"a signed bus", "NVRM: Xid (PCI:0000:+7:00): 79, x", ""},
		{"a device too far", "NVRM: Xid (PCI:0000:07:20): 79, x", ""},
		{"an instance alone", "NVRM: Xid (GPU-I:05): 79, x", ""},
		{"cut", "NVRM: Xid (PCI:0000:07:00", ""},
		{"empty", "", ""},
	} {
		l, ok := ParseLine(c.line)
		got := ""
		if ok {
			got = fmt.Sprintf("%s%s %d", l.Place.PCI, l.Place.UUID, l.Code)
			if l.Instance != gpu.NoInstance {
				got += fmt.Sprintf(" in %d", l.Instance)
			}
			if l.Compute != gpu.NoInstance {
				got += fmt.Sprintf("/%d", l.Compute)
			}
		}
		if got != c.want {
			t.Errorf("%s: %q gives %q, want %q", c.name, c.line, got, c.want)
		}
	}
}

// FuzzXIDLine: what is taken for an XID says so at its beginning, and names a GPU in the form that the inventory has.
func FuzzXIDLine(f *testing.F) {
	for _, s := range []string{
		"4,12345,67890123,-;NVRM: Xid (PCI:0000:07:00): 79, pid=1234, name=python, GPU has fallen off the bus.\n SUBSYSTEM=pci\n DEVICE=+pci:0000:07:00.0",
		"[  1.5] NVRM: Xid (PCI:0000:07:00 GPU-I:05): 94, pid='<unknown>', name=<unknown>, Contained",
		"NVRM: Xid (GPU-5ae6a4d2-2f1c-4b7e-8d0f-0a1b2c3d4e5f): 48, x",
		"NVRM: Xid (PCI:0000:07:00 GPU-I:11 GPU-CI:02): 13, x",
		"NVRM: Xid (07:1f.7): 4294967295",
	} {
		f.Add(s)
	}
	pci := regexp.MustCompile(`^[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$`)
	uuid := regexp.MustCompile(`^GPU-[0-9A-Za-z-]+$`)
	f.Fuzz(func(t *testing.T, s string) {
		l, ok := ParseLine(s)
		if !ok {
			return
		}
		if !strings.Contains(s, "NVRM: Xid (") || l.Code == 0 {
			t.Fatalf("%q gives %+v", s, l)
		}
		if byPCI, byUUID := pci.MatchString(string(l.Place.PCI)), uuid.MatchString(string(l.Place.UUID)); byPCI == byUUID {
			t.Fatalf("%q is of the GPU %+v", s, l.Place)
		}
		instance := ""
		if l.Instance != gpu.NoInstance {
			instance = fmt.Sprintf(" GPU-I:%02d", l.Instance)
		}
		if l.Compute != gpu.NoInstance {
			instance += fmt.Sprintf(" GPU-CI:%02d", l.Compute)
		}
		plain := fmt.Sprintf("NVRM: Xid (%s%s%s): %d, x", l.Place.PCI, l.Place.UUID, instance, l.Code)
		if again, ok := ParseLine(plain); !ok || again != l {
			t.Fatalf("%q gives %+v, and %q gives %+v", s, l, plain, again)
		}
	})
}
