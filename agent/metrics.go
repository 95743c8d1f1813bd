package agent

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/gpulet/gpulet/gpu"
)

// registry has this agent's metrics. Those of the owner's components come with the lock.
func (a *Agent) registry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), &agentMetrics{a: a},
	)
	return r
}

// agentMetrics are made of the feeds at each scrape.
type agentMetrics struct{ a *Agent }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("gpulet_"+name, help, labels, nil)
}

// Describe implements prometheus.Collector: what there is depends on who has the lock.
func (m *agentMetrics) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (m *agentMetrics) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	snapshot, _ := m.a.monitor.Snapshots().Get()
	state, _ := m.a.config.States().Get()
	o := m.a.owner.Load()
	gauge(desc("build_info", "Which gpulet this is.", "version"), 1, m.a.version)
	gauge(desc("owner", "1 if this agent has the node, 0 while another has it."), is(o != nil))
	gauge(desc("ready", "1 if all that there is to serve is registered."), is(len(m.a.notReady(snapshot)) == 0))
	gauge(desc("config_valid", "1 if the configuration file is what is in force."), is(state.Err == nil))
	gauge(desc("config_loaded_timestamp_seconds", "When the configuration in force was read."), float64(state.Since.Unix()))
	healthy := desc("gpu_health", "The state of each GPU's health: 1 for the one that it is in.", "gpu", "uuid", "state")
	for i := range snapshot.GPUs {
		g := &snapshot.GPUs[i]
		for s := gpu.Healthy; s <= gpu.Recovering; s++ {
			gauge(healthy, is(g.Health.State == s), index(g), string(g.UUID), s.String())
		}
	}
	parts := m.a.cluster.collectors()
	if o != nil {
		parts = append(parts, o.collectors()...)
	}
	for _, c := range parts {
		c.Collect(ch)
	}
}

func is(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func index(g *gpu.GPU) string { return strconv.Itoa(g.Index) }

// collectors are those of the components that the owner runs.
func (o *owner) collectors() []prometheus.Collector {
	return append(o.registrar.Collectors(), o.manager.Collectors()...)
}
