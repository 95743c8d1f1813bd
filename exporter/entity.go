package exporter

import (
	"time"

	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

// identity tells a GPU instance from another that gets its id later.
type identity struct {
	mig  gpu.UUID
	slot mig.Slot
}

// entity is a GPU or GPU instance that is measured.
type entity struct {
	id gpu.Entity
	identity
	// born is when it was first seen: what DCGM says of an earlier moment is of another instance.
	born  time.Time
	cells map[gpu.Field]*cell
	// shown are the values of the last set.
	shown map[gpu.Field]sample.Value
	ring  ring
}

// fit gives the entity the cells of a plan, and keeps those that it has.
func (e *entity) fit(p *plan, divided bool) {
	cells := make(map[gpu.Field]*cell, len(p.fields))
	for id, f := range p.fields {
		if !applies(f, divided, e.id.Instance != gpu.NoInstance) {
			continue
		}
		c := e.cells[id]
		if c == nil || c.family.NVML != f.NVML {
			c = newCell(f)
		}
		c.family = f
		cells[id] = c
	}
	e.cells = cells
}

// age drops what is too old, and counts it. A static value lives as long as its GPU.
func (e *entity) age(p *plan, now time.Time, down *gpu.Absence) (nvml, dcgm uint64) {
	for _, c := range e.cells {
		limit := p.limit(c.family.Loop, now)
		if limit == 0 && down != nil {
			limit = tooOld * slowPeriod
		}
		if c.nvml.age(now, limit, down) {
			nvml++
		}
		if c.dcgm.age(now, limit, nil) && c.takesDCGM(p.settings.Source) {
			dcgm++
		}
	}
	return nvml, dcgm
}

// show gives the values of all cells: the same map as last time when nothing changed.
func (e *entity) show(v view, xid sample.Value) map[gpu.Field]sample.Value {
	changed := len(e.shown) != len(e.cells)
	for id, c := range e.cells {
		if changed {
			break
		}
		is := xid
		if id != family.XIDErrors {
			is = e.choose(c, v)
		}
		was, ok := e.shown[id]
		changed = !ok || !same(was, is)
	}
	if !changed {
		return e.shown
	}
	next := make(map[gpu.Field]sample.Value, len(e.cells))
	for id, c := range e.cells {
		next[id] = xid
		if id != family.XIDErrors {
			next[id] = e.choose(c, v)
		}
	}
	e.shown = next
	return next
}

// choose takes the value of a cell. A counter that comes from another source now does not go back for that: what was shown stays
// until that source told something newer.
func (e *entity) choose(c *cell, v view) sample.Value {
	is := c.choose(v)
	was, ok := e.shown[c.family.Field]
	if ok && c.family.Type == family.Counter && is.Absent == nil && was.Absent == nil && was.Source != is.Source && is.V < was.V && is.At.Before(was.At) {
		return was
	}
	return is
}

// same compares two values; absences by what they say.
func same(a, b sample.Value) bool {
	if a.Absent != nil && b.Absent != nil && *a.Absent == *b.Absent {
		a.Absent = b.Absent
	}
	return a == b
}
