package apiserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// ErrNone is wrapped by New's error when there is no API server to speak to.
var ErrNone = errors.New("no API server")

// callTimeout is how long one request may take.
const callTimeout = 5 * time.Second

// Config is what a Client needs.
type Config struct {
	// Kubeconfig is a file; empty: the service account of the pod that this process is in.
	Kubeconfig string
	// Node is the name of this node's object.
	Node string
	// Clock is for the times and the aggregation of Events; time.Now when nil.
	Clock func() time.Time
	Log   *slog.Logger
	// Retry is the first pause after a failure, 1 s; it doubles up to 30 times itself.
	Retry time.Duration
}

// Client speaks to one API server about one node.
type Client struct {
	cfg    Config
	rest   *rest.Config
	http   *http.Client
	core   corev1client.CoreV1Interface
	pods   *Pods
	node   *node
	events *Events
	writes writes
}

// New finds the API server and its credentials. It makes no request: the server may be away now and come later.
// The error wraps ErrNone when this process neither has a kubeconfig nor runs in a cluster.
func New(cfg Config) (*Client, error) {
	if cfg.Node == "" {
		return nil, errors.New("the name of this node is not known: set it from the pod's spec.nodeName")
	}
	rc, err := restConfig(cfg.Kubeconfig)
	if err != nil {
		return nil, err
	}
	return newClient(cfg, rc)
}

func restConfig(kubeconfig string) (*rest.Config, error) {
	if kubeconfig != "" {
		rc, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
		if err != nil {
			return nil, fmt.Errorf("read the kubeconfig %s: %w", kubeconfig, err)
		}
		return rc, nil
	}
	rc, err := rest.InClusterConfig()
	switch {
	case errors.Is(err, rest.ErrNotInCluster):
		return nil, fmt.Errorf("%w: this process does not run in a cluster and was given no kubeconfig", ErrNone)
	case err != nil:
		return nil, fmt.Errorf("%w: the pod's service account cannot be read: %w", ErrNone, err)
	}
	return rc, nil
}

func newClient(cfg Config, rc *rest.Config) (*Client, error) {
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Retry <= 0 {
		cfg.Retry = time.Second
	}
	rc = rest.CopyConfig(rc)
	rc.ContentType = runtime.ContentTypeProtobuf
	rc.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	rc.UserAgent = "gpulet"
	rc.QPS, rc.Burst = 5, 20
	rc.WarningHandler = rest.NoWarnings{}
	hc, err := rest.HTTPClientFor(rc)
	if err != nil {
		return nil, fmt.Errorf("prepare requests to %s: %w", rc.Host, err)
	}
	core, err := corev1client.NewForConfigAndClient(rc, hc)
	if err != nil {
		return nil, fmt.Errorf("prepare requests to %s: %w", rc.Host, err)
	}
	w := newWrites()
	return &Client{
		cfg:    cfg,
		rest:   rc,
		http:   hc,
		core:   core,
		pods:   newPods(core, cfg.Node),
		node:   newNode(core, cfg),
		events: newEvents(core, cfg, w),
		writes: w,
	}, nil
}

// Run watches the Node and sends Events until ctx ends. It returns nil; while the server is away it tries again.
func (c *Client) Run(ctx context.Context) error {
	defer c.http.CloseIdleConnections()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { c.node.run(ctx); return nil })
	g.Go(func() error { c.events.run(ctx); return nil })
	return g.Wait()
}

// Pods is the source of this node's pods. It works without Run.
func (c *Client) Pods() *Pods { return c.pods }

// Events sends Events while Run runs, and keeps some until then.
func (c *Client) Events() *Events { return c.events }

// Collectors are this component's metrics.
func (c *Client) Collectors() []prometheus.Collector {
	return []prometheus.Collector{c.events.counts, c.node.patches, c.node.known, c.writes}
}

// backoff makes pauses that double.
type backoff struct{ first, next time.Duration }

// pause waits; false when ctx has ended.
func (b *backoff) pause(ctx context.Context) bool {
	b.next = min(max(2*b.next, b.first), 30*b.first)
	timer := time.NewTimer(b.next)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (b *backoff) reset() { b.next = 0 }
