// Package drivertest is what every gpu.Driver must do, as tests: the fake, the simulated library and a real one run them.
// It owns the contract of the interface. Run only reads: it is safe on a node that is in use. Change needs a GPU for itself.
package drivertest

import (
	"errors"
	"regexp"
	"testing"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

// Run checks a driver of a node with at least one GPU that answers.
func Run(t *testing.T, d gpu.Driver) {
	t.Helper()
	if err := d.Open(); err != nil {
		t.Fatalf("Open: %v", err)
	}
	info, gaps, err := d.Info()
	if err != nil || info.Version == "" {
		t.Fatalf("Info: %+v %v", info, err)
	}
	t.Logf("driver %+v", info)
	checkGaps(t, "node", gaps)
	n, err := d.Count()
	if err != nil || n < 1 {
		t.Fatalf("Count: %d %v", n, err)
	}
	if _, err := d.GPU(n); !errors.Is(err, gpu.ErrEnd) {
		t.Errorf("GPU(%d) of %d: %v", n, n, err)
	}
	var all []gpu.DriverGPU
	uuids := map[gpu.UUID]bool{}
	for i := range n {
		g, err := d.GPU(i)
		if err != nil {
			t.Fatalf("GPU(%d): %v", i, err)
		}
		id := checkGPU(t, g)
		if uuids[id.UUID] {
			t.Errorf("two GPUs are %s", id.UUID)
		}
		uuids[id.UUID] = true
		all = append(all, g)
	}
	for i, a := range all {
		for _, b := range all[i+1:] {
			x, errX := a.Ancestor(b)
			y, errY := b.Ancestor(a)
			if x != y || (errX == nil) != (errY == nil) || errX == nil && (x < gpu.AncestorBoard || x > gpu.AncestorSystem) {
				t.Errorf("ancestors %d %v and %d %v", x, errX, y, errY)
			}
		}
	}
	sessions(t, d, all[0])
}

func checkGaps(t *testing.T, what string, gaps []gpu.Gap) {
	t.Helper()
	for _, g := range gaps {
		t.Logf("%s: gap %s: %s", what, g.Feature, g.Reason)
		if g.Feature == "" || g.Reason == "" {
			t.Errorf("%s: a gap without a word: %+v", what, g)
		}
	}
}

// checkGPU checks one GPU that answers.
func checkGPU(t *testing.T, g gpu.DriverGPU) gpu.Identity {
	t.Helper()
	id, gaps, err := g.Identity()
	if err != nil {
		t.Fatalf("Identity: %v", err)
	}
	checkGaps(t, string(id.UUID), gaps)
	if id.UUID == "" || id.Model == "" || id.Architecture == "" || id.MemoryBytes == 0 || id.Minor < 0 || id.ComputeCapability.Major < 3 {
		t.Errorf("%+v", id)
	}
	if !regexp.MustCompile(`^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$`).MatchString(string(id.PCI)) || id.PCIDeviceID&0xFFFF != 0x10DE {
		t.Errorf("PCI %q %#x", id.PCI, id.PCIDeviceID)
	}
	geometry, gaps, err := g.Geometry()
	if err != nil {
		t.Fatalf("Geometry: %v", err)
	}
	checkGaps(t, string(id.UUID), gaps)
	checkGeometry(t, geometry)
	for range 2 { // reading twice tells the same
		layout, gaps, err := g.Layout(geometry)
		if err != nil {
			t.Fatalf("Layout: %v", err)
		}
		checkGaps(t, string(id.UUID), gaps)
		checkLayout(t, geometry, layout)
	}
	if _, _, err := g.Condition(); err != nil {
		t.Errorf("Condition: %v", err)
	}
	holders, err := g.Processes()
	if err != nil {
		t.Errorf("Processes: %v", err)
	}
	for _, h := range holders {
		if h.PID < 1 {
			t.Errorf("%+v", h)
		}
	}
	measures(t, g, id)
	if _, err := g.Links(); err != nil {
		t.Errorf("Links: %v", err)
	}
	events(t, g)
	return id
}

func checkGeometry(t *testing.T, g mig.Geometry) {
	t.Helper()
	names := map[mig.Profile]bool{}
	for _, p := range g.Profiles {
		if names[p.Profile] || p.Max < 1 || len(p.Placements) == 0 || p.MemoryBytes == 0 || p.Multiprocessors < 1 {
			t.Errorf("%+v", p)
		}
		names[p.Profile] = true
		for _, pl := range p.Placements {
			if pl.Start < 0 || pl.Size < 1 || pl.Start+pl.Size > g.Axis {
				t.Errorf("%s at %s of %d", p.Profile, pl, g.Axis)
			}
		}
	}
}

func checkLayout(t *testing.T, g mig.Geometry, l gpu.Layout) {
	t.Helper()
	if !l.MIG.Enabled && len(l.Instances) > 0 || l.MIG.Enabled && !l.MIG.Capable {
		t.Errorf("%+v", l.MIG)
	}
	for i, in := range l.Instances {
		if i > 0 && l.Instances[i-1].Slot.Placement.Start >= in.Slot.Placement.Start {
			t.Errorf("instances are not in order: %+v", l.Instances)
		}
		for _, o := range l.Instances[:i] {
			if o.Slot.Placement.Overlaps(in.Slot.Placement) || o.ID == in.ID {
				t.Errorf("%+v and %+v", o, in)
			}
		}
		known := false
		for _, p := range g.Profiles {
			known = known || p.Profile == in.Slot.Profile
		}
		if !known {
			t.Errorf("%s is no profile of the GPU", in.Slot.Profile)
		}
		for _, ci := range in.Compute {
			if ci.UUID == "" || ci.Profile.Instance() != in.Slot.Profile || ci.Profile.Compute < 1 || ci.MemoryBytes == 0 {
				t.Errorf("%+v", ci)
			}
		}
	}
}

// events checks that a wait ends in time, and that closing works.
func events(t *testing.T, g gpu.DriverGPU) {
	t.Helper()
	src, err := g.Watch()
	if errors.Is(err, gpu.ErrNotSupported) || errors.Is(err, gpu.ErrMissing) {
		return
	}
	if err != nil {
		t.Errorf("Watch: %v", err)
		return
	}
	for range 100 {
		began := time.Now()
		_, err := src.Wait(20 * time.Millisecond)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("a wait of 20ms took %s", took)
		}
		if errors.Is(err, gpu.ErrTimeout) {
			break
		}
		if err != nil {
			t.Errorf("Wait: %v", err)
			break
		}
	}
	if err := src.Close(); err != nil {
		t.Errorf("Close of events: %v", err)
	}
}

// sessions checks that a driver can be closed and opened, and opened twice.
func sessions(t *testing.T, d gpu.Driver, old gpu.DriverGPU) {
	t.Helper()
	if err := d.Open(); err != nil {
		t.Errorf("second Open: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if _, _, err := old.Layout(mig.Geometry{}); err == nil {
		t.Error("a handle of a closed session answers")
	}
	if _, err := old.Telemetry().Read(gpu.Ask{Whole: []gpu.Field{155}}); !errors.Is(err, gpu.ErrSessionLost) {
		t.Errorf("a measurement of a closed session: %v", err)
	}
	if _, err := d.Count(); !errors.Is(err, gpu.ErrSessionLost) {
		t.Errorf("Count of a closed session: %v", err)
	}
	for range 3 {
		if err := d.Open(); err != nil {
			t.Fatalf("Open again: %v", err)
		}
		if g, err := d.GPU(0); err != nil {
			t.Errorf("GPU(0) again: %v", err)
		} else if _, _, err := g.Identity(); err != nil {
			t.Errorf("Identity again: %v", err)
		}
		if err := d.Close(); err != nil {
			t.Errorf("Close again: %v", err)
		}
	}
}
