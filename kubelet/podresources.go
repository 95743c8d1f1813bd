package kubelet

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	podresources "k8s.io/kubelet/pkg/apis/podresources/v1"

	"github.com/gpulet/gpulet/gpu"
)

// DeviceKey names a device of a resource: ids are unique within a resource only.
type DeviceKey struct{ Resource, ID string }

// Assignment is a container that has a device, as podresources tells it: without the UID.
type Assignment struct{ Namespace, Pod, Container string }

// Assigned is what the kubelet's podresources API said last. Init containers that end are never in it. Immutable.
type Assigned struct {
	// At is when the question was asked: nothing that happened later is in the answer.
	At time.Time
	// Synced: the last question was answered. Otherwise Reason says why not, and the rest is the last answer.
	Synced bool
	Reason string
	// Absent: there is no such socket, so no kubelet with this API runs here now.
	Absent  bool
	Devices map[DeviceKey][]Assignment
	// Active are the pods (namespace/name) that the kubelet counts as active, with devices or without.
	Active map[string]struct{}
	// Allocatable are the ids that the kubelet knows as healthy, by resource, ordered; a resource that it does not know is missing.
	Allocatable map[string][]string

	asked uint64 // the number of the question
}

// ResourcesConfig is what Resources needs.
type ResourcesConfig struct {
	Socket string
	// Gate keeps questions away from allocations that are under way.
	Gate *Gate
	// Interval is between two questions that nobody asked for, 10 s; Timeout is for one, 10 s.
	Interval, Timeout time.Duration
	Log               *slog.Logger
}

// Resources asks podresources seldom and hands the answer to whoever wants it.
// The kubelet limits the rate, and each List makes it rebuild its account (see Gate).
type Resources struct {
	cfg  ResourcesConfig
	feed *gpu.Feed[*Assigned]
	ask  chan struct{} // capacity 1: ask soon

	mu    sync.Mutex
	asked uint64 // questions begun; guarded by mu
}

// NewResources makes a client; nothing happens before Run.
func NewResources(cfg ResourcesConfig) *Resources {
	cfg.Interval = orDefault(cfg.Interval, 10*time.Second)
	cfg.Timeout = orDefault(cfg.Timeout, 10*time.Second)
	if cfg.Gate == nil {
		cfg.Gate = &Gate{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Resources{
		cfg: cfg, ask: make(chan struct{}, 1),
		feed: gpu.NewFeed(&Assigned{Reason: "podresources was not asked yet"}),
	}
}

// Feed has the last answer. Reading costs nothing.
func (r *Resources) Feed() *gpu.Feed[*Assigned] { return r.feed }

// Refresh returns an answer to a question that was asked after this call began; many callers share one question.
// Its error is that of ctx: a kubelet that does not answer is an answer that is not Synced.
func (r *Resources) Refresh(ctx context.Context) (*Assigned, error) {
	r.mu.Lock()
	want := r.asked + 1
	r.mu.Unlock()
	select {
	case r.ask <- struct{}{}:
	default: // the question that will be asked is for us too
	}
	for {
		a, changed := r.feed.Get()
		if a.asked >= want {
			return a, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("ask podresources: %w", ctx.Err())
		}
	}
}

// Run asks until ctx ends.
func (r *Resources) Run(ctx context.Context) error {
	tick := time.NewTicker(r.cfg.Interval)
	defer tick.Stop()
	for {
		if r.cfg.Gate.Wait(ctx) != nil {
			return nil // ctx has ended
		}
		r.once(ctx)
		select {
		case <-tick.C:
		case <-r.ask:
		case <-ctx.Done():
			return nil
		}
	}
}

// once asks and publishes.
func (r *Resources) once(ctx context.Context) {
	select {
	case <-r.ask: // this is the question that was asked for
	default:
	}
	r.mu.Lock()
	r.asked++
	asked := r.asked
	r.mu.Unlock()
	last, _ := r.feed.Get()
	next := &Assigned{At: time.Now(), Synced: true, asked: asked}
	if err := r.query(ctx, next); err != nil {
		if ctx.Err() != nil {
			return
		}
		next.Synced, next.Reason, next.Absent = false, err.Error(), missing(r.cfg.Socket)
		next.At, next.Devices, next.Active, next.Allocatable = last.At, last.Devices, last.Active, last.Allocatable
	}
	if next.Synced != last.Synced || next.Reason != last.Reason {
		if next.Synced {
			r.cfg.Log.Info("podresources answers", "socket", r.cfg.Socket)
		} else {
			r.cfg.Log.Warn("podresources does not answer", "reason", next.Reason)
		}
	}
	r.feed.Set(next)
}

func (r *Resources) query(ctx context.Context, a *Assigned) error {
	if missing(r.cfg.Socket) {
		return fmt.Errorf("no socket %s", r.cfg.Socket)
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	conn, err := dial(r.cfg.Socket)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", r.cfg.Socket, err)
	}
	defer func() { _ = conn.Close() }()
	client := podresources.NewPodResourcesListerClient(conn)
	list, err := client.List(ctx, &podresources.ListPodResourcesRequest{})
	if err != nil {
		return fmt.Errorf("list pod resources: %w", err)
	}
	free, err := client.GetAllocatableResources(ctx, &podresources.AllocatableResourcesRequest{})
	if err != nil {
		return fmt.Errorf("get allocatable resources: %w", err)
	}
	a.Devices, a.Active = assignments(list)
	a.Allocatable = map[string][]string{}
	for _, d := range free.GetDevices() {
		a.Allocatable[d.GetResourceName()] = append(a.Allocatable[d.GetResourceName()], d.GetDeviceIds()...)
	}
	for resource, ids := range a.Allocatable {
		slices.Sort(ids)
		a.Allocatable[resource] = slices.Compact(ids) // an id comes once for each NUMA node
	}
	return nil
}

func assignments(list *podresources.ListPodResourcesResponse) (map[DeviceKey][]Assignment, map[string]struct{}) {
	devices, active := map[DeviceKey][]Assignment{}, map[string]struct{}{}
	for _, p := range list.GetPodResources() {
		active[p.GetNamespace()+"/"+p.GetName()] = struct{}{}
		for _, c := range p.GetContainers() {
			who := Assignment{Namespace: p.GetNamespace(), Pod: p.GetName(), Container: c.GetName()}
			for _, d := range c.GetDevices() {
				for _, id := range d.GetDeviceIds() {
					k := DeviceKey{d.GetResourceName(), id}
					if !slices.Contains(devices[k], who) {
						devices[k] = append(devices[k], who)
					}
				}
			}
		}
	}
	return devices, active
}
