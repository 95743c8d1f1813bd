package fleet

import "github.com/prometheus/client_golang/prometheus"

// reporterMetrics are a node's.
type reporterMetrics struct{ reports *prometheus.CounterVec }

func newReporterMetrics() *reporterMetrics {
	return &reporterMetrics{reports: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gpulet_reports_total", Help: "Reports of this node for the planner of the cluster, by result: written, failed.",
	}, []string{"result"})}
}

func (m *reporterMetrics) wrote(err error) { m.reports.WithLabelValues(result(err)).Inc() }

func result(err error) string {
	if err != nil {
		return "failed"
	}
	return "written"
}

// Collectors are for whoever exposes metrics.
func (r *Reporter) Collectors() []prometheus.Collector {
	return []prometheus.Collector{r.metrics.reports}
}

// leaderMetrics are the planner's.
type leaderMetrics struct {
	leading   prometheus.Gauge
	rounds    prometheus.Counter
	duration  prometheus.Histogram
	waiting   *prometheus.GaugeVec
	demands   *prometheus.CounterVec
	evictions *prometheus.CounterVec
	unread    prometheus.Gauge
}

func newLeaderMetrics() *leaderMetrics {
	return &leaderMetrics{
		leading: prometheus.NewGauge(prometheus.GaugeOpts{Name: "gpulet_planner_leading", Help: "1 while this agent plans for the cluster."}),
		rounds:  prometheus.NewCounter(prometheus.CounterOpts{Name: "gpulet_planner_rounds_total", Help: "Rounds of planning for the cluster."}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "gpulet_planner_round_duration_seconds", Help: "Time of a round, without the writes.",
			Buckets: []float64{.001, .003, .01, .03, .1, .3, 1, 3},
		}),
		waiting: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gpulet_planner_pods_waiting", Help: "Pods that wait for what gpulet serves, by cause.",
		}, []string{"cause"}),
		demands: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gpulet_planner_demands_total", Help: "Demands for nodes, by result: written, failed.",
		}, []string{"result"}),
		evictions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gpulet_planner_evictions_total", Help: "Evictions that were asked for so that a pod of higher priority fits, by result.",
		}, []string{"result"}),
		unread: prometheus.NewGauge(prometheus.GaugeOpts{Name: "gpulet_planner_reports_unread", Help: "Reports that cannot be read."}),
	}
}

// Collectors are for whoever exposes metrics.
func (l *Leader) Collectors() []prometheus.Collector {
	m := l.metrics
	return []prometheus.Collector{m.leading, m.rounds, m.duration, m.waiting, m.demands, m.evictions, m.unread}
}
