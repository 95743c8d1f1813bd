// Package xid is the catalogue of NVIDIA's XID errors: what each number means and what it does to a GPU's health.
// It owns the one table that the health machine, the documents and the tests read. It never talks to a driver.
package xid

import (
	"cmp"
	"fmt"
	"slices"
)

// Class is who is hit by an XID and what brings things back.
type Class int

// The classes, from NVIDIA's XID catalogue (docs.nvidia.com/deploy/xid-errors).
const (
	Log         Class = iota // a notice
	Application              // the application's own fault, or its end
	RestartApp               // the application is lost; the GPU goes on
	ResetGPU                 // the GPU needs a reset
	RebootNode               // the node needs a reboot
	Hardware                 // the hardware needs a look
)

func (c Class) String() string {
	names := [...]string{"notice", "application error", "application restart", "GPU reset", "node reboot", "hardware"}
	if c < 0 || int(c) >= len(names) {
		return fmt.Sprintf("Class(%d)", int(c))
	}
	return names[c]
}

// Effect is what an XID does to health.
type Effect int

// The effects.
const (
	None       Effect = iota // logged and counted
	Probe                    // suspect until probes are clean
	Quarantine               // unhealthy until the quarantine time is over and probes are clean
	Reset                    // unhealthy until a reset, a driver restart or a reboot, then probes
)

func (e Effect) String() string {
	names := [...]string{"none", "probe", "quarantine", "reset"}
	if e < 0 || int(e) >= len(names) {
		return fmt.Sprintf("Effect(%d)", int(e))
	}
	return names[e]
}

// Entry is what is known of one XID.
type Entry struct {
	XID    uint64
	Name   string // a phrase that follows "XID 79: "
	Class  Class
	Effect Effect
}

// Catalogue is the table with the user's overrides. The zero Catalogue is the plain table.
type Catalogue struct{ over map[uint64]Effect }

// New makes a catalogue in which the ignored XIDs have no effect and the fatal ones need a reset; fatal wins.
func New(ignored, fatal []uint64) Catalogue {
	over := map[uint64]Effect{}
	for _, x := range ignored {
		over[x] = None
	}
	for _, x := range fatal {
		over[x] = Reset
	}
	return Catalogue{over: over}
}

// Lookup never fails: a number that nobody knows is suspicious, and a probe decides.
func (c Catalogue) Lookup(x uint64) Entry {
	e := Entry{XID: x, Name: "an error that this catalogue does not know", Class: Log, Effect: Probe}
	t := Table()
	if i, ok := slices.BinarySearchFunc(t, x, func(e Entry, x uint64) int { return cmp.Compare(e.XID, x) }); ok {
		e = t[i]
	}
	if effect, ok := c.over[x]; ok {
		e.Effect = effect
	}
	return e
}
