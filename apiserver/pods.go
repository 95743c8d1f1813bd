package apiserver

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
)

// Pods are the pods that are bound to this node, as the API server has them. It is a kubelet.PodSource.
type Pods struct {
	follower follower[*corev1.Pod]
	turn     chan struct{} // capacity 1: who holds it may use follower
}

func newPods(core corev1client.PodsGetter, node string) *Pods {
	api := core.Pods(metav1.NamespaceAll)
	return &Pods{
		turn: make(chan struct{}, 1),
		follower: follower[*corev1.Pod]{objects: objects[*corev1.Pod]{
			fields: fields.OneTermEqualSelector("spec.nodeName", node).String(),
			list: func(ctx context.Context, opts metav1.ListOptions) ([]*corev1.Pod, string, error) {
				l, err := api.List(ctx, opts)
				if err != nil {
					return nil, "", err
				}
				items := make([]*corev1.Pod, 0, len(l.Items))
				for i := range l.Items {
					items = append(items, l.Items[i].DeepCopy()) // one that is kept does not keep the others
				}
				return items, l.ResourceVersion, nil
			},
			watch: func(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
				return api.Watch(ctx, opts)
			},
		}},
	}
}

// Name is for people.
func (p *Pods) Name() string { return "the API server" }

// Watch tells all pods of this node, then synced, then each change. It returns an error when ctx ends or the server cannot be
// reached; whoever calls again waits a little before. A pod that went while nobody watched is not told as gone then: it is missing
// when synced is called. Pods must not be changed. One call runs at a time.
func (p *Pods) Watch(ctx context.Context, pod func(p *corev1.Pod, gone bool), synced func()) error {
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-p.turn }()
	err := p.follower.follow(ctx, func(obj *corev1.Pod, gone bool) {
		obj.ManagedFields = nil
		pod(obj, gone)
	}, synced)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("this node's pods from the API server: %w", err)
}
