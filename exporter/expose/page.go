package expose

import (
	"math"

	dto "github.com/prometheus/client_model/go"

	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
)

// page is one scrape in the making. Its metrics are cut from a few large pieces of memory, not made one by one.
type page struct {
	plan     *plan
	set      *sample.Set
	values   []map[gpu.Field]sample.Value // by entity of the plan
	uses     map[user]use                 // of the containers that share an entity
	out      []*dto.Metric                // of the column at hand
	gauges   []gaugeCell
	counters []counterCell
	scratch  []byte
}

type gaugeCell struct {
	metric dto.Metric
	gauge  dto.Gauge
	value  float64
}

type counterCell struct {
	metric  dto.Metric
	counter dto.Counter
	value   float64
}

// cells is how many metrics are made at once.
const cells = 128

func newPage(p *plan, set *sample.Set) *page {
	p.scrapes++
	b := &page{plan: p, set: set, values: make([]map[gpu.Field]sample.Value, len(p.entities))}
	for i := range p.entities {
		b.values[i] = set.Values[p.entities[i].id]
	}
	b.uses = b.sharedUse()
	return b
}

// families writes all columns; those without series are left out.
func (p *page) families() []*dto.MetricFamily {
	store := make([]dto.MetricFamily, len(p.plan.columns))
	out := make([]*dto.MetricFamily, 0, len(p.plan.columns))
	for i, c := range p.plan.columns {
		p.out = make([]*dto.Metric, 0, c.size)
		c.write(p, c)
		c.size = len(p.out)
		if c.size == 0 {
			continue
		}
		f := &store[i]
		f.Name, f.Help, f.Type, f.Metric = c.name, c.help, c.kind, p.out
		out = append(out, f)
	}
	return out
}

// add puts a series on the page unless its value is no number.
func (p *page) add(c *column, labels []*dto.LabelPair, value float64) bool {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return false
	}
	var m *dto.Metric
	if *c.kind == dto.MetricType_COUNTER {
		if len(p.counters) == 0 {
			p.counters = make([]counterCell, cells)
		}
		cell := &p.counters[0]
		p.counters = p.counters[1:]
		cell.value = value
		cell.counter.Value = &cell.value
		m = &cell.metric
		m.Counter = &cell.counter
	} else {
		if len(p.gauges) == 0 {
			p.gauges = make([]gaugeCell, cells)
		}
		cell := &p.gauges[0]
		p.gauges = p.gauges[1:]
		cell.value = value
		cell.gauge.Value = &cell.value
		m = &cell.metric
		m.Gauge = &cell.gauge
	}
	m.Label = labels
	p.out = append(p.out, m)
	return true
}
