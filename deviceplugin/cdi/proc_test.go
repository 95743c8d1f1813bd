package cdi

import (
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseMIGMinors(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want map[access]uint32
	}{
		"empty": {"", map[access]uint32{}},
		"an instance and its compute instance": {
			"config 1\nmonitor 2\ngpu0/gi1/access 12\ngpu0/gi1/ci0/access 13\n",
			map[access]uint32{{0, 1, wholeInstance}: 12, {0, 1, 0}: 13},
		},
		"what is not known": {
			"gpu0/gi1/access 12\ngpu0/gi1/copy/access 14\ngpu0/access 3\ngpu0/gi01/access 5\ngpu0/gi2/access -6\ngpu0/gi3/access 99999999\nfuture\n",
			map[access]uint32{{0, 1, wholeInstance}: 12},
		},
		"two minors of one":          {"gpu0/gi1/access 12\ngpu0/gi1/access 13\ngpu0/gi2/access 14", map[access]uint32{{0, 2, wholeInstance}: 14}},
		"one minor of two":           {"gpu0/gi1/access 12\ngpu0/gi2/access 12\ngpu0/gi3/access 14", map[access]uint32{{0, 3, wholeInstance}: 14}},
		"the minor that is config's": {"config 1\ngpu0/gi1/access 1\n", map[access]uint32{}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := parseMIGMinors([]byte(c.text)); !maps.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestParseCapability(t *testing.T) {
	for _, c := range []struct {
		text string
		want capability
		ok   bool
	}{
		{"DeviceFileMinor: 12\nDeviceFileMode: 292\nDeviceFileModify: 1\n", capability{minor: 12, mode: 0o444}, true},
		{"DeviceFileMinor: 1\nDeviceFileMode: 256\nDeviceFileModify: 0\nFuture: x\n", capability{minor: 1, mode: 0o400, fixed: true}, true},
		{"DeviceFileMinor: 0", capability{mode: 0o444}, true},
		{"DeviceFileMode: 292\n", capability{}, false},
		{"DeviceFileMinor: 1\nDeviceFileMinor: 2\n", capability{}, false},
		{"DeviceFileMinor: x\n", capability{}, false},
		{"DeviceFileMinor: 1\nDeviceFileMode: 4095\n", capability{}, false}, // no set-user-id bits
		{"", capability{}, false},
	} {
		if got, err := parseCapability([]byte(c.text)); got != c.want || c.ok != (err == nil) {
			t.Errorf("%q: %+v %v, want %+v", c.text, got, err, c.want)
		}
	}
}

func TestParseDevices(t *testing.T) {
	got := parseDevices([]byte("Character devices:\n  1 mem\n  4 /dev/vc/0\n  4 tty\n195 nvidia\n195 nvidiactl\n 10 twice\n 11 twice\n\nBlock devices:\n259 blkext\n  7 loop\n"))
	want := map[string]uint32{"mem": 1, "/dev/vc/0": 4, "tty": 4, "nvidia": 195, "nvidiactl": 195}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Every name that the kernel can write is read back.
func TestAccessPath(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := access{rapid.IntRange(0, 63).Draw(t, "gpu"), rapid.IntRange(0, 14).Draw(t, "instance"), rapid.IntRange(-1, 7).Draw(t, "compute")}
		short := strings.Replace(a.path(), "/mig/", "/", 1) // the table leaves it out
		if got, ok := parseAccess(short); !ok || got != a {
			t.Fatalf("%q: %v %v, want %v", short, got, ok, a)
		}
	})
}

func FuzzParseMIGMinors(f *testing.F) {
	f.Add([]byte("config 1\nmonitor 2\ngpu0/gi1/access 12\ngpu0/gi1/ci0/access 13\n"))
	f.Add([]byte("gpu0/gi1/access 12\r\ngpu0/gi1/access 12"))
	f.Fuzz(func(t *testing.T, data []byte) {
		users := map[uint32]access{}
		for a, minor := range parseMIGMinors(data) {
			if other, twice := users[minor]; twice {
				t.Errorf("%v and %v share minor %d", a, other, minor)
			}
			users[minor] = a
			if minor > maxMinor || a.gpu < 0 || a.instance < 0 || a.compute < wholeInstance {
				t.Errorf("%v is %d", a, minor)
			}
		}
	})
}

func FuzzParseCapability(f *testing.F) {
	f.Add([]byte("DeviceFileMinor: 12\nDeviceFileMode: 292\nDeviceFileModify: 1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parseCapability(data)
		if err == nil && (c.minor > maxMinor || c.mode&^0o777 != 0) {
			t.Errorf("%+v", c)
		}
	})
}

func FuzzParseDevices(f *testing.F) {
	f.Add([]byte("Character devices:\n  1 mem\n195 nvidia\n\nBlock devices:\n259 blkext\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for name, major := range parseDevices(data) {
			if major > maxMajor || name == "" {
				t.Errorf("%q is %d", name, major)
			}
		}
	})
}
