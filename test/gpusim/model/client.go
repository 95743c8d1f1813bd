package model

import (
	"context"
	"time"
)

// Client is what one process holds of the driver: handles, event sets, samples. It is safe for concurrent use.
type Client struct {
	node   *Node
	caller Caller

	// Guarded by node.mu.
	closed  bool
	inits   int
	epoch   uint64
	held    map[*gpu]bool // GPUs that it took a handle of
	heldMig map[*computeInstance]bool
	sets    map[EventSet]*eventSet
	samples map[GpmSample]*gpmSample
}

// Connect is a process that loads the library. Close it when the process ends.
func (n *Node) Connect(caller Caller) *Client {
	c := &Client{node: n, caller: caller}
	n.mu.Lock()
	defer n.mu.Unlock()
	c.drop()
	n.clients[c] = struct{}{}
	return c
}

// Close gives back everything that the process held.
func (c *Client) Close() {
	n := c.node
	n.mu.Lock()
	defer n.mu.Unlock()
	c.drop()
	c.closed = true
	delete(n.clients, c)
}

// drop is the end of the client's session. The caller holds mu.
func (c *Client) drop() {
	for _, s := range c.sets {
		close(s.gone)
	}
	c.inits = 0
	c.held, c.heldMig = map[*gpu]bool{}, map[*computeInstance]bool{}
	c.sets, c.samples = map[EventSet]*eventSet{}, map[GpmSample]*gpmSample{}
}

func (c *Client) admin() bool { return c.caller.UID == 0 || c.caller.Admin }

// InitWithFlags is nvmlInit_v2 with flags 0. Calls are counted; each needs its Shutdown.
func (c *Client) InitWithFlags(ctx context.Context, flags uint32) Return {
	n := c.node
	return c.do(ctx, "nvmlInitWithFlags", scope{early: true, driver: true}, func([]*gpu) Return {
		if !n.loaded {
			return DriverNotLoaded
		}
		if c.caller.Library != "" && c.caller.Library != n.driver {
			return LibRMVersionMismatch
		}
		if len(n.visible()) == 0 && flags&1 == 0 {
			return DriverNotLoaded
		}
		if c.inits == 0 || c.epoch != n.epoch {
			c.drop()
			c.epoch = n.epoch
		}
		c.inits++
		return Success
	})
}

// Shutdown ends one Init; the last one gives everything back.
func (c *Client) Shutdown(ctx context.Context) Return {
	return c.do(ctx, "nvmlShutdown", scope{}, func([]*gpu) Return {
		if c.inits--; c.inits == 0 {
			c.drop()
		}
		return Success
	})
}

// scope says what a call touches.
type scope struct {
	early  bool                    // valid before Init
	driver bool                    // blocks while a GPU hangs so that Init hangs
	gpus   func() ([]*gpu, Return) // resolves the handles; nil: none
}

// do runs f under the node's lock as one call from outside: after counting it, checking the session and the symbol, and suffering
// what the faults have for it. Waiting is done without the lock.
func (c *Client) do(ctx context.Context, name string, sc scope, f func([]*gpu) Return) Return {
	n := c.node
	name = symbolOf(ctx, name)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls[name]++
	slept, counted := false, false
	var hold *Hold
	for {
		if c.closed || !sc.early && (c.inits == 0 || c.epoch != n.epoch) {
			return Uninitialized
		}
		if n.branch < n.symbols[name] {
			return FunctionNotFound
		}
		var gs []*gpu
		if sc.gpus != nil {
			var ret Return
			if gs, ret = sc.gpus(); ret != Success {
				return ret
			}
		}
		if d := n.faults.delay(name, gs); d > 0 && !slept {
			slept = true
			if !n.sleep(ctx, d) {
				return Unknown
			}
			continue // the world may have changed
		}
		if h := n.hanging(gs, sc.driver); h != nil {
			if !n.await(ctx, h.done) {
				return Unknown
			}
			continue
		}
		if !counted {
			counted = true
			hold = n.held(name, c, gs)
		}
		if hold != nil && !hold.AfterEffect {
			if !n.stand(ctx, hold) {
				return Unknown
			}
			hold = nil
			continue
		}
		fault, after := n.faults.next(name, c, gs)
		if fault != Success && !after {
			return fault
		}
		for _, g := range gs {
			if g.lost {
				return GPUIsLost
			}
		}
		ret := f(gs)
		if hold != nil && !n.stand(ctx, hold) {
			return Unknown
		}
		if fault != Success {
			return fault
		}
		return ret
	}
}

// await lets go of mu until the channel closes; false: the caller went away.
func (n *Node) await(ctx context.Context, done <-chan struct{}) bool {
	n.mu.Unlock()
	defer n.mu.Lock()
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}

func (n *Node) sleep(ctx context.Context, d time.Duration) bool {
	n.mu.Unlock()
	defer n.mu.Lock()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (c *Client) global(ctx context.Context, name string, f func() Return) Return {
	return c.do(ctx, name, scope{}, func([]*gpu) Return { return f() })
}

// device runs f for a GPU or a MIG device.
func (c *Client) device(ctx context.Context, name string, d Device, f func(t target) Return) Return {
	var t target
	find := func() ([]*gpu, Return) {
		var ok bool
		if t, ok = c.node.devices[d]; !ok || !c.node.knows(t.g) {
			return nil, InvalidArgument
		}
		return []*gpu{t.g}, Success
	}
	return c.do(ctx, name, scope{gpus: find}, func([]*gpu) Return { return f(t) })
}

// gpu runs f for a GPU; a MIG device is answered with NotSupported.
func (c *Client) gpu(ctx context.Context, name string, d Device, f func(g *gpu) Return) Return {
	return c.device(ctx, name, d, func(t target) Return {
		if t.ci != nil {
			return NotSupported
		}
		return f(t.g)
	})
}

// pair runs f for two GPUs.
func (c *Client) pair(ctx context.Context, name string, d1, d2 Device, f func(a, b *gpu) Return) Return {
	find := func() ([]*gpu, Return) {
		a, okA := c.node.devices[d1]
		b, okB := c.node.devices[d2]
		if !okA || !okB || a.ci != nil || b.ci != nil {
			return nil, InvalidArgument
		}
		return []*gpu{a.g, b.g}, Success
	}
	return c.do(ctx, name, scope{gpus: find}, func(gs []*gpu) Return { return f(gs[0], gs[1]) })
}

func (c *Client) inGI(ctx context.Context, name string, h GPUInstance, f func(gi *gpuInstance) Return) Return {
	var gi *gpuInstance
	find := func() ([]*gpu, Return) {
		if gi = c.node.gis[h]; gi == nil {
			return nil, InvalidArgument
		}
		return []*gpu{gi.g}, Success
	}
	return c.do(ctx, name, scope{gpus: find}, func([]*gpu) Return { return f(gi) })
}

func (c *Client) inCI(ctx context.Context, name string, h ComputeInstance, f func(ci *computeInstance) Return) Return {
	var ci *computeInstance
	find := func() ([]*gpu, Return) {
		if ci = c.node.cis[h]; ci == nil {
			return nil, InvalidArgument
		}
		return []*gpu{ci.gi.g}, Success
	}
	return c.do(ctx, name, scope{gpus: find}, func([]*gpu) Return { return f(ci) })
}
