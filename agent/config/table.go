package config

import (
	"slices"
	"strings"
	"time"

	"github.com/gpulet/gpulet/deviceplugin"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/partitioner"
)

// Setting is a row of the table that files, flags, the environment, help texts and the documentation are made of.
type Setting struct {
	// Key is where it stands in the file: "health.quarantine"; [] is each entry of a list, * any key. Empty: not in the file.
	Key string
	// Flag is its name without dashes; empty: there is none.
	Flag string
	// Default is written as after the flag.
	Default string
	// About is one sentence for people.
	About string
	Kind  Kind
	// Values are the valid ones of Enum and Enums.
	Values []string
	// Min and Max bound Int, Ints and Duration.
	Min, Max int64
	// Required: its group must have it.
	Required bool
	// Restart: a change in the file takes effect at the next start of the agent. All others do at once.
	Restart bool

	env   string             // when it is not the flag's name behind GPULET_
	valid func(string) error // of one text
	keys  func(string) error // of the key, where the row's ends in *
	set   func(c *Config, at spot, v values)
}

// spot says which entry of the lists and free keys above a row is meant.
type spot struct {
	rule int
	key  string
}

// Env is the name of the environment variable, empty without a flag.
func (s *Setting) Env() string {
	switch {
	case s.env != "":
		return s.env
	case s.Flag == "":
		return ""
	}
	return "GPULET_" + strings.ToUpper(strings.ReplaceAll(s.Flag, "-", "_"))
}

// Settings are all rows: what is in the file, in its order, then what is not.
func Settings() []Setting { return append(fileSettings(), processSettings()...) }

func fileSettings() []Setting {
	rows := []Setting{
		{
			Key: "version", Kind: Enum, Values: []string{Version}, Required: true,
			About: "The form of this file.",
			set:   func(*Config, spot, values) {},
		},
		{
			Key: "migStrategy", Flag: "mig-strategy", Kind: Enum, Values: []string{"none", "single", "mixed"}, Default: "mixed",
			About: "How MIG devices are named: `mixed` as `nvidia.com/mig-<profile>`, `single` as nvidia.com/gpu where all are of one profile, `none` not at all.",
			set:   func(c *Config, _ spot, v values) { c.Plugin.Strategy = deviceplugin.Strategy(v.text()) },
		},
		{
			Key: "deviceListStrategy", Flag: "device-list-strategy", Kind: Enums, Default: "auto",
			Values: []string{"auto", "cdi-cri", "cdi-annotations", "envvar", "volume-mounts"},
			About:  "How the container runtime is told which devices a container gets. `auto` is cdi-cri, which containerd 2.0, CRI-O 1.24 and later understand.",
			set: func(c *Config, _ spot, v values) {
				c.Plugin.Deliveries = nil
				for _, d := range v {
					if d == "auto" {
						d = string(deviceplugin.CDICRI)
					}
					c.Plugin.Deliveries = append(c.Plugin.Deliveries, deviceplugin.Delivery(d))
				}
			},
		},
		{
			Key: "passDeviceSpecs", Flag: "pass-device-specs", Kind: Bool, Default: "false",
			About: "List device nodes to the kubelet beside envvar and volume-mounts.",
			set:   func(c *Config, _ spot, v values) { c.Plugin.DeviceSpecs = v.bool() },
		},
		{
			Key: "deviceIDStrategy", Flag: "device-id-strategy", Kind: Enum, Values: []string{"uuid", "index"}, Default: "uuid",
			About: "What envvar and volume-mounts name devices by.",
			set:   func(c *Config, _ spot, v values) { c.Plugin.IndexIDs = v.text() == "index" },
		},
		{
			Key: "allocationPolicy", Flag: "allocation-policy", Kind: Enum, Values: []string{"pack", "spread"}, Default: "pack",
			About: "Which GPU small devices are taken from first: the fullest (`pack`) or the emptiest (`spread`).",
			set:   func(c *Config, _ spot, v values) { c.Plugin.Policy = deviceplugin.Policy(v.text()) },
		},
		{
			Key: "ignoreProcesses", Flag: "ignore-processes", Kind: Texts, valid: processName,
			About: "Names of processes on a GPU that never keep a container from starting, such as nvidia-persistenced.",
			set:   func(c *Config, _ spot, v values) { c.Plugin.Ignore = v.texts() },
		},
		{Key: "health", About: "When a GPU is trusted again."},
		{
			Key: "health.interval", Flag: "health-interval", Kind: Duration, Default: "5s", Restart: true,
			Min: int64(100 * time.Millisecond), Max: int64(5 * time.Minute),
			About: "Time between two looks at each GPU; events make the agent look at once.",
			set:   func(c *Config, _ spot, v values) { c.Health.Interval = v.duration() },
		},
		{
			Key: "health.quarantine", Flag: "health-quarantine", Kind: Duration, Default: "30s", Restart: true, Max: int64(24 * time.Hour),
			About: "The least time out of use after an error that needs no reset.",
			set:   func(c *Config, _ spot, v values) { c.Health.Quarantine = v.duration() },
		},
		{
			Key: "health.cleanProbes", Flag: "health-clean-probes", Kind: Int, Default: "3", Restart: true, Min: 1, Max: 1000,
			About: "How many looks in a row must find nothing before a device is given again.",
			set:   func(c *Config, _ spot, v values) { c.Health.CleanProbes = v.int() },
		},
		{
			Key: "health.ignoreXIDs", Flag: "health-ignore-xids", Kind: Ints, Restart: true, Max: 100_000,
			About: "XID errors without effect on health, beside those that the catalogue ignores.",
			set:   func(c *Config, _ spot, v values) { c.Health.IgnoreXIDs = xids(v) },
		},
		{
			Key: "health.fatalXIDs", Flag: "health-fatal-xids", Kind: Ints, Restart: true, Max: 100_000,
			About: "XID errors after which a GPU needs a reset; they win over ignoreXIDs.",
			set:   func(c *Config, _ spot, v values) { c.Health.FatalXIDs = xids(v) },
		},
		{Key: "gpus", About: "Rules for some GPUs, asked in order: the first that matches a GPU decides about it. A GPU without a rule is offered unshared and left as it is."},
		{
			Key: "gpus[]", About: "One rule.",
			set: func(c *Config, _ spot, _ values) {
				c.Plugin.Rules = append(c.Plugin.Rules, deviceplugin.Rule{})
				c.Partition.Rules = append(c.Partition.Rules, partitioner.Rule{Mode: partitioner.Keep})
			},
		},
		{Key: "gpus[].match", About: "Which GPUs it is for: each list must have a match. Without it: all GPUs."},
		{
			Key: "gpus[].match.models", Kind: Texts, valid: pattern,
			About: "Patterns of the product name, upper and lower case alike: `*A100*`.",
			set:   func(c *Config, at spot, v values) { c.match(at, func(s *gpu.Selector) { s.Models = v.texts() }) },
		},
		{
			Key: "gpus[].match.uuids", Kind: Texts, valid: gpuUUID,
			About: "UUIDs of GPUs, as `gpulet status` shows them.",
			set: func(c *Config, at spot, v values) {
				c.match(at, func(s *gpu.Selector) {
					for _, uuid := range v {
						s.UUIDs = append(s.UUIDs, gpu.UUID(uuid))
					}
				})
			},
		},
		{
			Key: "gpus[].match.indexes", Kind: Ints, Max: 1023,
			About: "Positions in the driver's list, from 0.",
			set:   func(c *Config, at spot, v values) { c.match(at, func(s *gpu.Selector) { s.Indexes = v.numbers() }) },
		},
		{
			Key: "gpus[].match.pci", Kind: Texts, valid: pciAddress,
			About: "PCI addresses: `0000:07:00.0`.",
			set: func(c *Config, at spot, v values) {
				c.match(at, func(s *gpu.Selector) {
					for _, address := range v {
						s.PCI = append(s.PCI, gpu.PCIAddress(strings.ToLower(address)))
					}
				})
			},
		},
		{
			Key: "gpus[].exclude", Kind: Bool,
			About: "Keep these GPUs from Kubernetes altogether.",
			set:   func(c *Config, at spot, v values) { c.Plugin.Rules[at.rule].Exclude = v.bool() },
		},
		{Key: "gpus[].names", About: "Other resource names, by the name that a device would have."},
		{
			Key: "gpus[].names.*", Kind: Text, keys: naturalName, valid: deviceplugin.ValidateName,
			About: "The name that pods ask for instead: `nvidia.com/gpu: example.com/big-gpu`.",
			set: func(c *Config, at spot, v values) {
				r := &c.Plugin.Rules[at.rule]
				if r.Names == nil {
					r.Names = map[string]string{}
				}
				r.Names[at.key] = v.text()
			},
		},
		{Key: "gpus[].sharing", About: "Time-slicing, by the name that a device would have without it; `*` is every other name."},
		{
			Key: "gpus[].sharing.*", keys: sharedName, About: "How the devices of one name are shared.",
			set: func(c *Config, at spot, _ values) { c.share(at, func(*deviceplugin.Sharing) {}) },
		},
		{
			Key: "gpus[].sharing.*.replicas", Kind: Int, Required: true, Min: 2, Max: 9999,
			About: "How often each device is offered.",
			set: func(c *Config, at spot, v values) {
				c.share(at, func(s *deviceplugin.Sharing) { s.Replicas = v.int() })
			},
		},
		{
			Key: "gpus[].sharing.*.rename", Kind: Text, valid: deviceplugin.ValidateName,
			About: "The resource name of the replicas: `nvidia.com/gpu.shared`. Without it the name stays.",
			set:   func(c *Config, at spot, v values) { c.share(at, func(s *deviceplugin.Sharing) { s.Rename = v.text() }) },
		},
		{
			Key: "gpus[].sharing.*.failRequestsGreaterThanOne", Kind: Bool,
			About: "Refuse a container that asks for more than one replica: a second gives no more of the GPU.",
			set:   func(c *Config, at spot, v values) { c.share(at, func(s *deviceplugin.Sharing) { s.One = v.bool() }) },
		},
	}
	return slices.Concat(rows, divisionSettings(), partitionSettings(), metricsSettings())
}

// match changes which GPUs a rule is for.
func (c *Config) match(at spot, change func(*gpu.Selector)) {
	change(&c.Plugin.Rules[at.rule].Match)
	change(&c.Partition.Rules[at.rule].Match)
}

// share changes an entry of a rule's sharing.
func (c *Config) share(at spot, change func(*deviceplugin.Sharing)) {
	r := &c.Plugin.Rules[at.rule]
	if r.Sharing == nil {
		r.Sharing = map[string]deviceplugin.Sharing{}
	}
	s := r.Sharing[at.key]
	change(&s)
	r.Sharing[at.key] = s
}

func xids(v values) (out []uint64) {
	for _, n := range v.numbers() {
		out = append(out, uint64(n))
	}
	return out
}
