package partitioner

import (
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/partitioner/plan"
)

// Mode is what configuration makes of a GPU.
type Mode string

// The modes.
const (
	Keep  Mode = "keep"  // left as it is: what exists is offered
	Whole Mode = "whole" // never divided
	MIG   Mode = "mig"   // always in MIG mode, divided on demand
	Auto  Mode = "auto"  // whole at rest, divided on demand where the mode changes without a reset
)

// Settings are the configuration of this package after defaulting and validation: a plain value.
type Settings struct {
	// Rules are asked in order; the first that matches a GPU decides about it. A GPU that none matches is kept as it is.
	Rules  []Rule
	Policy plan.Policy
	// CommonSpares is how many of the most asked-for profiles have one spare each, beside Policy.Spares.
	CommonSpares int
	// IdleTTL is how long an idle instance lives that nobody asks for.
	IdleTTL time.Duration
	// Cooldown is between two changes of a GPU's layout, ModeCooldown between two of its MIG mode, unless demand wants them.
	Cooldown, ModeCooldown time.Duration
	// AgedAfter is how long a pod waits before a place that drains is kept for it.
	AgedAfter time.Duration
	// AllowReset lets a change of mode that needs a reset be asked for; the driver does it where nothing holds the GPU.
	AllowReset bool
	// Evict lets the planner of the cluster evict pods of lower priority that alone are in the way.
	Evict bool
	// DryRun changes nothing and offers what exists.
	DryRun bool
	// OnDemand lets this node serve demand and plan for the cluster.
	OnDemand bool
	// Namespace is where reports, demands and the planner's Lease are; the agent's own.
	Namespace string
	// Label follows the Node's label nvidia.com/mig.config.
	Label bool
	// PartedFile is a file of mig-parted; its configurations are beside those that are made from the hardware. Empty: none.
	PartedFile string
}

// Rule is what holds for some GPUs.
type Rule struct {
	Match gpu.Selector
	Mode  Mode
	// Layout, or the configuration Named, is what these GPUs are to be divided into for good; without both they follow demand.
	Layout []plan.Count
	Named  string
}

// Active reports whether anything is to be changed at all.
func (s Settings) Active() bool {
	for _, r := range s.Rules {
		if r.Mode != Keep && r.Mode != "" || len(r.Layout) > 0 || r.Named != "" {
			return true
		}
	}
	return s.Label
}
