package family

// identity are texts, and what tells a GPU's kind and mode.
func identity() []row {
	return []row{
		{field: 1, classic: "DRIVER_VERSION", later: "SYSTEM_DRIVER_VERSION", kind: Label, loop: Static, nvml: "SystemGetDriverVersion", on: true, help: "Version of the driver"},
		{field: 2, classic: "NVML_VERSION", later: "SYSTEM_NVML_VERSION", kind: Label, loop: Static, nvml: "SystemGetNVMLVersion", help: "Version of NVML"},
		{field: 5, classic: "CUDA_DRIVER_VERSION", kind: Gauge, loop: Static, nvml: "SystemGetCudaDriverVersion", help: "CUDA version of the driver: 1000 times the major number plus 10 times the minor"},
		{field: 50, classic: "DEV_NAME", later: "DEV_GPU_NAME", kind: Label, level: LevelCompute, loop: Static, nvml: "GetName", help: "Product name"},
		{field: 51, classic: "DEV_BRAND", later: "DEV_GPU_BRAND", kind: Label, loop: Static, nvml: "GetBrand", help: "Brand"},
		{field: 53, classic: "DEV_SERIAL", later: "DEV_BOARD_SERIAL", kind: Label, loop: Static, nvml: "GetSerial", help: "Serial number of the board"},
		{field: 54, classic: "DEV_UUID", later: "DEV_GPU_UUID", kind: Label, level: LevelCompute, loop: Static, nvml: "GetUUID", help: "UUID of the GPU or the MIG device"},
		{field: 56, classic: "DEV_OEM_INFOROM_VER", later: "DEV_INFOROM_OEM_VERSION", kind: Label, loop: Static, nvml: "GetInforomVersion(OEM)", help: "Version of the inforom's OEM object"},
		{field: 57, classic: "DEV_PCI_BUSID", later: "DEV_PCI_BUS_ID", kind: Label, loop: Static, nvml: "GetPciInfo_v3", help: "PCI address"},
		{field: 63, classic: "DEV_CUDA_COMPUTE_CAPABILITY", later: "CUDA_GPU_COMPUTE_CAPABILITY", kind: Gauge, loop: Static, nvml: "GetCudaComputeCapability", help: "CUDA compute capability: 65536 times the major number plus the minor"},
		{field: 66, classic: "DEV_PERSISTENCE_MODE", later: "DEV_GPU_PERSISTENCE_MODE", kind: Gauge, loop: Slow, nvml: "GetPersistenceMode", help: "Whether the driver stays loaded without clients"},
		{field: 67, classic: "DEV_MIG_MODE", kind: Gauge, loop: Slow, nvml: "GetMigMode", help: "Whether MIG mode is on"},
		{field: 74, classic: "DEV_CC_MODE", kind: Gauge, loop: Static, nvml: "SystemGetConfComputeState", help: "Confidential computing: 0 off, 1 on, 2 with developer tools"},
		{field: 80, classic: "DEV_ECC_INFOROM_VER", later: "DEV_INFOROM_ECC_VERSION", kind: Label, loop: Static, nvml: "GetInforomVersion(ECC)", help: "Version of the inforom's ECC object"},
		{field: 81, classic: "DEV_POWER_INFOROM_VER", later: "DEV_INFOROM_POWER_VERSION", kind: Label, loop: Static, nvml: "GetInforomVersion(POWER)", help: "Version of the inforom's power object"},
		{field: 82, classic: "DEV_INFOROM_IMAGE_VER", later: "DEV_INFOROM_IMAGE_VERSION", kind: Label, loop: Static, nvml: "GetInforomImageVersion", help: "Version of the inforom's image"},
		{field: 85, classic: "DEV_VBIOS_VERSION", kind: Label, loop: Static, nvml: "GetVbiosVersion", help: "Version of the video BIOS"},
		{field: 300, classic: "DEV_ECC_CURRENT", later: "DEV_ECC_MODE", kind: Gauge, loop: Slow, nvml: "GetEccMode", help: "Whether ECC is on"},
		{field: 526, classic: "DEV_VGPU_LICENSE_STATUS", kind: Gauge, loop: Slow, nvml: "GetGridLicensableFeatures", on: true, help: "Whether the vGPU has its licence; vGPUs alone have this"},
	}
}

func clocks() []row {
	return []row{
		{field: SMClock, classic: "DEV_SM_CLOCK", later: "DEV_SM_CLOCK_HERTZ", kind: Gauge, unit: "MHz", base: true, loop: Process, nvml: "GetClockInfo(SM)", on: true, help: "Clock of the streaming multiprocessors"},
		{field: MemClock, classic: "DEV_MEM_CLOCK", later: "DEV_MEMORY_CLOCK_HERTZ", kind: Gauge, unit: "MHz", base: true, loop: Slow, nvml: "GetClockInfo(MEM)", on: true, help: "Clock of the memory"},
		{field: 102, classic: "DEV_VIDEO_CLOCK", later: "DEV_VIDEO_CLOCK_HERTZ", kind: Gauge, unit: "MHz", base: true, loop: Slow, nvml: "GetClockInfo(VIDEO)", help: "Clock of the video engines"},
		{field: 110, classic: "DEV_APP_SM_CLOCK", later: "DEV_SM_APP_CLOCK_HERTZ", kind: Gauge, unit: "MHz", base: true, loop: Slow, nvml: "GetApplicationsClock(SM)", help: "Clock that applications get, of the streaming multiprocessors"},
		{field: 111, classic: "DEV_APP_MEM_CLOCK", later: "DEV_MEMORY_APP_CLOCK_HERTZ", kind: Gauge, unit: "MHz", base: true, loop: Slow, nvml: "GetApplicationsClock(MEM)", help: "Clock that applications get, of the memory"},
		{field: ClockReasons, classic: "DEV_CLOCKS_EVENT_REASONS", kind: Gauge, loop: Fast, nvml: "GetCurrentClocksEventReasons", help: "Why clocks are held down at the moment, as bits"},
		{field: 113, classic: "DEV_MAX_SM_CLOCK", later: "DEV_SM_MAX_CLOCK_HERTZ", kind: Gauge, unit: "MHz", base: true, loop: Static, nvml: "GetMaxClockInfo(SM)", help: "Largest clock of the streaming multiprocessors"},
		{field: 114, classic: "DEV_MAX_MEM_CLOCK", later: "DEV_MEMORY_MAX_CLOCK_HERTZ", kind: Gauge, unit: "MHz", base: true, loop: Static, nvml: "GetMaxClockInfo(MEM)", help: "Largest clock of the memory"},
		{field: 190, classic: "DEV_PSTATE", later: "DEV_GPU_PSTATE", kind: Gauge, loop: Slow, nvml: "GetPerformanceState", help: "Performance state: 0 is the fastest, 15 the slowest"},
	}
}

// power are temperatures, power, energy and limits.
func power() []row {
	return []row{
		{field: 140, classic: "DEV_MEMORY_TEMP", later: "DEV_MEMORY_TEMP_CELSIUS", kind: Gauge, unit: "C", loop: Slow, nvml: "FI 82", on: true, help: "Temperature of the memory"},
		{field: GPUTemp, classic: "DEV_GPU_TEMP", later: "DEV_GPU_TEMP_CELSIUS", kind: Gauge, unit: "C", loop: Slow, nvml: "GetTemperatureV", on: true, help: "Temperature of the GPU"},
		{field: 151, classic: "DEV_MEM_MAX_OP_TEMP", later: "DEV_MEMORY_MAX_OP_TEMP_CELSIUS", kind: Gauge, unit: "C", loop: Static, nvml: "GetTemperatureThreshold(MEM_MAX)", help: "Temperature above which the memory slows down"},
		{field: 152, classic: "DEV_GPU_MAX_OP_TEMP", later: "DEV_GPU_MAX_OP_TEMP_CELSIUS", kind: Gauge, unit: "C", loop: Static, nvml: "GetTemperatureThreshold(GPU_MAX)", help: "Largest operating temperature of the GPU"},
		{field: 153, classic: "DEV_GPU_TEMP_LIMIT", later: "DEV_GPU_TEMP_MARGIN_CELSIUS", kind: Gauge, unit: "C", loop: Slow, nvml: "GetMarginTemperature", help: "Degrees left until the GPU slows down"},
		{field: PowerUsage, classic: "DEV_POWER_USAGE", later: "DEV_BOARD_POWER_WATTS", kind: Gauge, unit: "W", loop: Fast, nvml: "FI 185/1000, or GetPowerUsage/1000", on: true, help: "Power draw, mean of a second"},
		{field: TotalEnergy, classic: "DEV_TOTAL_ENERGY_CONSUMPTION", later: "DEV_GPU_ENERGY_JOULES_TOTAL", kind: Counter, unit: "mJ", base: true, loop: Fast, nvml: "FI 83, or GetTotalEnergyConsumption", on: true, help: "Energy used since the driver was loaded"},
		{field: PowerInstant, classic: "DEV_POWER_USAGE_INSTANT", later: "DEV_BOARD_POWER_RAW_WATTS", kind: Gauge, unit: "W", loop: Fast, nvml: "FI 186/1000, or GetPowerUsage/1000", help: "Power draw at the moment"},
		{field: 158, classic: "DEV_SLOWDOWN_TEMP", later: "DEV_GPU_TEMP_SLOWDOWN_CELSIUS", kind: Gauge, unit: "C", loop: Static, nvml: "GetTemperatureThreshold(SLOWDOWN)", help: "Temperature at which the GPU slows down"},
		{field: 159, classic: "DEV_SHUTDOWN_TEMP", later: "DEV_GPU_TEMP_SHUTDOWN_CELSIUS", kind: Gauge, unit: "C", loop: Static, nvml: "GetTemperatureThreshold(SHUTDOWN)", help: "Temperature at which the GPU shuts down"},
		{field: 160, classic: "DEV_POWER_MGMT_LIMIT", later: "DEV_BOARD_POWER_LIMIT_REQUESTED_WATTS", kind: Gauge, unit: "W", loop: Slow, nvml: "GetPowerManagementLimit/1000", help: "Power limit that is set"},
		{field: 161, classic: "DEV_POWER_MGMT_LIMIT_MIN", later: "DEV_BOARD_POWER_LIMIT_MIN_WATTS", kind: Gauge, unit: "W", loop: Static, nvml: "GetPowerManagementLimitConstraints/1000", help: "Smallest power limit that can be set"},
		{field: 162, classic: "DEV_POWER_MGMT_LIMIT_MAX", later: "DEV_BOARD_POWER_LIMIT_MAX_WATTS", kind: Gauge, unit: "W", loop: Static, nvml: "GetPowerManagementLimitConstraints/1000", help: "Largest power limit that can be set"},
		{field: 163, classic: "DEV_POWER_MGMT_LIMIT_DEF", later: "DEV_BOARD_POWER_LIMIT_DEFAULT_WATTS", kind: Gauge, unit: "W", loop: Static, nvml: "GetPowerManagementDefaultLimit/1000", help: "Power limit after the driver is loaded"},
		{field: 164, classic: "DEV_ENFORCED_POWER_LIMIT", later: "DEV_BOARD_POWER_LIMIT_ENFORCED_WATTS", kind: Gauge, unit: "W", loop: Slow, nvml: "GetEnforcedPowerLimit/1000", help: "Power limit that holds, of all that limit it"},
		{field: 191, classic: "DEV_FAN_SPEED", later: "DEV_FAN_SPEED_RATIO", kind: Gauge, unit: "%", base: true, loop: Slow, nvml: "GetFanSpeed", help: "Fan speed"},
	}
}

// links are PCIe, NVLink and the fabric.
func links() []row {
	return []row{
		{field: 170, classic: "DEV_FABRIC_MANAGER_STATUS", kind: Gauge, loop: Slow, nvml: "GetGpuFabricInfoV", help: "State of the registration with the fabric: 0 none, 1 not started, 2 in progress, 3 completed"},
		{field: 174, classic: "DEV_FABRIC_HEALTH_MASK", kind: Gauge, loop: Slow, nvml: "GetGpuFabricInfoV", help: "Health of the fabric, as bits"},
		{field: 175, classic: "DEV_FABRIC_HEALTH_SUMMARY", kind: Gauge, loop: Slow, nvml: "GetGpuFabricInfoV", help: "Health of the fabric: 0 not supported, 1 healthy, 2 unhealthy, 3 limited"},
		{field: 202, classic: "DEV_PCIE_REPLAY_COUNTER", later: "DEV_PCIE_REPLAY_TOTAL", kind: Counter, loop: Slow, nvml: "GetPcieReplayCounter", on: true, help: "Retries on PCIe"},
		{field: 235, classic: "DEV_PCIE_MAX_LINK_GEN", kind: Gauge, loop: Static, nvml: "GetMaxPcieLinkGeneration", help: "Largest PCIe generation of GPU and slot"},
		{field: 236, classic: "DEV_PCIE_MAX_LINK_WIDTH", kind: Gauge, unit: "lanes", loop: Static, nvml: "GetMaxPcieLinkWidth", help: "Largest PCIe width of GPU and slot"},
		{field: 237, classic: "DEV_PCIE_LINK_GEN", kind: Gauge, loop: Slow, nvml: "GetCurrPcieLinkGeneration", help: "PCIe generation at the moment; it falls while the GPU is idle"},
		{field: 238, classic: "DEV_PCIE_LINK_WIDTH", kind: Gauge, unit: "lanes", loop: Slow, nvml: "GetCurrPcieLinkWidth", help: "PCIe width at the moment"},
		{field: 409, classic: "DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL", later: "DEV_NVLINK_CRC_FLIT_ERROR_TOTAL", kind: Counter, loop: Slow, nvml: "FI 38", help: "Flow-control CRC errors on NVLink"},
		{field: 419, classic: "DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL", later: "DEV_NVLINK_CRC_DATA_ERROR_TOTAL", kind: Counter, loop: Slow, nvml: "FI 45", help: "Data CRC errors on NVLink"},
		{field: 429, classic: "DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL", later: "DEV_NVLINK_REPLAY_ERROR_TOTAL", kind: Counter, loop: Slow, nvml: "FI 52", help: "Retries on NVLink"},
		{field: 439, classic: "DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL", later: "DEV_NVLINK_RECOVERY_ERROR_TOTAL", kind: Counter, loop: Slow, nvml: "FI 59", help: "Recoveries of NVLink"},
		{field: 440, classic: "DEV_NVLINK_BANDWIDTH_L0", later: "DEV_NVLINK_THROUGHPUT_L0", kind: Counter, unit: "MB/s", base: true, loop: Fast, guess: true, help: "Traffic of NVLink 0, both ways; a rate, though DCGM's default file says counter"},
		{field: NVLinkBandwidth, classic: "DEV_NVLINK_BANDWIDTH_TOTAL", later: "DEV_NVLINK_THROUGHPUT_TOTAL", kind: Counter, unit: "MB/s", base: true, loop: Fast, nvml: "FI 138 and 139, or GPM 60 and 61", on: true, guess: true, help: "Traffic of all NVLinks, both ways; a rate, though DCGM's default file says counter"},
	}
}
