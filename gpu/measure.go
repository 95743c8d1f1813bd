package gpu

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// topologyState is where the computation of the topology stands. It belongs to Run's goroutine.
type topologyState struct {
	current *Topology
	key     string // of what current is of
	running string // of what is being measured
	group   sync.WaitGroup
}

// member is a GPU to measure.
type member struct {
	uuid   UUID
	key    string // of its queues
	pci    PCIAddress
	numa   int
	handle DriverGPU
}

// measured is a finished measurement.
type measured struct {
	key      string
	topology *Topology
}

func (s *topologyState) done(d measured) {
	s.current, s.key, s.running = d.topology, d.key, ""
}

// wait waits for a measurement, at the end of a session; one that was given up tells nothing.
func (s *topologyState) wait() {
	s.group.Wait()
	s.running = ""
}

// wantTopology measures the topology anew when the GPUs in reach, or their modes, are others than last time.
func (m *Monitor) wantTopology(ctx context.Context, out chan<- measured) {
	if m.topology.running != "" {
		return
	}
	var members []member
	var key strings.Builder
	m.mu.Lock()
	for _, s := range m.slots {
		if s.quiet || s.renewing { // it will be back: what was measured stays until then
			m.mu.Unlock()
			return
		}
		t := m.known[s.uuid]
		if t == nil || s.handle == nil || s.err != nil || !s.reported {
			continue
		}
		members = append(members, member{s.uuid, s.key, t.static.id.PCI, t.static.numa, s.handle})
	}
	m.mu.Unlock()
	slices.SortFunc(members, func(a, b member) int { return cmp.Compare(m.known[a.uuid].index, m.known[b.uuid].index) })
	for _, x := range members {
		t := m.known[x.uuid]
		fmt.Fprintf(&key, "%s %v %d;", x.uuid, t.probe.Layout.MIG.Enabled, t.probe.Condition.Fabric)
	}
	if key.String() == m.topology.key {
		return
	}
	m.topology.running = key.String()
	m.topology.group.Go(func() {
		t := m.measure(ctx, members)
		if ctx.Err() == nil {
			out <- measured{key.String(), t}
		}
	})
}

// measure asks the driver how the GPUs are connected. A call that fails leaves what sysfs told of the NUMA nodes.
func (m *Monitor) measure(ctx context.Context, members []member) *Topology {
	n := len(members)
	links := make([][]Link, n)
	for i, x := range members {
		found, err := Call(ctx, m.queues, x.key, LaneTopology, "list the NVLinks", m.cfg.CallTimeout, x.handle.Links)
		if err != nil {
			m.cfg.Log.Info("NVLinks are not known", "gpu", x.uuid, "reason", err)
		}
		links[i] = found
	}
	uuids := make([]UUID, n)
	for i, x := range members {
		uuids[i] = x.uuid
	}
	return NewTopology(uuids, func(i, j int) int {
		a, b := members[i], members[j]
		level, err := Call(ctx, m.queues, a.key, LaneTopology, "find the common ancestor", m.cfg.CallTimeout, func() (Ancestor, error) { return a.handle.Ancestor(b.handle) })
		if err != nil {
			level = numaAncestor(a.numa, b.numa)
		}
		return LinkScore(linksBetween(links[i], links[j], b.pci), level)
	})
}

func numaAncestor(a, b int) Ancestor {
	if a == b && a >= 0 {
		return AncestorNUMA
	}
	return AncestorSystem
}

// linksBetween counts the links of a that lead to b, and those that both have to switches.
func linksBetween(a, b []Link, pciB PCIAddress) int {
	direct, switchesA, switchesB := 0, 0, 0
	for _, l := range a {
		if l.Switch {
			switchesA++
		} else if l.Remote == pciB && pciB != "" {
			direct++
		}
	}
	for _, l := range b {
		if l.Switch {
			switchesB++
		}
	}
	return direct + min(switchesA, switchesB)
}
