package apiserver

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
)

// Count is what a Node says of one extended resource. With Remove it says nothing of it.
type Count struct {
	Capacity, Allocatable int64
	Remove                bool
}

// node is this Node: watched, and patched.
type node struct {
	api      corev1client.NodeInterface
	cfg      Config
	follower follower[*corev1.Node]
	current  latest[*corev1.Node] // nil while it is not known
	patches  *prometheus.CounterVec
	known    prometheus.GaugeFunc

	mu      sync.Mutex
	written map[corev1.NodeConditionType]corev1.NodeCondition // by us; guarded by mu, for as long as writing takes
}

func newNode(core corev1client.NodesGetter, cfg Config) *node {
	api := core.Nodes()
	n := &node{
		api: api, cfg: cfg, written: map[corev1.NodeConditionType]corev1.NodeCondition{},
		follower: follower[*corev1.Node]{objects: objects[*corev1.Node]{
			fields: fields.OneTermEqualSelector(metav1.ObjectNameField, cfg.Node).String(),
			list: func(ctx context.Context, opts metav1.ListOptions) ([]*corev1.Node, string, error) {
				l, err := api.List(ctx, opts)
				if err != nil {
					return nil, "", err
				}
				var items []*corev1.Node
				for i := range l.Items {
					items = append(items, &l.Items[i])
				}
				return items, l.ResourceVersion, nil
			},
			watch: func(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
				return api.Watch(ctx, opts)
			},
		}},
		patches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "gpulet", Subsystem: "node", Name: "patches_total",
			Help: "Patches of this Node's status by result: written, failed.",
		}, []string{"result"}),
	}
	n.known = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "gpulet", Subsystem: "node", Name: "known",
		Help: "1 while this Node's object is known from the API server.",
	}, func() float64 {
		if n.current.load() == nil {
			return 0
		}
		return 1
	})
	return n
}

// run watches the Node until ctx ends.
func (n *node) run(ctx context.Context) {
	pause := backoff{first: n.cfg.Retry}
	away := false
	for {
		err := n.follower.follow(ctx, func(obj *corev1.Node, gone bool) {
			if obj.ManagedFields = nil; gone {
				obj = nil
			}
			n.current.set(obj)
		}, func() {
			if pause.reset(); away {
				n.cfg.Log.Info("the API server is back", "node", n.cfg.Node)
			}
			if away = false; n.current.load() == nil {
				n.cfg.Log.Warn("the API server has no such Node", "node", n.cfg.Node)
			}
		})
		n.current.set(nil)
		if ctx.Err() != nil {
			return
		}
		if !away {
			n.cfg.Log.Warn("this Node is not watched", "node", n.cfg.Node, "err", err)
		}
		away = true
		if !pause.pause(ctx) {
			return
		}
	}
}

// Allocatable is how much of each extended resource the API server says that this Node has for pods, from memory. It is false
// while the Node is not watched: before Run has listed it, and while the server is away. It may be a moment older than a patch.
func (c *Client) Allocatable() (map[string]int64, bool) {
	n := c.node.current.load()
	if n == nil {
		return nil, false
	}
	out := map[string]int64{}
	for name, q := range n.Status.Allocatable {
		if extended(string(name)) {
			out[string(name)] = q.Value()
		}
	}
	return out, true
}

// extended reports whether a resource is one of a device plugin: it has a domain, and that is not Kubernetes' own.
func extended(name string) bool {
	domain, _, found := strings.Cut(name, "/")
	return found && domain != "kubernetes.io" && !strings.HasSuffix(domain, ".kubernetes.io")
}

// PatchResources writes the counts of extended resources into this Node's status. All are written or none. It makes one attempt of
// at most 5 s; whether to try again is for the caller, who may want something else by then.
func (c *Client) PatchResources(ctx context.Context, counts map[string]Count) error {
	if len(counts) == 0 {
		return nil
	}
	patch, err := resourcesPatch(counts)
	if err != nil {
		return fmt.Errorf("write %s into Node %s: %w", names(counts), c.cfg.Node, err)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err = c.node.api.Patch(ctx, c.cfg.Node, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	if c.writes.did(writeResources, err) != nil {
		c.node.patches.WithLabelValues("failed").Inc()
		return fmt.Errorf("write %s into the status of Node %s: %w", names(counts), c.cfg.Node, needs(err, "patch on nodes/status"))
	}
	c.node.patches.WithLabelValues("written").Inc()
	return nil
}

func names(counts map[string]Count) string {
	var out []string
	for name := range counts {
		out = append(out, name)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// resourcesPatch is a JSON merge patch: null deletes a key, and what is not named stays.
func resourcesPatch(counts map[string]Count) ([]byte, error) {
	type lists struct {
		Capacity    map[string]*string `json:"capacity"`
		Allocatable map[string]*string `json:"allocatable"`
	}
	var patch struct {
		Status lists `json:"status"`
	}
	patch.Status = lists{map[string]*string{}, map[string]*string{}}
	for name, c := range counts {
		switch {
		case !extended(name):
			return nil, fmt.Errorf("%q is not an extended resource", name)
		case c.Remove:
			patch.Status.Capacity[name], patch.Status.Allocatable[name] = nil, nil
		case c.Allocatable < 0 || c.Allocatable > c.Capacity:
			return nil, fmt.Errorf("%d of %d %s cannot be allocatable", c.Allocatable, c.Capacity, name)
		default:
			capacity, allocatable := strconv.FormatInt(c.Capacity, 10), strconv.FormatInt(c.Allocatable, 10)
			patch.Status.Capacity[name], patch.Status.Allocatable[name] = &capacity, &allocatable
		}
	}
	return json.Marshal(patch)
}
