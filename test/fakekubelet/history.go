package fakekubelet

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// List is one list that a plugin sent.
type List struct {
	At time.Time
	// Socket is the file name of the plugin's socket.
	Socket string
	// Health is "Healthy" or whatever else the plugin said, by device id.
	Health map[string]string
}

// Healthy counts the healthy devices.
func (l List) Healthy() (n int) {
	for _, h := range l.Health {
		if h == healthy {
			n++
		}
	}
	return n
}

// Call is one call of the kubelet to a plugin.
type Call struct {
	Method   string // "GetDevicePluginOptions", "GetPreferredAllocation", "Allocate", "PreStartContainer"
	Resource string
	Socket   string
	IDs      []string // sorted; those to choose from for GetPreferredAllocation
	// Err is the plugin's error and Took how long it took; both are unknown in Options.Before.
	Err  error
	Took time.Duration
}

// Event is what the kubelet told people about a pod.
type Event struct{ Pod, Reason, Message string }

// history is what happened, over all lives of the kubelet.
type history struct {
	lists  map[string][]List
	calls  []Call
	events []Event
}

// Lists are the lists that were sent for a resource, the oldest first.
func (k *Kubelet) Lists(resource string) []List {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.history.lists[resource])
}

// Calls are the calls to plugins, in the order in which they were answered.
func (k *Kubelet) Calls() []Call {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.history.calls)
}

// Events are all events about pods, the oldest first.
func (k *Kubelet) Events() []Event {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.history.events)
}

// Wait returns when cond holds. It is asked again whenever anything has changed here; it may call every method but Wait.
func (k *Kubelet) Wait(ctx context.Context, what string, cond func() bool) error {
	for {
		k.mu.Lock()
		changed := k.changed
		k.mu.Unlock()
		if cond() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		}
	}
}

// change wakes those who Wait.
func (k *Kubelet) change() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.changeLocked()
}

func (k *Kubelet) changeLocked() {
	close(k.changed)
	k.changed = make(chan struct{})
}

func (k *Kubelet) event(pod, reason, message string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.history.events = append(k.history.events, Event{pod, reason, message})
	k.changeLocked()
}

func (k *Kubelet) listed(resource string, l List) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.history.lists[resource] = append(k.history.lists[resource], l)
	k.changeLocked()
}

// call makes one call to a plugin and keeps it.
func (k *Kubelet) call(c Call, do func() error) error {
	slices.Sort(c.IDs)
	k.opts.Before(c)
	began := time.Now()
	c.Err = do()
	c.Took = time.Since(began)
	k.opts.After(c)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.history.calls = append(k.history.calls, c)
	k.changeLocked()
	return c.Err
}
