package exporter

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
)

// Status is what the exporter says of itself, for `gpulet status` and /api/v1/status.
type Status struct {
	Off bool `json:"off,omitempty"`
	// At is the newest set's time; zero before the first.
	At       time.Time      `json:"at,omitzero"`
	Source   SourceChoice   `json:"source,omitempty"`
	Entities int            `json:"entities"`
	Sources  []SourceStatus `json:"sources,omitempty"`
	GPUs     []GPUStatus    `json:"gpus,omitempty"`
	// Absent are the metrics that were asked for and are not there, or not for all.
	Absent []AbsentStatus `json:"absent,omitempty"`
	// Rests are what is used of GPUs and belongs to no container.
	Rests []RestStatus `json:"rests,omitempty"`
}

// SourceStatus is how one source does. State is "ok", "unused" or "failing"; Reason says why it is not ok.
type SourceStatus struct {
	Name     string            `json:"name"`
	State    string            `json:"state"`
	Reason   string            `json:"reason,omitempty"`
	Last     time.Time         `json:"last,omitzero"`
	Errors   map[string]uint64 `json:"errors,omitempty"`
	Stale    uint64            `json:"stale,omitempty"`
	Restarts uint64            `json:"restarts,omitempty"`
}

// GPUStatus says whether a GPU is measured.
type GPUStatus struct {
	UUID   gpu.UUID `json:"uuid"`
	Index  int      `json:"index"`
	Up     bool     `json:"up"`
	Reason string   `json:"reason,omitempty"`
}

// AbsentStatus is one reason for which a metric is not there, for all entities to which it applies.
type AbsentStatus struct {
	Metric string          `json:"metric"`
	Field  gpu.Field       `json:"field,omitempty"` // 0 for gpulet's own
	Reason gpu.AbsenceCode `json:"reason"`
	Text   string          `json:"text,omitempty"`
	Count  int             `json:"count"` // of entities
	Of     int             `json:"of"`    // that the metric is for
	First  []string        `json:"first"` // the first entities: "GPU 0", "GPU 1 instance 3"
}

// named is how many entities an AbsentStatus names.
const named = 8

// Describe says how measuring goes and why what is missing is missing.
func (e *Exporter) Describe() Status {
	s, _ := e.cfg.Settings.Get()
	return describe(e.Set(), s)
}

func describe(set *sample.Set, s Settings) Status {
	out := Status{Off: s.Off, At: set.At, Entities: len(set.Values)}
	if s.Off {
		return out
	}
	out.Source = cmp.Or(s.Source, Auto)
	for _, src := range set.Sources {
		out.Sources = append(out.Sources, sourceStatus(src))
	}
	if set.Snapshot == nil {
		return out
	}
	for i := range set.Snapshot.GPUs {
		g := &set.Snapshot.GPUs[i]
		why, down := set.Down[g.UUID]
		out.GPUs = append(out.GPUs, GPUStatus{UUID: g.UUID, Index: g.Index, Up: !down, Reason: why})
	}
	for _, f := range s.Expose.Fields {
		out.Absent = append(out.Absent, absences(set, f, s.Expose.Synthesize)...)
	}
	out.Absent = append(out.Absent, ofPods(set)...)
	out.Rests = rests(set)
	return out
}

func sourceStatus(s sample.Source) SourceStatus {
	out := SourceStatus{Name: s.Name, State: "ok", Reason: s.Reason, Last: s.Last, Stale: s.Stale, Restarts: s.Restarts}
	switch {
	case s.Unused:
		out.State = "unused"
	case s.Reason != "":
		out.State = "failing"
	}
	for code, n := range s.Errors {
		if out.Errors == nil {
			out.Errors = map[string]uint64{}
		}
		out.Errors[string(code)] = n
	}
	return out
}

// absences are the reasons for which a metric is not there, the most frequent first. Utilization is no loss in MIG mode where
// it is made from GREngine.
func absences(set *sample.Set, f family.Selected, synthesize bool) []AbsentStatus {
	var out []AbsentStatus
	of := 0
	visit := func(e gpu.Entity, name string, divided bool) {
		if !applies(f.Family, divided, e.Instance != gpu.NoInstance) || f.Field == family.GPUUtil && divided && synthesize {
			return
		}
		of++
		v, ok := set.Values[e][f.Field]
		if ok && v.Absent == nil {
			return
		}
		why := gpu.Absence{Code: gpu.NoData, Text: "it was not read yet"}
		if ok {
			why = *v.Absent
		}
		at := slices.IndexFunc(out, func(a AbsentStatus) bool { return a.Reason == why.Code && a.Text == why.Text })
		if at < 0 {
			at, out = len(out), append(out, AbsentStatus{Metric: f.Classic, Field: f.Field, Reason: why.Code, Text: why.Text})
		}
		if out[at].Count++; out[at].Count <= named {
			out[at].First = append(out[at].First, name)
		}
	}
	for i := range set.Snapshot.GPUs {
		g := &set.Snapshot.GPUs[i]
		visit(g.UUID.Whole(), fmt.Sprintf("GPU %d", g.Index), g.MIG.Enabled)
		for _, in := range g.Instances {
			if g.MIG.Enabled {
				visit(gpu.Entity{GPU: g.UUID, Instance: in.ID}, fmt.Sprintf("GPU %d instance %d", g.Index, in.ID), true)
			}
		}
	}
	for i := range out {
		out[i].Of = of
	}
	slices.SortStableFunc(out, func(a, b AbsentStatus) int { return cmp.Compare(b.Count, a.Count) })
	return out
}
