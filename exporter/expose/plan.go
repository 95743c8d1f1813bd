package expose

import (
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"

	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
)

// maxKept bounds the label sets that a plan keeps of families whose labels change by themselves, such as a reason.
const maxKept = 1 << 14

// plan is what stays from scrape to scrape: which families there are, and the labels of each entity.
type plan struct {
	generation uint64
	options    Options
	driver     string   // its version
	texts      []string // of the fields that are labels, by field and GPU
	pairs      pairs
	entities   []entity
	at         map[gpu.Entity]int // places of the entities
	columns    []*column          // sorted by name
	missing    []asked            // what gpu_field_unavailable looks for
	scrapes    uint64
	kept       int
}

// column is one metric family of the page.
type column struct {
	name, help *string
	kind       *dto.MetricType
	write      func(*page, *column)

	// Of a DCGM field:
	field asked
	later bool // names and units of the dcgm47 profile

	// Of a family of gpulet's own:
	labels []string
	series map[string]*series

	size int // series of the last page
}

// series is the label set of an own family, and its place on the page of a scrape.
type series struct {
	labels []*dto.LabelPair
	scrape uint64
	at     int
}

// fits says whether the plan still holds.
func (p *plan) fits(set *sample.Set, options Options) bool {
	return p.generation == set.Generation && p.kept < maxKept && p.options.equal(options) && slices.Equal(p.texts, texts(set, options))
}

func newPlan(set *sample.Set, options Options, own []family.Own, driver string) *plan {
	options.Fields = slices.Clone(options.Fields)
	p := &plan{generation: set.Generation, options: options, driver: driver, texts: texts(set, options), pairs: pairs{}}
	p.entities = newEntities(p.pairs, set, options, driver)
	p.at = make(map[gpu.Entity]int, len(p.entities))
	for i := range p.entities {
		p.at[p.entities[i].id] = i
	}
	names := map[string]bool{}
	for i := range options.Fields {
		p.addField(&options.Fields[i], names)
	}
	write := emitters()
	for i := range own {
		if o := &own[i]; write[o.Name] != nil && !names[o.Name] {
			p.columns = append(p.columns, &column{
				name: &o.Name, help: &o.Help, kind: kind(o.Type), write: write[o.Name], labels: o.Labels, series: map[string]*series{},
			})
		}
	}
	slices.SortFunc(p.columns, func(a, b *column) int { return strings.Compare(*a.name, *b.name) })
	return p
}

// addField adds the families of a field. A name is there once: where both profiles share it, the classic unit stays.
func (p *plan) addField(f *family.Selected, names map[string]bool) {
	if f.Type != family.Label {
		if p.options.Profile != family.DCGM47 {
			p.addColumn(f, &f.Classic, false, names)
		}
		if p.options.Profile == family.DCGM47 || p.options.Profile == family.Both {
			p.addColumn(f, &f.Later, true, names)
		}
	}
	name := f.Classic
	if p.options.Profile == family.DCGM47 {
		name = f.Later
	}
	if f.Field != family.DriverVersion && !slices.ContainsFunc(p.missing, func(a asked) bool { return a.field == f.Field }) {
		p.missing = append(p.missing, newAsked(f, name))
	}
}

func (p *plan) addColumn(f *family.Selected, name *string, later bool, names map[string]bool) {
	if *name == "" || names[*name] {
		return
	}
	names[*name] = true
	help := clean(f.HelpIn(later))
	p.columns = append(p.columns, &column{
		name: name, help: &help, kind: kind(f.Type), write: (*page).writeField, field: newAsked(f, *name), later: later,
	})
}

func kind(t family.Type) *dto.MetricType {
	switch t {
	case family.Counter:
		return dto.MetricType_COUNTER.Enum()
	case family.Histogram:
		return dto.MetricType_HISTOGRAM.Enum()
	default:
		return dto.MetricType_GAUGE.Enum()
	}
}

// equal compares all that a plan is made of.
func (o Options) equal(other Options) bool {
	return o.Node == other.Node && o.Profile == other.Profile && o.Hostname == other.Hostname && o.OldNamespace == other.OldNamespace &&
		o.DriverLabel == other.DriverLabel && o.Repeat == other.Repeat && o.Synthesize == other.Synthesize && slices.Equal(o.Fields, other.Fields)
}
