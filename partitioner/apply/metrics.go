package apply

import "github.com/prometheus/client_golang/prometheus"

// metrics are this package's collectors.
type metrics struct {
	creates, destroys, modes, refusals *prometheus.CounterVec
	calls                              *prometheus.HistogramVec
}

func newMetrics() *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gpulet_partition_" + name, Help: help}, labels)
	}
	return &metrics{
		creates:  counter("creates_total", "GPU instances that were to be created, by what became of it.", "result", "cause"),
		destroys: counter("destroys_total", "GPU instances that were to be destroyed, by what became of it.", "result", "cause"),
		modes:    counter("mode_changes_total", "Changes of a GPU's MIG mode, by what became of it.", "result", "cause"),
		refusals: counter("refusals_total", "Steps of a plan that were not done, by why.", "cause"),
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gpulet_partition_call_seconds", Help: "How long the driver took for one call.",
			Buckets: []float64{.001, .005, .02, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"call"}),
	}
}

// count counts what became of something.
func count(c *prometheus.CounterVec, r *RefusalError) {
	if r == nil {
		c.WithLabelValues("done", "").Inc()
		return
	}
	c.WithLabelValues("refused", string(r.Cause)).Inc()
}

// Collectors are the metrics of the executor.
func (e *Executor) Collectors() []prometheus.Collector {
	m := e.metrics
	return []prometheus.Collector{m.creates, m.destroys, m.modes, m.refusals, m.calls}
}
