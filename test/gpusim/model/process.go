package model

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// process is a process on a GPU or compute instance.
type process struct {
	ProcessSpec
	gi         *gpuInstance
	ci         *computeInstance
	started    time.Time
	smSeconds  float64
	memSeconds float64
	account    *account
}

// account is what accounting mode remembers of a process.
type account struct {
	pid       int
	started   time.Time
	ended     time.Time
	sm, mem   float64
	maxMemory uint64
	running   bool
}

// accountsMax is the length of the accounting buffer, as nvmlDeviceGetAccountingBufferSize tells it.
const accountsMax = 4000

// ErrOutOfMemory: the process asks for more than is free.
var ErrOutOfMemory = errors.New("out of GPU memory")

// StartProcess puts a process on a GPU or instance; PID 0 draws one. On a GPU with MIG on it must name an instance that has a
// compute instance.
func (n *Node) StartProcess(t Target, p ProcessSpec) (pid int, err error) {
	err = n.withGPU(t.GPU, func(g *gpu) error {
		if p.Kind == "" {
			p.Kind = "compute"
		}
		if p.Kind != "compute" && p.Kind != "graphics" && p.Kind != "mps" {
			return fmt.Errorf("no process kind %q", p.Kind)
		}
		if max(p.SM, p.Mem, p.Enc, p.Dec) > 100 {
			return errors.New("a process takes 100 percent at most")
		}
		if !n.knows(g) || g.lost {
			return fmt.Errorf("GPU %d: %w", t.GPU, GPUIsLost)
		}
		gi, ci, err := g.find(t)
		if err != nil {
			return err
		}
		if g.mig && gi == nil {
			return fmt.Errorf("GPU %d is in MIG mode: name an instance", t.GPU)
		}
		if gi != nil && ci == nil {
			if len(gi.cis) != 1 {
				return fmt.Errorf("GPU instance %d of GPU %d has %d compute instances: name one", gi.id, t.GPU, len(gi.cis))
			}
			ci = gi.cis[0]
		}
		if err := g.admits(ci, p.Kind); err != nil {
			return err
		}
		if free := g.free(gi); p.Memory > free {
			return fmt.Errorf("%w: %d bytes wanted, %d free", ErrOutOfMemory, p.Memory, free)
		}
		n.advance(g)
		if p.PID == 0 {
			n.lastPID++
			p.PID = n.lastPID
		}
		if p.Name == "" {
			p.Name = "python3"
		}
		proc := &process{ProcessSpec: p, gi: gi, ci: ci, started: n.clock.Now()}
		if g.accounting {
			proc.account = &account{pid: p.PID, started: proc.started, running: true, maxMemory: p.Memory}
			g.accounts = append(g.accounts, proc.account)
			if len(g.accounts) > accountsMax {
				g.accounts = g.accounts[1:]
			}
		}
		g.procs = append(g.procs, proc)
		slices.SortStableFunc(g.procs, func(a, b *process) int { return cmp.Compare(a.PID, b.PID) })
		pid = p.PID
		return nil
	})
	return pid, err
}

// admits is the compute mode's rule.
func (g *gpu) admits(ci *computeInstance, kind string) error {
	mode := g.computeMode
	if ci != nil {
		mode = ci.computeMode
	}
	if kind == "graphics" {
		return nil
	}
	if mode == 2 {
		return errors.New("compute mode is prohibited")
	}
	if mode == 3 && slices.ContainsFunc(g.procs, func(p *process) bool { return p.ci == ci && p.Kind != "graphics" }) {
		return errors.New("compute mode is exclusive and a process runs")
	}
	return nil
}

// EndProcess ends it on every GPU.
func (n *Node) EndProcess(pid int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	found := false
	for _, g := range n.gpus {
		n.advance(g)
		g.procs = slices.DeleteFunc(g.procs, func(p *process) bool {
			if p.PID != pid {
				return false
			}
			found = true
			p.settle(n.clock.Now())
			if p.account != nil {
				p.account.running = false
			}
			return true
		})
	}
	if !found {
		return fmt.Errorf("no process %d", pid)
	}
	return nil
}

func (p *process) settle(now time.Time) {
	if a := p.account; a != nil {
		a.ended, a.sm, a.mem = now, p.smSeconds, p.memSeconds
	}
}

// processDemand is what a process would do alone on its target.
func (g *gpu) processDemand(p *process, share float64) activity {
	m := Mix{Encoder: -1, Decoder: -1}
	if p.SM > 0 && p.Mem > 0 {
		m.DRAM = float64(p.Mem) / float64(p.SM)
	}
	a := g.activityOf(float64(p.SM), m, share)
	a[actEncoder], a[actDecoder] = float64(p.Enc), float64(p.Dec)
	if p.SM == 0 {
		a[actDRAM] = float64(p.Mem)
	}
	return a
}

// processActivity is its part of what the target does: a load is shared by SM weight (evenly where none is given).
func (g *gpu) processActivity(p *process, t time.Time) activity {
	weights, count := 0.0, 0.0
	for _, q := range g.procs {
		if q.ci == p.ci {
			weights, count = weights+float64(q.SM), count+1
		}
	}
	l, share := &g.load, 1.0
	if p.ci != nil {
		share = float64(p.ci.profile.sms) / float64(g.spec.sms)
		if l = &p.ci.load; !l.on {
			l = &p.gi.load
		}
		if !l.on {
			l = &g.load
		}
	}
	if !l.on {
		a := g.processDemand(p, share)
		if total := weights / 100; total > 1 {
			for i := range a {
				a[i] /= total
			}
		}
		return a
	}
	part := 1 / count
	if weights > 0 {
		part = float64(p.SM) / weights
	}
	return g.activityOf(l.level(t)*part, l.Mix, share)
}

func (c *Client) processes(ctx context.Context, name string, d Device, kinds ...string) (out []ProcessInfo, ret Return) {
	ret = c.device(ctx, name, d, func(t target) Return {
		if t.ci == nil && t.g.mig && !c.admin() {
			return NoPermission
		}
		for _, p := range t.g.procs {
			if t.ci != nil && p.ci != t.ci || !slices.Contains(kinds, p.Kind) {
				continue
			}
			info := ProcessInfo{PID: uint32(p.PID), UsedGpuMemory: p.Memory, GpuInstanceID: NoInstance, ComputeInstanceID: NoInstance}
			if p.ci != nil {
				info.GpuInstanceID, info.ComputeInstanceID = p.gi.id, p.ci.id
			}
			out = append(out, info)
		}
		return Success
	})
	return out, ret
}

// DeviceGetComputeRunningProcesses lists compute processes by PID; on a GPU in MIG mode those of all instances, for administrators.
func (c *Client) DeviceGetComputeRunningProcesses(ctx context.Context, d Device) ([]ProcessInfo, Return) {
	return c.processes(ctx, "nvmlDeviceGetComputeRunningProcesses_v3", d, "compute")
}

// DeviceGetGraphicsRunningProcesses lists graphics processes.
func (c *Client) DeviceGetGraphicsRunningProcesses(ctx context.Context, d Device) ([]ProcessInfo, Return) {
	return c.processes(ctx, "nvmlDeviceGetGraphicsRunningProcesses_v3", d, "graphics")
}

// DeviceGetMPSComputeRunningProcesses lists MPS clients.
func (c *Client) DeviceGetMPSComputeRunningProcesses(ctx context.Context, d Device) ([]ProcessInfo, Return) {
	return c.processes(ctx, "nvmlDeviceGetMPSComputeRunningProcesses_v3", d, "mps")
}

// DeviceGetRunningProcessDetailList lists by mode: 0 compute, 1 graphics, 2 MPS, 3 all.
func (c *Client) DeviceGetRunningProcessDetailList(ctx context.Context, d Device, mode uint32) ([]ProcessInfo, Return) {
	kinds := []string{"compute", "graphics", "mps"}
	switch {
	case mode < 3:
		kinds = kinds[mode : mode+1]
	case mode > 3:
		return nil, InvalidArgument
	}
	return c.processes(ctx, "nvmlDeviceGetRunningProcessDetailList", d, kinds...)
}

// SystemGetProcessName gives the command of a process on a GPU; NotFound for others.
func (c *Client) SystemGetProcessName(ctx context.Context, pid uint32) (name string, ret Return) {
	ret = c.global(ctx, "nvmlSystemGetProcessName", func() Return {
		for _, g := range c.node.gpus {
			for _, p := range g.procs {
				if p.PID == int(pid) {
					name = p.Name
					return Success
				}
			}
		}
		return NotFound
	})
	return name, ret
}
