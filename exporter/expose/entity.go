package expose

import (
	"slices"
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"

	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
)

// entity is a GPU or GPU instance with its labels.
type entity struct {
	id  gpu.Entity
	gpu *gpu.GPU // of a snapshot with the same generation: what identifies it, never its health
	// divided: the GPU is in MIG mode. whole is where the GPU itself is among the entities.
	divided bool
	whole   int

	index, profile, instance string
	// labels are those of DCGM's families under classic and later names: with the container that has the entity for itself,
	// or with empty pod labels.
	labels [2][]*dto.LabelPair
	// sharers are the containers that it is shared by; none when one has it for itself.
	sharers []sharer
}

// sharer is a container among several on one entity.
type sharer struct {
	use    user
	labels [2][]*dto.LabelPair
}

// user is a container on an entity as the labels tell it: pods of one name that follow each other are the same.
type user struct {
	entity                    gpu.Entity
	namespace, pod, container string
}

func newUser(e gpu.Entity, c sample.Container) user {
	return user{e, clean(c.Namespace), clean(c.Pod), clean(c.Container)}
}

// newEntities lists the GPUs of the snapshot, each followed by its instances.
func newEntities(p pairs, set *sample.Set, options Options, driver string) []entity {
	var out []entity
	for i := range set.Snapshot.GPUs {
		g := &set.Snapshot.GPUs[i]
		whole := entity{id: g.UUID.Whole(), gpu: g, divided: g.MIG.Enabled, whole: len(out), index: strconv.Itoa(g.Index)}
		out = append(out, whole)
		if !g.MIG.Enabled {
			continue
		}
		for _, in := range g.Instances {
			e := whole
			e.id.Instance, e.instance, e.profile = in.ID, strconv.FormatUint(uint64(in.ID), 10), in.Slot.Profile.String()
			out = append(out, e)
		}
	}
	users, shared := map[gpu.Entity][]user{}, map[gpu.Entity]bool{}
	for _, h := range set.Holds {
		u := newUser(h.Entity, h.Container)
		if !slices.Contains(users[h.Entity], u) {
			users[h.Entity] = append(users[h.Entity], u)
		}
		// One known container on a device that is given several times is not alone on it for sure.
		if h.Sharing != sample.Exclusive || len(users[h.Entity]) > 1 {
			shared[h.Entity] = true
		}
	}
	for i := range out {
		out[i].label(p, set, options, driver, users[out[i].id], shared[out[i].id])
	}
	return out
}

// label makes the label sets of DCGM's families.
func (e *entity) label(p pairs, set *sample.Set, options Options, driver string, users []user, shared bool) {
	var holder user
	if !shared && len(users) == 1 {
		holder = users[0]
	}
	if shared {
		for _, u := range users {
			if u.pod != "" { // whoever has no name yet: its part stays in the rest
				e.sharers = append(e.sharers, sharer{use: u})
			}
		}
	}
	for profile := range e.labels {
		base := e.base(set, options, driver, profile == 1)
		e.labels[profile] = p.set(pod(base, holder, options)...)
		for i := range e.sharers {
			e.sharers[i].labels[profile] = p.set(pod(base, e.sharers[i].use, options)...)
		}
	}
}

// base are the labels without the pod's. An instance bears its GPU's UUID, as dcgm-exporter has it.
func (e *entity) base(set *sample.Set, options Options, driver string, later bool) []label {
	out := []label{
		{"gpu", e.index},
		{"UUID", string(e.gpu.UUID)},
		{"pci_bus_id", busID(e.gpu.PCI)},
		{"device", "nvidia" + e.index},
		{"modelName", e.gpu.Model},
	}
	if options.OldNamespace {
		out[1].name = "uuid"
	}
	if e.instance != "" {
		out = append(out, label{"GPU_I_PROFILE", e.profile}, label{"GPU_I_ID", e.instance})
	}
	if options.Hostname == UpperHostname || options.Hostname == BothHostnames {
		out = append(out, label{"Hostname", options.Node})
	}
	if options.Hostname == LowerHostname || options.Hostname == BothHostnames {
		out = append(out, label{"hostname", options.Node})
	}
	if options.DriverLabel {
		name := "DCGM_FI_DRIVER_VERSION"
		if later {
			name = "DCGM_FI_SYSTEM_DRIVER_VERSION"
		}
		out = append(out, label{name, driver})
	}
	for _, f := range options.Fields {
		if text := text(set, f, e.id); text != "" {
			name := f.Classic
			if later && f.Later != "" {
				name = f.Later
			}
			out = append(out, label{name, text})
		}
	}
	return out
}

// pod adds a container's labels, or empty ones: an empty label that is there keeps Prometheus from putting the name of the
// agent's own pod in its place (honorLabels).
func pod(base []label, u user, options Options) []label {
	base = slices.Clip(base)
	if options.OldNamespace {
		return append(base, label{"container_name", u.container}, label{"pod_namespace", u.namespace}, label{"pod_name", u.pod})
	}
	return append(base, label{"container", u.container}, label{"namespace", u.namespace}, label{"pod", u.pod})
}

// busID is an address as NVML and DCGM write it: a domain of eight digits, in capitals.
func busID(a gpu.PCIAddress) string {
	domain, rest, ok := strings.Cut(string(a), ":")
	if !ok {
		return string(a)
	}
	if len(domain) < 8 {
		domain = strings.Repeat("0", 8-len(domain)) + domain
	}
	return strings.ToUpper(domain + ":" + rest)
}

// text is the value of a field that is a label; empty when it has none. The driver's version has an option of its own.
func text(set *sample.Set, f family.Selected, e gpu.Entity) string {
	if f.Type != family.Label || f.Field == family.DriverVersion {
		return ""
	}
	v, ok := set.Values[e][f.Field]
	if !ok && e.Instance != gpu.NoInstance {
		v = set.Values[e.GPU.Whole()][f.Field]
	}
	if v.Absent != nil {
		return ""
	}
	return v.Text
}

// texts are the values that make up labels and may come later than the entities.
func texts(set *sample.Set, options Options) (out []string) {
	for _, f := range options.Fields {
		if f.Type != family.Label || f.Field == family.DriverVersion {
			continue
		}
		for i := range set.Snapshot.GPUs {
			g := &set.Snapshot.GPUs[i]
			out = append(out, text(set, f, g.UUID.Whole()))
			for _, in := range g.Instances {
				out = append(out, text(set, f, gpu.Entity{GPU: g.UUID, Instance: in.ID}))
			}
		}
	}
	return out
}
