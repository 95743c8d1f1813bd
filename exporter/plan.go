package exporter

import (
	"maps"
	"slices"
	"time"

	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/gpu"
)

const (
	defaultFast   = time.Second
	processPeriod = 2 * time.Second
	slowPeriod    = 15 * time.Second
	staticPeriod  = 5 * time.Minute
	// tooOld is after how many periods without a new value the last one is not told any more.
	tooOld = 3
)

// loops is a set of family.Loop.
type loops uint8

const allLoops = loops(1<<family.Fast | 1<<family.Process | 1<<family.Slow | 1<<family.Static)

func (l loops) has(x family.Loop) bool { return l&(1<<x) != 0 }

// plan says what is read, from the settings alone. Immutable but for what it remembers.
type plan struct {
	settings Settings
	fields   map[gpu.Field]family.Family
	asks     map[askKey]fields
	// before is the longer fast period of the plan before this one: until then values may be as old as it allowed, for what
	// read them goes over to the new period one after another.
	before time.Duration
	until  time.Time
}

type askKey struct {
	loops   loops
	divided bool
}

// fields are what NVML is asked of a GPU, and of each of its instances.
type fields struct{ whole, instance []gpu.Field }

// ownFields are those that gpulet's own families are made of.
func ownFields() []gpu.Field {
	own := []gpu.Field{
		family.GPUUtil, family.GREngine, family.FBUsed, family.FBFree, family.FBTotal,
		family.PowerInstant, family.PowerUsage, family.TotalEnergy, family.Recovery,
	}
	for _, t := range family.Throttles() {
		own = append(own, t.Fields...)
		own = append(own, t.Unless...)
	}
	return own
}

func newPlan(s Settings) *plan {
	if s.Fast <= 0 {
		s.Fast = defaultFast
	}
	if s.Source == "" {
		s.Source = Auto
	}
	p := &plan{settings: s, fields: map[gpu.Field]family.Family{}, asks: map[askKey]fields{}}
	own := ownFields()
	for _, f := range family.Table() {
		if slices.Contains(own, f.Field) {
			p.fields[f.Field] = f
		}
	}
	for _, f := range s.Expose.Fields {
		p.fields[f.Field] = f.Family
	}
	return p
}

// period is how often a loop reads.
func (p *plan) period(l family.Loop) time.Duration {
	switch l {
	case family.Fast:
		return p.settings.Fast
	case family.Process:
		return max(processPeriod, p.settings.Fast)
	case family.Slow:
		return slowPeriod
	default:
		return staticPeriod
	}
}

// succeed takes over from another plan, nil for none.
func (p *plan) succeed(old *plan, now time.Time) {
	if old == nil {
		return
	}
	if p.before = old.fastest(now); p.before > p.settings.Fast {
		p.until = now.Add(tooOld * p.before)
	}
}

// fastest is the fast period that values are held to.
func (p *plan) fastest(now time.Time) time.Duration {
	if now.Before(p.until) {
		return p.before
	}
	return p.settings.Fast
}

// limit is how old the value of a loop may be; 0: as old as it likes.
func (p *plan) limit(l family.Loop, now time.Time) time.Duration {
	switch l {
	case family.Static:
		return 0
	case family.Slow:
		return tooOld * slowPeriod
	case family.Process:
		return tooOld * max(processPeriod, p.fastest(now))
	default:
		return tooOld * p.fastest(now)
	}
}

// applies reports whether an entity has a field of its own: in MIG mode the instances have what is told apart by instance.
func applies(f family.Family, divided, instance bool) bool {
	if f.Level == family.LevelGPU || f.Field == family.XIDErrors { // XIDs are counted for GPUs as a whole
		return !instance
	}
	return divided == instance
}

// ask is what NVML shall read of a GPU in these loops. The fields are shared and not to be changed.
func (p *plan) ask(l loops, divided bool) fields {
	k := askKey{l, divided}
	out, ok := p.asks[k]
	if ok {
		return out
	}
	for _, id := range slices.Sorted(maps.Keys(p.fields)) {
		f := p.fields[id]
		if f.NVML == "" || id == family.XIDErrors || !l.has(f.Loop) {
			continue
		}
		if applies(f, divided, false) {
			out.whole = append(out.whole, id)
		}
		if divided && applies(f, divided, true) {
			out.instance = append(out.instance, id)
		}
	}
	p.asks[k] = out
	return out
}
