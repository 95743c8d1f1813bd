package gpu

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// lookAround is between two looks at which devices the kernel driver has.
	lookAround = 10 * time.Second
	// searchEvery is how often a session ends because a GPU is missing in it: a GPU that comes back, from a reset say, may be
	// seen by a new session alone. Seldom, since between two sessions only the kernel log tells of XIDs.
	searchEvery = 5 * time.Minute
)

// birth is the moment before a session began.
type birth struct {
	at    time.Time
	bound []string // the devices that the kernel driver had
}

// wantsRenewal reports whether a new session would probably see more than the one that began so.
func (m *Monitor) wantsRenewal(born birth) bool {
	if !m.calm() {
		return false // it would take a GPU out of the hands that have it
	}
	for _, device := range boundDevices(m.cfg.SysRoot) {
		if !slices.Contains(born.bound, device) {
			return true
		}
	}
	// With a call that hangs the library cannot be closed, and one that is opened twice sees nothing new.
	return time.Since(born.at) >= searchEvery && m.missing() && len(m.queues.Stuck()) == 0
}

// missing reports whether a GPU is not there that was or should be: the driver has none, does not list one any more, or cannot
// reach it.
func (m *Monitor) missing() bool {
	if len(m.slots) == 0 {
		return true
	}
	listed := map[UUID]bool{}
	for _, s := range m.slots {
		if s.err != nil && !errors.Is(s.err, ErrDeadline) {
			return true
		}
		listed[s.uuid] = true
	}
	for uuid := range m.known {
		if !listed[uuid] && m.allReported() {
			return true
		}
	}
	return false
}

// boundDevices are the PCI addresses that the kernel driver serves; none when sysfs does not tell.
func boundDevices(sysRoot string) (out []string) {
	entries, err := os.ReadDir(filepath.Join(sysRoot, "bus/pci/drivers/nvidia"))
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if strings.Contains(e.Name(), ":") {
			out = append(out, e.Name())
		}
	}
	return out
}
