package config

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gpulet/gpulet/deviceplugin"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/partitioner"
	"github.com/gpulet/gpulet/partitioner/plan"
)

// maxSpares is how many spares a plan looks at.
const maxSpares = 16

// divisionSettings are the rows of how the GPUs of a rule are divided.
func divisionSettings() []Setting {
	return []Setting{
		{
			Key: "gpus[].mode", Kind: Enum, Values: []string{"keep", "whole", "mig", "auto"},
			About: "Not in force yet, like layout and config: see partition. How these GPUs are divided. `keep`, the default: not at all, what exists is offered; `whole`: never; `mig`: MIG mode stays on and instances follow demand; " +
				"`auto`: whole at rest and divided on demand, where the MIG mode changes without a reset.",
			set: func(c *Config, at spot, v values) { c.Partition.Rules[at.rule].Mode = partitioner.Mode(v.text()) },
		},
		{Key: "gpus[].layout", About: "What each of these GPUs is divided into for good, by profile, instead of on demand."},
		{
			Key: "gpus[].layout.*", Kind: Int, Min: 1, Max: 64, keys: instanceProfile,
			About: "How many instances of the profile: `1g.10gb: 7`.",
			set: func(c *Config, at spot, v values) {
				r := &c.Partition.Rules[at.rule]
				r.Layout = append(r.Layout, counted(at.key, v))
			},
		},
		{
			Key: "gpus[].config", Kind: Text, valid: configName,
			About: "The same by the name of a configuration: one of partition.configFile or one that is made from the hardware, such as `all-1g.10gb`, `all-balanced` and `all-disabled`.",
			set:   func(c *Config, at spot, v values) { c.Partition.Rules[at.rule].Named = v.text() },
		},
	}
}

// partitionSettings are the rows of how a node's GPUs are divided together.
func partitionSettings() []Setting {
	row := func(s Setting, set func(p *partitioner.Settings, v values)) Setting {
		s.Flag, s.set = "partition-"+s.Flag, func(c *Config, _ spot, v values) { set(&c.Partition, v) }
		s.About += " Not in force yet."
		return s
	}
	span := func(key, flag, def, about string, set func(p *partitioner.Settings, d time.Duration)) Setting {
		return row(Setting{Key: "partition." + key, Flag: flag, Kind: Duration, Default: def, Max: int64(7 * 24 * time.Hour), About: about},
			func(p *partitioner.Settings, v values) { set(p, v.duration()) })
	}
	flag := func(key, flag, def, about string, set func(p *partitioner.Settings, on bool)) Setting {
		return row(Setting{Key: "partition." + key, Flag: flag, Kind: Bool, Default: def, About: about},
			func(p *partitioner.Settings, v values) { set(p, v.bool()) })
	}
	namespace := row(Setting{
		Key: "partition.namespace", Flag: "namespace", Kind: Text, Default: "gpulet", Restart: true, valid: namespaceName,
		About: "The namespace in which the agents tell each other of their nodes and of pods that wait; their own.",
	}, func(p *partitioner.Settings, v values) { p.Namespace = v.text() })
	namespace.env = "POD_NAMESPACE"
	return []Setting{
		{Key: "partition", About: "How GPUs are divided. Which GPUs: gpus[].mode, layout and config. None of this is in force yet: the agent checks it, offers what exists, and says so in its status."},
		row(Setting{
			Key: "partition.allowedProfiles", Flag: "allowed-profiles", Kind: Texts, valid: instanceProfile,
			About: "The profiles that may be made on demand. Empty: all. Instances of others that exist are used.",
		}, func(p *partitioner.Settings, v values) {
			p.Policy.Allowed = nil
			for _, name := range v {
				profile, _ := mig.ParseProfile(name)
				p.Policy.Allowed = append(p.Policy.Allowed, profile)
			}
		}),
		row(Setting{
			Key: "partition.keepWhole", Flag: "keep-whole", Kind: Int, Default: "0", Max: 1024,
			About: "How many GPUs of the node stay whole, those that pods have as a whole included.",
		}, func(p *partitioner.Settings, v values) { p.Policy.KeepWhole = v.int() }),
		{Key: "partition.spares", About: "Idle instances to be had in advance, by profile, where there is room; 16 at most."},
		{
			Key: "partition.spares.*", Kind: Int, Max: maxSpares, keys: instanceProfile, About: "How many of the profile: `1g.10gb: 2`.",
			set: func(c *Config, at spot, v values) {
				c.Partition.Policy.Spares = append(c.Partition.Policy.Spares, counted(at.key, v))
			},
		},
		{Key: "partition.weights", About: "How much it is worth that another device of a profile would still fit, beside its size; 1 where nothing is said."},
		{
			Key: "partition.weights.*", Kind: Int, Max: 1000, keys: instanceProfile, About: "The weight of the profile: `3g.40gb: 5`.",
			set: func(c *Config, at spot, v values) {
				c.Partition.Policy.Weights = append(c.Partition.Policy.Weights, counted(at.key, v))
			},
		},
		row(Setting{
			Key: "partition.commonSpares", Flag: "common-spares", Kind: Int, Default: "0", Max: maxSpares,
			About: "How many of the profiles that are asked for most have one spare each, beside spares.",
		}, func(p *partitioner.Settings, v values) { p.CommonSpares = v.int() }),
		span("idleTTL", "idle-ttl", "60s", "How long an instance stays that was made on demand and that nobody uses or asks for.",
			func(p *partitioner.Settings, d time.Duration) { p.IdleTTL = d }),
		span("cooldown", "cooldown", "5s", "The least time between two changes of a GPU's instances that no pod waits for.",
			func(p *partitioner.Settings, d time.Duration) { p.Cooldown = d }),
		span("modeCooldown", "mode-cooldown", "2m", "The least time between two changes of a GPU's MIG mode that no pod waits for.",
			func(p *partitioner.Settings, d time.Duration) { p.ModeCooldown = d }),
		span("agedAfter", "aged-after", "5m", "How long a pod waits until a place that becomes free bit by bit is kept for it.",
			func(p *partitioner.Settings, d time.Duration) { p.AgedAfter = d }),
		flag("allowReset", "allow-reset", "false", "Ask for a change of MIG mode that needs a reset of the GPU, as on A100. The driver does it where nothing uses the GPU.",
			func(p *partitioner.Settings, on bool) { p.AllowReset = on }),
		flag("evict", "evict", "false", "Evict the fewest pods of lower priority where they alone are in the way of a pod. Their disruption budgets are respected.",
			func(p *partitioner.Settings, on bool) { p.Evict = on }),
		flag("dryRun", "dry-run", "false", "Only say what would be done: nothing is changed, and what exists is offered.",
			func(p *partitioner.Settings, on bool) { p.DryRun = on }),
		flag("onDemand", "on-demand", "true", "Serve pods that wait, and take part in planning for the cluster. Without it only layouts and commands are followed.",
			func(p *partitioner.Settings, on bool) { p.OnDemand = on }),
		namespace,
		flag("followLabel", "follow-label", "false", "Follow the Node's label `nvidia.com/mig.config`, as mig-manager does. A label that is left from then takes effect at once.",
			func(p *partitioner.Settings, on bool) { p.Label = on }),
		row(Setting{
			Key: "partition.configFile", Flag: "config-file", Kind: Text, valid: absolute,
			About: "A file of mig-parted, form v1, whose configurations gpus[].config and the label can name beside those that are made from the hardware.",
		}, func(p *partitioner.Settings, v values) { p.PartedFile = v.text() }),
	}
}

// counted is a number of a profile whose name was checked.
func counted(profile string, v values) plan.Count {
	p, _ := mig.ParseProfile(profile)
	return plan.Count{Profile: p, Count: v.int()}
}

// instanceProfile accepts the profiles of GPU instances.
func instanceProfile(s string) error {
	p, err := mig.ParseProfile(s)
	if err != nil {
		return err
	}
	if p.IsSlice() {
		return fmt.Errorf("%q is a part of a GPU instance, and instances are made undivided: want %s", s, p.Instance())
	}
	return nil
}

func configName(s string) error {
	if strings.TrimSpace(s) != s {
		return errors.New("want the name of a configuration such as all-balanced")
	}
	return nil
}

// divided checks how GPUs are divided.
func (c *Config) divided(at func(path string) Origin) (out ProblemsError) {
	report := func(r route, format string, args ...any) {
		out = append(out, Problem{at(r.String()), r.String(), fmt.Sprintf(format, args...)})
	}
	set := func(r route) bool { return at(r.String()) != Origin{} }
	for i, r := range c.Partition.Rules {
		rule := route{"gpus", i}
		mode, layout, named := rule.to("mode"), rule.to("layout"), rule.to("config")
		if set(layout) && len(r.Layout) == 0 {
			report(layout, "it is empty: want a profile and its number, such as 1g.10gb: 7; for none at all leave it out")
		}
		if set(layout) && set(named) {
			report(named, "it is there beside layout, and both say what these GPUs are divided into: want one of them")
		}
		for _, way := range []route{layout, named} {
			if set(way) && set(mode) && r.Mode != partitioner.MIG {
				report(way, "it means nothing with mode %s: want mode mig, or leave the mode out", r.Mode)
			}
		}
		if c.Plugin.Rules[i].Exclude && (set(mode) || set(layout) || set(named)) {
			report(rule, "mode, layout and config mean nothing for GPUs that are excluded")
		}
		if s := c.Plugin.Strategy; s != deviceplugin.StrategyMixed && (r.Mode == partitioner.MIG || r.Mode == partitioner.Auto) && set(mode) {
			why := "MIG devices are not offered to pods"
			if s == deviceplugin.StrategySingle {
				why = "all MIG devices have one name, by which no pod can ask for a profile"
			}
			report(mode, "%s needs migStrategy mixed: with %s %s", r.Mode, s, why)
		}
	}
	if c.Partition.Namespace == "" {
		report(route{"partition", "namespace"}, "it is empty: want the agents' own namespace")
	}
	spares := 0
	for _, s := range c.Partition.Policy.Spares {
		spares += s.Count
	}
	if spares > maxSpares {
		report(route{"partition", "spares"}, "they are %d together: want %d at most", spares, maxSpares)
	}
	return out
}
