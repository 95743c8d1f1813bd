package family

// throttling counts the time in which clocks were held down. 240 to 245 overlap with 1420 to 1424; see Throttles.
func throttling() []row {
	return []row{
		{field: PowerViolation, classic: "DEV_POWER_VIOLATION", kind: Counter, unit: "ns", loop: Slow, nvml: "FI 74, or GetViolationStatus", help: "Time in which the power limit held clocks down"},
		{field: ThermalViolation, classic: "DEV_THERMAL_VIOLATION", kind: Counter, unit: "ns", loop: Slow, nvml: "FI 75, or GetViolationStatus", help: "Time in which the temperature held clocks down"},
		{field: SyncBoostViolation, classic: "DEV_SYNC_BOOST_VIOLATION", kind: Counter, unit: "ns", loop: Slow, nvml: "FI 76, or GetViolationStatus", help: "Time in which a sync-boost group held clocks down"},
		{field: BoardLimitViolation, classic: "DEV_BOARD_LIMIT_VIOLATION", kind: Counter, unit: "ns", loop: Slow, nvml: "FI 77, or GetViolationStatus", help: "Time in which the board's limit held clocks down"},
		{field: LowUtilViolation, classic: "DEV_LOW_UTIL_VIOLATION", kind: Counter, unit: "ns", loop: Slow, nvml: "FI 78, or GetViolationStatus", help: "Time in which low utilization held clocks down"},
		{field: ReliabilityViolation, classic: "DEV_RELIABILITY_VIOLATION", kind: Counter, unit: "ns", loop: Slow, nvml: "FI 79, or GetViolationStatus", help: "Time in which the board's reliability limit held clocks down"},
		{field: 246, classic: "DEV_TOTAL_APP_CLOCKS_VIOLATION", kind: Counter, unit: "ns", loop: Slow, nvml: "FI 80, or GetViolationStatus", help: "Time below the clocks that applications get"},
		{field: 247, classic: "DEV_TOTAL_BASE_CLOCKS_VIOLATION", kind: Counter, unit: "ns", loop: Slow, nvml: "FI 81, or GetViolationStatus", help: "Time below the base clocks"},
		{field: SWPowerCap, classic: "DEV_CLOCKS_EVENT_REASON_SW_POWER_CAP_NS", kind: Counter, unit: "ns", loop: Slow, nvml: "FI 74", help: "Time in which the driver's power cap held clocks down"},
		{field: SyncBoost, classic: "DEV_CLOCKS_EVENT_REASON_SYNC_BOOST_NS", kind: Counter, unit: "ns", loop: Slow, nvml: "FI 76", help: "Time in which a sync-boost group held clocks down"},
		{field: SWThermSlowdown, classic: "DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN_NS", kind: Counter, unit: "ns", loop: Slow, nvml: "FI 269", help: "Time in which the driver held clocks down because of the temperature"},
		{field: HWThermSlowdown, classic: "DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN_NS", kind: Counter, unit: "ns", loop: Slow, nvml: "FI 270", help: "Time in which the hardware held clocks down because of the temperature"},
		{field: HWPowerBrake, classic: "DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN_NS", kind: Counter, unit: "ns", loop: Slow, nvml: "FI 271", help: "Time in which the power brake, such as of the power supply, held clocks down"},
	}
}

// errorCounts are XIDs, ECC, retired pages and remapped rows.
func errorCounts() []row {
	return []row{
		{field: XIDErrors, classic: "DEV_XID_ERRORS", later: "DEV_XID_ERROR", kind: Gauge, level: LevelCompute, loop: Fast, nvml: "EventSetWait_v2", on: true, help: "Code of the last XID error; gpu_xid_errors_total counts them"},
		{field: 310, classic: "DEV_ECC_SBE_VOL_TOTAL", kind: Counter, loop: Slow, nvml: "GetTotalEccErrors(corrected, volatile)", help: "Corrected memory errors since the driver was loaded"},
		{field: 311, classic: "DEV_ECC_DBE_VOL_TOTAL", kind: Counter, loop: Slow, nvml: "GetTotalEccErrors(uncorrected, volatile)", help: "Uncorrectable memory errors since the driver was loaded"},
		{field: 312, classic: "DEV_ECC_SBE_AGG_TOTAL", kind: Counter, loop: Slow, nvml: "GetTotalEccErrors(corrected, aggregate)", help: "Corrected memory errors in the GPU's life"},
		{field: 313, classic: "DEV_ECC_DBE_AGG_TOTAL", kind: Counter, loop: Slow, nvml: "GetTotalEccErrors(uncorrected, aggregate)", help: "Uncorrectable memory errors in the GPU's life"},
		{field: 346, classic: "DEV_THRESHOLD_SRM", later: "DEV_SRAM_EXCEEDED", kind: Gauge, loop: Slow, nvml: "GetSramEccErrorStatus", help: "Whether uncorrectable errors of the SRAM are over their threshold"},
		{field: 390, classic: "DEV_RETIRED_SBE", later: "DEV_PAGE_RETIRED_SBE_TOTAL", kind: Counter, unit: "pages", loop: Slow, nvml: "GetRetiredPages(SBE)", help: "Memory pages retired for corrected errors"},
		{field: 391, classic: "DEV_RETIRED_DBE", later: "DEV_PAGE_RETIRED_DBE_TOTAL", kind: Counter, unit: "pages", loop: Slow, nvml: "GetRetiredPages(DBE)", help: "Memory pages retired for uncorrectable errors"},
		{field: 392, classic: "DEV_RETIRED_PENDING", later: "DEV_PAGE_RETIRED_PENDING", kind: Counter, loop: Slow, nvml: "GetRetiredPagesPendingStatus", help: "Whether memory pages are retired at the next reset"},
		{field: 393, classic: "DEV_UNCORRECTABLE_REMAPPED_ROWS", later: "DEV_ROW_REMAP_UNCORRECTABLE_TOTAL", kind: Counter, unit: "rows", loop: Slow, nvml: "FI 143, or GetRemappedRows", on: true, help: "Memory rows remapped for uncorrectable errors"},
		{field: 394, classic: "DEV_CORRECTABLE_REMAPPED_ROWS", later: "DEV_ROW_REMAP_CORRECTABLE_TOTAL", kind: Counter, unit: "rows", loop: Slow, nvml: "FI 142, or GetRemappedRows", on: true, help: "Memory rows remapped for corrected errors"},
		{field: RowRemapFailure, classic: "DEV_ROW_REMAP_FAILURE", later: "DEV_ROW_REMAP_FAILED", kind: Gauge, loop: Slow, nvml: "FI 145, or GetRemappedRows", on: true, help: "Whether remapping a memory row failed"},
		{field: RowRemapPending, classic: "DEV_ROW_REMAP_PENDING", kind: Gauge, loop: Slow, nvml: "FI 144, or GetRemappedRows", help: "Whether memory rows are remapped at the next reset"},
		{field: 1507, classic: "DEV_MEMORY_UNREPAIRABLE_FLAG", later: "DEV_MEMORY_UNREPAIRABLE", kind: Gauge, loop: Slow, nvml: "GetUnrepairableMemoryFlag_v1", help: "Whether the memory cannot be repaired"},
		{field: Recovery, classic: "DEV_GET_GPU_RECOVERY_ACTION", later: "DEV_GPU_RECOVERY_ACTION", kind: Gauge, loop: Slow, nvml: "FI 230", help: "What the driver asks for: 0 nothing, 1 reset, 2 reboot, 3 drain peer-to-peer, 4 drain and reset, 5 IMEX"},
	}
}
