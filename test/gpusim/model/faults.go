package model

import (
	"slices"
	"strings"
	"time"
)

// faults are the injected errors and delays. Node.mu guards them.
type faults struct {
	errors  []*errorState
	latency []latencyState
}

type errorState struct {
	ErrorFault
	seen, failed int
	g            *gpu // nil: any
}

type latencyState struct {
	LatencyFault
	g *gpu
}

type hang struct {
	init bool
	done chan struct{}
}

// sameCall says whether a fault's name means this symbol: "*", "change", the exact name, or the name without its version.
func sameCall(fault, name string) bool {
	return fault == "*" || fault == name || fault == unversioned(name) || fault == "change" && changes(name)
}

func unversioned(name string) string {
	if i := strings.LastIndex(name, "_v"); i > 0 && i+3 == len(name) && name[i+2] >= '1' && name[i+2] <= '9' {
		return name[:i]
	}
	return name
}

func touches(g *gpu, gs []*gpu) bool {
	if g == nil {
		return true
	}
	for _, x := range gs {
		if x == g {
			return true
		}
	}
	return false
}

// next counts a call and says what it fails with; after: only once it has taken effect.
func (f *faults) next(name string, c *Client, gs []*gpu) (ret Return, after bool) {
	for _, e := range f.errors {
		if !sameCall(e.Call, name) || !touches(e.g, gs) || !ofProcess(e.PID, c) {
			continue
		}
		e.seen++
		if e.seen < e.At || e.Times > 0 && e.failed >= e.Times {
			continue
		}
		if ret == Success {
			e.failed++
			ret, after = e.Return, e.AfterEffect
		}
	}
	return ret, after
}

func (f *faults) delay(name string, gs []*gpu) (d time.Duration) {
	for _, l := range f.latency {
		if sameCall(l.Call, name) && touches(l.g, gs) {
			d += l.Delay
		}
	}
	return d
}

// hanging gives the hang that such a call runs into.
func (n *Node) hanging(gs []*gpu, driver bool) *hang {
	for _, g := range gs {
		if g.hang != nil {
			return g.hang
		}
	}
	if driver {
		for _, g := range n.gpus {
			if g.hang != nil && g.hang.init {
				return g.hang
			}
		}
	}
	return nil
}

// FailCalls makes calls fail from now on. A GPU that is not there means any.
func (n *Node) FailCalls(f ErrorFault) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if f.At == 0 {
		f.At = 1
	}
	if f.Return == Success {
		f.Return = Unknown
	}
	g, _ := n.at(f.GPU)
	n.faults.errors = append(n.faults.errors, &errorState{ErrorFault: f, g: g})
}

// SlowCalls makes calls slow from now on. A GPU that is not there means any.
func (n *Node) SlowCalls(f LatencyFault) {
	n.mu.Lock()
	defer n.mu.Unlock()
	g, _ := n.at(f.GPU)
	n.faults.latency = append(n.faults.latency, latencyState{LatencyFault: f, g: g})
}

// ChangeTimes is how long the changes of a GPU's division take. They hold up nobody but their caller.
type ChangeTimes struct {
	Mode    time.Duration `json:"mode"`    // setting MIG mode
	Create  time.Duration `json:"create"`  // creating a GPU instance; its compute instance takes no time of its own
	Destroy time.Duration `json:"destroy"` // destroying a GPU instance, likewise
}

// SlowChanges sets how long changes take, instead of all that made them slow before.
func (n *Node) SlowChanges(t ChangeTimes) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults.latency = slices.DeleteFunc(n.faults.latency, func(l latencyState) bool { return changes(l.Call) || l.Call == "change" })
	for call, delay := range map[string]time.Duration{
		"nvmlDeviceSetMigMode": t.Mode, "nvmlDeviceCreateGpuInstance": t.Create,
		"nvmlDeviceCreateGpuInstanceWithPlacement": t.Create, "nvmlGpuInstanceDestroy": t.Destroy,
	} {
		if delay > 0 {
			n.faults.latency = append(n.faults.latency, latencyState{LatencyFault: LatencyFault{Call: call, GPU: -1, Delay: delay}})
		}
	}
}

// Hang makes every call to one GPU block until Unhang, Reboot or the end of the caller's context.
func (n *Node) Hang(index int, f HangFault) error {
	return n.withGPU(index, func(g *gpu) error {
		if g.hang == nil {
			g.hang = &hang{done: make(chan struct{})}
		}
		g.hang.init = f.Init
		return nil
	})
}

// Unhang ends a hang; the blocked calls go on.
func (n *Node) Unhang(index int) error {
	return n.withGPU(index, func(g *gpu) error { n.unhang(g); return nil })
}

func (n *Node) unhang(g *gpu) {
	if g.hang != nil {
		close(g.hang.done)
		g.hang = nil
	}
}

// SetLost makes a GPU fall off the bus: XID 79, then every call to it answers GPUIsLost. False puts it back.
func (n *Node) SetLost(index int, lost bool) error {
	return n.withGPU(index, func(g *gpu) error {
		if lost && !g.lost {
			n.emit(g, EventXidCritical, 79, NoInstance, NoInstance)
			g.procs = nil
		}
		g.lost = lost
		n.wake(g)
		return nil
	})
}

// LeakHandle makes a GPU or instance held by an unknown client until DropLeaks.
func (n *Node) LeakHandle(t Target) error {
	return n.withGPU(t.GPU, func(g *gpu) error {
		gi, ci, err := g.find(t)
		switch {
		case err != nil:
			return err
		case ci != nil:
			ci.leaks++
		case gi != nil:
			gi.leaks++
		default:
			g.leaks++
		}
		return nil
	})
}

// DropLeaks ends the leaks of a GPU; -1: of all.
func (n *Node) DropLeaks(gpu int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dropLeaks(gpu)
}

func (n *Node) dropLeaks(gpu int) {
	for i, g := range n.gpus {
		if gpu >= 0 && gpu != i {
			continue
		}
		g.leaks = 0
		for _, gi := range g.instances {
			gi.leaks = 0
			for _, ci := range gi.cis {
				ci.leaks = 0
			}
		}
	}
}

// ClearFaults ends hang, loss, latency, injected errors, leaks, pending remaps, downed links and the recovery action of one GPU;
// -1: of all, with the faults that name none and the holds. Error counters stay, as on hardware.
func (n *Node) ClearFaults(gpu int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	only, _ := n.at(gpu)
	keepE, keepL := n.faults.errors[:0:0], n.faults.latency[:0:0]
	if gpu >= 0 {
		for _, e := range n.faults.errors {
			if e.g != only {
				keepE = append(keepE, e)
			}
		}
		for _, l := range n.faults.latency {
			if l.g != only {
				keepL = append(keepL, l)
			}
		}
	}
	n.faults = faults{errors: keepE, latency: keepL}
	if gpu < 0 {
		n.releaseHolds()
		n.holds = nil
	}
	n.dropLeaks(gpu)
	for _, g := range n.gpus {
		if gpu >= 0 && g != only {
			continue
		}
		n.unhang(g)
		g.lost, g.recovery = false, 0
		g.rows.Pending, g.rows.Failure = false, false
		g.linksDown = map[uint32]bool{}
		n.wake(g)
	}
}
