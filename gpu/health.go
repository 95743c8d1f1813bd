package gpu

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gpulet/gpulet/gpu/xid"
)

// HealthPolicy says when trust returns.
type HealthPolicy struct {
	// CleanProbes in a row bring a device back, each at least Spacing after the one before.
	CleanProbes int
	Spacing     time.Duration
	// Quarantine is the least time out of use after an error that no reset is needed for.
	Quarantine time.Duration
	// XIDs is the catalogue.
	XIDs xid.Catalogue
}

// Cure is what a cause of bad health waits for.
type Cure string

// The cures. Each is followed by clean probes.
const (
	CureProbe Cure = "probe" // clean probes alone
	CureReset Cure = "reset" // a reset, a driver restart or a reboot
)

// Cause is one reason for bad health. It is stored in the state file.
type Cause struct {
	Kind string `json:"kind"` // "lost", "xid-79": one cause of a kind and scope at a time
	// GPUInstance and ComputeInstance are NoInstance for the whole; UUID is the MIG device's that had the ids then.
	GPUInstance     uint32    `json:"gpuInstance"`
	ComputeInstance uint32    `json:"computeInstance"`
	UUID            UUID      `json:"uuid,omitempty"`
	State           State     `json:"state"`
	Reason          string    `json:"reason"`
	Since           time.Time `json:"since"`
	Cure            Cure      `json:"cure"`
	Until           time.Time `json:"until,omitzero"` // the end of the quarantine

	active bool // a level cause that the last probe saw
	brief  bool // recovers with the first clean probe
	clean  int
	last   time.Time // of the last clean probe
}

type causeKey struct {
	kind   string
	gi, ci uint32
}

// Machine is the health of one GPU and its instances: causes come with probes and events and go with clean probes.
// It is pure and belongs to one goroutine.
type Machine struct {
	policy   HealthPolicy
	causes   map[causeKey]*Cause
	devices  map[[2]uint32]UUID // MIG devices by ids, as last seen
	memory   Memory
	failures int
}

// NewMachine makes a healthy machine, with causes from the state file.
func NewMachine(policy HealthPolicy, known []Cause) *Machine {
	m := &Machine{policy: policy, causes: map[causeKey]*Cause{}}
	m.memory.Condition.Unread = Unread{true, true, true, true}
	for _, c := range known {
		c.active = false
		m.causes[causeKey{c.Kind, c.GPUInstance, c.ComputeInstance}] = &c
	}
	return m
}

// Probe is one look at a GPU.
type Probe struct {
	At        time.Time
	Layout    Layout
	Condition Condition
	// Err is why the GPU did not answer: ErrLost, ErrDeadline, or another; nil when it did.
	Err error
	// Restarted: the driver was restarted since the last probe.
	Restarted bool
}

// Event takes an XID. It returns the catalogue's entry for the log.
func (m *Machine) Event(at time.Time, e Event) xid.Entry {
	x := m.policy.XIDs.Lookup(e.XID)
	if len(m.devices) == 0 { // whatever the driver left in the ids, there is nothing but the GPU
		e.GPUInstance, e.ComputeInstance = NoInstance, NoInstance
	}
	c := Cause{
		Kind: fmt.Sprintf("xid-%d", e.XID), GPUInstance: e.GPUInstance, ComputeInstance: e.ComputeInstance,
		Since: at, Cure: CureProbe,
	}
	c.UUID = m.devices[[2]uint32{e.GPUInstance, e.ComputeInstance}]
	when := at.UTC().Format("15:04:05")
	switch x.Effect {
	case xid.None:
		return x
	case xid.Probe:
		c.State = Suspect
		c.Reason = fmt.Sprintf("XID %d: %s at %s UTC; probes decide", e.XID, x.Name, when)
	case xid.Quarantine:
		c.State, c.Until = Unhealthy, at.Add(m.policy.Quarantine)
		c.Reason = fmt.Sprintf("XID %d: %s at %s UTC; it returns after %s of clean probes", e.XID, x.Name, when, m.policy.Quarantine)
	case xid.Reset:
		c.State, c.Cure = Unhealthy, CureReset
		c.Reason = fmt.Sprintf("XID %d: %s at %s UTC; it returns after a reset or reboot", e.XID, x.Name, when)
	}
	m.add(c)
	return x
}

// add begins a cause, or begins it again: only the first one's time stays.
func (m *Machine) add(c Cause) {
	k := causeKey{c.Kind, c.GPUInstance, c.ComputeInstance}
	if old := m.causes[k]; old != nil {
		if old.active && c.active && old.State == c.State { // the same level goes on
			old.clean = 0
			return
		}
		c.Since = old.Since
		if c.Until.Before(old.Until) { // it may be told late
			c.Until = old.Until
		}
	}
	m.causes[k] = &c
}

// level sets or ends a cause that each probe tells anew.
func (m *Machine) level(at time.Time, on bool, c Cause) {
	c.GPUInstance, c.ComputeInstance, c.Since, c.active = NoInstance, NoInstance, at, on
	if c.Cure == "" {
		c.Cure = CureProbe
	}
	if on {
		m.add(c)
	} else if old := m.causes[causeKey{c.Kind, NoInstance, NoInstance}]; old != nil {
		old.active = false
	}
}

// Observe takes a probe.
func (m *Machine) Observe(p Probe) {
	if p.Err != nil {
		m.unanswered(p)
		return
	}
	m.failures = 0
	last := m.memory.Condition
	p.Condition = p.Condition.over(last)
	reset := p.Restarted || m.memory.Lost || last.Recovery != RecoveryNone && p.Condition.Recovery == RecoveryNone ||
		p.Condition.Uncorrected < last.Uncorrected // the counts start anew with the GPU
	m.memory = Memory{Condition: p.Condition}
	for _, kind := range []string{"lost", "silent", "failing"} {
		m.level(p.At, false, Cause{Kind: kind})
	}
	m.conditions(p, last)
	m.forget(p.Layout)
	sick := false
	for _, c := range m.causes {
		sick = sick || c.active && !c.brief
	}
	for k, c := range m.causes {
		if c.Cure == CureReset && reset && !c.active {
			c.Cure, c.Until = CureProbe, time.Time{}
		}
		if c.active || sick || c.Cure == CureReset {
			c.clean = 0
			continue
		}
		if m.recovered(c, p.At) {
			delete(m.causes, k)
		}
	}
}

// unanswered is a probe that failed: recovery begins anew with the next answer.
func (m *Machine) unanswered(p Probe) {
	when := p.At.UTC().Format("15:04:05")
	lost, silent := errIs(p.Err, ErrLost), errIs(p.Err, ErrDeadline)
	m.level(p.At, lost, Cause{
		Kind: "lost", State: Unhealthy,
		Reason: fmt.Sprintf("the GPU is lost to the driver since %s UTC; it returns after a reset or reboot", when),
	})
	m.level(p.At, silent, Cause{Kind: "silent", State: Unhealthy, Reason: p.Err.Error() + "; it returns when the driver answers"})
	if lost {
		m.memory.Lost = true
	}
	if !lost && !silent {
		m.failures++
		state := Suspect
		if m.failures >= 3 {
			state = Unhealthy
		}
		m.level(p.At, true, Cause{Kind: "failing", State: state, Reason: "the driver does not read this GPU: " + p.Err.Error()})
	}
	for _, c := range m.causes {
		c.clean = 0
	}
}

// conditions sets the level causes of an answered probe; last is the condition before.
func (m *Machine) conditions(p Probe, last Condition) {
	c := p.Condition
	if !last.Unread.Uncorrected && c.Uncorrected > last.Uncorrected {
		m.add(Cause{
			Kind: "ecc", GPUInstance: NoInstance, ComputeInstance: NoInstance, State: Suspect, Since: p.At, Cure: CureProbe,
			Reason: fmt.Sprintf("%d uncorrectable memory errors at %s UTC; probes decide", c.Uncorrected-last.Uncorrected, p.At.UTC().Format("15:04:05")),
		})
	}
	m.level(p.At, c.RemapFailed, Cause{Kind: "remap-failed", State: Unhealthy, Reason: "a faulty memory row could not be replaced; the GPU needs service"})
	m.level(p.At, c.RemapPending && !c.RemapFailed, Cause{
		Kind: "remap-pending", State: Draining,
		Reason: "faulty memory is replaced at the next reset; who has the GPU keeps it, reset needed",
	})
	state := Unhealthy
	if c.Recovery == RecoveryDrainP2P || c.Recovery == RecoveryDrainAndReset || c.Recovery == RecoveryIMEX {
		state = Draining
	}
	m.level(p.At, c.Recovery != RecoveryNone, Cause{Kind: "recovery", State: state, Reason: fmt.Sprintf("the driver asks for %s", c.Recovery)})
	fabric := Cause{Kind: "fabric", State: Unhealthy, brief: true, Reason: "the fabric manager has not registered this GPU"}
	if c.Fabric == FabricInProgress {
		fabric.State, fabric.Reason = Suspect, "the fabric manager is registering this GPU"
	}
	m.level(p.At, !p.Layout.MIG.Enabled && (c.Fabric == FabricNotStarted || c.Fabric == FabricInProgress), fabric)
}

// forget ends the causes of instances that are gone or were made anew under the same ids.
func (m *Machine) forget(l Layout) {
	m.devices = map[[2]uint32]UUID{}
	for _, in := range l.Instances {
		m.devices[[2]uint32{in.ID, NoInstance}] = ""
		for _, ci := range in.Compute {
			m.devices[[2]uint32{in.ID, ci.ID}] = ci.UUID
		}
	}
	for k, c := range m.causes {
		if k.gi == NoInstance {
			continue
		}
		uuid, ok := m.devices[[2]uint32{k.gi, k.ci}]
		if !ok || c.UUID != "" && c.UUID != uuid {
			delete(m.causes, k)
		}
	}
}

// recovered counts a clean probe and says whether it was the last one needed.
func (m *Machine) recovered(c *Cause, at time.Time) bool {
	if c.brief {
		return true
	}
	if c.clean > 0 && at.Sub(c.last) < m.policy.Spacing {
		return false
	}
	c.clean, c.last = c.clean+1, at
	if c.State != Suspect && c.State != Recovering && !at.Before(c.Until) {
		c.State = Recovering
		c.Reason = "recovering from: " + strings.TrimPrefix(c.Reason, "recovering from: ")
	}
	return c.clean >= m.policy.CleanProbes && !at.Before(c.Until)
}

// Settled reports whether nothing is wrong.
func (m *Machine) Settled() bool { return len(m.causes) == 0 }

// worst joins the causes of one scope.
func (m *Machine) worst(gi, ci uint32) (h Health) {
	for _, k := range m.keys() {
		if k.gi == gi && k.ci == ci {
			c := m.causes[k]
			h = Worse(h, Health{State: c.State, Reason: c.Reason, Since: c.Since})
		}
	}
	return h
}

// keys puts XIDs first, which explain the rest, then what came first.
func (m *Machine) keys() []causeKey {
	rest := func(k causeKey) int {
		if strings.HasPrefix(k.kind, "xid-") {
			return 0
		}
		return 1
	}
	return slices.SortedFunc(maps.Keys(m.causes), func(a, b causeKey) int {
		return cmp.Or(cmp.Compare(rest(a), rest(b)), m.causes[a].Since.Compare(m.causes[b].Since), strings.Compare(a.kind, b.kind), cmp.Compare(a.gi, b.gi), cmp.Compare(a.ci, b.ci))
	})
}

// GPU is the health of the GPU itself; it is its instances' too.
func (m *Machine) GPU() Health { return m.worst(NoInstance, NoInstance) }

// Instance is the health of a GPU instance apart from its GPU's.
func (m *Machine) Instance(gi uint32) Health { return m.worst(gi, NoInstance) }

// Compute is the health of a compute instance apart from what it is in.
func (m *Machine) Compute(gi, ci uint32) Health { return m.worst(gi, ci) }

// Clear ends every cause that the last probe did not see: an administrator says that the GPU is well.
func (m *Machine) Clear() {
	maps.DeleteFunc(m.causes, func(_ causeKey, c *Cause) bool { return !c.active })
}

// Causes are the causes to store: those that a probe would not tell anew.
func (m *Machine) Causes() (out []Cause) {
	for _, k := range m.keys() {
		if c := m.causes[k]; !c.active {
			out = append(out, *c)
		}
	}
	return out
}
