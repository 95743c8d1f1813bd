package direct

import (
	"context"
	"fmt"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/test/gpusim/model"
)

// SetMode asks for a mode.
func (v *device) SetMode(on bool) (gpu.Activation, error) {
	mode, activation := uint32(0), model.Unknown
	if on {
		mode = 1
	}
	err := v.d.call("nvmlDeviceSetMigMode", func(ctx context.Context, c *model.Client) (ret model.Return) {
		activation, ret = c.DeviceSetMigMode(ctx, v.h, mode)
		return ret
	})
	if err != nil {
		return gpu.NotActivated, err
	}
	switch activation {
	case model.Success:
		return gpu.Activated, nil
	case model.ResetRequired:
		return gpu.NeedsReset, nil
	case model.InUse:
		return gpu.BlockedByUse, nil
	default:
		return gpu.NotActivated, nil
	}
}

// CreateInstance makes a GPU instance.
func (v *device) CreateInstance(profile mig.ProfileInfo, at mig.Placement) (uint32, error) {
	var h model.GPUInstance
	err := v.d.call("nvmlDeviceCreateGpuInstanceWithPlacement", func(ctx context.Context, c *model.Client) (ret model.Return) {
		h, ret = c.DeviceCreateGpuInstanceWithPlacement(ctx, v.h, profile.ID, model.Placement{Start: uint32(at.Start), Size: uint32(at.Size)})
		return ret
	})
	if err != nil {
		return 0, err
	}
	info, err := v.info(h)
	return info.ID, vanished(err)
}

// CreateCompute makes the compute instance that fills a GPU instance.
func (v *device) CreateCompute(instance uint32) (gpu.ComputeInstance, error) {
	h, err := v.byID(instance)
	if err != nil {
		return gpu.ComputeInstance{}, err
	}
	info, err := v.info(h)
	if err != nil {
		return gpu.ComputeInstance{}, vanished(err)
	}
	geometry, _, err := v.Geometry()
	if err != nil {
		return gpu.ComputeInstance{}, err
	}
	p, ok := geometry.Profile(info.ProfileID)
	if !ok {
		return gpu.ComputeInstance{}, fmt.Errorf("GPU instance %d: profile %d is none of this GPU's: %w", instance, info.ProfileID, gpu.ErrNotSupported)
	}
	profiles, err := v.computeProfiles(h)
	if err != nil {
		return gpu.ComputeInstance{}, err
	}
	for _, cp := range profiles {
		if int(cp.SliceCount) != p.Profile.Slices {
			continue
		}
		var ch model.ComputeInstance
		err := v.d.call("nvmlGpuInstanceCreateComputeInstance", func(ctx context.Context, c *model.Client) (ret model.Return) {
			ch, ret = c.GpuInstanceCreateComputeInstance(ctx, h, cp.ID)
			return ret
		})
		if err != nil {
			return gpu.ComputeInstance{}, err
		}
		return v.compute(ch, p, cp)
	}
	return gpu.ComputeInstance{}, fmt.Errorf("GPU instance %d: no compute profile fills %s: %w", instance, p.Profile, gpu.ErrNotSupported)
}

func (v *device) byID(instance uint32) (h model.GPUInstance, err error) {
	err = v.d.call("nvmlDeviceGetGpuInstanceById", func(ctx context.Context, c *model.Client) (ret model.Return) {
		h, ret = c.DeviceGetGpuInstanceById(ctx, v.h, instance)
		return ret
	})
	return h, err
}

// DestroyCompute destroys a compute instance.
func (v *device) DestroyCompute(instance, compute uint32) error {
	h, err := v.byID(instance)
	if err != nil {
		return err
	}
	var ch model.ComputeInstance
	err = v.d.call("nvmlGpuInstanceGetComputeInstanceById", func(ctx context.Context, c *model.Client) (ret model.Return) {
		ch, ret = c.GpuInstanceGetComputeInstanceById(ctx, h, compute)
		return ret
	})
	if err != nil {
		return vanished(err)
	}
	return vanished(v.d.call("nvmlComputeInstanceDestroy", func(ctx context.Context, c *model.Client) model.Return {
		return c.ComputeInstanceDestroy(ctx, ch)
	}))
}

// DestroyInstance destroys a GPU instance.
func (v *device) DestroyInstance(instance uint32) error {
	h, err := v.byID(instance)
	if err != nil {
		return err
	}
	return vanished(v.d.call("nvmlGpuInstanceDestroy", func(ctx context.Context, c *model.Client) model.Return {
		return c.GpuInstanceDestroy(ctx, h)
	}))
}
