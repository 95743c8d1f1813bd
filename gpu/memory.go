package gpu

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// Memory is what a Machine compares the next answer with. Kept over restarts of the agent, it tells of a reset that was made
// meanwhile, as most are: a GPU that the agent watches is in use.
type Memory struct {
	// Condition is the last one; its Unread is what was never read.
	Condition Condition `json:"condition"`
	// Lost: the GPU was out of reach since its last answer.
	Lost bool `json:"lost,omitempty"`
}

// Remember takes over the memory of an earlier process.
func (m *Machine) Remember(memory Memory) { m.memory = memory }

// Memory is what to store beside the causes.
func (m *Machine) Memory() Memory { return m.memory }

// over is the condition with what was read last in the place of what could not be read: silence is no good news.
func (c Condition) over(last Condition) Condition {
	if c.Unread.Uncorrected {
		c.Uncorrected, c.Unread.Uncorrected = last.Uncorrected, last.Unread.Uncorrected
	}
	if c.Unread.Remap {
		c.RemapPending, c.RemapFailed, c.Unread.Remap = last.RemapPending, last.RemapFailed, last.Unread.Remap
	}
	if c.Unread.Recovery {
		c.Recovery, c.Unread.Recovery = last.Recovery, last.Unread.Recovery
	}
	if c.Unread.Fabric {
		c.Fabric, c.Unread.Fabric = last.Fabric, last.Unread.Fabric
	}
	return c
}

// over is the layout with the instances that were read last in the place of those that could not be read.
func (l Layout) over(last Layout) Layout {
	unread := l.Unread
	if l.Unread = nil; len(unread) == 0 || l.MIG.Enabled != last.MIG.Enabled {
		return l
	}
	l.Instances = slices.Clone(l.Instances)
	for _, old := range last.Instances {
		if !slices.Contains(unread, old.Slot.Profile) {
			continue
		}
		at := slices.IndexFunc(l.Instances, func(in Instance) bool { return in.ID == old.ID })
		switch {
		case at < 0:
			l.Instances = append(l.Instances, old)
		case l.Instances[at].Slot == old.Slot && len(l.Instances[at].Compute) < len(old.Compute):
			l.Instances[at] = old
		}
	}
	slices.SortFunc(l.Instances, func(a, b Instance) int {
		return cmp.Or(cmp.Compare(a.Slot.Placement.Start, b.Slot.Placement.Start), cmp.Compare(a.ID, b.ID))
	})
	return l
}

// moduleInode tells one loading of the kernel module from the next: sysfs uses no inode number twice in a boot. 0: not known.
func moduleInode(sysRoot string) uint64 {
	info, err := os.Stat(filepath.Join(sysRoot, "module", "nvidia"))
	if err != nil {
		return 0
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return 0
}
