package gpu

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
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

// idForm is the grammar of Device.ID.
const idForm = `^([A-Za-z0-9][A-Za-z0-9-]*)(?::([0-9a-z._-]+):(0|[1-9][0-9]?)(?:\.(0|[1-9][0-9]?))?)?(?:::(0|[1-9][0-9]{0,3}))?$`

// ParseDeviceID reads an id that Device.ID wrote, from a file or from the kubelet.
// Errors wrap ErrDeviceID.
func ParseDeviceID(id string) (Parts, error) {
	m := regexp.MustCompile(idForm).FindStringSubmatch(id)
	if m == nil || len(id) > MaxDeviceID {
		return Parts{}, fmt.Errorf("%q is %w of gpulet", id, ErrDeviceID)
	}
	p := Parts{GPU: m[1]}
	if m[5] != "" {
		p.Replica = atoi(m[5]) + 1
	}
	if m[2] == "" {
		return p, nil
	}
	profile, err := mig.ParseProfile(strings.ReplaceAll(m[2], "_", "+"))
	if err != nil {
		return Parts{}, fmt.Errorf("%q is %w: %w", id, ErrDeviceID, err)
	}
	if profile.IsSlice() != (m[4] != "") {
		return Parts{}, fmt.Errorf("%q is %w: a compute start belongs to a sub-slice and to nothing else", id, ErrDeviceID)
	}
	p.Kind, p.Profile, p.Start, p.ComputeStart = Slice, profile, atoi(m[3]), atoi(m[4])
	return p, nil
}

// atoi reads digits that a regular expression has checked; empty is 0.
func atoi(digits string) int {
	n, _ := strconv.Atoi(digits)
	return n
}
