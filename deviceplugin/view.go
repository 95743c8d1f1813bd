package deviceplugin

import (
	"cmp"
	"reflect"
	"slices"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
)

// View is what is listed, withheld and on its way, for people. Immutable.
type View struct {
	// Waiting says why nothing is offered yet; empty once something may be.
	Waiting string `json:"waiting,omitempty"`
	// Offers is the Version of the offers that it was made from; 0 while it is not known what the kubelet may give.
	Offers uint64 `json:"offers,omitempty"`
	// Pickable is what the kubelet may still give to a pod, ordered by device. No Allocate gives anything else, except to who has
	// a device already: one that was under way when a device left is among the claims before it leaves here. So whoever wants
	// to know that nobody gets a device looks here first, and then at the claims.
	Pickable []Pickable `json:"-"`
	// Resources are the devices of each resource in order.
	Resources map[string][]DeviceView `json:"resources,omitempty"`
	Withheld  []gpu.Withheld          `json:"withheld,omitempty"`
	Moves     []Move                  `json:"moves,omitempty"`
}

// DeviceView is one device as the kubelet is told of it.
type DeviceView struct {
	ID      string          `json:"id"`
	GPU     gpu.UUID        `json:"gpu"`
	Healthy bool            `json:"healthy"`
	Reason  string          `json:"reason,omitempty"` // why it is not healthy
	Claims  []kubelet.Claim `json:"claims,omitempty"`
}

// Move is a device that comes to a resource or leaves it, and what it waits for.
type Move struct {
	Resource string    `json:"resource"`
	ID       string    `json:"id"`
	Stage    string    `json:"stage"`
	Reason   string    `json:"reason"`
	Since    time.Time `json:"since"`
}

// view describes the book.
func (b *book) view(f facts) View {
	v := View{Offers: f.version, Pickable: b.pickable(f), Resources: map[string][]DeviceView{}, Withheld: slices.Clone(f.naming.Withheld)}
	spots := make([]*spot, 0, len(b.spots))
	for _, s := range b.spots {
		spots = append(spots, s)
	}
	slices.SortFunc(spots, func(x, y *spot) int { return cmp.Or(cmp.Compare(x.resource, y.resource), bySpot(x, y)) })
	for resource := range b.shelves {
		v.Resources[resource] = []DeviceView{}
	}
	for _, s := range spots {
		if s.stage == unlisted {
			v.Withheld = append(v.Withheld, gpu.Withheld{GPU: s.device.GPU, What: s.resource + " " + s.id, Reason: s.why})
		} else {
			v.Resources[s.resource] = append(v.Resources[s.resource], DeviceView{
				ID: s.id, GPU: s.device.GPU, Healthy: s.entry.healthy, Reason: s.entry.reason, Claims: slices.Clone(s.claims),
			})
		}
		if s.stage != live {
			v.Moves = append(v.Moves, Move{
				Resource: s.resource, ID: s.id, Stage: s.stage.String(), Reason: cmp.Or(s.why, s.entry.reason), Since: s.since,
			})
		}
	}
	return v
}

// show publishes a view that differs from the last.
func (m *Manager) show(v View) {
	if reflect.DeepEqual(v, m.last) {
		return
	}
	m.last = v
	m.view.Set(v)
	m.desk.metrics.show(v)
}
