package deviceplugin

import (
	"slices"

	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"github.com/gpulet/gpulet/gpu"
)

// entry is a device in the list of a resource. It is comparable.
type entry struct {
	id       string
	device   gpu.Device
	healthy  bool
	reason   string // why it is not healthy
	unusable string // why nobody can use it, not even who has it
	givable  bool   // an Allocate that the kubelet decided on before it heard of a change is still answered
	released bool   // only who has it is still answered
	index    int    // of the GPU
	numa     int
	exists   bool         // a slice: the instance is there
	realized gpu.Realized // when it exists
	replicas int
	one      bool
}

// table is all that a resource's RPCs answer from, except claims. Immutable.
type table struct {
	resource string
	version  uint64 // from 1, the same as long as the kubelet would be sent the same
	order    []entry
	at       map[string]int
	wire     []*api.Device // what ListAndWatch sends
	preStart bool          // a device needs something done before its container starts
}

// newTable makes the table that follows another; last is nil for the first.
func newTable(resource string, last *table, order []entry) *table {
	t := &table{resource: resource, version: 1, order: order, at: make(map[string]int, len(order))}
	for i, e := range order {
		t.at[e.id] = i
		d := &api.Device{ID: e.id, Health: api.Unhealthy}
		if e.healthy {
			d.Health = api.Healthy
		}
		if e.numa >= 0 {
			d.Topology = &api.TopologyInfo{Nodes: []*api.NUMANode{{ID: int64(e.numa)}}}
		}
		t.wire = append(t.wire, d)
		t.preStart = t.preStart || e.device.Kind == gpu.Slice && !e.exists
	}
	if last != nil {
		t.version = last.version
		if !slices.EqualFunc(last.order, order, alike) {
			t.version++
		}
	}
	return t
}

// alike reports whether two entries are the same to the kubelet.
func alike(a, b entry) bool { return a.id == b.id && a.healthy == b.healthy && a.numa == b.numa }

// same reports whether a new table would say nothing else.
func (t *table) same(order []entry) bool { return t != nil && slices.Equal(t.order, order) }

func (t *table) find(id string) (entry, bool) {
	i, ok := t.at[id]
	if !ok {
		return entry{}, false
	}
	return t.order[i], true
}
