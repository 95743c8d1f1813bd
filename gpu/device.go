package gpu

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gpulet/gpulet/gpu/mig"
)

// MaxDeviceID is the length that the kubelet's API allows for a device id, in bytes.
const MaxDeviceID = 63

// ErrDeviceID is wrapped by every error of ParseDeviceID.
var ErrDeviceID = errors.New("not a device id")

// Kind tells what a device is. Devices are told apart by their kind, never by the look of an id.
type Kind int

// The kinds of devices.
const (
	Whole Kind = iota // a whole GPU
	Slice             // a MIG slot: a profile at a placement
)

// Device is one thing that can be given to a container: a whole GPU, a MIG slot,
// or a replica of either. It is a comparable value.
type Device struct {
	Kind Kind
	GPU  UUID
	// Slot is where a Slice is on its GPU's axis. Its profile may be a sub-slice.
	Slot mig.Slot
	// ComputeStart is the first compute slice of a sub-slice within its GPU instance; 0 for all others.
	ComputeStart int
	// Replica is 0 for the device itself and n for its n-th replica, counted from 1.
	Replica int
}

// Base is the device without the replica.
func (d Device) Base() Device {
	d.Replica = 0
	return d
}

// ID is stable over re-creation of the instance, restarts and reboots:
// `<GPU UUID>` for a whole GPU, `<GPU UUID>:<profile>:<start>` for a slot with `+`
// as `_`, `...:<start>.<compute start>` for a sub-slice, and `::<n>` behind it for a replica (from 0).
// It is at most MaxDeviceID bytes and valid as a CDI device name; where the plain
// form is longer, the UUID is its ShortUUID.
func (d Device) ID() string {
	if id := d.id(string(d.GPU)); len(id) <= MaxDeviceID {
		return id
	}
	return d.id(ShortUUID(d.GPU))
}

func (d Device) id(uuid string) string {
	var b strings.Builder
	b.WriteString(uuid)
	if d.Kind == Slice {
		fmt.Fprintf(&b, ":%s:%d", strings.ReplaceAll(d.Slot.Profile.String(), "+", "_"), d.Slot.Placement.Start)
		if d.Slot.Profile.IsSlice() {
			fmt.Fprintf(&b, ".%d", d.ComputeStart)
		}
	}
	if d.Replica > 0 {
		fmt.Fprintf(&b, "::%d", d.Replica-1)
	}
	return b.String()
}

// Parts are what a device id says by itself; the size of the placement is known to the inventory alone.
type Parts struct {
	Kind         Kind
	GPU          string // UUID or short UUID
	Profile      mig.Profile
	Start        int
	ComputeStart int
	Replica      int // as in Device
}

// ParseDeviceID reads an id that Device.ID wrote, from a file or from the kubelet.
// Errors wrap ErrDeviceID.
func ParseDeviceID(id string) (Parts, error) {
	fail := func(why string) (Parts, error) {
		return Parts{}, fmt.Errorf("%q is %w of gpulet: %s", id, ErrDeviceID, why)
	}
	if len(id) > MaxDeviceID {
		return fail("it is too long")
	}
	var p Parts
	rest, replica, replicated := strings.Cut(id, "::")
	if replicated {
		n, ok := count(replica, 4)
		if !ok {
			return fail("a number of a replica comes after the two colons")
		}
		p.Replica = n + 1
	}
	name, slot, sliced := strings.Cut(rest, ":")
	if !uuidForm(name) {
		return fail("it does not begin with a UUID")
	}
	p.GPU = name
	if !sliced {
		return p, nil
	}
	profile, place, _ := strings.Cut(slot, ":")
	if strings.Contains(profile, "+") {
		return fail("attributes are written with _ in an id")
	}
	var err error
	if p.Profile, err = mig.ParseProfile(strings.ReplaceAll(profile, "_", "+")); err != nil {
		return Parts{}, fmt.Errorf("%q is %w of gpulet: %w", id, ErrDeviceID, err)
	}
	start, compute, sub := strings.Cut(place, ".")
	var ok bool
	if p.Start, ok = count(start, 2); !ok {
		return fail("a start comes after the profile")
	}
	if sub != p.Profile.IsSlice() {
		return fail("a compute start belongs to a sub-slice and to nothing else")
	}
	if sub {
		if p.ComputeStart, ok = count(compute, 2); !ok {
			return fail("a compute start comes after the dot")
		}
	}
	p.Kind = Slice
	return p, nil
}

// uuidForm accepts letters, digits and minus, the last not at the beginning.
func uuidForm(s string) bool {
	for i, c := range []byte(s) {
		alphanumeric := c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
		if !alphanumeric && (c != '-' || i == 0) {
			return false
		}
	}
	return s != ""
}

// count reads a decimal of at most so many digits without sign or leading zero.
func count(s string, digits int) (n int, ok bool) {
	if s == "" || len(s) > digits || len(s) > 1 && s[0] == '0' {
		return 0, false
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, true
}
