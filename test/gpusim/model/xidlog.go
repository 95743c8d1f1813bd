package model

import (
	"fmt"
	"time"
)

// XID is one that the driver reported, as the kernel's log has it.
type XID struct {
	// Seq counts from 1 since the boot, At is when.
	Seq uint64
	At  time.Time
	// GPU is the position in the machine; GI and CI are NoInstance where it is not attributable.
	GPU    int
	Code   uint64
	GI, CI uint32
	// Record is the line of /dev/kmsg.
	Record string
}

// xidsKept bounds what the node remembers of the log.
const xidsKept = 4096

// logXID writes an XID into the kernel's log. The caller holds mu.
func (n *Node) logXID(g *gpu, code uint64, gi, ci uint32) {
	now := n.clock.Now()
	n.xidSeq++
	where, who := fmt.Sprintf("PCI:%04x:%02x:%02x", g.pci.Domain, g.pci.Bus, g.pci.Device), "pid='<unknown>', name=<unknown>"
	if gi != NoInstance {
		where += fmt.Sprintf(" GPU-I:%02d", gi)
	}
	for _, p := range g.procs {
		if gi == NoInstance || p.gi != nil && p.gi.id == gi {
			who = fmt.Sprintf("pid=%d, name=%s", p.PID, p.Name)
			break
		}
	}
	n.xids = append(n.xids, XID{
		Seq: n.xidSeq, At: now, GPU: g.slot, Code: code, GI: gi, CI: ci,
		Record: fmt.Sprintf("4,%d,%d,-;NVRM: Xid (%s): %d, %s, simulated\n", n.xidSeq, now.Sub(n.bootedAt).Microseconds(), where, code, who),
	})
	if over := len(n.xids) - xidsKept; over > 0 {
		n.xids = n.xids[over:]
	}
	n.bump()
}

// XIDs lists what came after one of that number since the boot, oldest first, as far as the node remembers; boot says which boot.
func (n *Node) XIDs(after uint64) (list []XID, boot string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, x := range n.xids {
		if x.Seq > after {
			list = append(list, x)
		}
	}
	return list, n.bootID
}

// CollapseXIDs says whether several XIDs of a GPU between two waits are one event with the last code, as on real drivers.
func (n *Node) CollapseXIDs(on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.collapse = on
}

// GPUIndex is the driver's number of the GPU at a position in the machine.
func (n *Node) GPUIndex(position int) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	g, err := n.at(position)
	if err != nil {
		return 0, err
	}
	if i := n.index(g); i >= 0 {
		return i, nil
	}
	return 0, fmt.Errorf("GPU %d: %w", position, DriverNotLoaded)
}
