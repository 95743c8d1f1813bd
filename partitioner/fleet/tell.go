package fleet

import (
	"context"
	"fmt"
	"time"

	"github.com/gpulet/gpulet/apiserver"
	"github.com/gpulet/gpulet/kubelet"
)

const (
	// tellAfter is how long a pod has fitted nowhere before it is told so; tellAgain is between two Events of it.
	tellAfter, tellAgain = 3 * time.Second, 5 * time.Minute
	// voiceRate and voiceMost bound the Events: per second, and at once.
	voiceRate, voiceMost = 0.5, 20
)

// The reasons of Events.
const (
	ReasonFitsNowhere = "FitsOnNoNode"
	ReasonEvicted     = "EvictedForPriority"
	ReasonMadeRoom    = "EvictingForPod"
)

// telling is what a pod was told.
type telling struct {
	since, last time.Time
	round       uint64
}

// tell says to pods that fit nowhere why.
func (t *term) tell(in Round, out Outcome, now time.Time) {
	t.turn++
	for i := range out.Unmet {
		u := &out.Unmet[i]
		if u.Cause == CauseLeaving || u.Cause == CauseForeign || u.Cause == CauseRules {
			continue // the first passes, the scheduler tells the others
		}
		told := t.told[u.Pod.UID]
		if told.round != t.turn-1 {
			told.since = now
		}
		told.round = t.turn
		if t.cfg.Events != nil && now.Sub(told.since) >= tellAfter && (told.last.IsZero() || now.Sub(told.last) >= tellAgain) && t.may(now) {
			told.last = now
			var given []*Pod
			for j := range in.Pods {
				if u.Near != "" && out.Given[in.Pods[j].UID] == u.Near {
					given = append(given, &in.Pods[j])
				}
			}
			t.cfg.Events.Pod(u.Pod.Namespace, u.Pod.Name, kubelet.UID(u.Pod.UID), true, ReasonFitsNowhere, t.planner.explain(u, t.sites[u.Near], given))
		}
		t.told[u.Pod.UID] = told
	}
	for uid, told := range t.told {
		if told.round != t.turn && now.Sub(told.last) > tellAgain {
			delete(t.told, uid)
		}
	}
}

// may reports whether one Event more may be sent now.
func (t *term) may(now time.Time) bool {
	t.voice = min(voiceMost, t.voice+now.Sub(t.spoke).Seconds()*voiceRate)
	t.spoke = now
	if t.voice < 1 {
		return false
	}
	t.voice--
	return true
}

// evict asks for evictions.
func (t *term) evict(ctx context.Context, all []Eviction, now time.Time) {
	for _, e := range all {
		t.evicted[e.For.UID], t.evicting[e.Node] = now, now
		for _, v := range e.Victims {
			err := t.cfg.Cluster.Evict(ctx, v.Namespace, v.Name, v.UID)
			t.metrics.evictions.WithLabelValues(result(err)).Inc()
			if t.cfg.Events == nil {
				continue
			}
			if err != nil {
				t.cfg.Events.Pod(e.For.Namespace, e.For.Name, kubelet.UID(e.For.UID), true, ReasonMadeRoom,
					fmt.Sprintf("pod %s/%s on node %s has lower priority and is in the way of %s, and could not be evicted: %s", v.Namespace, v.Name, e.Node, e.Resource, clip(err.Error(), maxReason)))
				continue
			}
			t.cfg.Events.Pod(v.Namespace, v.Name, kubelet.UID(v.UID), true, ReasonEvicted,
				fmt.Sprintf("it makes room for pod %s/%s, which has higher priority and waits for %s", e.For.Namespace, e.For.Name, e.Resource))
			t.cfg.Events.Pod(e.For.Namespace, e.For.Name, kubelet.UID(e.For.UID), false, ReasonMadeRoom,
				fmt.Sprintf("pod %s/%s on node %s has lower priority and is evicted to make room for %s", v.Namespace, v.Name, e.Node, e.Resource))
		}
	}
	for uid, at := range t.evicted {
		if now.Sub(at) > t.cfg.EvictCooldown {
			delete(t.evicted, uid)
		}
	}
	for node, at := range t.evicting {
		if now.Sub(at) > t.cfg.EvictCooldown {
			delete(t.evicting, node)
		}
	}
}

// count shows how many pods wait for what.
func (t *term) count(view *apiserver.ClusterView, out Outcome) {
	counts := map[Cause]int{CauseGiven: 0, CauseHeld: 0}
	for uid := range out.Given {
		if p := view.Pods[uid]; p != nil {
			counts[CauseGiven]++
		}
	}
	for i := range out.Unmet {
		counts[out.Unmet[i].Cause]++
	}
	for _, p := range view.Pods {
		if _, given := out.Given[p.UID]; given || !t.serves(p) {
			continue
		}
		switch {
		case p.Nominated != "":
			counts[CauseNominated]++
		case p.Gated || p.Deleting || !p.Unschedulable:
			counts[CauseGated]++
		}
	}
	t.metrics.waiting.Reset()
	for cause, n := range counts {
		t.metrics.waiting.WithLabelValues(string(cause)).Set(float64(n))
	}
	unread := 0
	for _, s := range t.sites {
		if s.vocabulary.names == nil {
			unread++
		}
	}
	t.metrics.unread.Set(float64(unread))
}

// serves reports whether some node serves a part of what a pod asks for.
func (t *term) serves(p *apiserver.PendingPod) bool {
	for name := range p.Requests {
		if t.served[name] {
			return true
		}
	}
	return false
}
