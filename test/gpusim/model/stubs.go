package model

import "context"

// Methods that answer NotSupported until they are filled in.

func (c *Client) SystemGetDriverVersion(ctx context.Context) (v0 string, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) SystemGetNVMLVersion(ctx context.Context) (v0 string, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) SystemGetCudaDriverVersion(ctx context.Context) (v0 int, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) SystemGetProcessName(ctx context.Context, pid uint32) (v0 string, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) SystemGetDriverBranch(ctx context.Context) (v0 string, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) SystemGetTopologyGpuSet(ctx context.Context, cpu uint32) (v0 []Device, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) SystemGetConfComputeState(ctx context.Context) (v0 ConfComputeSettings, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) SystemGetConfComputeSettings(ctx context.Context) (v0 ConfComputeSettings, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) SystemGetConfComputeCapabilities(ctx context.Context) (v0 uint32, v1 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetCount(ctx context.Context) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetHandleByIndex(ctx context.Context, index uint32) (v0 Device, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetHandleByUUID(ctx context.Context, uuid string) (v0 Device, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetHandleByPciBusId(ctx context.Context, busID string) (v0 Device, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetHandleBySerial(ctx context.Context, serial string) (v0 Device, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetName(ctx context.Context, d Device) (v0 string, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetBrand(ctx context.Context, d Device) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetArchitecture(ctx context.Context, d Device) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetIndex(ctx context.Context, d Device) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetUUID(ctx context.Context, d Device) (v0 string, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetSerial(ctx context.Context, d Device) (v0 string, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetMinorNumber(ctx context.Context, d Device) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetModuleId(ctx context.Context, d Device) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetBoardId(ctx context.Context, d Device) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetBoardPartNumber(ctx context.Context, d Device) (v0 string, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetMultiGpuBoard(ctx context.Context, d Device) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetVbiosVersion(ctx context.Context, d Device) (v0 string, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetInforomVersion(ctx context.Context, d Device, object uint32) (v0 string, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetInforomImageVersion(ctx context.Context, d Device) (v0 string, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetGspFirmwareVersion(ctx context.Context, d Device) (v0 string, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetGspFirmwareMode(ctx context.Context, d Device) (v0 bool, v1 bool, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetPciInfo(ctx context.Context, d Device) (v0 PciInfo, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetCudaComputeCapability(ctx context.Context, d Device) (v0 int, v1 int, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetNumaNodeId(ctx context.Context, d Device) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetCpuAffinity(ctx context.Context, d Device, words uint32) (v0 []uint64, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetCpuAffinityWithinScope(ctx context.Context, d Device, words uint32, scope uint32) (v0 []uint64, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetMemoryAffinity(ctx context.Context, d Device, words uint32, scope uint32) (v0 []uint64, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetNumGpuCores(ctx context.Context, d Device) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetMemoryBusWidth(ctx context.Context, d Device) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetBusType(ctx context.Context, d Device) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetIrqNum(ctx context.Context, d Device) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetDisplayMode(ctx context.Context, d Device) (v0 bool, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetDisplayActive(ctx context.Context, d Device) (v0 bool, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetVirtualizationMode(ctx context.Context, d Device) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetPlatformInfo(ctx context.Context, d Device) (v0 PlatformInfo, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetCapabilities(ctx context.Context, d Device) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetAttributes(ctx context.Context, d Device) (v0 DeviceAttributes, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetMemoryInfo(ctx context.Context, d Device) (v0 MemoryInfo, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetMemoryInfoV2(ctx context.Context, d Device) (v0 MemoryInfo, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetBAR1MemoryInfo(ctx context.Context, d Device) (v0 Bar1Info, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetPersistenceMode(ctx context.Context, d Device) (v0 bool, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceSetPersistenceMode(ctx context.Context, d Device, on bool) (ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetComputeMode(ctx context.Context, d Device) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceSetComputeMode(ctx context.Context, d Device, mode uint32) (ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetEccMode(ctx context.Context, d Device) (v0 bool, v1 bool, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetDefaultEccMode(ctx context.Context, d Device) (v0 bool, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceSetEccMode(ctx context.Context, d Device, on bool) (ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetClockInfo(ctx context.Context, d Device, clock uint32) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetMaxClockInfo(ctx context.Context, d Device, clock uint32) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetClock(ctx context.Context, d Device, clock uint32, id uint32) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetMaxCustomerBoostClock(ctx context.Context, d Device, clock uint32) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetApplicationsClock(ctx context.Context, d Device, clock uint32) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetDefaultApplicationsClock(ctx context.Context, d Device, clock uint32) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetSupportedMemoryClocks(ctx context.Context, d Device) (v0 []uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetSupportedGraphicsClocks(ctx context.Context, d Device, memoryMHz uint32) (v0 []uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetCurrentClocksEventReasons(ctx context.Context, d Device) (v0 uint64, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetSupportedClocksEventReasons(ctx context.Context, d Device) (v0 uint64, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetPerformanceState(ctx context.Context, d Device) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetSupportedPerformanceStates(ctx context.Context, d Device) (v0 []uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetPowerUsage(ctx context.Context, d Device) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetPowerManagementMode(ctx context.Context, d Device) (v0 bool, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetPowerManagementLimit(ctx context.Context, d Device) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetPowerManagementLimitConstraints(ctx context.Context, d Device) (v0 uint32, v1 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetPowerManagementDefaultLimit(ctx context.Context, d Device) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetEnforcedPowerLimit(ctx context.Context, d Device) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceSetPowerManagementLimit(ctx context.Context, d Device, milliwatts uint32) (ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetPowerSource(ctx context.Context, d Device) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetTotalEnergyConsumption(ctx context.Context, d Device) (v0 uint64, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetTemperature(ctx context.Context, d Device, sensor uint32) (v0 int32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetTemperatureThreshold(ctx context.Context, d Device, threshold uint32) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetMarginTemperature(ctx context.Context, d Device) (v0 int32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetThermalSettings(ctx context.Context, d Device, sensor uint32) (v0 []ThermalSensor, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetNumFans(ctx context.Context, d Device) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetFanSpeed(ctx context.Context, d Device) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetFanSpeedV2(ctx context.Context, d Device, fan uint32) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetUtilizationRates(ctx context.Context, d Device) (v0 Utilization, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetEncoderUtilization(ctx context.Context, d Device) (v0 uint32, v1 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetDecoderUtilization(ctx context.Context, d Device) (v0 uint32, v1 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetJpgUtilization(ctx context.Context, d Device) (v0 uint32, v1 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetOfaUtilization(ctx context.Context, d Device) (v0 uint32, v1 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetEncoderCapacity(ctx context.Context, d Device, kind uint32) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetEncoderStats(ctx context.Context, d Device) (v0 uint32, v1 uint32, v2 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetFBCStats(ctx context.Context, d Device) (v0 uint32, v1 uint32, v2 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetSamples(ctx context.Context, d Device, kind uint32, since uint64) (v0 []Sample, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetViolationStatus(ctx context.Context, d Device, policy uint32) (v0 ViolationTime, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetFieldValues(ctx context.Context, d Device, values []FieldValue) (v0 []FieldValue, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetMaxPcieLinkGeneration(ctx context.Context, d Device) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetGpuMaxPcieLinkGeneration(ctx context.Context, d Device) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetMaxPcieLinkWidth(ctx context.Context, d Device) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetCurrPcieLinkGeneration(ctx context.Context, d Device) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetCurrPcieLinkWidth(ctx context.Context, d Device) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetPcieThroughput(ctx context.Context, d Device, counter uint32) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetPcieReplayCounter(ctx context.Context, d Device) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetPcieLinkMaxSpeed(ctx context.Context, d Device) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetPcieSpeed(ctx context.Context, d Device) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetNvLinkState(ctx context.Context, d Device, link uint32) (v0 bool, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetNvLinkVersion(ctx context.Context, d Device, link uint32) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetNvLinkCapability(ctx context.Context, d Device, link uint32, capability uint32) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetNvLinkRemotePciInfo(ctx context.Context, d Device, link uint32) (v0 PciInfo, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetNvLinkRemoteDeviceType(ctx context.Context, d Device, link uint32) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetNvLinkErrorCounter(ctx context.Context, d Device, link uint32, counter uint32) (v0 uint64, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceResetNvLinkErrorCounters(ctx context.Context, d Device, link uint32) (ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetTopologyCommonAncestor(ctx context.Context, d1 Device, d2 Device) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetTopologyNearestGpus(ctx context.Context, d Device, level uint32) (v0 []Device, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetP2PStatus(ctx context.Context, d1 Device, d2 Device, capability uint32) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceOnSameBoard(ctx context.Context, d1 Device, d2 Device) (v0 bool, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetGpuFabricInfo(ctx context.Context, d Device) (v0 FabricInfo, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetGpuFabricInfoV(ctx context.Context, d Device, version int) (v0 FabricInfo, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetC2cModeInfoV(ctx context.Context, d Device) (v0 bool, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetTotalEccErrors(ctx context.Context, d Device, uncorrected bool, aggregate bool) (v0 uint64, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetMemoryErrorCounter(ctx context.Context, d Device, uncorrected bool, aggregate bool, location EccLocation) (v0 uint64, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetDetailedEccErrors(ctx context.Context, d Device, uncorrected bool, aggregate bool) (v0 EccCounts, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceClearEccErrorCounts(ctx context.Context, d Device, aggregate bool) (ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetSramEccErrorStatus(ctx context.Context, d Device) (v0 SramEccErrorStatus, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetRemappedRows(ctx context.Context, d Device) (v0 RemappedRows, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetRowRemapperHistogram(ctx context.Context, d Device) (v0 RowRemapperHistogram, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetRetiredPages(ctx context.Context, d Device, cause uint32) (v0 []uint64, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetRetiredPagesV2(ctx context.Context, d Device, cause uint32) (v0 []uint64, v1 []uint64, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetRetiredPagesPendingStatus(ctx context.Context, d Device) (v0 bool, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetRepairStatus(ctx context.Context, d Device) (v0 RepairStatus, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetComputeRunningProcesses(ctx context.Context, d Device) (v0 []ProcessInfo, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetGraphicsRunningProcesses(ctx context.Context, d Device) (v0 []ProcessInfo, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetMPSComputeRunningProcesses(ctx context.Context, d Device) (v0 []ProcessInfo, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetRunningProcessDetailList(ctx context.Context, d Device, mode uint32) (v0 []ProcessInfo, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetProcessUtilization(ctx context.Context, d Device, since uint64) (v0 []ProcessUtilization, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetProcessesUtilizationInfo(ctx context.Context, d Device, since uint64) (v0 []ProcessUtilization, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetAccountingMode(ctx context.Context, d Device) (v0 bool, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceSetAccountingMode(ctx context.Context, d Device, on bool) (ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetAccountingPids(ctx context.Context, d Device) (v0 []uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetAccountingStats(ctx context.Context, d Device, pid uint32) (v0 AccountingStats, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetAccountingBufferSize(ctx context.Context, d Device) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceClearAccountingPids(ctx context.Context, d Device) (ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceSetMigMode(ctx context.Context, d Device, mode uint32) (v0 Return, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetMigMode(ctx context.Context, d Device) (v0 uint32, v1 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetMaxMigDeviceCount(ctx context.Context, d Device) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceIsMigDeviceHandle(ctx context.Context, d Device) (v0 bool, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetMigDeviceHandleByIndex(ctx context.Context, d Device, index uint32) (v0 Device, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetDeviceHandleFromMigDeviceHandle(ctx context.Context, d Device) (v0 Device, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetGpuInstanceId(ctx context.Context, d Device) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetComputeInstanceId(ctx context.Context, d Device) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetGpuInstanceProfileInfo(ctx context.Context, d Device, profile uint32) (v0 GpuInstanceProfileInfo, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetGpuInstanceProfileInfoV(ctx context.Context, d Device, profile uint32, version int) (v0 GpuInstanceProfileInfo, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetGpuInstanceProfileInfoByIdV(ctx context.Context, d Device, profileID uint32, version int) (v0 GpuInstanceProfileInfo, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetGpuInstancePossiblePlacements(ctx context.Context, d Device, profileID uint32) (v0 []Placement, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetGpuInstanceRemainingCapacity(ctx context.Context, d Device, profileID uint32) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceCreateGpuInstance(ctx context.Context, d Device, profileID uint32) (v0 GPUInstance, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceCreateGpuInstanceWithPlacement(ctx context.Context, d Device, profileID uint32, p Placement) (v0 GPUInstance, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetGpuInstances(ctx context.Context, d Device, profileID uint32) (v0 []GPUInstance, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetGpuInstanceById(ctx context.Context, d Device, id uint32) (v0 GPUInstance, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) GpuInstanceGetInfo(ctx context.Context, gi GPUInstance) (v0 GpuInstanceInfo, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) GpuInstanceDestroy(ctx context.Context, gi GPUInstance) (ret Return) {
	ret = NotSupported
	return
}

func (c *Client) GpuInstanceGetComputeInstanceProfileInfo(ctx context.Context, gi GPUInstance, profile uint32, engine uint32) (v0 ComputeInstanceProfileInfo, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) GpuInstanceGetComputeInstanceProfileInfoV(ctx context.Context, gi GPUInstance, profile uint32, engine uint32, version int) (v0 ComputeInstanceProfileInfo, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) GpuInstanceGetComputeInstanceRemainingCapacity(ctx context.Context, gi GPUInstance, profileID uint32) (v0 uint32, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) GpuInstanceGetComputeInstancePossiblePlacements(ctx context.Context, gi GPUInstance, profileID uint32) (v0 []Placement, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) GpuInstanceCreateComputeInstance(ctx context.Context, gi GPUInstance, profileID uint32) (v0 ComputeInstance, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) GpuInstanceCreateComputeInstanceWithPlacement(ctx context.Context, gi GPUInstance, profileID uint32, p Placement) (v0 ComputeInstance, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) GpuInstanceGetComputeInstances(ctx context.Context, gi GPUInstance, profileID uint32) (v0 []ComputeInstance, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) GpuInstanceGetComputeInstanceById(ctx context.Context, gi GPUInstance, id uint32) (v0 ComputeInstance, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) ComputeInstanceGetInfo(ctx context.Context, ci ComputeInstance) (v0 ComputeInstanceInfo, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) ComputeInstanceDestroy(ctx context.Context, ci ComputeInstance) (ret Return) {
	ret = NotSupported
	return
}

func (c *Client) EventSetCreate(ctx context.Context) (v0 EventSet, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceGetSupportedEventTypes(ctx context.Context, d Device) (v0 uint64, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) DeviceRegisterEvents(ctx context.Context, d Device, types uint64, set EventSet) (ret Return) {
	ret = NotSupported
	return
}

func (c *Client) EventSetWait(ctx context.Context, set EventSet, timeoutMS uint32) (v0 EventData, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) EventSetFree(ctx context.Context, set EventSet) (ret Return) {
	ret = NotSupported
	return
}

func (c *Client) GpmQueryDeviceSupport(ctx context.Context, d Device) (v0 bool, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) GpmSampleAlloc(ctx context.Context) (v0 GpmSample, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) GpmSampleFree(ctx context.Context, s GpmSample) (ret Return) {
	ret = NotSupported
	return
}

func (c *Client) GpmSampleGet(ctx context.Context, d Device, s GpmSample) (ret Return) {
	ret = NotSupported
	return
}

func (c *Client) GpmMigSampleGet(ctx context.Context, d Device, giID uint32, s GpmSample) (ret Return) {
	ret = NotSupported
	return
}

func (c *Client) GpmMetricsGet(ctx context.Context, first GpmSample, second GpmSample, metrics []GpmMetric) (v0 []GpmMetric, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) GpmQueryIfStreamingEnabled(ctx context.Context, d Device) (v0 bool, ret Return) {
	ret = NotSupported
	return
}

func (c *Client) GpmSetStreamingEnabled(ctx context.Context, d Device, on bool) (ret Return) {
	ret = NotSupported
	return
}

func (c *Client) InitWithFlags(ctx context.Context, flags uint32) (ret Return) {
	ret = NotSupported
	return
}

func (c *Client) Shutdown(ctx context.Context) (ret Return) { ret = NotSupported; return }
