package fleet

import (
	"slices"

	"github.com/gpulet/gpulet/apiserver"
)

// Cause is why a pod waits, as a metric's label.
type Cause string

// The causes.
const (
	CauseGiven     Cause = "given"        // it was given to a node, which prepares what it asks for
	CauseLeaving   Cause = "leaving"      // the node that it was given to has not let it go yet
	CauseNominated Cause = "nominated"    // the scheduler makes room for it
	CauseGated     Cause = "gated"        // it has scheduling gates, is being deleted, or was not tried by the scheduler
	CauseRules     Cause = "node-rules"   // selectors, affinity and taints leave no node
	CauseSize      Cause = "cpu-memory"   // CPU, memory, pods or other resources are short
	CauseHeld      Cause = "held"         // GPUs are held or promised
	CauseForeign   Cause = "no-such-node" // no node has what it asks for
	CauseOff       Cause = "off"          // nodes that could serve no demand at the moment
	CauseStale     Cause = "stale"        // nodes that could do not report
	CauseNotReady  Cause = "not-ready"    // nodes that could are not ready or are cordoned
)

// Unmet is a pod that fits nowhere now.
type Unmet struct {
	Pod   *apiserver.PendingPod
	Cause Cause
	// Nodes counts nodes by why they do not serve it; Near is the first of those that would but for what holds their GPUs.
	Nodes map[Cause]int
	Near  string
}

// unmet tells why a pod has no node, after a last look with the exact planner of a few nodes.
func (r *round) unmet(pod *Pod, a *ask, rule *rules) {
	u := Unmet{Pod: pod.PendingPod, Cause: CauseForeign, Nodes: map[Cause]int{}}
	last, n := CauseForeign, 0
	for i, b := range r.benches {
		cause := r.obstacle(pod, a, rule, i)
		if cause == CauseHeld {
			if parts := r.parts(a, b.vocabulary, pod); r.tries > 0 && (len(b.given) > 0 || len(parts) > 1 || parts[0].count > 1) && b.room(parts) {
				if r.tries--; b.exact(r.memory, pod, parts) {
					r.out.Given[pod.UID] = b.name
					return
				}
			}
			if u.Near == "" {
				u.Near = b.name
			}
		}
		if cause != last {
			u.count(last, n)
			last, n = cause, 0
		}
		n++
	}
	u.count(last, n)
	if r.in.MayEvict && u.Cause == CauseHeld && !pod.Evicted {
		r.evict(pod, a, rule)
	}
	r.out.Unmet = append(r.out.Unmet, u)
}

// count takes nodes with one cause; of all causes the one counts that comes nearest to serving the pod.
func (u *Unmet) count(cause Cause, n int) {
	if cause == CauseForeign || n == 0 {
		return
	}
	u.Nodes[cause] += n
	rank := []Cause{CauseForeign, CauseRules, CauseStale, CauseOff, CauseNotReady, CauseSize, CauseHeld}
	if slices.Index(rank, cause) > slices.Index(rank, u.Cause) {
		u.Cause = cause
	}
}

// obstacle is why a node does not serve a pod.
func (r *round) obstacle(pod *Pod, a *ask, rule *rules, i int) Cause {
	b := r.benches[i]
	switch {
	case b == nil || r.parts(a, b.vocabulary, pod) == nil:
		return CauseForeign
	case !rule.allow(i, b.facts):
		return CauseRules
	case r.in.Nodes[i].Out != "":
		return r.in.Nodes[i].Out
	case !b.fits(pod):
		return CauseSize
	}
	if r.price(a, i, pod); a.prices[i].lacks {
		return CauseSize
	}
	return CauseHeld
}
