package deviceplugin

import (
	"cmp"
	"slices"

	"github.com/gpulet/gpulet/gpu"
)

// Pickable is a device that the kubelet may still give to a pod.
type Pickable struct {
	Device   gpu.Device // without a replica
	Resource string
	ID       string // as the kubelet knows it, replica included
	Why      string // a sentence for people
}

// pickable is what an Allocate would give anew: all that has its hardware to itself, whatever it is listed as, and what others
// that answer the kubelet may give.
func (b *book) pickable(f facts) []Pickable {
	var out []Pickable
	for _, s := range b.spots {
		if !s.has() {
			continue
		}
		why := "it is offered"
		if s.stage != live {
			why = "it leaves: " + cmp.Or(s.why, "the kubelet may still count it")
		}
		out = append(out, Pickable{s.device.Base(), s.resource, s.id, why})
	}
	out = append(out, b.others(f)...)
	slices.SortFunc(out, func(x, y Pickable) int {
		return cmp.Or(byDevice(0, x.Device, 0, y.Device), cmp.Compare(x.Resource, y.Resource), cmp.Compare(x.ID, y.ID))
	})
	return out
}

// others is what the kubelet counts under names for which somebody else answers, such as the agent before this one. Where the
// kubelet does not answer now, its last answer holds.
func (b *book) others(f facts) (out []Pickable) {
	if f.counted == nil || f.counted.Absent {
		return nil
	}
	for resource, ids := range f.counted.Allocatable {
		if f.streams[resource].version > 0 {
			continue // it asks us, and we give what is on the list
		}
		for _, id := range ids {
			d, _, ok := resolve(id, f.snapshot)
			if s := b.spots[key{resource, id}]; !ok || s != nil && s.has() {
				continue
			}
			out = append(out, Pickable{d.Base(), resource, id, "the kubelet counts it, and does not ask this agent for it"})
		}
	}
	return out
}

// unheard reports that the kubelet can be asked what it counts, and has not answered in this process: another agent's devices may
// be with it.
func (f facts) unheard() bool { return f.counted != nil && f.counted.At.IsZero() && !f.counted.Absent }
