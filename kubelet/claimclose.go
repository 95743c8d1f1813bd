package kubelet

import (
	"fmt"
	"slices"
	"time"
)

const (
	// doubtFor and doubtPolls: how long, and over how many answers of podresources, nothing may speak for a claim before it closes,
	// where no single account is proof.
	doubtFor   = 60 * time.Second
	doubtPolls = 2
)

// reconcile brings the account in line with the evidence. Doing it again changes nothing.
func (b *book) reconcile(e *evidence) {
	b.confirm(e)
	for _, c := range slices.Clone(b.claims) {
		p, known := e.pods.ByUID[c.Pod]
		if known && c.Name == "" {
			c.Namespace, c.Name, b.changed = p.Namespace, p.Name, true
		}
		switch {
		case c.Pod != "" && known && p.Ended && c.Confirmed:
			b.close(c, e.now, "its pod ended")
		case b.superseded(c, e):
			if c.doubted(e); c.doubt.enough(e) {
				b.close(c, e.now, "the kubelet gave its device to another pod, and no source of pods tells of its own")
				continue
			}
			c.why = "its pod's end is not known; the kubelet gave its device to another pod"
		case !c.Confirmed:
			if known && p.Ended {
				// The guess was wrong, or the kubelet refused the pod after all.
				c.Pod, c.Namespace, c.Name, c.Container, c.doubt = "", "", "", "", doubt{}
				b.note("unresolved", c, "the pod that it probably was for ended, and the kubelet had not confirmed it")
			}
			b.unconfirmed(c, e)
		case known:
			c.doubt, c.why = doubt{}, alive(p)
			b.record(c, e)
		case !e.pods.Synced:
			c.doubt, c.why = doubt{}, "its pod's end is not known: no complete list of pods ("+e.pods.Reason+")"
		default:
			b.absent(c, e)
		}
	}
	for k, at := range b.closed {
		if e.now.Sub(at) > tombstone {
			delete(b.closed, k)
		}
	}
}

// superseded reports whether the kubelet has given a claim's device to another pod and has no record of the claim's own. It counts
// only where no source ever told of pods, and claims would otherwise pile up for ever; the device stays held by the other claim.
func (b *book) superseded(c *held, e *evidence) bool {
	if e.pods.Synced || len(e.pods.ByUID) > 0 || !e.assigned.Synced || e.checkpoint == nil || e.checkpoint.names(c.Pod) {
		return false
	}
	return slices.ContainsFunc(b.of(c.key()), func(h *held) bool {
		return h.Pod != c.Pod && h.Confirmed && h.Opened.After(c.Opened) && e.checkpoint.has(&h.Claim)
	})
}

func alive(p Pod) string {
	if p.Deleting {
		return "its pod is being stopped"
	}
	return "its pod lives"
}

// record notes whether the kubelet still has a record of a confirmed claim whose pod lives. It loses its records with its
// device-plugins folder.
func (b *book) record(c *held, e *evidence) {
	if c.Unrecorded {
		c.why += "; the kubelet has no record of it"
	}
	lost := e.assigned.Synced && e.assigned.At.After(c.Opened) && e.checkpoint != nil && !e.checkpoint.has(&c.Claim) && !b.speaksFor(c, e)
	if lost == c.Unrecorded || !e.idle {
		return
	}
	c.Unrecorded = lost
	if lost {
		b.note("unrecorded", c, "its pod lives, and the kubelet has no record of it any more")
	} else {
		b.note("recorded", c, "the kubelet knows it again")
	}
}

// absent treats a confirmed claim whose pod a synced list does not have, which happens when its end was missed.
func (b *book) absent(c *held, e *evidence) {
	switch {
	case !e.assigned.Synced:
		c.keep("its pod is not listed, and podresources cannot confirm that it is gone: " + e.assigned.Reason)
	case e.checkpoint == nil:
		c.keep("its pod is not listed, and the kubelet's checkpoint cannot be read")
	case b.speaksFor(c, e) || activeUnlisted(c, e):
		c.keep("its pod is not listed, but podresources still names it")
	case !e.checkpoint.names(c.Pod):
		c.doubted(e)
		if e.assigned.At.After(c.doubt.since) && e.checkpoint.Read.After(c.doubt.since) {
			b.close(c, e.now, "its pod is not listed any more, and the kubelet has no record of it")
			return
		}
		c.why = "its pod is not listed; the kubelet is asked again"
	case !e.checkpoint.Written.Before(e.assigned.At):
		c.keep("its pod is not listed, but the kubelet's checkpoint still names it")
	default:
		// The file is older than an answer of podresources that does not know the pod: the kubelet frees the devices of
		// ended pods before it answers, and writes the file only with the next allocation or list of devices.
		if c.doubted(e); c.doubt.enough(e) {
			b.close(c, e.now, "its pod is not listed any more, and the kubelet's checkpoint names it only because it is old")
			return
		}
		c.why = "its pod is not listed; an old checkpoint of the kubelet names it"
	}
}

// unconfirmed treats a claim that the kubelet has not named yet. It closes when the kubelet evidently does not have it.
func (b *book) unconfirmed(c *held, e *evidence) {
	whose := "whose it is has not been confirmed"
	if c.Pod == "" {
		whose = "it is not known whose it is"
	}
	switch {
	case !e.idle:
		c.keep(whose + "; an allocation is under way")
	case !e.pods.Synced:
		c.keep(whose + ", and there is no complete list of pods: " + e.pods.Reason)
	case !e.assigned.Synced:
		c.keep(whose + ", and podresources does not answer: " + e.assigned.Reason)
	case b.speaksFor(c, e) || e.checkpoint.has(&c.Claim):
		c.keep(whose + "; the kubelet has given it to somebody")
	case (e.checkpoint == nil || e.checkpoint.Absent) && b.someoneWaits(c.Resource, e):
		// Without the checkpoint an init container's devices are nowhere to be seen.
		c.keep(whose + "; a pod asks for such a device and has none, and there is no checkpoint of the kubelet")
	default:
		if c.doubted(e); c.doubt.enough(e) && (e.checkpoint == nil || e.checkpoint.Read.After(c.doubt.since)) {
			b.close(c, e.now, "the kubelet does not have it: the allocation was refused or given up")
			return
		}
		c.why = fmt.Sprintf("%s; the kubelet does not have it since %s", whose, c.doubt.since.UTC().Format("15:04:05"))
	}
}

func (c *held) keep(why string) { c.doubt, c.why = doubt{}, why }

// doubted counts an answer of podresources that does not speak for the claim.
func (c *held) doubted(e *evidence) {
	d := &c.doubt
	if d.since.IsZero() {
		*d = doubt{since: e.now}
	}
	if e.assigned.At.After(d.since) && e.assigned.At.After(d.last) {
		d.polls, d.last = d.polls+1, e.assigned.At
	}
}

func (d *doubt) enough(e *evidence) bool {
	return d.polls >= doubtPolls && e.now.Sub(d.since) >= doubtFor
}

// speaksFor reports whether podresources names the device for somebody whose confirmed claim is not another one.
func (b *book) speaksFor(c *held, e *evidence) bool {
	for _, m := range e.said {
		if m.key != c.key() {
			continue
		}
		other := slices.ContainsFunc(b.of(c.key()), func(h *held) bool {
			return h != c && h.Confirmed && h.Namespace == m.namespace && h.Name == m.name && h.Container == m.container
		})
		if !other {
			return true
		}
	}
	return false
}

// activeUnlisted reports whether podresources counts a pod as active that the list of pods does not have.
func activeUnlisted(c *held, e *evidence) bool {
	if _, active := e.assigned.Active[c.Namespace+"/"+c.Name]; !active {
		return false
	}
	for _, p := range e.pods.ByUID {
		if !p.Ended && p.Namespace == c.Namespace && p.Name == c.Name {
			return false // it is this one, which took the name over
		}
	}
	return true
}

// someoneWaits reports whether a live pod asks for a resource for a container that is not known to have it.
func (b *book) someoneWaits(resource string, e *evidence) bool {
	for _, p := range e.pods.ByUID {
		for _, c := range p.Containers {
			if !p.Ended && c.Requests[resource] > 0 && !b.has(resource, p.UID, c.Name, true) {
				return true
			}
		}
	}
	return false
}

// names reports whether the kubelet's checkpoint has an entry of a pod.
func (c *Checkpoint) names(pod UID) bool {
	return slices.ContainsFunc(c.Entries, func(e CheckpointEntry) bool { return e.Pod == pod })
}

// has reports whether the kubelet's checkpoint has exactly this claim.
func (c *Checkpoint) has(claim *Claim) bool {
	return c != nil && slices.ContainsFunc(c.Entries, func(e CheckpointEntry) bool {
		return e.Pod == claim.Pod && e.Container == claim.Container && e.Resource == claim.Resource && slices.Contains(e.IDs, claim.ID)
	})
}
