package exporter

import (
	"fmt"
	"slices"

	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
)

// RestStatus is what is used of a GPU or GPU instance and belongs to no container as far as anybody can tell.
type RestStatus struct {
	Of          string  `json:"of"` // "GPU 0", "GPU 1 instance 3"
	Utilization float64 `json:"utilization"`
	MemoryBytes float64 `json:"memoryBytes"`
	Why         string  `json:"why"`
}

// ofPods are the reasons for which containers have no number of their own.
func ofPods(set *sample.Set) (out []AbsentStatus) {
	for _, part := range []struct {
		metric string
		why    func(sample.Share) *gpu.Absence
	}{
		{"gpu_pod_utilization_ratio", func(s sample.Share) *gpu.Absence { return s.NoUtil }},
		{"gpu_pod_memory_used_bytes", func(s sample.Share) *gpu.Absence { return s.NoMB }},
	} {
		var rows []AbsentStatus
		for _, s := range set.Shares {
			why := part.why(s)
			if why == nil {
				continue
			}
			at := slices.IndexFunc(rows, func(a AbsentStatus) bool { return a.Reason == why.Code && a.Text == why.Text })
			if at < 0 {
				at, rows = len(rows), append(rows, AbsentStatus{Metric: part.metric, Reason: why.Code, Text: why.Text, Of: len(set.Shares)})
			}
			if rows[at].Count++; rows[at].Count <= named {
				rows[at].First = append(rows[at].First, fmt.Sprintf("%s/%s %s", s.Namespace, s.Pod, s.Container.Container))
			}
		}
		out = append(out, rows...)
	}
	return out
}

// rests are what no container explains, with the reasons.
func rests(set *sample.Set) (out []RestStatus) {
	for _, r := range set.Rests {
		g := set.Snapshot.GPU(r.Entity.GPU)
		if r.Why == "" || g == nil {
			continue
		}
		s := RestStatus{Of: fmt.Sprintf("GPU %d", g.Index), Why: r.Why}
		if r.Entity.Instance != gpu.NoInstance {
			s.Of += fmt.Sprintf(" instance %d", r.Entity.Instance)
		}
		if r.NoUtil == nil {
			s.Utilization = r.Utilization
		}
		if r.NoMB == nil {
			s.MemoryBytes = r.MemoryBytes
		}
		out = append(out, s)
	}
	return out
}
