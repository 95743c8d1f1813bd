package direct

import (
	"context"
	"fmt"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/test/gpusim/model"
)

// Info says who the driver is and what it lacks.
func (d *Driver) Info() (info gpu.DriverInfo, gaps []gpu.Gap, err error) {
	err = d.call("nvmlSystemGetDriverVersion", func(ctx context.Context, c *model.Client) (ret model.Return) {
		info.Version, ret = c.SystemGetDriverVersion(ctx)
		return ret
	})
	if err != nil {
		return info, nil, err
	}
	g := gapList{}
	g.add("NVML version", d.call("nvmlSystemGetNVMLVersion", func(ctx context.Context, c *model.Client) (ret model.Return) {
		info.NVML, ret = c.SystemGetNVMLVersion(ctx)
		return ret
	}))
	g.add("CUDA version", d.call("nvmlSystemGetCudaDriverVersion_v2", func(ctx context.Context, c *model.Client) model.Return {
		v, ret := c.SystemGetCudaDriverVersion(ctx)
		if ret == model.Success {
			info.CUDA = fmt.Sprintf("%d.%d", v/1000, v%1000/10)
		}
		return ret
	}))
	for _, f := range []struct{ feature, symbol string }{
		{"profile names from the driver", "nvmlDeviceGetGpuInstanceProfileInfoV"},
		{"fabric state", "nvmlDeviceGetGpuFabricInfo"},
	} {
		if !d.has(f.symbol) {
			g.add(f.feature, d.lacks(f.symbol))
		}
	}
	return info, g.gaps, g.fatal
}

// Identity reads what is fixed.
func (v *device) Identity() (gpu.Identity, []gpu.Gap, error) {
	id := gpu.Identity{Minor: -1, Architecture: architecture(0)}
	g := gapList{}
	read := func(feature, symbol string, f func(ctx context.Context, c *model.Client) model.Return) {
		if g.fatal == nil {
			g.add(feature, v.d.call(symbol, f))
		}
	}
	read("UUID", "nvmlDeviceGetUUID", func(ctx context.Context, c *model.Client) model.Return {
		s, ret := c.DeviceGetUUID(ctx, v.h)
		id.UUID = gpu.UUID(s)
		return ret
	})
	read("minor number", "nvmlDeviceGetMinorNumber", func(ctx context.Context, c *model.Client) model.Return {
		n, ret := c.DeviceGetMinorNumber(ctx, v.h)
		if ret == model.Success {
			id.Minor = int(n)
		}
		return ret
	})
	read("model", "nvmlDeviceGetName", func(ctx context.Context, c *model.Client) (ret model.Return) {
		id.Model, ret = c.DeviceGetName(ctx, v.h)
		return ret
	})
	read("memory size", "nvmlDeviceGetMemoryInfo", func(ctx context.Context, c *model.Client) model.Return {
		m, ret := c.DeviceGetMemoryInfo(ctx, v.h)
		id.MemoryBytes = m.Total
		return ret
	})
	read("compute capability", "nvmlDeviceGetCudaComputeCapability", func(ctx context.Context, c *model.Client) model.Return {
		major, minor, ret := c.DeviceGetCudaComputeCapability(ctx, v.h)
		id.ComputeCapability = gpu.ComputeCapability{Major: major, Minor: minor}
		return ret
	})
	read("architecture", "nvmlDeviceGetArchitecture", func(ctx context.Context, c *model.Client) model.Return {
		a, ret := c.DeviceGetArchitecture(ctx, v.h)
		id.Architecture = architecture(a)
		return ret
	})
	read("PCI address", "nvmlDeviceGetPciInfo_v3", func(ctx context.Context, c *model.Client) model.Return {
		p, ret := c.DeviceGetPciInfo(ctx, v.h)
		if ret == model.Success {
			id.PCI, id.PCIDeviceID, id.PCISubsystemID = gpu.PCIAddress(p.Sysfs()), p.PciDeviceID, p.PciSubSystemID
		}
		return ret
	})
	return id, g.gaps, g.fatal
}

// architecture is the name of an NVML_DEVICE_ARCH_*.
func architecture(a uint32) string {
	names := map[uint32]string{
		2: "kepler", 3: "maxwell", 4: "pascal", 5: "volta", 6: "turing", 7: "ampere", 8: "ada", 9: "hopper", 10: "blackwell", 13: "rubin",
	}
	if name, ok := names[a]; ok {
		return name
	}
	return "unknown"
}
