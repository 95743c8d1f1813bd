package kubelet

import "time"

// writeSlack is by how much a file's time may be before that of an event which came earlier: kernels stamp files with a coarse clock.
const writeSlack = 20 * time.Millisecond

// mention is what an account of the kubelet says: this container has this device.
type mention struct {
	key             DeviceKey
	pod             UID // empty when the account gives only names and they fit no single pod
	namespace, name string
	container       string
	at              time.Time // what was opened later is not in the account
	from            string
}

// confirm brings the claims in line with what the kubelet says it gave: whose they are, and which ones we missed.
func (b *book) confirm(e *evidence) {
	e.said = inAssigned(e)
	mentions := append(b.inCheckpoint(e), e.said...)
	// Exact matches first: several containers of one pod may have one device, and each claim is for one of them.
	var rest []mention
	for _, m := range mentions {
		if c := b.exact(m.key, m.pod, m.container); c != nil && m.pod != "" {
			b.confirmed(c, m)
			continue
		}
		rest = append(rest, m)
	}
	for _, m := range rest {
		switch {
		case m.pod == "" && len(b.of(m.key)) > 0: // it is held, and this says no more
		case m.pod != "" && b.exact(m.key, m.pod, m.container) != nil: // of an earlier mention
		case m.pod != "" && b.assign(m):
		case !m.at.After(b.closed[m.key]) && m.from == fromPodResources: // from before the end of the last claim
		default:
			c := Claim{
				Resource: m.key.Resource, ID: m.key.ID, Pod: m.pod, Namespace: m.namespace, Name: m.name,
				Container: m.container, Opened: e.now, Confirmed: m.pod != "", Foreign: true,
			}
			b.add(c, "found in "+m.from)
		}
	}
}

const (
	fromCheckpoint   = "the kubelet's checkpoint"
	fromPodResources = "podresources"
)

// inCheckpoint are the checkpoint's mentions that still mean something.
func (b *book) inCheckpoint(e *evidence) (out []mention) {
	if e.checkpoint == nil {
		return nil
	}
	named := map[UID]struct{}{}
	for _, entry := range e.checkpoint.Entries {
		named[entry.Pod] = struct{}{}
		p, known := e.pods.ByUID[entry.Pod]
		if known && p.Ended {
			// The file is written with the next allocation; by then the end of the pod may be forgotten here.
			b.forgotten[entry.Pod] = struct{}{}
		} else if known {
			delete(b.forgotten, entry.Pod) // a static pod came back with its UID
		}
		if _, over := b.forgotten[entry.Pod]; over || !e.ours(entry.Resource) {
			continue
		}
		for _, id := range entry.IDs {
			out = append(out, mention{
				key: DeviceKey{entry.Resource, id}, pod: entry.Pod, namespace: p.Namespace, name: p.Name,
				container: entry.Container, at: e.checkpoint.Written.Add(writeSlack), from: fromCheckpoint,
			})
		}
	}
	for uid := range b.forgotten {
		if _, still := named[uid]; !still {
			delete(b.forgotten, uid)
		}
	}
	return out
}

// inAssigned are podresources' mentions. It gives names; they stand for a UID when a synced list knows only one pod of that name,
// counting those that ended lately.
func inAssigned(e *evidence) (out []mention) {
	if !e.assigned.Synced {
		return nil
	}
	byName := map[string][]Pod{}
	if e.pods.Synced {
		for _, p := range e.pods.ByUID {
			byName[p.Ref()] = append(byName[p.Ref()], p)
		}
	}
	for key, holders := range e.assigned.Devices {
		if !e.ours(key.Resource) {
			continue
		}
		for _, h := range holders {
			m := mention{
				key: key, namespace: h.Namespace, name: h.Pod, container: h.Container, at: e.assigned.At, from: fromPodResources,
			}
			if same := byName[h.Namespace+"/"+h.Pod]; len(same) == 1 {
				if same[0].Ended { // kubelets before 1.34 list those too
					continue
				}
				m.pod = same[0].UID
			}
			out = append(out, m)
		}
	}
	return out
}

// assign gives a claim that is nobody's for sure to the container that the kubelet named.
func (b *book) assign(m mention) bool {
	var best *held
	rank := func(c *held) int {
		switch c.Pod {
		case m.pod:
			return 2 // another container of the same pod
		case "":
			return 1
		}
		return 0
	}
	for _, c := range b.of(m.key) {
		if !c.Confirmed && !c.Opened.After(m.at) && (best == nil || rank(c) > rank(best)) {
			best = c
		}
	}
	if best == nil {
		return false
	}
	best.Pod, best.Container, best.Namespace, best.Name = m.pod, m.container, m.namespace, m.name
	best.Confirmed, best.doubt = true, doubt{}
	b.note("confirmed", best, m.from+" names its pod")
	return true
}

func (b *book) confirmed(c *held, m mention) {
	if c.Confirmed || c.Opened.After(m.at) {
		return
	}
	c.Confirmed, c.Container, c.doubt = true, m.container, doubt{}
	b.note("confirmed", c, m.from+" names its pod")
}
