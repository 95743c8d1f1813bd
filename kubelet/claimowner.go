package kubelet

import (
	"context"
	"slices"
	"time"
)

// Owner says which container a PreStart of these devices is for. When that is not confirmed yet it looks at the kubelet's checkpoint,
// which was written before any container could start, and then at podresources, until ctx ends.
// The second result is false when nobody can tell. A guess that was not confirmed is returned as such.
func (c *Claims) Owner(ctx context.Context, resource string, ids []string) (Claim, bool) {
	if claim, ok := c.owner(resource, ids); ok && claim.Confirmed {
		return claim, true
	}
	if checkpoint, err := ReadCheckpoint(c.cfg.Checkpoint); err == nil {
		assigned, _ := c.cfg.Resources.Feed().Get()
		c.again(checkpoint, assigned)
	}
	if claim, ok := c.owner(resource, ids); ok && claim.Confirmed {
		return claim, true
	}
	if assigned, err := c.cfg.Resources.Refresh(ctx); err == nil {
		c.again(nil, assigned)
	}
	return c.owner(resource, ids)
}

// again confirms claims by what was just read; Run's next look does the rest.
func (c *Claims) again(checkpoint *Checkpoint, assigned *Assigned) {
	pods, _ := c.cfg.Pods.Get()
	c.mu.Lock()
	defer c.mu.Unlock()
	before := len(c.book.notes)
	c.book.confirm(&evidence{now: time.Now(), pods: pods, assigned: assigned, checkpoint: checkpoint, ours: c.cfg.Ours})
	if len(c.book.notes) == before {
		return
	}
	c.feed.Set(c.book.set(c.complete))
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// owner looks in memory: the container that holds exactly these devices. Of several (an init container and those that took its
// devices over, or a pod whose end is not known yet) it is the newest pod's first container that was not made yet.
func (c *Claims) owner(resource string, ids []string) (Claim, bool) {
	type container struct {
		pod  UID
		name string
	}
	pods, _ := c.cfg.Pods.Get()
	c.mu.Lock()
	defer c.mu.Unlock()
	first, has := map[container]Claim{}, map[container][]string{}
	for _, h := range c.book.claims {
		if h.Resource != resource || h.Pod == "" {
			continue
		}
		k := container{h.Pod, h.Container}
		has[k] = append(has[k], h.ID)
		if f, ok := first[k]; !ok || h.ID < f.ID {
			first[k] = h.Claim
		}
	}
	want := slices.Sorted(slices.Values(ids))
	var best Claim
	found := false
	for k, got := range has {
		slices.Sort(got)
		if !slices.Equal(got, want) {
			continue
		}
		if claim := first[k]; !found || later(claim, best, pods) {
			best, found = claim, true
		}
	}
	return best, found
}

// later reports whether a PreStart is rather for a than for b.
func later(a, b Claim, pods *Pods) bool {
	if a.Pod != b.Pod {
		if a.Confirmed != b.Confirmed {
			return a.Confirmed
		}
		return a.Opened.After(b.Opened)
	}
	rank := func(name string) (made bool, at int) {
		for i, c := range pods.ByUID[a.Pod].Containers {
			if c.Name == name {
				return c.ID != "", i
			}
		}
		return false, 0
	}
	madeA, atA := rank(a.Container)
	madeB, atB := rank(b.Container)
	if madeA != madeB {
		return madeB
	}
	// All were made: it is a restart, of the last rather than of an init container that has ended.
	return (atA < atB) != madeA
}
