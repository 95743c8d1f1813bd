package model

import "strings"

// What each driver branch brought. The source is nvml.h as go-nvml's releases carry it: v0.11.1 (R455), v0.11.6 (R510), v0.12.0
// (R525), v0.12.4 (R550), v0.12.9 (R575), v0.13.0 (R580), v0.13.4 (later than R580: 600 here). Between R455 and R510, and between
// R525 and R550, which functions are in 470 and in 535 is a guess from public change logs.

// Branch is the first number of a driver version: 470, 525, 535, 550, 580.
type Branch int

// BranchOf reads the branch of a driver version; 0 if it has none.
func BranchOf(version string) Branch {
	b := Branch(0)
	for _, r := range version {
		if r < '0' || r > '9' {
			break
		}
		b = b*10 + Branch(r-'0')
	}
	return b
}

// symbolsSince names the functions (without "nvml") that came after 470, by the first of our branches that has them.
func symbolsSince() map[Branch]string {
	return map[Branch]string{
		525: `
			DeviceCcuGetStreamState DeviceCcuSetStreamState DeviceClearFieldValues DeviceGetComputeRunningProcesses_v3
			DeviceGetDefaultEccMode DeviceGetDynamicPstatesInfo DeviceGetFanControlPolicy_v2 DeviceGetGpcClkMinMaxVfOffset
			DeviceGetGpcClkVfOffset DeviceGetGpuFabricInfo DeviceGetGpuInstanceProfileInfoV DeviceGetGpuMaxPcieLinkGeneration
			DeviceGetGraphicsRunningProcesses_v3 DeviceGetGspFirmwareMode DeviceGetGspFirmwareVersion
			DeviceGetMPSComputeRunningProcesses_v3 DeviceGetMemClkMinMaxVfOffset DeviceGetMemClkVfOffset DeviceGetMemoryInfo_v2
			DeviceGetMinMaxClockOfPState DeviceGetMinMaxFanSpeed DeviceGetNumFans DeviceGetPcieSpeed DeviceGetSupportedPerformanceStates
			DeviceGetTargetFanSpeed DeviceGetThermalSettings DeviceGetVgpuCapabilities DeviceGetVgpuSchedulerCapabilities
			DeviceGetVgpuSchedulerLog DeviceGetVgpuSchedulerState DeviceSetDefaultFanSpeed_v2 DeviceSetFanControlPolicy
			DeviceSetFanSpeed_v2 DeviceSetGpcClkVfOffset DeviceSetMemClkVfOffset DeviceSetNvLinkDeviceLowPowerThreshold
			DeviceSetVgpuSchedulerState GetVgpuDriverCapabilities GpmMetricsGet GpmMigSampleGet GpmQueryDeviceSupport GpmSampleAlloc
			GpmSampleFree GpmSampleGet GpuInstanceCreateComputeInstanceWithPlacement GpuInstanceGetComputeInstancePossiblePlacements
			GpuInstanceGetComputeInstanceProfileInfoV VgpuInstanceGetLicenseInfo_v2 VgpuTypeGetCapabilities`,
		535: `
			DeviceGetConfComputeGpuAttestationReport DeviceGetConfComputeGpuCertificate DeviceGetConfComputeMemSizeInfo
			DeviceGetConfComputeProtectedMemoryUsage DeviceGetCurrentClocksEventReasons DeviceGetModuleId DeviceGetNumaNodeId
			DeviceGetRunningProcessDetailList DeviceGetSupportedClocksEventReasons DeviceSetConfComputeUnprotectedMemSize
			DeviceSetVgpuCapabilities SystemGetConfComputeCapabilities SystemGetConfComputeGpusReadyState SystemGetConfComputeState
			SystemGetNvlinkBwMode SystemSetConfComputeGpusReadyState SystemSetNvlinkBwMode VgpuTypeGetFbReservation
			VgpuTypeGetGspHeapSize`,
		550: `
			DeviceGetC2cModeInfoV DeviceGetGpuFabricInfoV DeviceGetJpgUtilization DeviceGetLastBBXFlushTime DeviceGetOfaUtilization
			DeviceGetPciInfoExt DeviceGetProcessesUtilizationInfo DeviceGetSramEccErrorStatus DeviceGetVgpuHeterogeneousMode
			DeviceGetVgpuInstancesUtilizationInfo DeviceGetVgpuProcessesUtilizationInfo DeviceGetVgpuTypeCreatablePlacements
			DeviceGetVgpuTypeSupportedPlacements DeviceSetPowerManagementLimit_v2 DeviceSetVgpuHeterogeneousMode
			GpmQueryIfStreamingEnabled GpmSetStreamingEnabled SystemGetConfComputeKeyRotationThresholdInfo SystemGetConfComputeSettings
			SystemSetConfComputeKeyRotationThresholdInfo VgpuInstanceGetPlacementId`,
		580: `
			DeviceGetAddressingMode DeviceGetCapabilities DeviceGetClockOffsets DeviceGetCoolerInfo DeviceGetCurrentClockFreqs
			DeviceGetDramEncryptionMode DeviceGetDriverModel_v2 DeviceGetFanSpeedRPM DeviceGetGpuInstanceProfileInfoByIdV
			DeviceGetHandleByUUIDV DeviceGetMarginTemperature DeviceGetNvLinkInfo DeviceGetNvlinkBwMode DeviceGetNvlinkSupportedBwModes
			DeviceGetPdi DeviceGetPerformanceModes DeviceGetPlatformInfo DeviceGetPowerMizerMode_v1 DeviceGetRepairStatus
			DeviceGetSramUniqueUncorrectedEccErrorCounts DeviceGetTemperatureV DevicePowerSmoothingActivatePresetProfile
			DevicePowerSmoothingSetState DevicePowerSmoothingUpdatePresetProfileParam DeviceReadWritePRM_v1 DeviceSetClockOffsets
			DeviceSetDramEncryptionMode DeviceSetNvlinkBwMode DeviceSetPowerMizerMode_v1 DeviceWorkloadPowerProfileClearRequestedProfiles
			DeviceWorkloadPowerProfileGetCurrentProfiles DeviceWorkloadPowerProfileGetProfilesInfo
			DeviceWorkloadPowerProfileSetRequestedProfiles GpuInstanceGetActiveVgpus GpuInstanceGetCreatableVgpus
			GpuInstanceGetVgpuHeterogeneousMode GpuInstanceGetVgpuSchedulerLog GpuInstanceGetVgpuSchedulerState
			GpuInstanceGetVgpuTypeCreatablePlacements GpuInstanceSetVgpuHeterogeneousMode GpuInstanceSetVgpuSchedulerState
			SystemEventSetCreate SystemEventSetFree SystemEventSetWait SystemGetDriverBranch SystemRegisterEvents
			VgpuInstanceGetRuntimeStateSize VgpuTypeGetBAR1Info VgpuTypeGetMaxInstancesPerGpuInstance`,
		600: `
			DeviceGetAccountingStats_v2 DeviceGetAdaptiveTgpModeInfo_v1 DeviceGetBBXTimeData_v1 DeviceGetBankRemapperStatus_v1
			DeviceGetGpuFabricInfo_v4 DeviceGetHostname_v1 DeviceGetMemoryLimits_v1 DeviceGetNvLinkTelemetrySamples_v1
			DeviceGetRemappedRows_v2 DeviceGetUnrepairableMemoryFlag_v1 DeviceGetVgpuSchedulerLog_v2 DeviceGetVgpuSchedulerState_v2
			DevicePerfMetricsGetSamples_v1 DeviceReadPRMCounters_v1 DeviceSetAdaptiveTgpMode_v1 DeviceSetHostname_v1
			DeviceSetMemoryLimits_v1 DeviceSetNvlinkBwModeAsync_v1 DeviceSetRusdSettings_v1 DeviceSetVgpuSchedulerState_v2
			DeviceVgpuForceGspUnload DeviceWorkloadPowerProfileUpdateProfiles_v1 EventSetGetContextCount_v1 EventSetGetContextData_v1
			EventSetGetContextInfo_v1 EventSetGetGpuOperationalEventContextLegacyXid_v1 EventSetRegisterGpuOperationalEvents_v1
			EventSetWait_v3 GpuInstanceGetVgpuSchedulerLog_v2 GpuInstanceGetVgpuSchedulerState_v2 GpuInstanceSetVgpuSchedulerState_v2
			SystemGetCPER_v1`,
	}
}

// Symbols gives the functions that are not in every branch with the first branch that has them.
func Symbols() map[string]Branch {
	m := map[string]Branch{}
	for b, names := range symbolsSince() {
		for _, name := range strings.Fields(names) {
			m["nvml"+name] = b
		}
	}
	return m
}

// HasSymbol says whether the library of that branch exports the function. Functions that are not in the table are in every branch.
func (b Branch) HasSymbol(name string) bool { return b >= Symbols()[name] }

type structVersion struct {
	name    string
	version int
}

// HasStruct says whether the branch knows a versioned structure, for instance ("GpuInstanceProfileInfo", 3). Structures whose
// function came with them need no entry.
func (b Branch) HasStruct(name string, version int) bool {
	since := map[structVersion]Branch{
		{"GpuInstanceProfileInfo", 2}: 495, {"GpuInstanceProfileInfo", 3}: 550,
		{"ComputeInstanceProfileInfo", 2}: 495, {"ComputeInstanceProfileInfo", 3}: 550,
		{"GpuFabricInfo", 2}: 550, {"GpuFabricInfo", 3}: 580,
		{"Memory", 2}: 510, {"PlatformInfo", 1}: 575, {"PlatformInfo", 2}: 575,
		{"NvLinkInfo", 1}: 580, {"NvLinkInfo", 2}: 580, {"VgpuPlacementList", 2}: 575,
	}
	newest := map[string]int{"GpuInstanceProfileInfo": 3, "ComputeInstanceProfileInfo": 3, "GpuFabricInfo": 3, "Memory": 2, "PlatformInfo": 2, "NvLinkInfo": 2, "VgpuPlacementList": 2}
	if version < 1 || newest[name] != 0 && version > newest[name] {
		return false
	}
	return b >= since[structVersion{name, version}]
}

// gpuInstanceProfiles is NVML_GPU_INSTANCE_PROFILE_COUNT of the branch.
func (b Branch) gpuInstanceProfiles() uint32 {
	switch {
	case b >= 600:
		return 0x12
	case b >= 575:
		return 0x11
	case b >= 525:
		return 0xA
	}
	return 0x8
}

// computeInstanceProfiles is NVML_COMPUTE_INSTANCE_PROFILE_COUNT of the branch.
func (b Branch) computeInstanceProfiles() uint32 {
	switch {
	case b >= 600:
		return 9
	case b >= 525:
		return 8
	}
	return 7
}

// fieldsEnd is one past the last field id that the branch knows.
func (b Branch) fieldsEnd() uint32 {
	switch {
	case b >= 600:
		return 308
	case b >= 570:
		return 275
	case b >= 550:
		return 201
	case b >= 535:
		return 184
	case b >= 525:
		return 171
	}
	return 162
}

// cuda is the newest CUDA version that the branch runs, as nvmlSystemGetCudaDriverVersion writes it.
func (b Branch) cuda() int {
	for _, v := range []struct {
		since Branch
		cuda  int
	}{{600, 13040}, {580, 13000}, {575, 12090}, {570, 12080}, {560, 12060}, {550, 12040}, {545, 12030}, {535, 12020}, {525, 12000}, {510, 11060}, {470, 11040}} {
		if b >= v.since {
			return v.cuda
		}
	}
	return 11000
}
