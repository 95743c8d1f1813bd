package cdi

import (
	"fmt"
	"maps"

	"github.com/gpulet/gpulet/gpu"
)

// Withdraw removes a device's spec before its hardware goes: when it returns nil no new container can get it by name. The spec
// stays away until the inventory shows the device made anew, or Restore.
func (s *Specs) Withdraw(d gpu.Device) error {
	id := d.Base().ID()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.folder.remove(fileName(id)); err != nil {
		return fmt.Errorf("withdraw the CDI spec of %s: %w", id, err)
	}
	if hardware, known := s.seen[id]; known {
		s.withdrawn[id] = hardware
	}
	delete(s.written, id)
	last, _ := s.view.Get()
	next := *last
	next.devices = maps.Clone(next.devices)
	delete(next.devices, id)
	s.view.Set(&next)
	s.cfg.Log.Info("removed a CDI spec", "device", id, "reason", "its hardware is about to go")
	return nil
}

// Restore ends a Withdraw whose hardware stays after all. The spec comes back with the next look at the inventory.
func (s *Specs) Restore(d gpu.Device) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.withdrawn, d.Base().ID())
	select {
	case s.again <- struct{}{}:
	default:
	}
}
