package sample

import (
	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/gpu"
)

// Utilization is the part (0 to 1) of the time in which an entity worked: DCGM_FI_DEV_GPU_UTIL of a whole GPU,
// DCGM_FI_PROF_GR_ENGINE_ACTIVE where that does not exist, as in MIG mode.
func (s *Set) Utilization(e gpu.Entity) (float64, *gpu.Absence) {
	values := s.Values[e]
	if v, ok := values[family.GPUUtil]; ok && v.Absent == nil {
		return v.V / 100, nil
	}
	v, ok := values[family.GREngine]
	if !ok {
		return 0, &gpu.Absence{Code: gpu.NoData, Text: "its utilization was not read yet"}
	}
	return v.V, v.Absent
}

// MemoryUsed is an entity's used memory in bytes, without what the driver reserves.
func (s *Set) MemoryUsed(e gpu.Entity) (float64, *gpu.Absence) {
	v, ok := s.Values[e][family.FBUsed]
	if !ok {
		return 0, &gpu.Absence{Code: gpu.NoData, Text: "its memory was not read yet"}
	}
	return v.V * (1 << 20), v.Absent
}
