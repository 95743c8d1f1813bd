package partitioner

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gpulet/gpulet/gpu"
)

// strays are processes on GPUs, by MIG device; "" is the whole GPU, outside MIG mode. Immutable.
type strays map[gpu.UUID]map[gpu.UUID]string

// The times between two looks at who uses a GPU, and for one.
const (
	lookEvery  = 15 * time.Second
	lookBudget = 5 * time.Second
)

// look asks from time to time who is on each GPU that is not kept as it is. It is no proof of idleness: the executor asks again.
func (p *Partitioner) look(ctx context.Context) {
	for {
		v, changed := p.view.Get()
		out := strays{}
		for _, g := range v.GPUs {
			if g.Role == string(Keep) {
				continue
			}
			if by := p.holders(ctx, g.UUID); len(by) > 0 {
				out[g.UUID] = by
			}
		}
		before, _ := p.held.Get()
		if !maps.EqualFunc(before, out, maps.Equal) {
			p.held.Set(out)
		}
		wait := time.After(lookEvery)
		if len(v.GPUs) > 0 {
			changed = nil // it was shown already
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-wait:
		}
	}
}

// holders names the processes on a GPU by what they are on. Ids of instances are used again: what changed meanwhile is left out.
func (p *Partitioner) holders(ctx context.Context, uuid gpu.UUID) map[gpu.UUID]string {
	ctx, cancel := context.WithTimeout(ctx, lookBudget)
	defer cancel()
	before, _ := p.cfg.Snapshots.Get()
	list, err := p.cfg.Holders.Holders(ctx, uuid)
	after, _ := p.cfg.Snapshots.Get()
	if err != nil || before == nil || after == nil {
		return nil
	}
	g, h := before.GPU(uuid), after.GPU(uuid)
	if g == nil || h == nil {
		return nil
	}
	out := map[gpu.UUID]string{}
	for _, x := range list {
		if x.GPUInstance == gpu.NoInstance {
			if !g.MIG.Enabled && !h.MIG.Enabled && out[""] == "" {
				out[""] = p.nameProcess(x.PID)
			}
			continue
		}
		for _, in := range g.Instances {
			device := deviceOf(in)
			still := slices.ContainsFunc(h.Instances, func(now gpu.Instance) bool { return now.ID == in.ID && deviceOf(now) == device })
			if in.ID == x.GPUInstance && device != "" && still && out[device] == "" {
				out[device] = p.nameProcess(x.PID)
			}
		}
	}
	return out
}

func (p *Partitioner) nameProcess(pid int) string {
	name := "a process"
	if p.cfg.Processes == nil {
		return fmt.Sprintf("%s (pid %d)", name, pid)
	}
	if n := p.cfg.Processes.Name(pid); n != "" {
		name = n
	}
	if uid, _, ok := p.cfg.Processes.Container(pid); ok {
		if pods, _ := p.cfg.Pods.Get(); pods != nil {
			if pod, known := pods.ByUID[uid]; known {
				return fmt.Sprintf("%s (pid %d) of pod %s", name, pid, pod.Ref())
			}
		}
		return fmt.Sprintf("%s (pid %d) of the pod with UID %s", name, pid, uid)
	}
	return fmt.Sprintf("%s (pid %d)", name, pid)
}

// strayOn is who was last seen on a MIG device, or on the whole GPU.
func (p *Partitioner) strayOn(f *facts, g *gpu.GPU, device gpu.UUID) string {
	return f.strays[g.UUID][device]
}
