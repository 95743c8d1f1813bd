package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

// What an administrator does with nvidia-smi from outside: each a short client of the node, as root.

func admin(ctx context.Context, n *model.Node, gpu int, f func(c *model.Client, d model.Device) error) error {
	c := n.Connect(model.Caller{PID: os.Getpid(), UID: 0, Admin: true, Name: "nvidia-smi"})
	defer c.Close()
	if r := c.InitWithFlags(ctx, 0); r != model.Success {
		return fmt.Errorf("initialize: %w", r)
	}
	status := n.Status() // the driver counts without the GPUs that it does not know
	if gpu < 0 || gpu >= len(status.GPUs) {
		return fmt.Errorf("no GPU %d among %d", gpu, len(status.GPUs))
	}
	d, r := c.DeviceGetHandleByUUID(ctx, status.GPUs[gpu].UUID)
	if r != model.Success {
		return fmt.Errorf("GPU %d: %w", gpu, r)
	}
	return f(c, d)
}

func setMode(ctx context.Context, n *model.Node, gpu int, on bool) error {
	return admin(ctx, n, gpu, func(c *model.Client, d model.Device) error {
		mode := uint32(0)
		if on {
			mode = 1
		}
		activation, r := c.DeviceSetMigMode(ctx, d, mode)
		if r != model.Success {
			return fmt.Errorf("set MIG mode of GPU %d: %w", gpu, r)
		}
		if activation != model.Success {
			return fmt.Errorf("MIG mode of GPU %d is pending: %w", gpu, activation)
		}
		return nil
	})
}

// createInstance makes a GPU instance, where the driver likes or at a start, and unless it shall be bare a compute instance that fills it.
func createInstance(ctx context.Context, n *model.Node, gpu int, profile string, start *uint32, bare bool) (id uint32, uuid string, err error) {
	err = admin(ctx, n, gpu, func(c *model.Client, d model.Device) error {
		p, err := profileOf(ctx, c, d, profile)
		if err != nil {
			return err
		}
		var h model.GPUInstance
		var r model.Return
		if start == nil {
			h, r = c.DeviceCreateGpuInstance(ctx, d, p.ID)
		} else {
			h, r = createAt(ctx, c, d, p.ID, *start)
		}
		if r != model.Success {
			return fmt.Errorf("create %s on GPU %d: %w", profile, gpu, r)
		}
		info, r := c.GpuInstanceGetInfo(ctx, h)
		if r != model.Success {
			return fmt.Errorf("the new instance: %w", r)
		}
		id = info.ID
		if bare {
			return nil
		}
		uuid, r = fillInstance(ctx, c, h, p.SliceCount)
		if r != model.Success {
			return fmt.Errorf("compute instance of %s: %w", profile, errors.Join(r, ignore(c.GpuInstanceDestroy(ctx, h))))
		}
		return nil
	})
	return id, uuid, err
}

func ignore(r model.Return) error {
	if r == model.Success {
		return nil
	}
	return r
}

func createAt(ctx context.Context, c *model.Client, d model.Device, profileID, start uint32) (model.GPUInstance, model.Return) {
	places, r := c.DeviceGetGpuInstancePossiblePlacements(ctx, d, profileID)
	if r != model.Success {
		return 0, r
	}
	for _, p := range places {
		if p.Start == start {
			return c.DeviceCreateGpuInstanceWithPlacement(ctx, d, profileID, p)
		}
	}
	return 0, model.InvalidArgument
}

// profileOf finds a profile by its name, "1g.10gb" or "MIG 1g.10gb".
func profileOf(ctx context.Context, c *model.Client, d model.Device, name string) (model.GpuInstanceProfileInfo, error) {
	var names []string
	for enum := uint32(0); ; enum++ {
		p, r := c.DeviceGetGpuInstanceProfileInfo(ctx, d, enum)
		switch r {
		case model.Success:
			if strings.TrimPrefix(p.Name, "MIG ") == strings.TrimPrefix(name, "MIG ") {
				return p, nil
			}
			names = append(names, strings.TrimPrefix(p.Name, "MIG "))
		case model.NotSupported:
		default:
			return p, fmt.Errorf("no profile %q; there are %s", name, strings.Join(names, ", "))
		}
	}
}

// fillInstance makes the compute instance with as many slices as the instance has.
func fillInstance(ctx context.Context, c *model.Client, h model.GPUInstance, slices uint32) (uuid string, r model.Return) {
	for enum := uint32(0); ; enum++ {
		p, r := c.GpuInstanceGetComputeInstanceProfileInfo(ctx, h, enum, 0)
		if r == model.NotSupported || r == model.Success && p.SliceCount != slices {
			continue
		}
		if r != model.Success {
			return "", r
		}
		ci, r := c.GpuInstanceCreateComputeInstance(ctx, h, p.ID)
		if r != model.Success {
			return "", r
		}
		info, r := c.ComputeInstanceGetInfo(ctx, ci)
		if r != model.Success {
			return "", r
		}
		return c.DeviceGetUUID(ctx, info.Device)
	}
}

// destroyInstance destroys a GPU instance with its compute instances.
func destroyInstance(ctx context.Context, n *model.Node, gpu int, id uint32) error {
	return admin(ctx, n, gpu, func(c *model.Client, d model.Device) error {
		h, r := c.DeviceGetGpuInstanceById(ctx, d, id)
		if r != model.Success {
			return fmt.Errorf("GPU instance %d of GPU %d: %w", id, gpu, r)
		}
		for enum := uint32(0); ; enum++ {
			p, r := c.GpuInstanceGetComputeInstanceProfileInfo(ctx, h, enum, 0)
			if r == model.NotSupported {
				continue
			}
			if r != model.Success {
				break
			}
			all, _ := c.GpuInstanceGetComputeInstances(ctx, h, p.ID)
			for _, ci := range all {
				if r := c.ComputeInstanceDestroy(ctx, ci); r != model.Success {
					return fmt.Errorf("destroy compute instance in GPU instance %d of GPU %d: %w", id, gpu, r)
				}
			}
		}
		if r := c.GpuInstanceDestroy(ctx, h); r != model.Success {
			return fmt.Errorf("destroy GPU instance %d of GPU %d: %w", id, gpu, r)
		}
		return nil
	})
}
