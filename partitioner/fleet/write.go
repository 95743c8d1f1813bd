package fleet

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/types"
)

const (
	// shrinkLater is how long a demand waits that only loses pods: more of them go at the same time.
	shrinkLater = time.Second
	// again is how long a node's demand waits whose write failed.
	again = 2 * time.Second
	// renewUntil: demands are not renewed for nodes whose report is so old; their pods go elsewhere soon.
	renewUntil = 90 * time.Second
	// writers is how many writes run at once.
	writers = 8
)

// letter is a demand that is to be written.
type letter struct {
	node string
	pods map[types.UID]DemandPod
	// most and oldest are of its most urgent pod.
	most   int32
	oldest time.Time
	same   bool // the node knows it, and is told again
}

// write tells nodes what changed for them. It says when there is more to do, 0 for nothing.
func (t *term) write(ctx context.Context, now time.Time) (wait time.Duration) {
	wants := map[string]*letter{}
	for uid, p := range t.given {
		if !p.gone.IsZero() {
			continue
		}
		l := wants[p.node]
		if l == nil {
			l = &letter{node: p.node, pods: map[types.UID]DemandPod{}, most: p.Priority, oldest: p.Created}
			wants[p.node] = l
		}
		l.pods[uid] = t.demandPod(p, now)
		if l.most = max(l.most, p.Priority); p.Created.Before(l.oldest) {
			l.oldest = p.Created
		}
	}
	sooner := func(d time.Duration) {
		if d = max(d, 10*time.Millisecond); wait == 0 || d < wait {
			wait = d
		}
	}
	var due []*letter
	consider := func(l *letter) {
		if d := t.due(l, now); d <= 0 {
			due = append(due, l)
		} else if d < time.Hour {
			sooner(d)
		}
	}
	for _, l := range wants {
		consider(l)
	}
	for node, w := range t.written {
		if t.sites[node] != nil && wants[node] == nil && (len(w.pods) > 0 || w.failed) { // without a report nobody would read it
			consider(&letter{node: node, pods: map[types.UID]DemandPod{}})
		}
	}
	slices.SortFunc(due, func(a, b *letter) int {
		return cmp.Or(order(a.same, b.same), -order(len(a.pods) > 0, len(b.pods) > 0), cmp.Compare(b.most, a.most), a.oldest.Compare(b.oldest), strings.Compare(a.node, b.node))
	})
	most := float64(t.cfg.WritesAtOnce)
	t.tokens = min(most, t.tokens+now.Sub(t.filled).Seconds()*float64(t.cfg.WritesPerSecond))
	t.filled = now
	if n := int(t.tokens); len(due) > n {
		due = due[:n]
		sooner(time.Second / 4)
	}
	t.tokens -= float64(len(due))
	t.send(ctx, due, now)
	return wait
}

// due is in how long a demand is to be written.
func (t *term) due(l *letter, now time.Time) time.Duration {
	w := t.written[l.node]
	if w == nil {
		return 0
	}
	grows, shrinks := false, false
	for uid, p := range l.pods {
		told, known := w.pods[uid]
		grows = grows || !known || told.Priority != p.Priority || !maps.Equal(told.Requests, p.Requests)
	}
	for uid := range w.pods {
		_, stays := l.pods[uid]
		shrinks = shrinks || !stays
		if _, leaves := t.leaving[uid]; leaves && !stays {
			grows = true // it waits to be let go
		}
	}
	if !grows && !shrinks && !w.failed {
		w.changed = time.Time{}
		s := t.sites[l.node]
		if len(l.pods) == 0 || s == nil || now.Sub(s.doc.Received) > renewUntil {
			return time.Hour
		}
		l.same = true
		return w.renew.Sub(now)
	}
	if w.changed.IsZero() {
		w.changed = now
	}
	switch {
	case w.failed:
		return w.at.Add(again).Sub(now)
	case grows:
		return 0
	}
	return w.changed.Add(shrinkLater).Sub(now)
}

func (t *term) demandPod(p *placed, now time.Time) DemandPod {
	d := DemandPod{
		UID: string(p.UID), Namespace: p.Namespace, Name: p.Name, Priority: p.Priority,
		WaitedSeconds: max(int64(now.Sub(p.Created)/time.Second), 0), Requests: map[string]int64{},
	}
	if p.Created.IsZero() {
		d.WaitedSeconds = 0
	}
	s := t.sites[p.node]
	for name, n := range p.Requests {
		if s == nil {
			d.Requests[name] = n
		} else if _, served := s.vocabulary.names[name]; served && n > 0 {
			d.Requests[name] = n
		}
	}
	return d
}

// send writes, several at once. An attempt that failed may have arrived all the same.
func (t *term) send(ctx context.Context, letters []*letter, now time.Time) {
	var g errgroup.Group
	g.SetLimit(writers)
	var mu sync.Mutex
	failed := map[string]error{}
	for _, l := range letters {
		t.generation++
		d := Demand{Generation: t.generation, Leader: t.cfg.Name, TTL: t.cfg.TTL, Pods: []DemandPod{}}
		for _, uid := range slices.Sorted(maps.Keys(l.pods)) {
			d.Pods = append(d.Pods, l.pods[uid])
		}
		w := t.written[l.node]
		if w == nil {
			w = &written{}
			t.written[l.node] = w
		}
		for uid := range w.pods {
			if _, stays := l.pods[uid]; stays {
				continue
			}
			if x, leaves := t.leaving[uid]; leaves && x.node == l.node && x.generation == 0 {
				x.generation = t.generation
				t.leaving[uid] = x
			}
		}
		w.pods, w.at, w.renew, w.failed, w.changed, w.generation = l.pods, now, now.Add(t.cfg.TTL/2), false, time.Time{}, t.generation
		data, err := EncodeDemand(&d)
		if err != nil {
			t.cfg.Log.Error("a demand cannot be encoded", "node", l.node, "err", err)
			continue
		}
		g.Go(func() error {
			if err := t.cfg.Cluster.WriteDemand(ctx, l.node, data); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed[l.node] = err
			}
			return nil
		})
	}
	_ = g.Wait() // it never fails
	for _, l := range letters {
		err := failed[l.node]
		t.metrics.demands.WithLabelValues(result(err)).Inc()
		if err != nil && ctx.Err() == nil {
			t.written[l.node].failed = true
			t.cfg.Log.Warn("a demand was not written", "node", l.node, "err", err)
		}
	}
}
