package plugin

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are owned by one Registrar.
type metrics struct {
	calls         *prometheus.HistogramVec
	failures      *prometheus.CounterVec
	registered    *prometheus.GaugeVec
	registrations *prometheus.CounterVec
	mismatches    *prometheus.CounterVec
}

func newMetrics() *metrics {
	const ns, sub = "gpulet", "device_plugin"
	return &metrics{
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: ns, Subsystem: sub, Name: "call_duration_seconds",
			Help:    "How long calls of the kubelet took.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .5, 1, 5, 30},
		}, []string{"resource", "method"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: ns, Subsystem: sub, Name: "call_failures_total",
			Help: "Calls of the kubelet that were answered with an error.",
		}, []string{"resource", "method"}),
		registered: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: ns, Subsystem: sub, Name: "registered",
			Help: "1 while the kubelet has accepted the resource and listens to its list.",
		}, []string{"resource"}),
		registrations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: ns, Subsystem: sub, Name: "registrations_total",
			Help: "Registrations that succeeded.",
		}, []string{"resource"}),
		mismatches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: ns, Subsystem: sub, Name: "view_mismatches_total",
			Help: "Looks at which the kubelet listed other devices than were sent to it.",
		}, []string{"resource"}),
	}
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.calls, m.failures, m.registered, m.registrations, m.mismatches}
}

func (m *metrics) call(resource, method string, took time.Duration, err error) {
	m.calls.WithLabelValues(resource, method).Observe(took.Seconds())
	if err != nil {
		m.failures.WithLabelValues(resource, method).Inc()
	}
}
