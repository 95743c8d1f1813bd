package fleet

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/gpulet/gpulet/apiserver"
)

const (
	// slack is added to a demand's time before its pods go elsewhere: for its way to the node.
	slack = 5 * time.Second
	// grace is how long a node keeps its pods that is not ready or serves no demand at the moment: agents restart.
	grace = 20 * time.Second
	// arrival is how long the place of a pod is kept that went from the list of those that wait.
	arrival = 10 * time.Second
	// look is how often something may change by time alone while pods wait.
	look = 5 * time.Second
	// epoch is between the generations of two leaders: what the one before may still have on its way is lower.
	epoch = 1 << 20
)

// term is one agent's time as the leader. It is used by one goroutine.
type term struct {
	*Leader
	planner    *Planner
	generation uint64
	sites      map[string]*Site
	names      []string // of the nodes with reports, in order
	written    map[string]*written
	given      map[types.UID]*placed
	leaving    map[types.UID]leave
	out        map[string]time.Time // since when a node serves nothing
	tokens     float64
	filled     time.Time
	told       map[types.UID]telling
	evicted    map[types.UID]time.Time // pods for which others were evicted, and when
	evicting   map[string]time.Time    // by node
	voice      float64
	spoke      time.Time
	turn       uint64          // rounds of telling
	served     map[string]bool // resources that some node serves
}

// placed is a pod that was given to a node.
type placed struct {
	*apiserver.PendingPod
	node string
	// gone is when it left the list of those that wait; zero while it waits.
	gone time.Time
}

// leave is a pod that a node may still serve although it was taken away: until the node says that it knows, or its time is over.
type leave struct {
	node       string
	generation uint64 // of the first demand without it; 0: none was written yet
	until      time.Time
}

// written is what a node was told last.
type written struct {
	pods       map[types.UID]DemandPod
	at         time.Time // of the last attempt
	renew      time.Time // when it is told again
	failed     bool
	changed    time.Time // since when something else is to be told; zero: nothing is
	generation uint64
}

func newTerm(l *Leader) *term {
	return &term{
		Leader: l, planner: NewPlanner(), sites: map[string]*Site{}, written: map[string]*written{}, given: map[types.UID]*placed{},
		leaving: map[types.UID]leave{}, out: map[string]time.Time{}, tokens: float64(l.cfg.WritesAtOnce), filled: time.Now(),
		told: map[types.UID]telling{}, evicted: map[types.UID]time.Time{}, evicting: map[string]time.Time{}, voice: voiceMost, spoke: time.Now(),
	}
}

// takeOver reads what the leader before told the nodes; false when ctx ended.
func (t *term) takeOver(ctx context.Context) bool {
	var docs map[string]*apiserver.Document
	for pause := retryFirst; ; pause = min(2*pause, retryMost) {
		var err error
		if docs, err = t.cfg.Cluster.ReadDemands(ctx); err == nil {
			break
		}
		if ctx.Err() != nil {
			return false
		}
		t.cfg.Log.Warn("the demands of the leader before cannot be read", "err", err)
		if sleep(ctx, pause); ctx.Err() != nil {
			return false
		}
	}
	now := time.Now()
	for _, node := range slices.Sorted(maps.Keys(docs)) {
		d, err := DecodeDemand(docs[node].Data)
		if err != nil {
			t.cfg.Log.Warn("a demand cannot be read and is written anew", "node", node, "err", err)
			t.written[node] = &written{pods: map[types.UID]DemandPod{}, failed: true, changed: now}
			continue
		}
		t.generation = max(t.generation, d.Generation)
		w := &written{pods: map[types.UID]DemandPod{}, at: now, renew: now, generation: d.Generation} // nobody knows how old it is
		t.written[node] = w
		for _, p := range d.Pods {
			uid := types.UID(p.UID)
			w.pods[uid] = p
			// Of two demands the later holds: a pod was taken from a node that could not be told.
			if before := t.given[uid]; before == nil || t.written[before.node].generation < d.Generation {
				t.given[uid] = &placed{node: node, PendingPod: &apiserver.PendingPod{
					UID: uid, Namespace: p.Namespace, Name: p.Name, Priority: p.Priority, Requests: p.Requests,
				}}
			}
		}
	}
	t.generation = (t.generation/epoch + 1) * epoch
	return ctx.Err() == nil
}

// round plans once, tells the nodes, and says when to look again at the latest.
func (t *term) round(ctx context.Context, view *apiserver.ClusterView) time.Duration {
	now := time.Now()
	t.read(view)
	in := t.assemble(view, now)
	out := t.planner.Plan(in)
	t.keep(in, out, now)
	t.metrics.rounds.Inc()
	t.metrics.duration.Observe(time.Since(now).Seconds())
	t.count(view, out)
	t.evict(ctx, out.Evictions, now)
	t.tell(in, out, now)
	if wait := t.write(ctx, now); wait > 0 {
		return min(wait, look)
	}
	if len(t.given)+len(t.leaving)+len(out.Unmet) > 0 {
		return look
	}
	return time.Hour
}

// read takes the reports that changed.
func (t *term) read(view *apiserver.ClusterView) {
	fresh := false
	for name, doc := range view.Reports {
		s, known := t.sites[name]
		if known && s.doc == doc {
			continue
		}
		now, err := t.planner.Read(doc)
		if err != nil {
			t.cfg.Log.Warn("a report cannot be read", "node", name, "err", err)
			now = &Site{doc: doc, off: "its report cannot be read", vocabulary: &vocabulary{}}
		}
		t.sites[name] = now
		fresh = fresh || !known
	}
	for name := range t.sites {
		if _, there := view.Reports[name]; !there {
			delete(t.sites, name)
			delete(t.out, name)
			fresh = true
		}
	}
	if fresh {
		t.names = slices.Sorted(maps.Keys(t.sites))
	}
}

// assemble makes a round of what is known.
func (t *term) assemble(view *apiserver.ClusterView, now time.Time) Round {
	in := Round{Nodes: make([]Node, 0, len(t.names)), MayEvict: true}
	t.served = map[string]bool{}
	last := (*vocabulary)(nil)
	for _, name := range t.names {
		s, facts := t.sites[name], view.Nodes[name]
		if facts == nil {
			continue // its Node is gone
		}
		n := Node{Facts: facts, Site: s, Evicting: now.Sub(t.evicting[name]) < t.cfg.EvictCooldown}
		switch {
		case now.Sub(s.doc.Received) > t.cfg.Fresh:
			n.Out = CauseStale
		case s.off != "":
			n.Out = CauseOff
		case !facts.Ready || facts.Unschedulable:
			n.Out = CauseNotReady
		}
		if n.Out == "" {
			delete(t.out, name)
		} else if since, known := t.out[name]; !known {
			t.out[name] = now
			n.Keep = n.Out != CauseStale
		} else {
			n.Keep = n.Out != CauseStale && now.Sub(since) < grace
		}
		in.Nodes = append(in.Nodes, n)
		if s.vocabulary != last {
			last = s.vocabulary
			for res := range last.names {
				t.served[res] = true
			}
		}
	}
	for uid, p := range view.Pods {
		if x, wanted := t.wanted(uid, p, now); wanted {
			in.Pods = append(in.Pods, x)
		}
	}
	for uid, p := range t.given {
		if x, kept := t.arriving(uid, p, view, now); kept {
			in.Pods = append(in.Pods, x)
		}
	}
	slices.SortFunc(in.Pods, func(a, b Pod) int { return strings.Compare(string(a.UID), string(b.UID)) })
	return in
}

// wanted reports whether a pod counts.
func (t *term) wanted(uid types.UID, p *apiserver.PendingPod, now time.Time) (x Pod, ok bool) {
	ok = t.serves(p)
	before := t.given[uid]
	if !ok || p.Deleting {
		if before != nil {
			t.release(uid, now)
		}
		return x, false
	}
	x = Pod{PendingPod: p, Evicted: now.Sub(t.evicted[uid]) < t.cfg.EvictCooldown}
	if before != nil {
		x.Given, before.PendingPod, before.gone = before.node, p, time.Time{}
		return x, true
	}
	if l, leaves := t.leaving[uid]; leaves {
		s := t.sites[l.node]
		if l.generation != 0 && s != nil && s.demand >= l.generation || now.After(l.until) {
			delete(t.leaving, uid)
		} else {
			x.Leaving = true
			return x, true
		}
	}
	return x, p.Unschedulable && !p.Gated && p.Nominated == ""
}

// arriving keeps the place of a pod that waits no more, until its node says that it holds devices, or knows that it is bound.
func (t *term) arriving(uid types.UID, p *placed, view *apiserver.ClusterView, now time.Time) (x Pod, ok bool) {
	if _, waits := view.Pods[uid]; waits {
		return x, false
	}
	if p.gone.IsZero() {
		p.gone = now
	}
	if s := t.sites[p.node]; s == nil || s.Holds(string(uid)) || s.Arrives(string(uid)) || now.Sub(p.gone) > arrival {
		delete(t.given, uid)
		return x, false
	}
	return Pod{PendingPod: p.PendingPod, Given: p.node, Bound: true}, true
}

// release takes a pod from its node. It may be given to another when the node knows.
func (t *term) release(uid types.UID, now time.Time) {
	p := t.given[uid]
	delete(t.given, uid)
	if w := t.written[p.node]; w != nil {
		if _, told := w.pods[uid]; told {
			until := w.at.Add(t.cfg.TTL + slack)
			if until.After(now) {
				t.leaving[uid] = leave{node: p.node, until: until}
			}
		}
	}
}

// keep takes an outcome.
func (t *term) keep(in Round, out Outcome, now time.Time) {
	for i := range in.Pods {
		p := &in.Pods[i]
		node := out.Given[p.UID]
		if p.Given != "" && p.Given != node && !p.Bound {
			t.release(p.UID, now)
			if _, leaves := t.leaving[p.UID]; leaves {
				continue // the next round gives it away, when it may
			}
		}
		if node != "" && !p.Bound {
			t.given[p.UID] = &placed{PendingPod: p.PendingPod, node: node}
		}
	}
	for uid := range t.leaving {
		if now.After(t.leaving[uid].until.Add(time.Minute)) {
			delete(t.leaving, uid) // its pod is gone
		}
	}
}
