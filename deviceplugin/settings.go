package deviceplugin

import "github.com/gpulet/gpulet/gpu"

// Strategy says how MIG devices are named, with the incumbent's words.
type Strategy string

// The MIG strategies.
const (
	StrategyNone   Strategy = "none"   // GPUs in MIG mode are not divided for pods: their devices are withheld with a reason
	StrategySingle Strategy = "single" // MIG devices of one profile are nvidia.com/gpu
	StrategyMixed  Strategy = "mixed"  // MIG devices are nvidia.com/mig-<profile>
)

// Delivery is a way to tell a container runtime which devices a container gets, with the incumbent's words.
type Delivery string

// The deliveries.
const (
	CDICRI         Delivery = "cdi-cri"
	CDIAnnotations Delivery = "cdi-annotations"
	EnvVar         Delivery = "envvar"
	VolumeMounts   Delivery = "volume-mounts"
)

// Policy chooses between equally good GPUs for small devices.
type Policy string

// The policies.
const (
	Pack   Policy = "pack"   // fill the fullest physical GPU first
	Spread Policy = "spread" // take the emptiest first
)

// Settings are the configuration of this package after defaulting and validation: a plain value.
type Settings struct {
	Strategy    Strategy
	Deliveries  []Delivery // at least one
	DeviceSpecs bool       // list device nodes in the answer beside envvar and volume-mounts
	IndexIDs    bool       // name devices to envvar and volume-mounts by index instead of UUID
	Policy      Policy
	// Rules are asked in order; the first that matches a GPU decides about it. A GPU that none matches is offered unshared.
	Rules []Rule
	// Ignore lists process names that never block a PreStart (an allow-list, such as "nvidia-persistenced").
	Ignore []string
}

// Rule is what holds for some GPUs.
type Rule struct {
	Match gpu.Selector
	// Exclude keeps these GPUs from Kubernetes altogether.
	Exclude bool
	// Names renames resources: from the name that a device would have ("nvidia.com/gpu", "nvidia.com/mig-1g.10gb") to another.
	Names map[string]string
	// Sharing by the name that a device would have without sharing; the key "*" holds for all that is not named.
	Sharing map[string]Sharing
}

// Sharing is time-slicing: each device is offered so many times.
type Sharing struct {
	Replicas int // at least 2
	// Rename is the resource of the replicas; empty: the name stays.
	Rename string
	// One refuses more than one replica for a container: a second does not give more of the GPU.
	One bool
}
