package agent

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gpulet/gpulet/agent/config"
	"github.com/gpulet/gpulet/deviceplugin"
	"github.com/gpulet/gpulet/deviceplugin/cdi"
	"github.com/gpulet/gpulet/exporter"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
	"github.com/gpulet/gpulet/kubelet/plugin"
)

// Status is everything that an agent can say of its node at one moment. It is also the JSON of the admin API.
type Status struct {
	Version string    `json:"version"`
	Node    string    `json:"node,omitempty"`
	Started time.Time `json:"started"`
	Now     time.Time `json:"now"`
	// Waiting is the agent that has the node while this one waits for it.
	Waiting *Owner `json:"waiting,omitempty"`
	// NotReady says why the agent is not ready; empty when it is.
	NotReady []string `json:"notReady,omitempty"`

	// Driver is zero while it is out of reach.
	Driver    Driver              `json:"driver"`
	GPUs      []GPU               `json:"gpus"`
	Gaps      []string            `json:"gaps,omitempty"`
	Resources []Resource          `json:"resources"`
	Withheld  []Withheld          `json:"withheld,omitempty"`
	Moves     []deviceplugin.Move `json:"moves,omitempty"`
	Claims    []kubelet.Holding   `json:"claims"`
	CDI       *cdi.State          `json:"cdi,omitempty"`
	// Metrics says of each measurement that is absent why.
	Metrics exporter.Status `json:"metrics"`
	Sources []Source        `json:"sources"`
	Config  Config          `json:"config"`
}

// Driver is the GPU driver.
type Driver struct {
	Version string `json:"version,omitempty"`
	CUDA    string `json:"cuda,omitempty"`
	NVML    string `json:"nvml,omitempty"`
}

// GPU is a GPU for people.
type GPU struct {
	Index        int        `json:"index"`
	UUID         gpu.UUID   `json:"uuid"`
	Model        string     `json:"model,omitempty"`
	Architecture string     `json:"architecture,omitempty"`
	PCI          string     `json:"pci,omitempty"`
	NUMA         int        `json:"numa"`
	MemoryBytes  uint64     `json:"memoryBytes"`
	MIG          string     `json:"mig"` // unable, off, on, turning on, turning off
	Health       Health     `json:"health"`
	Instances    []Instance `json:"instances,omitempty"`
	Gaps         []string   `json:"gaps,omitempty"`
}

// Health is a state with its reason.
type Health struct {
	State  string    `json:"state"`
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since,omitzero"`
}

// Instance is a GPU instance.
type Instance struct {
	ID      uint32            `json:"id"`
	Slot    string            `json:"slot"`
	Health  Health            `json:"health"`
	Compute []ComputeInstance `json:"compute,omitempty"`
}

// ComputeInstance is a compute instance.
type ComputeInstance struct {
	ID      uint32   `json:"id"`
	UUID    gpu.UUID `json:"uuid"`
	Profile string   `json:"profile"`
	Health  Health   `json:"health"`
}

// Resource is a resource with its registration and devices.
type Resource struct {
	Name         string                    `json:"name"`
	Registration plugin.State              `json:"registration"`
	Devices      []deviceplugin.DeviceView `json:"devices"`
}

// Withheld is what exists and is not offered.
type Withheld struct {
	GPU    gpu.UUID `json:"gpu"`
	What   string   `json:"what"`
	Reason string   `json:"reason"`
}

// Source is something that the agent asks or tells, and whether that works. One that is not used is well, and says why.
type Source struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Reason string `json:"reason,omitempty"`
}

// Config is which configuration is in force.
type Config struct {
	File  string    `json:"file,omitempty"`
	Since time.Time `json:"since"`
	// Error is why the file is not what is in force.
	Error string `json:"error,omitempty"`
	// Pending are settings that take effect at the next start.
	Pending []string `json:"pending,omitempty"`
}

// Status tells everything, from memory.
func (a *Agent) Status() Status {
	snapshot, _ := a.monitor.Snapshots().Get()
	state, _ := a.config.States().Get()
	s := Status{
		Version: a.version, Node: a.running.Config.Process.NodeName, Started: a.began, Now: time.Now(), Waiting: a.waits.Load(),
		Driver: Driver{snapshot.Driver.Version, snapshot.Driver.CUDA, snapshot.Driver.NVML},
		Gaps:   gaps(snapshot.Gaps),
		Config: Config{File: state.Config.Process.File, Since: state.Since, Pending: config.Pending(a.running, state.Resolved)},
		GPUs:   []GPU{}, Resources: []Resource{}, Claims: []kubelet.Holding{},
	}
	if state.Err != nil {
		s.Config.Error = state.Err.Error()
	}
	for i := range snapshot.GPUs {
		s.GPUs = append(s.GPUs, describe(&snapshot.GPUs[i]))
	}
	if o := a.owner.Load(); o != nil {
		s.own(o)
	}
	s.Sources = append(s.Sources, a.sources()...)
	s.NotReady = a.notReady(snapshot)
	return s
}

// own adds what only the owner of the node knows.
func (s *Status) own(o *owner) {
	v, _ := o.manager.View().Get()
	states, _ := o.registrar.States().Get()
	for resource, devices := range v.Resources {
		r := Resource{Name: resource, Registration: plugin.State{Resource: resource}, Devices: devices}
		if i := slices.IndexFunc(states, func(st plugin.State) bool { return st.Resource == resource }); i >= 0 {
			r.Registration = states[i]
		}
		s.Resources = append(s.Resources, r)
	}
	slices.SortFunc(s.Resources, func(a, b Resource) int { return strings.Compare(a.Name, b.Name) })
	for _, w := range v.Withheld {
		s.Withheld = append(s.Withheld, Withheld(w))
	}
	s.Moves = v.Moves
	s.Claims = append(s.Claims, o.claims.Describe("")...)
	c := o.specs.State()
	s.CDI = &c
	s.Metrics = o.meters.exporter.Describe()
	s.Sources = append(s.Sources, o.meters.collectors.sources()...)
	assigned, _ := o.resources.Feed().Get()
	s.Sources = append(s.Sources, Source{"the kubelet's podresources", assigned.Synced, assigned.Reason})
}

// sources are what every agent asks, whether it has the node or not.
func (a *Agent) sources() (out []Source) {
	pods, _ := a.pods.Feed().Get()
	out = append(out, Source{or(pods.Source, "pods of this node"), pods.Synced, pods.Reason}, a.cluster.source())
	if state, _ := a.config.States().Get(); state.Config.Partition.Active() {
		out = append(out, Source{"the partitioner", false, "gpus[].mode, layout and config are not in force yet: what exists is offered"})
	}
	if why := a.web.Load(); why != nil {
		out = append(out, Source{"HTTP " + a.running.Config.Process.Listen, false, *why})
	}
	return out
}

// notReady says what is missing before pods can be served, and nothing when all is there. An agent that only waits for the
// node is ready: the other must be free to leave.
func (a *Agent) notReady(snapshot *gpu.Snapshot) []string {
	if snapshot.Version == 0 {
		return []string{"the GPUs were not looked at yet"}
	}
	o := a.owner.Load()
	switch {
	case o == nil && a.waits.Load() != nil:
		return nil
	case o == nil:
		return []string{"it is taking the lock of the node"}
	}
	return o.missing(time.Now())
}

func gaps(in []gpu.Gap) (out []string) {
	for _, g := range in {
		out = append(out, g.Feature+": "+g.Reason)
	}
	return out
}

func health(h gpu.Health) Health { return Health{h.State.String(), h.Reason, h.Since} }

func describe(g *gpu.GPU) GPU {
	out := GPU{
		Index: g.Index, UUID: g.UUID, Model: g.Model, Architecture: g.Architecture, PCI: string(g.PCI), NUMA: g.NUMA,
		MemoryBytes: g.MemoryBytes, MIG: migMode(g.MIG), Health: health(g.Health), Gaps: gaps(g.Gaps),
	}
	for _, in := range g.Instances {
		i := Instance{ID: in.ID, Slot: fmt.Sprint(in.Slot), Health: health(in.Health)}
		for _, c := range in.Compute {
			i.Compute = append(i.Compute, ComputeInstance{ID: c.ID, UUID: c.UUID, Profile: c.Profile.String(), Health: health(c.Health)})
		}
		out.Instances = append(out.Instances, i)
	}
	return out
}

func migMode(m gpu.MIGState) string {
	switch {
	case !m.Capable:
		return "unable"
	case m.Enabled && m.Pending:
		return "on"
	case m.Pending:
		return "turning on"
	case m.Enabled:
		return "turning off"
	}
	return "off"
}
