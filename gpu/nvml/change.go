package nvml

import (
	"errors"
	"fmt"

	nv "github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

// SetMode implements gpu.Changer. The driver answers twice: whether it took the wish, and what became of it.
func (v *device) SetMode(on bool) (gpu.Activation, error) {
	mode := nv.DEVICE_MIG_DISABLE
	if on {
		mode = nv.DEVICE_MIG_ENABLE
	}
	var activation nv.Return
	err := v.d.call("nvmlDeviceSetMigMode", func() (ret nv.Return) {
		activation, ret = v.h.SetMigMode(mode)
		return ret
	})
	if err != nil {
		return gpu.NotActivated, err
	}
	switch activation {
	case nv.SUCCESS:
		return gpu.Activated, nil
	case nv.ERROR_RESET_REQUIRED:
		return gpu.NeedsReset, nil
	case nv.ERROR_IN_USE:
		return gpu.BlockedByUse, nil
	default:
		return gpu.NotActivated, nil
	}
}

// CreateInstance implements gpu.Changer. The profile goes by its id alone: names and enums do not tell 1g from its variants.
func (v *device) CreateInstance(profile mig.ProfileInfo, at mig.Placement) (uint32, error) {
	info := nv.GpuInstanceProfileInfo{Id: profile.ID}
	place := nv.GpuInstancePlacement{Start: uint32(at.Start), Size: uint32(at.Size)}
	var h nv.GpuInstance
	err := v.d.call("nvmlDeviceCreateGpuInstanceWithPlacement", func() (ret nv.Return) {
		h, ret = v.h.CreateGpuInstanceWithPlacement(&info, &place)
		return ret
	})
	if err != nil {
		return 0, err
	}
	i, err := v.instanceInfo(h)
	return i.Id, err
}

// CreateCompute implements gpu.Changer.
func (v *device) CreateCompute(instance uint32) (gpu.ComputeInstance, error) {
	h, err := v.instanceByID(instance)
	if err != nil {
		return gpu.ComputeInstance{}, err
	}
	i, err := v.instanceInfo(h)
	if err != nil {
		return gpu.ComputeInstance{}, err
	}
	p, err := v.knownProfile(i.ProfileId)
	if err != nil {
		return gpu.ComputeInstance{}, err
	}
	full, err := v.fullCompute(h, p)
	if err != nil {
		return gpu.ComputeInstance{}, err
	}
	var ch nv.ComputeInstance
	err = v.d.call("nvmlGpuInstanceCreateComputeInstance", func() (ret nv.Return) {
		ch, ret = h.CreateComputeInstance(&full)
		return ret
	})
	if err != nil {
		return gpu.ComputeInstance{}, err
	}
	return v.computeInfo(ch, p, full)
}

// fullCompute is the shared compute profile that fills an instance.
func (v *device) fullCompute(h nv.GpuInstance, p mig.ProfileInfo) (nv.ComputeInstanceProfileInfo, error) {
	g := gapList{}
	for _, cp := range v.listComputeProfiles(&g, h, p) {
		if int(cp.SliceCount) == p.Profile.Slices {
			return cp, nil
		}
	}
	switch {
	case g.fatal != nil:
		return nv.ComputeInstanceProfileInfo{}, g.fatal
	case len(g.gaps) > 0:
		return nv.ComputeInstanceProfileInfo{}, errors.New(g.gaps[0].Feature + ": " + g.gaps[0].Reason)
	}
	return nv.ComputeInstanceProfileInfo{}, fmt.Errorf("no compute profile fills %s: %w", p.Profile, gpu.ErrNotSupported)
}

// knownProfile finds a profile by its id in the geometry that was read last.
func (v *device) knownProfile(id uint32) (mig.ProfileInfo, error) {
	known := v.geometry.Load()
	if known == nil {
		read, _, err := v.Geometry()
		if err != nil {
			return mig.ProfileInfo{}, err
		}
		known = &read
	}
	p, ok := known.Profile(id)
	if !ok {
		return p, fmt.Errorf("the driver does not describe MIG profile %d: %w", id, gpu.ErrNotSupported)
	}
	return p, nil
}

// DestroyCompute implements gpu.Changer.
func (v *device) DestroyCompute(instance, compute uint32) error {
	h, err := v.instanceByID(instance)
	if err != nil {
		return err
	}
	var ch nv.ComputeInstance
	err = v.d.call("nvmlGpuInstanceGetComputeInstanceById", func() (ret nv.Return) {
		ch, ret = h.GetComputeInstanceById(int(compute))
		return ret
	})
	if err != nil {
		return gone(err)
	}
	return gone(v.d.call("nvmlComputeInstanceDestroy", ch.Destroy))
}

// DestroyInstance implements gpu.Changer.
func (v *device) DestroyInstance(instance uint32) error {
	h, err := v.instanceByID(instance)
	if err != nil {
		return err
	}
	return gone(v.d.call("nvmlGpuInstanceDestroy", h.Destroy))
}

func (v *device) instanceByID(id uint32) (nv.GpuInstance, error) {
	var h nv.GpuInstance
	err := v.d.call("nvmlDeviceGetGpuInstanceById", func() (ret nv.Return) {
		h, ret = v.h.GetGpuInstanceById(int(id))
		return ret
	})
	return h, err
}

func (v *device) instanceInfo(h nv.GpuInstance) (i nv.GpuInstanceInfo, err error) {
	err = v.d.call("nvmlGpuInstanceGetInfo", func() (ret nv.Return) { i, ret = h.GetInfo(); return ret })
	return i, gone(err)
}

// gone says of a handle that was valid a moment ago, and is not any more, what that means: somebody destroyed what it stood for.
func gone(err error) error {
	var e *gpu.DriverError
	if errors.As(err, &e) && errors.Is(e.Kind, gpu.ErrEnd) {
		return &gpu.DriverError{Call: e.Call, Text: e.Text, Kind: gpu.ErrNotFound}
	}
	return err
}
