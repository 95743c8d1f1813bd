package nvml

import (
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

// SetMode implements gpu.Changer.
func (v *device) SetMode(bool) (gpu.Activation, error) { return gpu.NotActivated, gpu.ErrMissing }

// CreateInstance implements gpu.Changer.
func (v *device) CreateInstance(mig.ProfileInfo, mig.Placement) (uint32, error) {
	return 0, gpu.ErrMissing
}

// CreateCompute implements gpu.Changer.
func (v *device) CreateCompute(uint32) (gpu.ComputeInstance, error) {
	return gpu.ComputeInstance{}, gpu.ErrMissing
}

// DestroyCompute implements gpu.Changer.
func (v *device) DestroyCompute(uint32, uint32) error { return gpu.ErrMissing }

// DestroyInstance implements gpu.Changer.
func (v *device) DestroyInstance(uint32) error { return gpu.ErrMissing }
