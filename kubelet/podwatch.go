package kubelet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"github.com/gpulet/gpulet/gpu"
)

const (
	// tombstone is how long a pod that ended stays in the list, so that a reader who looks seldom misses no end.
	tombstone = 10 * time.Minute
	// retryFirst and retryMost bound the pause before a source is tried again.
	retryFirst, retryMost = 250 * time.Millisecond, 10 * time.Second
	// tries is how often a source that is there may break without a list before the next one is asked.
	tries = 4
	// probeEvery is how often the sources before the one in use are tried.
	probeEvery = 30 * time.Second
)

// PodsConfig is what a PodWatcher needs.
type PodsConfig struct {
	// Sources in the order of preference; the next is asked when one is not there.
	Sources []PodSource
	Log     *slog.Logger
}

// PodWatcher keeps the list of this node's pods from the best source that there is.
// A source that is lost leaves the last known pods, as not synced and with the reason.
type PodWatcher struct {
	cfg  PodsConfig
	feed *gpu.Feed[*Pods]

	mu     sync.Mutex
	known  map[UID]known // guarded by mu
	round  int           // counts calls of Watch; guarded by mu
	head   Pods          // all but the pods of what is published next; guarded by mu
	listed int           // the round that was synced last; guarded by mu
}

// known is a pod with the round in which a source last told of it.
type known struct {
	pod   Pod
	round int
	ended time.Time
}

// prober is a source that can say cheaply whether it is there.
type prober interface {
	Probe(ctx context.Context) error
}

// NewPods makes a watcher; nothing happens before Run.
func NewPods(cfg PodsConfig) *PodWatcher {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	w := &PodWatcher{cfg: cfg, known: map[UID]known{}, head: Pods{Reason: "no source of pods was asked yet"}}
	w.feed = gpu.NewFeed(&Pods{Reason: w.head.Reason})
	return w
}

// Feed has the pods. Reading costs nothing.
func (w *PodWatcher) Feed() *gpu.Feed[*Pods] { return w.feed }

// Run watches until ctx ends.
func (w *PodWatcher) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		for ctx.Err() == nil {
			pause(ctx, time.Minute)
			w.expire()
		}
		return nil
	})
	g.Go(func() error {
		w.watch(ctx)
		return nil
	})
	return g.Wait()
}

// watch goes through the sources.
func (w *PodWatcher) watch(ctx context.Context) {
	at, failed, wait := 0, 0, retryFirst
	for ctx.Err() == nil && len(w.cfg.Sources) > 0 {
		synced, err := w.one(ctx, at)
		if ctx.Err() != nil {
			return
		}
		if synced {
			failed, wait = 0, retryFirst
		}
		switch {
		case errors.Is(err, errBetter):
			at = 0
			continue
		case err == nil && synced: // it wants to be called again
			continue
		case err == nil:
			err = errors.New("it ended without a list")
		}
		failed++
		w.lost(w.cfg.Sources[at].Name(), err)
		if last := at == len(w.cfg.Sources)-1; !last && (errors.Is(err, ErrNoSource) || failed >= tries) {
			at, failed = at+1, 0
			continue
		} else if last && (errors.Is(err, ErrNoSource) || failed >= tries) {
			at, failed = 0, 0
		}
		pause(ctx, wait)
		wait = min(2*wait, retryMost)
	}
}

// errBetter ends the use of a source when an earlier one is there.
var errBetter = errors.New("a better source is there")

// one uses one source until it breaks, ends, or a better one appears.
func (w *PodWatcher) one(ctx context.Context, at int) (synced bool, err error) {
	source := w.cfg.Sources[at]
	g, gctx := errgroup.WithContext(ctx)
	if at > 0 {
		g.Go(func() error { return w.better(gctx, at) })
	}
	w.begin()
	g.Go(func() error {
		err := source.Watch(gctx, w.pod, func() { synced = true; w.synced(source.Name()) })
		if err == nil {
			return errEnded
		}
		return err
	})
	if err = g.Wait(); errors.Is(err, errEnded) {
		err = nil
	}
	return synced, err
}

// errEnded ends the search for a better source with the watch that it was for.
var errEnded = errors.New("the source ended")

// better returns errBetter when one of the sources before at is there, nil when ctx ends.
func (w *PodWatcher) better(ctx context.Context, at int) error {
	for pause(ctx, probeEvery); ctx.Err() == nil; pause(ctx, probeEvery) {
		for _, s := range w.cfg.Sources[:at] {
			p, ok := s.(prober)
			if !ok {
				continue
			}
			probe, cancel := context.WithTimeout(ctx, 5*time.Second)
			err := p.Probe(probe)
			cancel()
			if err == nil {
				return errBetter
			}
		}
	}
	return nil
}

// begin starts a round: what no source tells of until it is synced is not there any more.
func (w *PodWatcher) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.round++
}

// pod takes what a source tells. A pod that ended stays so: the kubelet's events may overtake each other.
func (w *PodWatcher) pod(p *corev1.Pod, gone bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	pod := podOf(p, gone)
	old, had := w.known[pod.UID]
	next := known{pod: pod, round: w.round, ended: old.ended}
	switch {
	case gone && pod.mirror():
		// The API server's copy of a static pod is gone; that says nothing about the pod.
		delete(w.known, pod.UID)
		w.publish()
		return
	case gone && had: // little more than the UID is told then
		next.pod = old.pod
		next.pod.Ended = true
	case had && old.pod.Ended && !pod.static():
		next.pod.Ended = true
	}
	switch {
	case !next.pod.Ended:
		next.ended = time.Time{}
	case next.ended.IsZero():
		next.ended = now
	}
	w.known[pod.UID] = next
	// Until the list is complete the old one stands, but an end is news at any time.
	newlyEnded := next.pod.Ended && had && !old.pod.Ended
	if newlyEnded || w.listed == w.round && !reflect.DeepEqual(old.pod, next.pod) {
		w.publish()
	}
}

// synced drops what the round did not tell of, other than pods that ended.
func (w *PodWatcher) synced(source string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	maps.DeleteFunc(w.known, func(_ UID, k known) bool { return k.round != w.round && !k.pod.Ended })
	w.listed = w.round
	if !w.head.Synced || w.head.Source != source {
		w.cfg.Log.Info("pods are known", "source", source, "pods", len(w.known))
	}
	w.head = Pods{Source: source, Synced: true}
	w.publish()
}

func (w *PodWatcher) lost(source string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	reason := fmt.Sprintf("%s: %v", source, err)
	if w.head.Synced || w.head.Reason != reason {
		w.cfg.Log.Warn("pods are not known for now", "source", source, "reason", err.Error())
	}
	w.head = Pods{Source: source, Reason: reason}
	w.publish()
}

// expire forgets pods that ended long ago.
func (w *PodWatcher) expire() {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := len(w.known)
	maps.DeleteFunc(w.known, func(_ UID, k known) bool { return k.pod.Ended && time.Since(k.ended) >= tombstone })
	if len(w.known) != before {
		w.publish()
	}
}

// publish is called with mu held.
func (w *PodWatcher) publish() {
	next := w.head
	next.ByUID = make(map[UID]Pod, len(w.known))
	for uid, k := range w.known {
		next.ByUID[uid] = k.pod
	}
	w.feed.Set(&next)
}
