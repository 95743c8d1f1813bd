package apiserver

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"strings"
	"sync"
	"time"

	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
)

// FleetConfig is what a Fleet needs.
type FleetConfig struct {
	// Namespace is where the documents and the Lease are; the agent's own.
	Namespace string
	// Lease is the name of the planner's Lease, gpulet-planner.
	Lease string
	// Identity names this process in the Lease: the node's name and something random, as an upgrade runs two on one node.
	Identity string
	// Duration is that of the Lease, 15 s, in whole seconds. Who cannot renew it for Renew, 10 s, stops planning. Retry, 2 s, is
	// between two attempts.
	Duration, Renew, Retry time.Duration
}

// Fleet is what the agents of a cluster tell each other by way of the API server.
type Fleet struct {
	client *Client
	cfg    FleetConfig
	core   corev1client.CoreV1Interface
	leases coordinationv1client.LeaseInterface
	seed   maphash.Seed

	mu     sync.Mutex
	owners map[string]types.UID // UIDs of Nodes by name, while Watch runs; guarded by mu
	came   map[string]arrival   // of documents, by name; guarded by mu
}

// A leader may have to write a demand to each of thousands of nodes within seconds, beside watches and a Lease that must not wait
// behind them: its requests have limits of their own, apart from those of a node's few.
const (
	fleetPerSecond = 50
	fleetAtOnce    = 100
)

// Fleet prepares what agents tell each other. It makes no request.
func (c *Client) Fleet(cfg FleetConfig) (*Fleet, error) {
	if cfg.Namespace == "" {
		return nil, errors.New("the namespace of this agent is not known: set it from the pod's metadata.namespace")
	}
	if cfg.Lease == "" {
		cfg.Lease = "gpulet-planner"
	}
	if cfg.Identity == "" {
		cfg.Identity = c.cfg.Node + "_" + strings.ToLower(rand.Text()[:8])
	}
	if cfg.Duration < time.Second {
		cfg.Duration = 15 * time.Second
	}
	if cfg.Renew <= 0 || cfg.Renew >= cfg.Duration {
		cfg.Renew = cfg.Duration * 2 / 3
	}
	if cfg.Retry <= 0 || cfg.Retry > cfg.Renew/2 {
		cfg.Retry = cfg.Renew / 5
	}
	f := &Fleet{client: c, cfg: cfg, seed: maphash.MakeSeed(), owners: map[string]types.UID{}, came: map[string]arrival{}}
	rc := *c.rest
	rc.QPS, rc.Burst = fleetPerSecond, fleetAtOnce
	var err error
	if f.core, err = corev1client.NewForConfigAndClient(&rc, c.http); err != nil {
		return nil, fmt.Errorf("prepare requests to %s: %w", rc.Host, err)
	}
	// The Lease is renewed in time whatever else waits.
	coordination, err := coordinationv1client.NewForConfigAndClient(c.rest, c.http)
	if err != nil {
		return nil, fmt.Errorf("prepare requests to %s: %w", rc.Host, err)
	}
	f.leases = coordination.Leases(cfg.Namespace)
	return f, nil
}

// Lead runs lead whenever this agent holds the planner's Lease, with a ctx that ends when it does not any more. When lead returns by
// itself the Lease is given up, and asked for again a little later. It returns nil when ctx ends and lead has returned; the Lease is
// free for others then. While the server is away nobody leads.
func (f *Fleet) Lead(ctx context.Context, lead func(ctx context.Context) error) error {
	e := &election{
		api: f.leases, name: f.cfg.Lease, id: f.cfg.Identity,
		duration: f.cfg.Duration, renew: f.cfg.Renew, retry: f.cfg.Retry,
		did: func(err error) error { return f.client.writes.did(writeLease, err) },
		log: f.client.cfg.Log,
	}
	e.run(ctx, lead)
	return nil
}

// Evict asks for the eviction of a pod: one attempt of at most 5 s. No error means that it goes or is gone. The error is TooManyRequests
// when a disruption budget does not let it go. When the pod of that name is another by now it stays, and the time passes: the API
// server (1.37) tries again for longer than that.
func (f *Fleet) Evict(ctx context.Context, namespace, name, uid string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	id := types.UID(uid)
	err := f.core.Pods(namespace).EvictV1(ctx, &policyv1.Eviction{
		ObjectMeta:    metav1.ObjectMeta{Namespace: namespace, Name: name},
		DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &id}},
	})
	if f.client.writes.did(writeEviction, err) == nil || apierrors.IsNotFound(err) {
		return nil // it is gone, or about to go
	}
	return fmt.Errorf("evict the pod %s/%s: %w", namespace, name, needs(err, "create on pods/eviction"))
}

// needs says what to do about an error that will come again.
func needs(err error, verb string) error {
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("the service account needs the verb %s: %w", verb, err)
	}
	return err
}

// owner is the UID of a Node, empty while it is not known.
func (f *Fleet) owner(node string) types.UID {
	if node == f.client.cfg.Node {
		if n := f.client.node.current.load(); n != nil {
			return n.UID
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.owners[node]
}

func (f *Fleet) setOwners(change func(map[string]types.UID)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f.owners)
}

// arrival is when a document's content was seen first.
type arrival struct {
	sum uint64
	at  time.Time
}

// keepArrivals forgets documents of one kind that are no more.
func (f *Fleet) keepArrivals(kind string, live map[string]*Document) {
	names := map[string]bool{}
	for _, d := range live {
		names[d.Name] = true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.DeleteFunc(f.came, func(name string, _ arrival) bool {
		return strings.HasPrefix(name, documentPrefix(kind)) && !names[name]
	})
}
