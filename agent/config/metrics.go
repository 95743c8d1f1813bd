package config

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/gpulet/gpulet/exporter"
	"github.com/gpulet/gpulet/exporter/expose"
	"github.com/gpulet/gpulet/exporter/family"
)

// Metrics is what is exported and where it comes from.
type Metrics struct {
	exporter.Settings
	// Collectors is the path of a collectors file; empty: the fields that dcgm-exporter exports by default.
	Collectors string
}

// metricsSettings are the rows of what is exported.
func metricsSettings() []Setting {
	row := func(s Setting, set func(m *Metrics, v values)) Setting {
		s.Flag, s.set = "metrics-"+s.Flag, func(c *Config, _ spot, v values) { set(&c.Metrics, v) }
		return s
	}
	collectors := row(Setting{
		Key: "metrics.collectors", Kind: Text, valid: absolute,
		About: "A collectors file of dcgm-exporter: which fields are exported. Empty: those of dcgm-exporter's own defaults. A change of its content is applied at once.",
	}, func(m *Metrics, v values) { m.Collectors = v.text() })
	collectors.Flag = "collectors"
	return []Setting{
		{Key: "metrics", About: "What /metrics tells of the GPUs. docs/metrics.md lists the families."},
		row(Setting{
			Key: "metrics.source", Flag: "source", Kind: Enum, Values: []string{"auto", "nvml", "dcgm", "off"}, Default: "auto",
			About: "Where measurements come from. `auto`: NVML, and DCGM where it is installed for what NVML does not have; `dcgm`: DCGM first; `off`: nothing is measured.",
		}, func(m *Metrics, v values) {
			m.Off = v.text() == "off"
			m.Source = exporter.SourceChoice(v.text())
		}),
		row(Setting{
			Key: "metrics.profile", Flag: "profile", Kind: Enum, Values: []string{"classic", "dcgm47", "both"}, Default: "classic",
			About: "Names and units of DCGM's fields: `classic` as before DCGM 4.6, `dcgm47` as from dcgm-exporter 4.9, `both` at once.",
		}, func(m *Metrics, v values) { m.Expose.Profile = family.Profile(v.text()) }),
		collectors,
		row(Setting{
			Key: "metrics.hostname", Flag: "hostname", Kind: Enum, Values: []string{"Hostname", "hostname", "both", "none"}, Default: "Hostname",
			About: "How the label with the node's name is spelt.",
		}, func(m *Metrics, v values) { m.Expose.Hostname = expose.HostnameLabel(v.text()) }),
		row(Setting{
			Key: "metrics.oldNamespace", Flag: "old-namespace", Kind: Bool, Default: "false",
			About: "Spell the labels pod_name, pod_namespace, container_name and uuid, as dcgm-exporter's old namespace does.",
		}, func(m *Metrics, v values) { m.Expose.OldNamespace = v.bool() }),
		row(Setting{
			Key: "metrics.driverLabel", Flag: "driver-label", Kind: Bool, Default: "true",
			About: "Put the driver's version on each series of DCGM's fields.",
		}, func(m *Metrics, v values) { m.Expose.DriverLabel = v.bool() }),
		row(Setting{
			Key: "metrics.repeat", Flag: "repeat", Kind: Bool, Default: "false",
			About: "Give what is measured of a whole GPU again for each of its instances, as dcgm-exporter does.",
		}, func(m *Metrics, v values) { m.Expose.Repeat = v.bool() }),
		row(Setting{
			Key: "metrics.synthesize", Flag: "synthesize", Kind: Bool, Default: "true",
			About: "Make DCGM_FI_DEV_GPU_UTIL of a GPU instance from DCGM_FI_PROF_GR_ENGINE_ACTIVE, so that one rule scales pods on whole, divided and shared GPUs.",
		}, func(m *Metrics, v values) { m.Expose.Synthesize = v.bool() }),
		row(Setting{
			Key: "metrics.interval", Flag: "interval", Kind: Duration, Default: "1s", Min: int64(100 * time.Millisecond), Max: int64(10 * time.Second),
			About: "Time between two readings of what changes fast; slower things are read each 2 and 15 s.",
		}, func(m *Metrics, v values) { m.Fast = v.duration() }),
		row(Setting{
			Key: "metrics.idleBelow", Flag: "idle-below", Kind: Number, Default: "0.05", Max: 1,
			About: "The part of the time (0 to 1) below which a device that a pod has counts as idle.",
		}, func(m *Metrics, v values) { m.IdleBelow = v.number() }),
		row(Setting{
			Key: "metrics.capacityType", Flag: "capacity-type", Kind: Text,
			About: "What kind of capacity this node is, such as spot, for the prices.",
		}, func(m *Metrics, v values) { m.CapacityType = v.text() }),
		{Key: "metrics.dcgm", About: "How DCGM is reached. It runs in a process of its own."},
		row(Setting{
			Key: "metrics.dcgm.host", Flag: "dcgm-host", Restart: true, Kind: Text, valid: engineAddress,
			About: "A host engine: `tcp://host:5555` or `unix:///path`. Empty: an engine inside the agent's DCGM process.",
		}, func(m *Metrics, v values) { m.DCGM.Host = v.text() }),
		row(Setting{
			Key: "metrics.dcgm.library", Flag: "dcgm-library", Restart: true, Kind: Text, valid: absolute,
			About: "Path of libdcgm.so.4; empty: as the loader finds it, then below driver-root.",
		}, func(m *Metrics, v values) { m.DCGM.Library = v.text() }),
		row(Setting{
			Key: "metrics.dcgm.memoryMiB", Flag: "dcgm-memory-mib", Restart: true, Kind: Int, Default: "512", Min: 64, Max: 64 << 10,
			About: "The most memory that the DCGM process may use; above that it is started anew.",
		}, func(m *Metrics, v values) { m.DCGM.Memory = uint64(v.int()) << 20 }),
		{Key: "metrics.prices", About: "What devices cost, asked in order: the first that fits a device decides. Without one there is no gpu_cost_dollars_total."},
		{
			Key: "metrics.prices[]", About: "One price.",
			set: func(c *Config, _ spot, _ values) { c.Metrics.Prices = append(c.Metrics.Prices, exporter.Price{}) },
		},
		{
			Key: "metrics.prices[].model", Kind: Text, Required: true, valid: pattern,
			About: "Pattern of the product name, upper and lower case alike: `*A100*`.",
			set:   func(c *Config, at spot, v values) { c.Metrics.Prices[at.rule].Model = v.text() },
		},
		{
			Key: "metrics.prices[].profile", Kind: Text, valid: pattern,
			About: "Pattern of the MIG profile: `1g.*`. Without it the price is that of a whole GPU.",
			set:   func(c *Config, at spot, v values) { c.Metrics.Prices[at.rule].Profile = v.text() },
		},
		{
			Key: "metrics.prices[].capacityType", Kind: Text,
			About: "The kind of capacity that it holds for; without it all.",
			set:   func(c *Config, at spot, v values) { c.Metrics.Prices[at.rule].CapacityType = v.text() },
		},
		{
			Key: "metrics.prices[].dollarsPerHour", Kind: Number, Required: true, Max: 1_000_000,
			About: "For one device. Containers that share it divide the price.",
			set:   func(c *Config, at spot, v values) { c.Metrics.Prices[at.rule].DollarsPerHour = v.number() },
		},
	}
}

// engineAddress accepts what dcgm-exporter takes, and URIs.
func engineAddress(s string) error {
	wrong := fmt.Errorf("%q: want tcp://host:5555, unix:///path or host:5555", s)
	if path, ok := strings.CutPrefix(s, "unix://"); ok {
		return absolute(path)
	}
	host := strings.TrimPrefix(s, "tcp://")
	if u, err := url.Parse("tcp://" + host); err != nil || u.Hostname() == "" || u.Path != "" {
		return wrong
	}
	return nil
}
