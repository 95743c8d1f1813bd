package gpu

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"
)

// publish puts out a new snapshot if it differs from the last.
func (m *Monitor) publish() {
	s := &Snapshot{Version: m.last.Version, At: m.last.At, Driver: m.driver, Topology: m.topology.current}
	s.Gaps = slices.Clone(m.gaps)
	if m.away != "" {
		s.Driver = DriverInfo{}
		s.Gaps = []Gap{{Feature: "GPUs", Reason: m.away}}
	}
	s.GPUs = m.list()
	if s.Topology == nil {
		s.Topology = m.numaTopology(s.GPUs)
	}
	if s.Version > 0 && reflect.DeepEqual(s, m.last) {
		return
	}
	m.tell(s)
	s.Version++
	s.At = time.Now()
	m.last = s
	m.feed.Set(s)
}

// tell logs what changed about health.
func (m *Monitor) tell(s *Snapshot) {
	for _, g := range s.GPUs {
		old := m.last.GPU(g.UUID)
		if old == nil && g.Health.State == Healthy || old != nil && old.Health.State == g.Health.State && old.Health.Reason == g.Health.Reason {
			continue
		}
		m.cfg.Log.Info("GPU health", "gpu", g.UUID, "index", g.Index, "state", g.Health.State.String(), "reason", g.Health.Reason)
	}
}

// numaTopology is what is known before the first measurement.
func (m *Monitor) numaTopology(gpus []GPU) *Topology {
	uuids := make([]UUID, len(gpus))
	for i, g := range gpus {
		uuids[i] = g.UUID
	}
	return NewTopology(uuids, func(i, j int) int { return LinkScore(0, numaAncestor(gpus[i].NUMA, gpus[j].NUMA)) })
}

// list is every GPU that is or was there.
func (m *Monitor) list() []GPU {
	out := make([]GPU, 0, len(m.known))
	shown := map[*tracked]bool{}
	for _, s := range m.slots {
		t := m.trackedAt(s)
		if t == nil {
			out = append(out, nameless(s))
			continue
		}
		shown[t] = true
		g := t.gpu()
		if !s.reported && !t.answered {
			g.Health = Worse(g.Health, Health{State: Unhealthy, Reason: "no answer from the driver yet"})
		}
		out = append(out, g)
	}
	for _, uuid := range slices.Sorted(maps.Keys(m.known)) {
		t := m.known[uuid]
		if shown[t] {
			continue
		}
		g := t.gpu()
		switch {
		case m.away != "":
			g.Health = Health{State: Unhealthy, Reason: m.away}
		case g.Health.Allocatable(): // it may be the one that hangs, at another index than before
			g.Health = Health{State: Suspect, Reason: "the driver has not told of it since the session began"}
		}
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, b GPU) int { return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(a.UUID, b.UUID)) })
	return out
}

// nameless is a GPU that never told who it is. Its UUID is a placeholder that no device id carries: it is never offered.
func nameless(s *slot) GPU {
	reason := "no answer from the driver yet"
	if s.err != nil {
		reason = s.err.Error()
	}
	return GPU{
		UUID: UUID(fmt.Sprintf("unknown-%d", s.index)), Index: s.index, Minor: -1, NUMA: -1, Architecture: "unknown",
		Health: Health{State: Unhealthy, Reason: reason},
	}
}

// gpu is a GPU as the snapshot shows it.
func (t *tracked) gpu() GPU {
	id := t.static.id
	g := GPU{
		UUID: id.UUID, Index: t.index, Minor: id.Minor, Model: id.Model, Architecture: id.Architecture,
		ComputeCapability: id.ComputeCapability, PCI: id.PCI, PCIDeviceID: id.PCIDeviceID,
		PCISubsystemID: id.PCISubsystemID, MemoryBytes: id.MemoryBytes, NUMA: t.static.numa, MIG: t.probe.Layout.MIG,
		Geometry: t.static.geometry, Fabric: t.probe.Condition.Fabric, Health: t.machine.GPU(), Gaps: slices.Concat(t.static.gaps, t.gaps),
	}
	for _, in := range t.probe.Layout.Instances {
		in.Health = t.machine.Instance(in.ID)
		in.Compute = slices.Clone(in.Compute)
		for i := range in.Compute {
			in.Compute[i].Health = t.machine.Compute(in.ID, in.Compute[i].ID)
		}
		g.Instances = append(g.Instances, in)
	}
	return g
}

// save hands what has to outlive the agent to the saver if it changed.
func (m *Monitor) save() {
	s := state{Version: stateVersion, BootID: m.bootID, Module: m.module}
	for _, uuid := range slices.Sorted(maps.Keys(m.known)) {
		t := m.known[uuid]
		memory := t.machine.Memory()
		s.GPUs = append(s.GPUs, seenState{
			Index: t.index, Identity: t.static.id, Layout: t.probe.Layout, Causes: t.machine.Causes(), Memory: &memory,
		})
	}
	data, err := json.Marshal(s)
	if err != nil || string(data) == m.lastSaved {
		return
	}
	m.lastSaved = string(data)
	select {
	case <-m.saves: // an older one that was not written yet
	default:
	}
	m.saves <- s
}

// saver writes the state file, so that a slow disk holds up nothing else.
func (m *Monitor) saver(ctx context.Context) error {
	var s state
	var again <-chan time.Time // s was not written
	write := func() {
		again = nil
		if err := saveState(m.cfg.StateDir, s); err != nil {
			m.cfg.Log.Warn("health is not kept over a restart", "reason", err)
			again = time.After(saveAgain)
		}
	}
	for {
		select {
		case s = <-m.saves:
			write()
		case <-again:
			write()
		case <-ctx.Done():
			select {
			case s = <-m.saves:
				write()
			default:
				if again != nil {
					write()
				}
			}
			return nil
		}
	}
}

// saveAgain is the pause after the state file could not be written, such as on a full disk.
const saveAgain = 30 * time.Second
