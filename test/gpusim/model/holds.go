package model

import (
	"context"
	"sync"
)

// HoldFault stops one call in mid-air, so that its caller can be killed, or the world changed, exactly there.
type HoldFault struct {
	Call string `json:"call"` // as in ErrorFault
	GPU  int    `json:"gpu"`  // -1: any
	PID  int    `json:"pid"`  // as in ErrorFault
	// At is which call is held from now on, counted from 1. 0 means 1.
	At int `json:"at"`
	// AfterEffect holds it when it has taken effect and before its caller hears of it.
	AfterEffect bool `json:"afterEffect"`
}

// Hold is a call that will stand still. It goes on after Release, after the node's ClearFaults of all GPUs or its reboot, and with
// the end of its caller.
type Hold struct {
	// ID names it among the node's holds.
	ID int
	HoldFault

	g        *gpu // nil: any
	seen     int
	reached  chan struct{} // closed when the call stands still
	released chan struct{}
	once     sync.Once // closes released
}

// Reached is closed once the call stands still.
func (h *Hold) Reached() <-chan struct{} { return h.reached }

// Release lets the call go on, or takes the hold back if it did not come to it.
func (h *Hold) Release() { h.once.Do(func() { close(h.released) }) }

// HoldCall makes a call stand still.
func (n *Node) HoldCall(f HoldFault) *Hold {
	n.mu.Lock()
	defer n.mu.Unlock()
	f.At = max(f.At, 1)
	g, _ := n.at(f.GPU)
	n.lastHold++
	h := &Hold{ID: n.lastHold, HoldFault: f, g: g, reached: make(chan struct{}), released: make(chan struct{})}
	n.holds = append(n.holds, h)
	return h
}

// HeldCall finds a hold by its id.
func (n *Node) HeldCall(id int) (*Hold, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, h := range n.holds {
		if h.ID == id {
			return h, true
		}
	}
	return nil, false
}

// held counts a call and gives the hold that it runs into, nil if none.
func (n *Node) held(name string, c *Client, gs []*gpu) (found *Hold) {
	for _, h := range n.holds {
		if !sameCall(h.Call, name) || !touches(h.g, gs) || !ofProcess(h.PID, c) {
			continue
		}
		if h.seen++; h.seen == h.At && found == nil {
			found = h
		}
	}
	return found
}

// stand waits in a hold; false: the caller went away.
func (n *Node) stand(ctx context.Context, h *Hold) bool {
	select {
	case <-h.released: // taken back before
		return true
	default:
	}
	close(h.reached)
	return n.await(ctx, h.released)
}

func (n *Node) releaseHolds() {
	for _, h := range n.holds {
		h.Release()
	}
}

// changes says whether a function changes how a GPU is divided: those are what the fault name "change" means.
func changes(name string) bool {
	switch name {
	case "nvmlDeviceSetMigMode", "nvmlDeviceCreateGpuInstance", "nvmlDeviceCreateGpuInstanceWithPlacement", "nvmlGpuInstanceDestroy",
		"nvmlGpuInstanceCreateComputeInstance", "nvmlGpuInstanceCreateComputeInstanceWithPlacement", "nvmlComputeInstanceDestroy":
		return true
	}
	return false
}

// ofProcess says whether a fault that is for one process, 0 for all, is for the client's.
func ofProcess(pid int, c *Client) bool { return pid == 0 || pid == c.caller.PID }
