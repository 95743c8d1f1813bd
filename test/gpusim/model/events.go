package model

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// eventSet is one client's set. Node.mu guards it.
type eventSet struct {
	masks  map[*gpu]uint64
	queue  []EventData
	signal chan struct{} // capacity 1: something may have come
	gone   chan struct{} // closed when the set is freed
}

// queueMax bounds what a set keeps for a client that does not wait.
const queueMax = 4096

// supportedEvents is what every GPU can report; ECC events need ECC, and the later ones a later driver.
func (n *Node) supportedEvents(g *gpu) uint64 {
	m := EventPState | EventXidCritical | EventClock
	if g.eccOn {
		m |= EventSingleBitEcc | EventDoubleBitEcc
	}
	if g.spec.axis > 0 {
		m |= EventMigConfigChange
	}
	if n.branch >= 575 {
		m |= EventSingleBitStorm | EventDramRetirement | EventDramRetireFailed | EventNonFatalPoison | EventFatalPoison | EventGpuUnavailable | EventRecoveryAction
	}
	return m
}

// emit gives an event to every set that registered it. Of events of one instance a client without privileges hears nothing.
func (n *Node) emit(g *gpu, kind, data uint64, gi, ci uint32) {
	if kind == EventXidCritical {
		n.logXID(g, data, gi, ci)
	}
	for c := range n.clients {
		if gi != NoInstance && !c.admin() {
			continue
		}
		for _, s := range c.sets {
			if s.masks[g]&kind == 0 || len(s.queue) >= queueMax {
				continue
			}
			e := EventData{Device: g.handle, EventType: kind, EventData: data, GpuInstanceID: gi, ComputeInstanceID: ci}
			if at := slices.IndexFunc(s.queue, func(q EventData) bool { return q.Device == e.Device && q.EventType == EventXidCritical }); n.collapse && kind == EventXidCritical && at >= 0 {
				s.queue[at] = e
			} else {
				s.queue = append(s.queue, e)
			}
			s.poke()
		}
	}
}

func (s *eventSet) poke() {
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

// wake lets the sets of a GPU look again: it was lost or came back.
func (n *Node) wake(g *gpu) {
	for c := range n.clients {
		for _, s := range c.sets {
			if s.masks[g] != 0 {
				s.poke()
			}
		}
	}
}

// EventSetCreate makes an empty set.
func (c *Client) EventSetCreate(ctx context.Context) (set EventSet, ret Return) {
	ret = c.global(ctx, "nvmlEventSetCreate", func() Return {
		set = EventSet(c.node.newHandle())
		c.sets[set] = &eventSet{masks: map[*gpu]uint64{}, signal: make(chan struct{}, 1), gone: make(chan struct{})}
		return Success
	})
	return set, ret
}

// EventSetFree frees the set; a wait on it ends with InvalidArgument.
func (c *Client) EventSetFree(ctx context.Context, set EventSet) Return {
	return c.global(ctx, "nvmlEventSetFree", func() Return {
		s, ok := c.sets[set]
		if !ok {
			return InvalidArgument
		}
		close(s.gone)
		delete(c.sets, set)
		return Success
	})
}

// DeviceGetSupportedEventTypes gives the mask of what can be registered.
func (c *Client) DeviceGetSupportedEventTypes(ctx context.Context, d Device) (types uint64, ret Return) {
	ret = c.gpu(ctx, "nvmlDeviceGetSupportedEventTypes", d, func(g *gpu) Return {
		types = c.node.supportedEvents(g)
		return Success
	})
	return types, ret
}

// DeviceRegisterEvents adds types of one GPU to a set. With one type that the GPU has not, none is registered: NotSupported.
// Registration by MIG device is NotSupported.
func (c *Client) DeviceRegisterEvents(ctx context.Context, d Device, types uint64, set EventSet) Return {
	return c.gpu(ctx, "nvmlDeviceRegisterEvents", d, func(g *gpu) Return {
		s, ok := c.sets[set]
		switch {
		case !ok:
			return InvalidArgument
		case types&^c.node.supportedEvents(g) != 0:
			return NotSupported
		}
		s.masks[g] |= types
		return Success
	})
}

// EventSetWait gives the next event, each once, oldest first; Timeout after that time without one, at once GPUIsLost while a GPU of
// the set is lost and nothing is left to deliver.
func (c *Client) EventSetWait(ctx context.Context, set EventSet, timeoutMS uint32) (data EventData, ret Return) {
	var s *eventSet
	ret = c.global(ctx, "nvmlEventSetWait_v2", func() Return {
		var ok bool
		if s, ok = c.sets[set]; !ok {
			return InvalidArgument
		}
		return Success
	})
	if ret != Success {
		return data, ret
	}
	timer := time.NewTimer(time.Duration(timeoutMS) * time.Millisecond)
	defer timer.Stop()
	for {
		if data, ret = c.nextEvent(s); ret != Timeout {
			return data, ret
		}
		select {
		case <-s.signal:
		case <-s.gone:
			return data, InvalidArgument
		case <-timer.C:
			return c.nextEvent(s) // one may have come in the same moment
		case <-ctx.Done():
			return data, Timeout
		}
	}
}

// nextEvent takes one event; Timeout when there is none.
func (c *Client) nextEvent(s *eventSet) (EventData, Return) {
	n := c.node
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-s.gone:
		return EventData{}, InvalidArgument
	default:
	}
	if len(s.queue) > 0 {
		e := s.queue[0]
		s.queue = s.queue[1:]
		if len(s.queue) > 0 {
			s.poke() // for another waiter of the same set
		}
		return e, Success
	}
	for g := range s.masks {
		if g.lost {
			return EventData{}, GPUIsLost
		}
	}
	return EventData{}, Timeout
}

// InjectXID raises an XID event; gi and ci are NoInstance where it is not attributable.
func (n *Node) InjectXID(index int, xid uint64, gi, ci uint32) error {
	return n.withGPU(index, func(g *gpu) error {
		n.emit(g, EventXidCritical, xid, gi, ci)
		return nil
	})
}

// InjectEvent raises any event by its mask.
func (n *Node) InjectEvent(index int, kind, data uint64) error {
	return n.withGPU(index, func(g *gpu) error {
		n.emit(g, kind, data, NoInstance, NoInstance)
		return nil
	})
}

// InjectECC counts errors, volatile and aggregate, and raises the event. It raises no XID: inject that beside it.
func (n *Node) InjectECC(index int, f EccFault) error {
	return n.withGPU(index, func(g *gpu) error {
		switch {
		case !g.eccOn:
			return fmt.Errorf("GPU %d has no ECC, or it is off", index)
		case !g.countsAt(f.Location):
			return fmt.Errorf("%s counts no errors at location %d", g.spec.name, f.Location)
		}
		if f.Count == 0 {
			f.Count = 1
		}
		g.ecc[number(f.Uncorrected)][0][f.Location] += f.Count
		g.ecc[number(f.Uncorrected)][1][f.Location] += f.Count
		kind := EventSingleBitEcc
		if f.Uncorrected {
			kind = EventDoubleBitEcc
		}
		n.emit(g, kind, 0, NoInstance, NoInstance)
		return nil
	})
}
