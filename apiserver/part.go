package apiserver

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// part is what is kept of an object of which there are thousands. The follower remembers the rest of it, without the value.
type part[V any] struct {
	uid     types.UID
	version string
	key     string // by which the value is found; empty: it is of no interest
	value   *V
}

func partOf[V any](obj metav1.Object) *part[V] {
	return &part[V]{uid: obj.GetUID(), version: obj.GetResourceVersion()}
}

func (p *part[V]) GetUID() types.UID          { return p.uid }
func (p *part[V]) GetResourceVersion() string { return p.version }

// give hands the value over.
func (p *part[V]) give() *V {
	v := p.value
	p.value = nil
	return v
}

// pages lists page by page, and takes what is needed of each before the next comes.
func pages[V any, P interface {
	*O
	runtime.Object
}, O any](ctx context.Context, opts metav1.ListOptions, take func(runtime.Object) (*part[V], bool),
	list func(context.Context, metav1.ListOptions) (*metav1.ListMeta, []O, error),
) ([]*part[V], string, error) {
	var out []*part[V]
	opts.Limit = pageSize
	for {
		meta, items, err := list(ctx, opts)
		if err != nil {
			return nil, "", err
		}
		for i := range items {
			if p, ok := take(P(&items[i])); ok {
				out = append(out, p)
			}
		}
		if opts.Continue = meta.Continue; opts.Continue == "" {
			return out, meta.ResourceVersion, nil
		}
	}
}
