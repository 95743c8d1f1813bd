package deviceplugin

import (
	"context"
	"slices"

	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
)

// Preferred implements plugin.Handler. It is never an error, which would fail the pod: where it cannot fill a request it
// proposes fewer, and the kubelet takes what it likes for the rest.
func (l *list) Preferred(_ context.Context, r *api.PreferredAllocationRequest) (*api.PreferredAllocationResponse, error) {
	t, _ := l.tables.Get()
	a := l.desk.current.Load()
	claims, _ := l.desk.cfg.Claims.Feed().Get()
	resp := &api.PreferredAllocationResponse{}
	taken := map[string]bool{}
	for _, c := range r.GetContainerRequests() {
		p := newPreference(t, a, claims, c, taken)
		if p.whole() {
			p.topology(a.topology)
		} else {
			p.fill(a.settings.Policy)
		}
		for _, id := range p.ids {
			taken[id] = true
		}
		resp.ContainerResponses = append(resp.ContainerResponses, &api.ContainerPreferredAllocationResponse{DeviceIDs: p.ids})
	}
	return resp, nil
}

// preference is one container's choice.
type preference struct {
	answers *answers
	size    int
	ids     []string // chosen, the must-includes first
	must    []*entry
	free    []*entry         // may be proposed, in the order of the list
	load    map[gpu.UUID]int // of each GPU, by claims and by what was chosen here
}

func newPreference(t *table, a *answers, claims *kubelet.ClaimSet, r *api.ContainerPreferredAllocationRequest, taken map[string]bool) *preference {
	p := &preference{answers: a, size: int(r.GetAllocationSize()), load: map[gpu.UUID]int{}}
	for id := range claims.ByID {
		if w, ok := a.devices[id]; ok {
			p.load[w.device.GPU] += w.load
		}
	}
	p.ids = slices.Compact(slices.Sorted(slices.Values(r.GetMustIncludeDeviceIDs())))
	free := make([]bool, len(t.order))
	for _, id := range r.GetAvailableDeviceIDs() {
		if i, ok := t.at[id]; ok {
			free[i] = t.order[i].healthy && !taken[id] && !claims.Held(id)
		}
	}
	for _, id := range p.ids {
		if i, ok := t.at[id]; ok {
			free[i] = false
			p.must = append(p.must, &t.order[i])
			p.load[t.order[i].device.GPU] += a.devices[id].load
		}
	}
	for i := range free {
		if free[i] {
			p.free = append(p.free, &t.order[i])
		}
	}
	return p
}

// whole reports whether all are GPUs that nobody shares.
func (p *preference) whole() bool {
	shared := func(e *entry) bool { return e.device.Kind != gpu.Whole || e.device.Replica > 0 }
	return !slices.ContainsFunc(p.must, shared) && !slices.ContainsFunc(p.free, shared)
}

// topology takes the GPUs that are best connected.
func (p *preference) topology(t *gpu.Topology) {
	if t == nil || len(p.ids) >= p.size {
		p.fill(Spread)
		return
	}
	uuids := func(entries []*entry) (out []gpu.UUID) {
		for _, e := range entries {
			out = append(out, e.device.GPU)
		}
		return out
	}
	chosen := t.Best(uuids(p.free), uuids(p.must), p.size)
	for _, e := range p.free {
		if len(p.ids) < p.size && slices.Contains(chosen, e.device.GPU) {
			p.ids = append(p.ids, e.id)
		}
	}
}

// fill takes devices one by one from the fullest or the emptiest GPU, by physical GPU. What exists comes before what would
// have to be made.
func (p *preference) fill(policy Policy) {
	byGPU := map[gpu.UUID][]*entry{}
	var order []gpu.UUID // by index, those with something that exists first
	for _, missing := range []bool{false, true} {
		for _, e := range p.free {
			g := e.device.GPU
			if missing != (e.device.Kind == gpu.Slice && !e.exists) {
				continue
			}
			if byGPU[g] == nil {
				order = append(order, g)
			}
			byGPU[g] = append(byGPU[g], e)
		}
	}
	for len(p.ids) < p.size {
		var best gpu.UUID
		for _, g := range order {
			switch {
			case len(byGPU[g]) == 0:
			case best == "", policy == Spread && p.load[g] < p.load[best], policy != Spread && p.load[g] > p.load[best]:
				best = g
			}
		}
		if best == "" {
			return
		}
		e := byGPU[best][0]
		byGPU[best] = byGPU[best][1:]
		p.ids = append(p.ids, e.id)
		p.load[best] += p.answers.devices[e.id].load
	}
}
