package partitioner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/gpulet/gpulet/gpu"
)

// starts are the devices that containers wait for.
type starts struct {
	mu  sync.Mutex
	ids map[string]int // guarded by mu
}

func newStarts() *starts { return &starts{ids: map[string]int{}} }

func (s *starts) add(ids []string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		if s.ids[id] += n; s.ids[id] <= 0 {
			delete(s.ids, id)
		}
	}
}

func (s *starts) list() (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.ids {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

// Ensure waits until the hardware behind device ids exists, for as long as ctx lets it, and has it made first. What can never be
// is refused at once.
func (p *Partitioner) Ensure(ctx context.Context, ids []string) error {
	snapshot, changed := p.cfg.Snapshots.Get()
	missing, never := lacks(snapshot, ids)
	if never != nil || missing == "" {
		return never
	}
	p.starts.add(ids, 1)
	p.poke()
	defer func() {
		p.starts.add(ids, -1)
		p.poke()
	}()
	for {
		select {
		case <-ctx.Done():
			return errors.New(p.whyNot(snapshot, missing))
		case <-changed:
		}
		snapshot, changed = p.cfg.Snapshots.Get()
		if missing, never = lacks(snapshot, ids); never != nil || missing == "" {
			return never
		}
	}
}

// lacks is the first device that does not exist, or why one never will.
func lacks(s *gpu.Snapshot, ids []string) (missing string, never error) {
	if s == nil {
		return ids[0], nil
	}
	for _, id := range ids {
		d, ok := resolve(id, s)
		if !ok {
			if s.Version == 0 {
				return id, nil
			}
			return "", fmt.Errorf("%s is no device of this node", id)
		}
		g := s.GPU(d.GPU)
		if there(g, d) {
			continue
		}
		if d.Kind == gpu.Slice {
			if _, known := slotAt(g, d.Slot.Profile, d.Slot.Placement.Start); !known && len(g.Geometry.Profiles) > 0 {
				return "", fmt.Errorf("%s: GPU %d has no %s at start %d", id, g.Index, d.Slot.Profile, d.Slot.Placement.Start)
			}
		}
		if missing == "" {
			missing = id
		}
	}
	return missing, nil
}

// there reports whether the hardware behind a device exists.
func there(g *gpu.GPU, d gpu.Device) bool {
	if d.Kind == gpu.Whole {
		return !g.MIG.Enabled
	}
	for _, in := range g.Instances {
		if in.Slot.Placement != d.Slot.Placement || in.Slot.Profile != d.Slot.Profile.Instance() {
			continue
		}
		for _, ci := range in.Compute {
			if ci.Profile == d.Slot.Profile && ci.UUID != "" && (!ci.Profile.IsSlice() || ci.Placement.Start == d.ComputeStart) {
				return true
			}
		}
	}
	return false
}

// whyNot says why a device was not there in time.
func (p *Partitioner) whyNot(s *gpu.Snapshot, id string) string {
	v, _ := p.view.Get()
	if v.Waiting != "" || s == nil {
		return fmt.Sprintf("%s does not exist yet: %s", id, v.Waiting)
	}
	d, _ := resolve(id, s)
	for _, g := range v.GPUs {
		if g.UUID != d.GPU {
			continue
		}
		switch {
		case g.Out != "":
			return fmt.Sprintf("%s does not exist: nothing is made on GPU %d: %s", id, g.Index, g.Out)
		case g.Role == string(Keep):
			return fmt.Sprintf("%s does not exist, and GPU %d is left as it is (%s)", id, g.Index, g.Source)
		case v.DryRun:
			return fmt.Sprintf("%s does not exist, and with dryRun nothing is made", id)
		case g.Trouble != "":
			return fmt.Sprintf("%s could not be made: %s", id, g.Trouble)
		case g.Doing != "":
			return fmt.Sprintf("%s does not exist yet: GPU %d is busy with: %s", id, g.Index, g.Doing)
		}
		return fmt.Sprintf("%s does not exist yet: it was not made in time", id)
	}
	return fmt.Sprintf("%s does not exist: its GPU is not known", id)
}
