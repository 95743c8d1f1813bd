package fleettest

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/gpulet/gpulet/apiserver"
	"github.com/gpulet/gpulet/partitioner/fleet"
)

// ErrAway is the answer of an API server that is away.
var ErrAway = errors.New("the API server is away")

// lease is how long a leader that does not renew keeps the Lease; it gives up after two thirds of it.
const lease = 15 * time.Second

// Cluster is an API server in memory.
type Cluster struct {
	mu       sync.Mutex // guards all that follows
	pods     map[types.UID]*apiserver.PendingPod
	nodes    map[string]*apiserver.NodeFacts
	reports  map[string]*apiserver.Document
	demands  map[string]*apiserver.Document
	holder   string
	renewed  time.Time
	away     bool
	cut      map[string]bool // agents that reach nothing
	evicted  []string
	writes   map[string]int // "report" and "demand"
	changed  chan struct{}
	refusing func(node string) error
}

// NewCluster makes an empty one.
func NewCluster() *Cluster {
	return &Cluster{
		pods: map[types.UID]*apiserver.PendingPod{}, nodes: map[string]*apiserver.NodeFacts{},
		reports: map[string]*apiserver.Document{}, demands: map[string]*apiserver.Document{}, writes: map[string]int{}, cut: map[string]bool{}, changed: make(chan struct{}),
	}
}

// change needs mu; it wakes whoever watches.
func (c *Cluster) change() {
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *Cluster) do(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	c.change()
}

// SetPod adds or replaces a pod that waits; RemovePod takes it away: it was bound or deleted.
func (c *Cluster) SetPod(p *apiserver.PendingPod) { c.do(func() { c.pods[p.UID] = p }) }

// RemovePod takes a pod from those that wait.
func (c *Cluster) RemovePod(uid types.UID) { c.do(func() { delete(c.pods, uid) }) }

// SetNode adds or replaces a Node.
func (c *Cluster) SetNode(n *apiserver.NodeFacts) { c.do(func() { c.nodes[n.Name] = n }) }

// SetReport writes the report of a node.
func (c *Cluster) SetReport(node string, data []byte) {
	c.do(func() { c.reports[node] = &apiserver.Document{Name: node, Received: time.Now(), Data: data} })
}

// SetDemand writes the demand of a node, as another planner might.
func (c *Cluster) SetDemand(node string, data []byte) {
	c.do(func() { c.demands[node] = &apiserver.Document{Name: node, Received: time.Now(), Data: data} })
}

// SetAway makes every call fail, or ends that.
func (c *Cluster) SetAway(away bool) { c.do(func() { c.away = away }) }

// Cut takes the network from one agent.
func (c *Cluster) Cut(agent string) { c.do(func() { c.cut[agent] = true }) }

// Refuse makes writes of demands fail where f says so.
func (c *Cluster) Refuse(f func(node string) error) { c.do(func() { c.refusing = f }) }

// Demand is what a node is told now; nil when it is told nothing.
func (c *Cluster) Demand(node string) *fleet.Demand {
	c.mu.Lock()
	doc := c.demands[node]
	c.mu.Unlock()
	if doc == nil {
		return nil
	}
	d, err := fleet.DecodeDemand(doc.Data)
	if err != nil {
		return nil
	}
	return d
}

// Evicted are the pods that were evicted, as namespace/name.
func (c *Cluster) Evicted() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.evicted...)
}

// Writes counts writes of reports and demands.
func (c *Cluster) Writes() (reports, demands int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writes["report"], c.writes["demand"]
}

// Leader is who holds the Lease.
func (c *Cluster) Leader() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.holder
}

// Member is the cluster as one agent sees it. It is a fleet.Cluster.
type Member struct {
	*Cluster
	Name string
}

// Lead implements fleet.Cluster. An agent whose ctx ends keeps the Lease until it expires, as one that was killed.
func (m *Member) Lead(ctx context.Context, lead func(ctx context.Context) error) error {
	for ctx.Err() == nil {
		if m.renew() {
			term, end := context.WithCancel(ctx)
			done := make(chan struct{})
			go func() {
				defer close(done)
				_ = lead(term)
			}()
			for last := time.Now(); ctx.Err() == nil; {
				pause(ctx, 2*time.Second)
				if m.renew() {
					last = time.Now()
				} else if time.Since(last) >= lease*2/3 {
					break
				}
			}
			end()
			<-done
		}
		pause(ctx, 2*time.Second)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// off needs mu.
func (m *Member) off() bool { return m.away || m.cut[m.Name] }

func (m *Member) renew() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.off() || m.holder != m.Name && m.holder != "" && time.Since(m.renewed) < lease {
		return false
	}
	m.holder, m.renewed = m.Name, time.Now()
	return true
}

// Watch implements fleet.Cluster.
func (m *Member) Watch(ctx context.Context, tell func(*apiserver.ClusterView)) error {
	for {
		m.mu.Lock()
		if m.off() {
			m.mu.Unlock()
			return ErrAway
		}
		changed := m.changed
		v := &apiserver.ClusterView{Synced: true, Pods: maps.Clone(m.pods), Nodes: maps.Clone(m.nodes), Reports: maps.Clone(m.reports)}
		m.mu.Unlock()
		tell(v)
		pause(ctx, 50*time.Millisecond)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

func (m *Member) write(kind string, f func()) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.off() {
		return ErrAway
	}
	m.writes[kind]++
	f()
	m.change()
	return nil
}

// WriteReport implements fleet.Cluster.
func (m *Member) WriteReport(_ context.Context, data []byte) error {
	return m.write("report", func() {
		m.reports[m.Name] = &apiserver.Document{Name: m.Name, Received: time.Now(), Data: data}
	})
}

// WriteDemand implements fleet.Cluster.
func (m *Member) WriteDemand(_ context.Context, node string, data []byte) error {
	m.mu.Lock()
	refusing := m.refusing
	m.mu.Unlock()
	if refusing != nil {
		if err := refusing(node); err != nil {
			return err
		}
	}
	return m.write("demand", func() {
		m.demands[node] = &apiserver.Document{Name: node, Received: time.Now(), Data: data}
	})
}

// WatchDemand implements fleet.Cluster.
func (m *Member) WatchDemand(ctx context.Context, tell func(*apiserver.Document)) error {
	last := &apiserver.Document{}
	for {
		m.mu.Lock()
		away, doc, changed := m.off(), m.demands[m.Name], m.changed
		m.mu.Unlock()
		if away {
			return ErrAway
		}
		if doc != last {
			tell(doc)
			last = doc
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// ReadDemands implements fleet.Cluster.
func (m *Member) ReadDemands(context.Context) (map[string]*apiserver.Document, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.off() {
		return nil, ErrAway
	}
	return maps.Clone(m.demands), nil
}

// Evict implements fleet.Cluster.
func (m *Member) Evict(_ context.Context, namespace, name, _ string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.off() {
		return ErrAway
	}
	m.evicted = append(m.evicted, namespace+"/"+name)
	m.change()
	return nil
}
