package apiserver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// A document is a ConfigMap; these say which.
const (
	labelName     = "app.kubernetes.io/name"
	labelDocument = "gpulet.dev/document"
	// nodeKey is a label with the node's name, or what stands for a long one, and an annotation with all of it.
	nodeKey = "gpulet.dev/node"

	maxName  = 253 // of an object, in bytes
	maxLabel = 63  // of a label's value
	pageSize = 500 // objects in one answer
)

func documentPrefix(kind string) string { return "gpulet-" + kind + "-" }

// documentKey is the one key of a document's data.
func documentKey(kind string) string { return kind + ".json" }

// documentName names a document of a node, whose name is up to as long as names may be.
func documentName(kind, node string) string {
	return documentPrefix(kind) + short(node, maxName-len(documentPrefix(kind)))
}

// short cuts a node's name and makes it unique again.
func short(node string, to int) string {
	if len(node) <= to {
		return node
	}
	sum := sha256.Sum256([]byte(node))
	hash := hex.EncodeToString(sum[:8])
	return strings.TrimRight(node[:to-len(hash)-1], ".-") + "-" + hash
}

// WriteReport writes this node's report: one attempt of at most 5 s.
func (f *Fleet) WriteReport(ctx context.Context, data []byte) error {
	return f.writeDocument(ctx, writeReport, f.client.cfg.Node, data)
}

// WriteDemand writes the demand of any node: one attempt of at most 5 s.
func (f *Fleet) WriteDemand(ctx context.Context, node string, data []byte) error {
	return f.writeDocument(ctx, writeDemand, node, data)
}

// writeDocument patches without a version, so that it meets no conflict, and creates what is not there.
func (f *Fleet) writeDocument(ctx context.Context, kind, node string, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	cm := f.document(kind, node, data)
	// Of the metadata only what we say: others may add to it.
	meta := map[string]any{"labels": cm.Labels, "annotations": cm.Annotations}
	if len(cm.OwnerReferences) > 0 {
		meta["ownerReferences"] = cm.OwnerReferences
	}
	patch, err := json.Marshal(map[string]any{"metadata": meta, "data": cm.Data})
	if err != nil {
		return err
	}
	api := f.core.ConfigMaps(f.cfg.Namespace)
	_, err = api.Patch(ctx, cm.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	if apierrors.IsNotFound(err) {
		_, err = api.Create(ctx, cm, metav1.CreateOptions{})
	}
	if f.client.writes.did(kind, err) != nil {
		return fmt.Errorf("write the %s of node %s: %w", kind, node, needs(err, "patch and create on configmaps"))
	}
	return nil
}

func (f *Fleet) document(kind, node string, data []byte) *corev1.ConfigMap {
	cm := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: f.cfg.Namespace, Name: documentName(kind, node),
			Labels:      map[string]string{labelName: component, labelDocument: kind, nodeKey: short(node, maxLabel)},
			Annotations: map[string]string{nodeKey: node},
		},
		Data: map[string]string{documentKey(kind): string(data)},
	}
	if uid := f.owner(node); uid != "" { // it goes with its Node
		cm.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node, UID: uid}}
	}
	return cm
}

// read takes the content from a ConfigMap, and the node that it is of; an empty name when it is not a document of this kind.
func (f *Fleet) read(kind string, cm *corev1.ConfigMap) (node string, d *Document) {
	node = cm.Annotations[nodeKey]
	data, ok := cm.Data[documentKey(kind)]
	if !ok || cm.Name != documentName(kind, node) {
		return "", nil
	}
	d = &Document{Name: cm.Name, Data: []byte(data)}
	d.Received = f.received(d)
	return node, d
}

// received is when this content came first, also over watches that began anew: whoever believes it for a time counts from there.
func (f *Fleet) received(d *Document) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	sum := maphash.Bytes(f.seed, d.Data)
	a, ok := f.came[d.Name]
	if !ok || a.sum != sum {
		a = arrival{sum, time.Now()}
		f.came[d.Name] = a
	}
	return a.at
}

// same reports whether two documents say the same; both may be nil.
func (d *Document) same(as *Document) bool {
	return d == nil && as == nil || d != nil && as != nil && d.Name == as.Name && bytes.Equal(d.Data, as.Data)
}

// ReadDemands lists all demands by node, for a planner that takes over.
func (f *Fleet) ReadDemands(ctx context.Context) (map[string]*Document, error) {
	out := map[string]*Document{}
	o := f.documents(writeDemand)
	o.labels = documentLabels(writeDemand)
	all := follower[*part[Document]]{objects: o}
	items, err := all.all(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the demands of all nodes: %w", err)
	}
	for _, p := range items {
		if p.key != "" {
			out[p.key] = p.value
		}
	}
	return out, nil
}

// WatchDemand tells this node's demand whenever it changed, nil when there is none, until ctx ends or the watch breaks.
func (f *Fleet) WatchDemand(ctx context.Context, tell func(*Document)) error {
	o := f.documents(writeDemand)
	o.fields = fields.OneTermEqualSelector(metav1.ObjectNameField, documentName(writeDemand, f.client.cfg.Node)).String()
	var now, told *Document
	synced := false
	say := func() {
		if !now.same(told) {
			told = now
			tell(now)
		}
	}
	follow := follower[*part[Document]]{objects: o}
	err := follow.follow(ctx, func(p *part[Document], gone bool) {
		now = p.give()
		if gone || p.key != f.client.cfg.Node {
			now = nil
		}
		if synced {
			say()
		}
	}, func() {
		if synced = true; now == nil {
			tell(nil)
		}
		say()
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("this node's demand: %w", err)
}

func documentLabels(kind string) string {
	return labels.SelectorFromSet(labels.Set{labelName: component, labelDocument: kind}).String()
}

// documents are those of a kind.
func (f *Fleet) documents(kind string) objects[*part[Document]] {
	api := f.core.ConfigMaps(f.cfg.Namespace)
	take := func(obj runtime.Object) (*part[Document], bool) {
		cm, ok := obj.(*corev1.ConfigMap)
		if !ok {
			return nil, false
		}
		p := partOf[Document](cm)
		p.key, p.value = f.read(kind, cm)
		return p, true
	}
	return objects[*part[Document]]{
		list: func(ctx context.Context, opts metav1.ListOptions) ([]*part[Document], string, error) {
			return pages(ctx, opts, take, func(ctx context.Context, opts metav1.ListOptions) (*metav1.ListMeta, []corev1.ConfigMap, error) {
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
