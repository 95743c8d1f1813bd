package expose

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Join makes one page of a registry's families and g's. A name that both have is an error; the registry's family stays.
func Join(registry, g prometheus.Gatherer) prometheus.Gatherer {
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		a, err := registry.Gather()
		b, own := g.Gather()
		merged, clash := merge(a, b)
		return merged, errors.Join(err, own, clash)
	})
}

// merge joins two lists that are sorted by name.
func merge(a, b []*dto.MetricFamily) (out []*dto.MetricFamily, err error) {
	out = make([]*dto.MetricFamily, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch x, y := a[0].GetName(), b[0].GetName(); {
		case x < y:
			out, a = append(out, a[0]), a[1:]
		case x > y:
			out, b = append(out, b[0]), b[1:]
		default:
			err = errors.Join(err, fmt.Errorf("two metric families have the name %s", x))
			b = b[1:]
		}
	}
	return append(append(out, a...), b...), err
}
