package apiserver

import "github.com/prometheus/client_golang/prometheus"

// The kinds of writes, as they are counted.
const (
	writeResources = "resources"
	writeEvent     = "event"
	writeLabel     = "label"
	writeCondition = "condition"
	writeReport    = "report"
	writeDemand    = "demand"
	writeLease     = "lease"
	writeEviction  = "eviction"
)

// writes counts what this process asks the API server to change: the rate of all is the load that it makes there.
type writes struct{ *prometheus.CounterVec }

func newWrites() writes {
	return writes{prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "gpulet", Subsystem: "apiserver", Name: "writes_total",
		Help: "Requests to the API server that change something, by kind (resources, event, label, condition, report, demand, lease, " +
			"eviction) and result (written, failed).",
	}, []string{"kind", "result"})}
}

// did counts a request that was made, and gives its error back.
func (w writes) did(kind string, err error) error {
	result := "written"
	if err != nil {
		result = "failed"
	}
	w.WithLabelValues(kind, result).Inc()
	return err
}
