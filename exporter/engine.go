package exporter

import (
	"maps"
	"slices"
	"time"

	"github.com/gpulet/gpulet/exporter/dcgm"
	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/gpu"
)

// heard notes how DCGM does, once for each batch.
func (s *sampler) heard() {
	b := s.batch
	down, why := engineState(b)
	s.engineDown = down
	if s.engine == nil || *s.engine != why {
		s.engine = &why
	}
	switch {
	case b == nil:
	case b.State.Up && b.At.After(s.dcgm.last):
		s.dcgm.last = b.At
		s.dcgm.took(b.State.Took)
	case b.State.Wanted && !b.State.Up && why.Code != gpu.NoData: // it is not only beginning
		s.dcgm.errors[why.Code]++
	}
}

// merge puts what DCGM said last into the cells.
func (s *sampler) merge() {
	b := s.batch
	if b == nil || s.plan == nil {
		return
	}
	for _, r := range b.Readings {
		e := s.entities[r.Entity]
		if e == nil {
			continue
		}
		c := e.cells[r.Field]
		if c == nil || r.Entity.Instance != gpu.NoInstance && r.At.Before(e.born) {
			continue // it is of the instance that had the id before
		}
		at := r.At
		if at.IsZero() {
			at = b.At
		}
		if !at.Equal(c.dcgm.at) {
			c.dcgm.take(r, dcgmSource, at)
		}
	}
}

// engineState says why DCGM has nothing of a field that it did not tell.
func engineState(b *dcgm.Batch) (down bool, why gpu.Absence) {
	switch {
	case b == nil:
		return true, gpu.Absence{Code: gpu.NoSource, Text: "NVML does not have it, and DCGM is not used"}
	case b.State.Up:
		return false, gpu.Absence{Code: gpu.NoData, Text: "NVML does not have it, and DCGM has not told it yet"}
	}
	why = gpu.Absence{Code: b.State.Code, Text: "NVML does not have it, and DCGM does not answer"}
	if b.State.Reason != "" {
		why.Text = "NVML does not have it, and DCGM gives nothing: " + b.State.Reason
	}
	if why.Code == "" {
		why.Code = gpu.NoSource
	}
	return true, why
}

// wants is what DCGM is needed for.
func (s *sampler) wants() []gpu.Field {
	need := map[gpu.Field]bool{}
	switch s.plan.settings.Source {
	case Auto:
		for _, e := range s.entities {
			for id, c := range e.cells {
				// What a new instance needs is not known yet: what was needed before goes on, so that DCGM need not begin anew.
				if id != family.XIDErrors && (c.wantsDCGM() || c.nvml.at.IsZero() && slices.Contains(s.wanted, id)) {
					need[id] = true
				}
			}
		}
	case OnlyDCGM:
		for id := range s.plan.fields {
			if id != family.XIDErrors {
				need[id] = true
			}
		}
	case NVML:
	}
	return slices.Sorted(maps.Keys(need))
}

// want tells the engine, when it is something new.
func (s *sampler) want(fields []gpu.Field) {
	s.rethink = false
	if s.cfg.Engine == nil || s.told && slices.Equal(fields, s.wanted) {
		return
	}
	s.wanted, s.told = fields, true
	s.cfg.Engine.Want(fields)
}

// view is how cells choose now.
func (s *sampler) view() view {
	return view{choice: s.plan.settings.Source, unread: s.reasons.unread, dcgm: s.engine, down: s.engineDown}
}

// hang is how long a reading may be under way until its GPU counts as silent.
func (p *plan) hang() time.Duration { return max(tooOld*p.settings.Fast, 2*time.Second) }
