package expose

import (
	"math"

	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
)

const mib = 1 << 20

// asked is a selected field, with what it takes to find and write its values.
type asked struct {
	field gpu.Field
	name  string
	level family.Level
	label bool
	// The later unit is the classic one times factor, divided by divisor: a division by 100 is exact where 0.01 is not.
	factor, divisor float64
}

func newAsked(f *family.Selected, name string) asked {
	a := asked{field: f.Field, name: name, level: f.Level, label: f.Type == family.Label, factor: 1, divisor: 1}
	if f.Field == family.XIDErrors { // errors are told of the GPU, whichever of its instances they hit
		a.level = family.LevelGPU
	}
	switch {
	case f.Scale > 0 && f.Scale < 1:
		a.divisor = 1 / f.Scale
		if round := math.Round(a.divisor); math.Abs(a.divisor-round) < 1e-6*round {
			a.divisor = round
		}
	case f.Scale > 0:
		a.factor = f.Scale
	}
	return a
}

// reading is what there is of a field for one entity.
type reading struct {
	// applies: this entity is to have the field. repeated: it is its GPU's, given again.
	applies, repeated bool
	value             float64
	absent            gpu.AbsenceCode // why there is no value; empty when there is one
}

// percent of a ratio, to a hundredth: what is more is the noise of a sum.
func percent(ratio float64) float64 { return math.Round(ratio*1e4) / 100 }

// read finds the value of a field for an entity of the plan.
// Fields with a level of their own are the instances' in MIG mode, the others are the GPU's.
func (p *page) read(a asked, at int) reading {
	e := &p.plan.entities[at]
	instance := e.whole != at
	synthesized := a.field == family.GPUUtil && e.divided && p.plan.options.Synthesize
	switch {
	case instance && synthesized:
		value, absent := p.set.Utilization(e.id)
		return known(reading{applies: true, value: percent(value), absent: code(absent)})
	case a.level != family.LevelGPU:
		if e.divided != instance {
			return reading{}
		}
		return p.stored(a, at)
	case instance && p.plan.options.Repeat:
		r := p.stored(a, e.whole)
		r.repeated = true
		return r
	case instance:
		return reading{}
	}
	r := p.stored(a, at)
	if synthesized && r.absent != "" { // it is not there in MIG mode, and nobody misses it
		return reading{}
	}
	return r
}

func (p *page) stored(a asked, at int) reading {
	v, ok := p.values[at][a.field]
	if !ok {
		return reading{applies: true, absent: gpu.NoData}
	}
	r := reading{applies: true, value: v.V, absent: code(v.Absent)}
	if a.label {
		if v.Text == "" && r.absent == "" {
			r.absent = gpu.NoData
		}
		return r
	}
	return known(r)
}

// known makes an absence of a value that is no number.
func known(r reading) reading {
	if r.absent == "" && !finite(r.value) {
		r.absent = gpu.Failed
	}
	return r
}

func code(a *gpu.Absence) gpu.AbsenceCode {
	switch {
	case a == nil:
		return ""
	case a.Code == "":
		return gpu.Failed
	default:
		return a.Code
	}
}

// writeField writes one family of a DCGM field.
func (p *page) writeField(c *column) {
	profile := 0
	if c.later {
		profile = 1
	}
	scaled := func(v float64) float64 {
		if c.later {
			v = v * c.field.factor / c.field.divisor
		}
		return v
	}
	for i := range p.plan.entities {
		r := p.read(c.field, i)
		if !r.applies || r.absent != "" {
			continue
		}
		e := &p.plan.entities[i]
		rest, shared := r.value, false
		if !r.repeated {
			for _, s := range e.sharers {
				if part, ok := p.part(c.field.field, s.use); ok && p.add(c, s.labels[profile], scaled(part)) {
					rest, shared = rest-part, true
				}
			}
		}
		if shared && rest < 1e-9*r.value { // also what floating point leaves of nothing
			rest = 0
		}
		p.add(c, e.labels[profile], scaled(rest))
	}
}

// part is a container's part of a field, in the field's classic unit; false for fields that have no parts.
func (p *page) part(f gpu.Field, u user) (float64, bool) {
	use, ok := p.uses[u]
	if !ok {
		return 0, false
	}
	switch f {
	case family.GPUUtil:
		return use.utilization * 100, use.measured
	case family.FBUsed:
		return use.memory / mib, use.counted
	default:
		return 0, false
	}
}

// use is what a container uses of an entity. Both parts are finite.
type use struct {
	measured, counted   bool
	utilization, memory float64
}

// sharedUse indexes the shares of entities that several containers use.
func (p *page) sharedUse() map[user]use {
	var out map[user]use
	for i := range p.plan.entities {
		if len(p.plan.entities[i].sharers) > 0 {
			out = make(map[user]use, len(p.set.Shares))
			break
		}
	}
	if out == nil {
		return nil
	}
	for i := range p.set.Shares {
		s := &p.set.Shares[i]
		u := newUser(s.Entity, s.Container)
		out[u] = out[u].plus(s.Part)
	}
	return out
}

func (u use) plus(part sample.Part) use {
	if sum := u.utilization + part.Utilization; part.NoUtil == nil && finite(sum) {
		u.measured, u.utilization = true, sum
	}
	if sum := u.memory + part.MemoryBytes; part.NoMB == nil && finite(sum) {
		u.counted, u.memory = true, sum
	}
	return u
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
