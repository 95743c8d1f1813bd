package apiserver

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/util/flowcontrol"
)

const (
	component = "gpulet"
	// sameWithin is how long an Event that comes again only raises the count of the one that was sent.
	sameWithin = 10 * time.Minute
	// maxRecords bounds the Events that are remembered or wait; others are dropped.
	maxRecords = 512
	// sweepEvery is how often counts that were raised are sent.
	sweepEvery = 10 * time.Second
	// maxMessage and maxReason are the API server's own bounds, in bytes.
	maxMessage = 1024
	maxReason  = 128
	// eventsPerSecond and eventsAtOnce spare the API server.
	eventsPerSecond, eventsAtOnce = 1, 20
)

// Events tells people what happened, through the API server. It never blocks: Events wait in memory while the server is away, and
// those that do not fit are dropped and counted.
type Events struct {
	api   corev1client.EventsGetter
	cfg   Config
	limit flowcontrol.RateLimiter
	wake  chan struct{} // capacity 1
	// counts are of Events by result: sent, dropped.
	counts *prometheus.CounterVec
	writes writes

	mu      sync.Mutex
	records map[event]*record // guarded by mu
	waiting []*record         // to be sent, the oldest first; guarded by mu
}

// event is what makes two Events the same. That of a pod has no message: why a pod waits is told in words that change with each
// pod that comes and goes, of which the last ones count, and a new Event for each would drown the others.
type event struct {
	kind, namespace, name string
	uid                   types.UID
	warning               bool
	reason, message       string
}

// record is an Event that was sent or waits. Guarded by Events.mu, except in flight.
type record struct {
	event
	text        string // the newest message
	object      string // name of the Event
	first, last time.Time
	count       int32 // how often it happened, with whatever message
	sent        int32 // the count that the API server knows
	queued      bool
}

func newEvents(api corev1client.EventsGetter, cfg Config, w writes) *Events {
	return &Events{
		api: api, cfg: cfg, writes: w,
		limit:   flowcontrol.NewTokenBucketRateLimiter(eventsPerSecond, eventsAtOnce),
		wake:    make(chan struct{}, 1),
		records: map[event]*record{},
		counts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "gpulet", Name: "events_total",
			Help: "Events by result: sent (also a raised count), dropped.",
		}, []string{"result"}),
	}
}

// Pod is an Event of a pod, which may be on no node yet: a warning or not. Reason is a word such as "DeviceNotReady", message a
// sentence. Another message with the same reason replaces that of the Event that was sent, and is counted.
func (e *Events) Pod(namespace, name string, uid types.UID, warning bool, reason, message string) {
	e.add(event{"Pod", namespace, name, uid, warning, cut(reason, maxReason), ""}, message)
}

// Node is an Event of this Node.
func (e *Events) Node(warning bool, reason, message string) {
	// Events of nodes are in the default namespace and have the name as UID: that is where kubectl looks, and what the kubelet does.
	message = cut(message, maxMessage)
	e.add(event{"Node", metav1.NamespaceDefault, e.cfg.Node, types.UID(e.cfg.Node), warning, cut(reason, maxReason), message}, message)
}

// cut shortens to whole characters.
func cut(s string, to int) string {
	if len(s) <= to {
		return s
	}
	for to -= len("…"); to > 0 && s[to]&0xC0 == 0x80; to-- {
	}
	return s[:to] + "…"
}

func (e *Events) add(ev event, message string) {
	now := e.cfg.Clock()
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.records[ev]
	if r != nil && now.Sub(r.last) > sameWithin {
		r = nil // it is another story by now
	}
	if r == nil {
		if len(e.waiting) >= maxRecords || len(e.records) >= maxRecords && e.records[ev] == nil {
			e.counts.WithLabelValues("dropped").Inc()
			return
		}
		r = &record{event: ev, object: objectName(ev.name), first: now}
		e.records[ev] = r
		e.queue(r)
	}
	r.last = now
	r.text = cut(message, maxMessage)
	r.count++
}

// objectName makes the name of an Event of an object.
func objectName(of string) string {
	return strings.TrimRight(of[:min(len(of), 200)], ".-") + "." + strings.ToLower(rand.Text()[:16])
}

// queue needs mu.
func (e *Events) queue(r *record) {
	r.queued = true
	e.waiting = append(e.waiting, r)
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// run sends what waits until ctx ends. What waits then is lost.
func (e *Events) run(ctx context.Context) {
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	for {
		e.drain(ctx)
		select {
		case <-ctx.Done():
			return
		case <-e.wake:
		case <-sweep.C:
			e.sweep()
		}
	}
}

// drain sends the queue in order. While the server is away it stays with the first.
func (e *Events) drain(ctx context.Context) {
	pause := backoff{first: e.cfg.Retry}
	for {
		e.mu.Lock()
		if len(e.waiting) == 0 {
			e.waiting = nil
			e.mu.Unlock()
			return
		}
		r := e.waiting[0]
		now := *r
		e.mu.Unlock()
		if e.limit.Wait(ctx) != nil {
			return
		}
		err := e.writes.did(writeEvent, e.send(ctx, now))
		switch {
		case err == nil:
			pause.reset()
			e.counts.WithLabelValues("sent").Inc()
		case ctx.Err() != nil:
			return
		case final(err):
			e.counts.WithLabelValues("dropped").Inc()
			e.cfg.Log.Warn("an Event was not accepted", "reason", now.reason, "of", now.kind+" "+now.name, "err", err)
		default:
			if !pause.pause(ctx) {
				return
			}
			continue
		}
		e.mu.Lock()
		e.waiting = e.waiting[1:]
		r.queued, r.sent = false, now.count
		e.mu.Unlock()
	}
}

// final reports whether the API server has understood the request and will answer the same again.
func final(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsNotFound(err) || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) ||
		apierrors.IsRequestEntityTooLargeError(err) || apierrors.IsMethodNotSupported(err)
}

// sweep queues the records whose counts have grown, and forgets old ones.
func (e *Events) sweep() {
	now := e.cfg.Clock()
	e.mu.Lock()
	defer e.mu.Unlock()
	for key, r := range e.records {
		switch {
		case r.queued:
		case r.count > r.sent:
			e.queue(r)
		case now.Sub(r.last) > sameWithin:
			delete(e.records, key)
		}
	}
}

// send writes one record: a new Event, or the new count of one that exists.
func (e *Events) send(ctx context.Context, r record) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	api := e.api.Events(r.namespace)
	if r.sent > 0 {
		patch, err := json.Marshal(map[string]any{"count": r.count, "message": r.text, "lastTimestamp": metav1.NewTime(r.last)})
		if err != nil {
			return err
		}
		_, err = api.Patch(ctx, r.object, types.MergePatchType, patch, metav1.PatchOptions{})
		if !apierrors.IsNotFound(err) {
			return err
		} // it has expired: it is sent as a new one
	}
	severity := corev1.EventTypeNormal
	if r.warning {
		severity = corev1.EventTypeWarning
	}
	_, err := api.Create(ctx, &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: r.namespace,
			Name:      r.object,
		},
		InvolvedObject:      corev1.ObjectReference{APIVersion: "v1", Kind: r.kind, Namespace: objectNamespace(r.event), Name: r.name, UID: r.uid},
		Reason:              r.reason,
		Message:             r.text,
		Source:              corev1.EventSource{Component: component, Host: e.cfg.Node},
		FirstTimestamp:      metav1.NewTime(r.first),
		LastTimestamp:       metav1.NewTime(r.last),
		Count:               r.count,
		Type:                severity,
		ReportingController: component,
		ReportingInstance:   e.cfg.Node,
	}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil // it arrived, and the answer did not
	}
	return err
}

// objectNamespace is empty for a Node, which is in none.
func objectNamespace(ev event) string {
	if ev.kind == "Node" {
		return ""
	}
	return ev.namespace
}
