package model

import "context"

// DeviceGetBrand gives nvmlBrandType_t.
func (c *Client) DeviceGetBrand(ctx context.Context, d Device) (uint32, Return) {
	return c.either(ctx, "nvmlDeviceGetBrand", d, func(g *gpu) uint32 { return g.spec.brand })
}

// DeviceGetArchitecture gives NVML_DEVICE_ARCH_*.
func (c *Client) DeviceGetArchitecture(ctx context.Context, d Device) (uint32, Return) {
	return c.either(ctx, "nvmlDeviceGetArchitecture", d, func(g *gpu) uint32 { return g.spec.arch })
}

// either is a number that a MIG device has from its GPU.
func (c *Client) either(ctx context.Context, name string, d Device, f func(g *gpu) uint32) (out uint32, ret Return) {
	ret = c.device(ctx, name, d, func(t target) Return { out = f(t.g); return Success })
	return out, ret
}

// DeviceGetSerial gives the board's serial number.
func (c *Client) DeviceGetSerial(ctx context.Context, d Device) (string, Return) {
	return c.text(ctx, "nvmlDeviceGetSerial", d, func(g *gpu) (string, Return) { return g.serial, Success })
}

// DeviceGetMinorNumber gives N of /dev/nvidiaN.
func (c *Client) DeviceGetMinorNumber(ctx context.Context, d Device) (uint32, Return) {
	return c.value(ctx, "nvmlDeviceGetMinorNumber", d, func(g *gpu) (uint32, Return) { return known(g.minor) })
}

// DeviceGetModuleId gives the place on the baseboard, from 1.
func (c *Client) DeviceGetModuleId(ctx context.Context, d Device) (uint32, Return) {
	return c.value(ctx, "nvmlDeviceGetModuleId", d, func(g *gpu) (uint32, Return) { return known(uint32(g.slot) + 1) })
}

// DeviceGetBoardId gives a number that GPUs of one board share; here each GPU has its own board.
func (c *Client) DeviceGetBoardId(ctx context.Context, d Device) (uint32, Return) {
	return c.value(ctx, "nvmlDeviceGetBoardId", d, func(g *gpu) (uint32, Return) { return known(g.pci.Domain<<16 | g.pci.Bus<<8) })
}

// DeviceGetMultiGpuBoard is 0.
func (c *Client) DeviceGetMultiGpuBoard(ctx context.Context, d Device) (uint32, Return) {
	return c.value(ctx, "nvmlDeviceGetMultiGpuBoard", d, func(*gpu) (uint32, Return) { return known(0) })
}

// DeviceOnSameBoard is true only for a GPU and itself.
func (c *Client) DeviceOnSameBoard(ctx context.Context, d1, d2 Device) (same bool, ret Return) {
	ret = c.pair(ctx, "nvmlDeviceOnSameBoard", d1, d2, func(a, b *gpu) Return { same = a == b; return Success })
	return same, ret
}

// DeviceGetBoardPartNumber gives the part number.
func (c *Client) DeviceGetBoardPartNumber(ctx context.Context, d Device) (string, Return) {
	return c.text(ctx, "nvmlDeviceGetBoardPartNumber", d, func(g *gpu) (string, Return) { return g.spec.partNumber, Success })
}

// DeviceGetVbiosVersion gives the VBIOS version.
func (c *Client) DeviceGetVbiosVersion(ctx context.Context, d Device) (string, Return) {
	return c.text(ctx, "nvmlDeviceGetVbiosVersion", d, func(g *gpu) (string, Return) { return g.spec.vbios, Success })
}

// DeviceGetInforomVersion gives OEM (0), ECC (1) or power (2) object versions.
func (c *Client) DeviceGetInforomVersion(ctx context.Context, d Device, object uint32) (string, Return) {
	return c.text(ctx, "nvmlDeviceGetInforomVersion", d, func(g *gpu) (string, Return) {
		switch {
		case object == 0:
			return "2.1", Success
		case object == 1 && g.spec.ecc:
			return "6.16", Success
		case object <= 2:
			return "", NotSupported
		}
		return "", InvalidArgument
	})
}

// DeviceGetInforomImageVersion gives the image version.
func (c *Client) DeviceGetInforomImageVersion(ctx context.Context, d Device) (string, Return) {
	return c.text(ctx, "nvmlDeviceGetInforomImageVersion", d, func(*gpu) (string, Return) { return "G506.0212.00.01", Success })
}

// DeviceGetGspFirmwareVersion gives the driver's version where there is a GSP (Turing and later).
func (c *Client) DeviceGetGspFirmwareVersion(ctx context.Context, d Device) (string, Return) {
	return c.text(ctx, "nvmlDeviceGetGspFirmwareVersion", d, func(g *gpu) (string, Return) {
		if g.spec.arch < archTuring {
			return "", NotSupported
		}
		return c.node.driver, Success
	})
}

// DeviceGetGspFirmwareMode tells whether GSP firmware is on and is the default.
func (c *Client) DeviceGetGspFirmwareMode(ctx context.Context, d Device) (enabled, byDefault bool, ret Return) {
	ret = c.gpu(ctx, "nvmlDeviceGetGspFirmwareMode", d, func(g *gpu) Return {
		if g.spec.arch < archTuring {
			return NotSupported
		}
		enabled, byDefault = true, true
		return Success
	})
	return enabled, byDefault, ret
}

// DeviceGetPciInfo gives the address of the GPU, also for a MIG device.
func (c *Client) DeviceGetPciInfo(ctx context.Context, d Device) (p PciInfo, ret Return) {
	ret = c.device(ctx, "nvmlDeviceGetPciInfo_v3", d, func(t target) Return { p = t.g.pci; return Success })
	return p, ret
}

// DeviceGetCudaComputeCapability gives major and minor.
func (c *Client) DeviceGetCudaComputeCapability(ctx context.Context, d Device) (major, minor int, ret Return) {
	ret = c.device(ctx, "nvmlDeviceGetCudaComputeCapability", d, func(t target) Return {
		major, minor = t.g.spec.ccMajor, t.g.spec.ccMinor
		return Success
	})
	return major, minor, ret
}

// DeviceGetNumGpuCores counts CUDA cores; NotSupported for a MIG device.
func (c *Client) DeviceGetNumGpuCores(ctx context.Context, d Device) (uint32, Return) {
	return c.value(ctx, "nvmlDeviceGetNumGpuCores", d, func(g *gpu) (uint32, Return) { return known(g.spec.sms * g.spec.coresPerSM) })
}

// DeviceGetMemoryBusWidth gives bits.
func (c *Client) DeviceGetMemoryBusWidth(ctx context.Context, d Device) (uint32, Return) {
	return c.value(ctx, "nvmlDeviceGetMemoryBusWidth", d, func(g *gpu) (uint32, Return) { return known(g.spec.busWidth) })
}

// DeviceGetBusType is NVML_BUS_TYPE_PCIE.
func (c *Client) DeviceGetBusType(ctx context.Context, d Device) (uint32, Return) {
	return c.value(ctx, "nvmlDeviceGetBusType", d, func(*gpu) (uint32, Return) { return known(2) })
}

// DeviceGetIrqNum gives the interrupt.
func (c *Client) DeviceGetIrqNum(ctx context.Context, d Device) (uint32, Return) {
	return c.value(ctx, "nvmlDeviceGetIrqNum", d, func(g *gpu) (uint32, Return) { return known(uint32(100 + g.slot)) })
}

// DeviceGetDisplayMode is off.
func (c *Client) DeviceGetDisplayMode(ctx context.Context, d Device) (on bool, ret Return) {
	return false, c.gpu(ctx, "nvmlDeviceGetDisplayMode", d, func(*gpu) Return { return Success })
}

// DeviceGetDisplayActive is off.
func (c *Client) DeviceGetDisplayActive(ctx context.Context, d Device) (on bool, ret Return) {
	return false, c.gpu(ctx, "nvmlDeviceGetDisplayActive", d, func(*gpu) Return { return Success })
}

// DeviceGetVirtualizationMode is 0 (none), 1 under passthrough.
func (c *Client) DeviceGetVirtualizationMode(ctx context.Context, d Device) (uint32, Return) {
	return c.value(ctx, "nvmlDeviceGetVirtualizationMode", d, func(*gpu) (uint32, Return) { return known(number(c.node.shape.Passthrough)) })
}

// DeviceGetPlatformInfo is for rack-scale systems.
func (c *Client) DeviceGetPlatformInfo(ctx context.Context, d Device) (p PlatformInfo, ret Return) {
	return p, c.gpu(ctx, "nvmlDeviceGetPlatformInfo", d, func(*gpu) Return { return NotSupported })
}

// DeviceGetCapabilities gives no capability bit.
func (c *Client) DeviceGetCapabilities(ctx context.Context, d Device) (uint32, Return) {
	return c.value(ctx, "nvmlDeviceGetCapabilities", d, func(*gpu) (uint32, Return) { return known(0) })
}

// DeviceGetNumaNodeId is for GPUs with memory of their own NUMA node (Grace).
func (c *Client) DeviceGetNumaNodeId(ctx context.Context, d Device) (uint32, Return) {
	return c.value(ctx, "nvmlDeviceGetNumaNodeId", d, func(*gpu) (uint32, Return) { return 0, NotSupported })
}

// DeviceGetC2cModeInfoV is false: no Grace.
func (c *Client) DeviceGetC2cModeInfoV(ctx context.Context, d Device) (on bool, ret Return) {
	return false, c.gpu(ctx, "nvmlDeviceGetC2cModeInfoV", d, func(g *gpu) Return {
		if g.spec.arch < archHopper {
			return NotSupported
		}
		return Success
	})
}
