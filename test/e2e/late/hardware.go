package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gpulet/gpulet/deviceplugin/cdi"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

const (
	profile = "1g.10gb"
	slices  = 7 // of a GPU
	// making is how long the hardware takes for a slice, noticing how much later it is in the inventory.
	making, noticing = 100 * time.Millisecond, 300 * time.Millisecond
)

// hardware is GPUs in MIG mode whose slices are all on offer and are made when a container starts. It implements
// deviceplugin.Realizer.
type hardware struct {
	proc      string // where the driver tells the capabilities of what exists
	specs     *cdi.Specs
	snapshots *gpu.Feed[*gpu.Snapshot]
	offers    *gpu.Feed[*gpu.Offers]
	gpus      []gpu.GPU             // without instances
	devices   []gpu.Device          // in the order of GPUs and placements
	byID      map[string]gpu.Device // the same

	mu    sync.Mutex
	there map[gpu.Device]instance // guarded by mu
	made  uint32                  // guarded by mu
	lose  int                     // guarded by mu
}

// instance is a GPU instance that exists.
type instance struct {
	id      uint32
	noticed bool // it is in the inventory
}

func newHardware(proc string, gpus, lose int) *hardware {
	h := &hardware{proc: proc, lose: lose, byID: map[string]gpu.Device{}, there: map[gpu.Device]instance{}}
	p, err := mig.ParseProfile(profile)
	if err != nil {
		panic(err) // it is a constant
	}
	info := mig.ProfileInfo{Profile: p, Max: slices}
	for start := range slices {
		info.Placements = append(info.Placements, mig.Placement{Start: start, Size: 1})
	}
	for i := range gpus {
		g := gpu.GPU{
			UUID: gpu.UUID(fmt.Sprintf("GPU-%08d-0000-4000-8000-000000000000", i)), Index: i, Minor: i, NUMA: -1, Model: "Late",
			MIG: gpu.MIGState{Capable: true, Enabled: true, Pending: true}, Geometry: mig.Geometry{Axis: slices + 1, Profiles: []mig.ProfileInfo{info}},
		}
		h.gpus = append(h.gpus, g)
		for _, at := range info.Placements {
			d := gpu.Device{Kind: gpu.Slice, GPU: g.UUID, Slot: mig.Slot{Profile: p, Placement: at}}
			h.devices = append(h.devices, d)
			h.byID[d.ID()] = d
		}
	}
	s := h.snapshot(1)
	h.snapshots, h.offers = gpu.NewFeed(s), gpu.NewFeed(h.offered(s))
	return h
}

// prepare makes the folders of the machine and the kernel's table of device numbers.
func (h *hardware) prepare(dir string) error {
	var errs []error
	for _, sub := range []string{"proc", "dev", "driver", "state"} {
		errs = append(errs, os.MkdirAll(filepath.Join(dir, sub), 0o755))
	}
	devices := "Character devices:\n195 nvidia\n235 nvidia-caps\n"
	return errors.Join(append(errs, os.WriteFile(filepath.Join(h.proc, "devices"), []byte(devices), 0o644))...)
}

// Ensure implements deviceplugin.Realizer: whatever was there goes, and each device is made anew. Its spec comes later.
func (h *hardware) Ensure(ctx context.Context, ids []string) error {
	for _, id := range ids {
		d, known := h.byID[id]
		if !known {
			return fmt.Errorf("there is no %s", id)
		}
		if err := h.destroy(d); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(making):
		}
		in, lost, err := h.create(d)
		if err != nil {
			return err
		}
		if lost {
			h.notice(d, in.id)
			return h.loseSpec(d)
		}
		time.AfterFunc(noticing, func() { h.notice(d, in.id) })
	}
	return nil
}

// destroy takes an instance away: the offer says so first, then the spec goes, then the hardware.
func (h *hardware) destroy(d gpu.Device) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	in, there := h.there[d]
	if !there {
		return nil
	}
	delete(h.there, d)
	s := h.next()
	h.offers.Set(h.offered(s))
	if err := h.specs.Withdraw(d); err != nil {
		return err
	}
	h.snapshots.Set(s)
	return os.RemoveAll(h.capabilities(d, in.id))
}

// create is what the driver does: the instance is there with its capabilities, and its number was never used before.
func (h *hardware) create(d gpu.Device) (in instance, lost bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.made++
	in.id = h.made
	dir := h.capabilities(d, in.id)
	if err := os.MkdirAll(filepath.Join(dir, "ci0"), 0o755); err != nil {
		return in, false, err
	}
	for i, sub := range []string{"", "ci0"} {
		text := fmt.Sprintf("DeviceFileMinor: %d\nDeviceFileMode: 292\nDeviceFileModify: 1\n", 2*int(in.id)+i)
		if err := os.WriteFile(filepath.Join(dir, sub, "access"), []byte(text), 0o444); err != nil {
			return in, false, err
		}
	}
	h.there[d] = in
	if lost = h.lose > 0; lost {
		h.lose--
	}
	_, err = fmt.Println(in.id, d.ID())
	return in, lost, err
}

// notice puts an instance into the inventory, unless it is gone. With its spec it is offered as existing.
func (h *hardware) notice(d gpu.Device, id uint32) {
	h.mu.Lock()
	in := h.there[d]
	if in.id == id {
		in.noticed = true
		h.there[d] = in
		h.snapshots.Set(h.next())
	}
	h.mu.Unlock()
	for end := time.Now().Add(10 * time.Second); h.specs.Ready(d) != nil && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	s, _ := h.snapshots.Get()
	h.offers.Set(h.offered(s))
}

// loseSpec takes a spec away as if it had not been written yet, and gives the runtime time to see it.
func (h *hardware) loseSpec(d gpu.Device) error {
	state := h.specs.State()
	for _, s := range state.Devices {
		if s.ID == d.ID() {
			err := os.Remove(filepath.Join(state.Dir, s.File))
			time.Sleep(making)
			return err
		}
	}
	return fmt.Errorf("there is no spec of %s", d.ID())
}

// capabilities is where the driver tells how an instance is opened.
func (h *hardware) capabilities(d gpu.Device, n uint32) string {
	for i := range h.gpus {
		if h.gpus[i].UUID == d.GPU {
			return filepath.Join(h.proc, "driver/nvidia/capabilities", fmt.Sprintf("gpu%d/mig/gi%d", i, n))
		}
	}
	return ""
}

// next is the inventory after a change; h.mu is held.
func (h *hardware) next() *gpu.Snapshot {
	last, _ := h.snapshots.Get()
	return h.snapshot(last.Version + 1)
}

// snapshot is the inventory now; h.mu is held, or nobody else has h yet.
func (h *hardware) snapshot(version uint64) *gpu.Snapshot {
	s := &gpu.Snapshot{Version: version, At: time.Now(), Topology: gpu.NewTopology(nil, nil)}
	for _, g := range h.gpus {
		for _, d := range h.devices {
			if in := h.there[d]; in.noticed && d.GPU == g.UUID {
				g.Instances = append(g.Instances, gpu.Instance{ID: in.id, Slot: d.Slot, Compute: []gpu.ComputeInstance{{
					UUID: gpu.UUID(fmt.Sprintf("MIG-%08d-0000-4000-8000-000000000000", in.id)), Profile: d.Slot.Profile,
					Placement: mig.Placement{Size: 1},
				}}})
			}
		}
		s.GPUs = append(s.GPUs, g)
	}
	return s
}

// offered are all slices, those with a spec with what is behind them; h.mu is held, or nobody else has h yet.
func (h *hardware) offered(s *gpu.Snapshot) *gpu.Offers {
	exists := map[gpu.Device]*gpu.Realized{}
	for _, o := range gpu.StaticOffers(s).Offers {
		if h.specs.Ready(o.Device) == nil {
			exists[o.Device] = o.Realized
		}
	}
	out := &gpu.Offers{Snapshot: s}
	for _, d := range h.devices {
		out.Offers = append(out.Offers, gpu.Offer{Device: d, Realized: exists[d]})
	}
	return out
}
