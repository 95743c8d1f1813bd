package apiserver

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// viewsApart is between two views: changes come in bursts, and each view costs a plan.
const viewsApart = 50 * time.Millisecond

// Watch tells the newest view when something changed, at most each 50 ms, from one goroutine, until ctx ends or the watches break.
// The first view is complete. Pods that ask for no extended resource are not in it. One call runs at a time.
func (f *Fleet) Watch(ctx context.Context, tell func(*ClusterView)) error {
	w := newClusterWatch()
	defer f.setOwners(func(o map[string]types.UID) { clear(o) })
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return broken("pods that wait", followPart(gctx, f.waiting(), &w.pods, w, nil))
	})
	g.Go(func() error {
		return broken("nodes", followPart(gctx, f.nodes(), &w.nodes, w, nil))
	})
	g.Go(func() error {
		o := f.documents(writeReport)
		o.labels = documentLabels(writeReport)
		return broken("reports", followPart(gctx, o, &w.reports, w, func(live map[string]*Document) {
			f.keepArrivals(writeReport, live)
		}))
	})
	g.Go(func() error { return w.run(gctx, tell) })
	err := g.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func broken(of string, err error) error { return fmt.Errorf("the cluster's %s: %w", of, err) }

// clusterWatch joins what three watches tell.
type clusterWatch struct {
	wake chan struct{} // capacity 1: something changed

	mu      sync.Mutex // guards the rest
	pods    kept[PendingPod]
	nodes   kept[NodeFacts]
	reports kept[Document]
}

func newClusterWatch() *clusterWatch {
	return &clusterWatch{
		wake: make(chan struct{}, 1), pods: newKept[PendingPod](), nodes: newKept[NodeFacts](), reports: newKept[Document](),
	}
}

// kept is one kind of what a view shows.
type kept[V any] struct {
	live   map[string]*V
	dirty  bool
	synced bool
}

func newKept[V any]() kept[V] { return kept[V]{live: map[string]*V{}} }

// set keeps the value of before when it says the same, so that views share it.
func (k *kept[V]) set(key string, v *V) {
	old := k.live[key]
	if old == nil && v == nil || old != nil && v != nil && reflect.DeepEqual(old, v) {
		return
	}
	if k.dirty = true; v == nil {
		delete(k.live, key)
	} else {
		k.live[key] = v
	}
}

// followPart keeps one kind up to date. synced is called with all that there is.
func followPart[V any](ctx context.Context, o objects[*part[V]], k *kept[V], w *clusterWatch, synced func(live map[string]*V)) error {
	f := follower[*part[V]]{objects: o}
	return f.follow(ctx, func(p *part[V], gone bool) {
		v := p.give()
		if p.key == "" {
			return
		}
		if gone {
			v = nil
		}
		w.change(func() bool { k.set(p.key, v); return k.dirty && k.synced })
	}, func() {
		w.change(func() bool {
			if k.synced = true; synced != nil {
				synced(k.live)
			}
			return true
		})
	})
}

// change changes what is kept, and wakes run if it says so.
func (w *clusterWatch) change(do func() bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if do() {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// run tells views.
func (w *clusterWatch) run(ctx context.Context, tell func(*ClusterView)) error {
	view := &ClusterView{}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.wake:
		}
		if next := w.next(view); next != nil {
			view = next
			tell(view)
		}
		timer := time.NewTimer(viewsApart)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// next is the view after one; nil when there is nothing new, or not all of it yet.
func (w *clusterWatch) next(last *ClusterView) *ClusterView {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.pods.synced || !w.nodes.synced || !w.reports.synced || last.Synced && !w.pods.dirty && !w.nodes.dirty && !w.reports.dirty {
		return nil
	}
	view := *last
	view.Synced = true
	if w.pods.dirty || view.Pods == nil {
		view.Pods = make(map[types.UID]*PendingPod, len(w.pods.live))
		for uid, p := range w.pods.live {
			view.Pods[types.UID(uid)] = p
		}
	}
	if w.nodes.dirty || view.Nodes == nil {
		view.Nodes = maps.Clone(w.nodes.live)
	}
	if w.reports.dirty || view.Reports == nil {
		view.Reports = maps.Clone(w.reports.live)
	}
	w.pods.dirty, w.nodes.dirty, w.reports.dirty = false, false, false
	return &view
}

// waiting are the pods that have no node.
func (f *Fleet) waiting() objects[*part[PendingPod]] {
	api := f.core.Pods(metav1.NamespaceAll)
	take := func(obj runtime.Object) (*part[PendingPod], bool) {
		pod, ok := obj.(*corev1.Pod)
		if !ok {
			return nil, false
		}
		p := partOf[PendingPod](pod)
		if v := pendingPod(pod); len(v.Requests) > 0 {
			p.key, p.value = string(pod.UID), v
		}
		return p, true
	}
	return objects[*part[PendingPod]]{
		fields: fields.AndSelectors(
			fields.OneTermEqualSelector("spec.nodeName", ""), fields.OneTermEqualSelector("status.phase", string(corev1.PodPending)),
		).String(),
		list: func(ctx context.Context, opts metav1.ListOptions) ([]*part[PendingPod], string, error) {
			return pages(ctx, opts, take, func(ctx context.Context, opts metav1.ListOptions) (*metav1.ListMeta, []corev1.Pod, error) {
				l, err := api.List(ctx, opts)
				if err != nil {
					return nil, nil, err
				}
				return &l.ListMeta, l.Items, nil
			})
		},
		watch: api.Watch,
		take:  take,
	}
}

// nodes are all Nodes.
func (f *Fleet) nodes() objects[*part[NodeFacts]] {
	api := f.core.Nodes()
	one := interner{}
	take := func(obj runtime.Object) (*part[NodeFacts], bool) {
		n, ok := obj.(*corev1.Node)
		if !ok {
			return nil, false
		}
		p := partOf[NodeFacts](n)
		if n.Name != "" { // a bookmark has none
			p.key, p.value = n.Name, nodeFacts(n, one)
			f.setOwners(func(o map[string]types.UID) { o[n.Name] = n.UID })
		}
		return p, true
	}
	return objects[*part[NodeFacts]]{
		list: func(ctx context.Context, opts metav1.ListOptions) ([]*part[NodeFacts], string, error) {
			return pages(ctx, opts, take, func(ctx context.Context, opts metav1.ListOptions) (*metav1.ListMeta, []corev1.Node, error) {
				l, err := api.List(ctx, opts)
				if err != nil {
					return nil, nil, err
				}
				return &l.ListMeta, l.Items, nil
			})
		},
		watch: api.Watch,
		take:  take,
	}
}
