package deviceplugin

import "github.com/prometheus/client_golang/prometheus"

// metrics are this package's collectors.
type metrics struct {
	allocations *prometheus.CounterVec
	refusals    *prometheus.CounterVec
	devices     *prometheus.GaugeVec
	withheld    prometheus.Gauge
}

func newMetrics() *metrics {
	return &metrics{
		allocations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gpulet_allocations_total", Help: "Devices given to containers.",
		}, []string{"resource"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gpulet_allocation_refusals_total", Help: "Allocations and container starts that were refused.",
		}, []string{"resource", "reason"}),
		devices: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gpulet_devices", Help: "Devices that are listed with the kubelet, by what they are.",
		}, []string{"resource", "state"}),
		withheld: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gpulet_withheld", Help: "Things that exist and are not offered; status tells why.",
		}),
	}
}

// show counts what a view holds.
func (m *metrics) show(v View) {
	m.devices.Reset()
	for resource, devices := range v.Resources {
		var free, claimed, unhealthy float64
		for _, d := range devices {
			switch {
			case !d.Healthy:
				unhealthy++
			case len(d.Claims) > 0:
				claimed++
			default:
				free++
			}
		}
		m.devices.WithLabelValues(resource, "free").Set(free)
		m.devices.WithLabelValues(resource, "claimed").Set(claimed)
		m.devices.WithLabelValues(resource, "unhealthy").Set(unhealthy)
	}
	m.withheld.Set(float64(len(v.Withheld)))
}

// Collectors are for whoever exposes metrics.
func (m *Manager) Collectors() []prometheus.Collector {
	c := m.desk.metrics
	return []prometheus.Collector{c.allocations, c.refusals, c.devices, c.withheld}
}
