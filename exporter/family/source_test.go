package family_test

import (
	"slices"
	"testing"

	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/nvml"
)

// The page says of a field that NVML has it exactly when package nvml reads it. XIDs come as events.
func TestSourcesAreRead(t *testing.T) {
	read := append(nvml.Fields(), family.XIDErrors)
	for _, f := range family.Table() {
		if says, is := f.NVML != "", slices.Contains(read, f.Field); says != is {
			t.Errorf("%s: the table says that NVML has it: %t, and package nvml reads it: %t", f.Classic, says, is)
		}
		read = slices.DeleteFunc(read, func(id gpu.Field) bool { return id == f.Field })
	}
	if len(read) > 0 {
		t.Errorf("package nvml reads what is not in the table: %v", read)
	}
}
