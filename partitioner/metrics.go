package partitioner

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gpulet/gpulet/gpu"
)

// metrics are this package's collectors.
type metrics struct {
	plan                                  prometheus.Histogram
	offers, slots, fits, demands, trouble *prometheus.GaugeVec
}

func newMetrics() *metrics {
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "gpulet_partition_" + name, Help: help}, labels)
	}
	return &metrics{
		plan: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "gpulet_partition_plan_seconds", Help: "How long it took to make a plan of this node.",
			Buckets: []float64{.0001, .0005, .001, .002, .005, .01, .025, .1, 1},
		}),
		offers:  gauge("offers", "Devices that are on offer to the kubelet, by resource; claimed ones included.", "resource"),
		slots:   gauge("slots", "Slots that exist or are wanted, by profile and state.", "profile", "state"),
		fits:    gauge("fits", "How many devices of a resource there is room for: on the empty node, beside what is in use, beside all offers.", "resource", "beside"),
		demands: gauge("demands", "Pods that this node is asked to serve, by why they wait; empty: their devices are on the way.", "cause"),
		trouble: gauge("trouble", "1 for a GPU that does not become what is wanted, with the class of the reason.", "gpu", "cause"),
	}
}

// show takes over what is so now.
func (m *metrics) show(v *View, offers []gpu.Offer) {
	for _, g := range []*prometheus.GaugeVec{m.offers, m.slots, m.fits, m.demands, m.trouble} {
		g.Reset()
	}
	for r, n := range resources(offers) {
		m.offers.WithLabelValues(r.String()).Set(float64(n))
	}
	for _, g := range v.GPUs {
		for _, s := range g.Slots {
			m.slots.WithLabelValues(s.Slot.Profile.String(), string(s.State)).Inc()
		}
		if g.Trouble != "" {
			m.trouble.WithLabelValues(string(g.UUID), g.Cause).Set(1)
		}
	}
	for _, f := range v.Fits {
		m.fits.WithLabelValues(f.Resource, "nothing").Set(float64(f.Empty))
		m.fits.WithLabelValues(f.Resource, "use").Set(float64(f.Now))
		m.fits.WithLabelValues(f.Resource, "offers").Set(float64(f.After))
	}
	for _, d := range v.Demands {
		m.demands.WithLabelValues(string(d.Cause)).Inc()
	}
}

// Collectors are this package's metrics, for whoever exposes them.
func (p *Partitioner) Collectors() []prometheus.Collector {
	m := p.metrics
	return []prometheus.Collector{m.plan, m.offers, m.slots, m.fits, m.demands, m.trouble}
}
