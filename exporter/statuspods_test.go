package exporter

import (
	"testing"

	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
)

// Status says of each container without a number why, and of what nobody explains too.
func TestStatusOfPods(t *testing.T) {
	whole := gpu.GPU{UUID: "GPU-0", Index: 4}
	hidden := &gpu.Absence{Code: gpu.Unattributed, Text: "hostPID is needed"}
	share := func(pod string, p sample.Part) sample.Share {
		return sample.Share{Container: sample.Container{Namespace: "team", Pod: pod, Container: "main"}, Entity: whole.UUID.Whole(), Part: p}
	}
	set := &sample.Set{
		Snapshot: &gpu.Snapshot{GPUs: []gpu.GPU{whole}},
		Shares:   []sample.Share{share("a", sample.Part{NoUtil: hidden}), share("b", sample.Part{NoUtil: hidden, MemoryBytes: 1})},
		Rests: []sample.Rest{
			{Entity: whole.UUID.Whole(), Part: sample.Part{Utilization: 0.5, MemoryBytes: 7}, Why: "2 processes belong to no known container"},
			{Entity: gpu.Entity{GPU: "GPU-0", Instance: 3}},
		},
	}
	st := describe(set, Settings{})
	if len(st.Absent) != 1 {
		t.Fatalf("%+v", st.Absent)
	}
	a := st.Absent[0]
	if a.Metric != "gpu_pod_utilization_ratio" || a.Reason != gpu.Unattributed || a.Text != hidden.Text || a.Count != 2 || a.Of != 2 || a.First[1] != "team/b main" {
		t.Errorf("%+v", a)
	}
	if len(st.Rests) != 1 || st.Rests[0] != (RestStatus{"GPU 4", 0.5, 7, "2 processes belong to no known container"}) {
		t.Errorf("%+v", st.Rests)
	}
}
