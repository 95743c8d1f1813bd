package family

func utilization() []row {
	return []row{
		{field: GPUUtil, classic: "DEV_GPU_UTIL", later: "DEV_GPU_UTIL_RATIO", kind: Gauge, unit: "%", base: true, loop: Fast, nvml: "GetUtilizationRates.gpu", on: true, help: "Part of the time in which a kernel ran; of GPU instances it is DCGM_FI_PROF_GR_ENGINE_ACTIVE"},
		{field: MemCopyUtil, classic: "DEV_MEM_COPY_UTIL", later: "DEV_MEM_COPY_UTIL_RATIO", kind: Gauge, unit: "%", base: true, loop: Fast, nvml: "GetUtilizationRates.memory", on: true, guess: true, help: "Part of the time in which memory was read or written"},
		{field: 206, classic: "DEV_ENC_UTIL", later: "DEV_ENC_UTIL_RATIO", kind: Gauge, unit: "%", base: true, loop: Slow, nvml: "GetEncoderUtilization", on: true, guess: true, help: "Part of the time in which the video encoder worked"},
		{field: 207, classic: "DEV_DEC_UTIL", later: "DEV_DEC_UTIL_RATIO", kind: Gauge, unit: "%", base: true, loop: Slow, nvml: "GetDecoderUtilization", on: true, guess: true, help: "Part of the time in which the video decoder worked"},
	}
}

func memory() []row {
	return []row{
		{field: 90, classic: "DEV_BAR1_TOTAL", later: "DEV_BAR1_CAPACITY_BYTES", kind: Gauge, unit: "MiB", base: true, level: LevelCompute, loop: Static, nvml: "GetBAR1MemoryInfo", help: "Size of BAR1"},
		{field: 92, classic: "DEV_BAR1_USED", later: "DEV_BAR1_USED_BYTES", kind: Gauge, unit: "MiB", base: true, level: LevelCompute, loop: Slow, nvml: "GetBAR1MemoryInfo", help: "BAR1 in use"},
		{field: 93, classic: "DEV_BAR1_FREE", later: "DEV_BAR1_FREE_BYTES", kind: Gauge, unit: "MiB", base: true, level: LevelCompute, loop: Slow, nvml: "GetBAR1MemoryInfo", help: "BAR1 that is free"},
		{field: FBTotal, classic: "DEV_FB_TOTAL", later: "DEV_FB_CAPACITY_BYTES", kind: Gauge, unit: "MiB", base: true, level: LevelCompute, loop: Fast, nvml: "GetMemoryInfo_v2.total", help: "Memory of the GPU or GPU instance"},
		{field: FBFree, classic: "DEV_FB_FREE", later: "DEV_FB_FREE_BYTES", kind: Gauge, unit: "MiB", base: true, level: LevelCompute, loop: Fast, nvml: "GetMemoryInfo_v2.free", on: true, guess: true, help: "Memory that is free"},
		{field: FBUsed, classic: "DEV_FB_USED", later: "DEV_FB_USED_BYTES", kind: Gauge, unit: "MiB", base: true, level: LevelCompute, loop: Fast, nvml: "GetMemoryInfo_v2.used", on: true, guess: true, help: "Memory in use, without what the driver reserves"},
		{field: FBReserved, classic: "DEV_FB_RESERVED", later: "DEV_FB_RESERVED_BYTES", kind: Gauge, unit: "MiB", base: true, level: LevelCompute, loop: Fast, nvml: "GetMemoryInfo_v2.reserved", on: true, guess: true, help: "Memory that the driver reserves"},
		{field: 254, classic: "DEV_FB_USED_PERCENT", later: "DEV_FB_USED_RATIO", kind: Gauge, unit: "ratio", level: LevelCompute, loop: Fast, nvml: "GetMemoryInfo_v2", help: "Part of the memory in use, of what is not reserved"},
	}
}

// profiling needs GPM (Hopper and newer) or DCGM's profiling module.
func profiling() []row {
	return []row{
		{field: GREngine, classic: "PROF_GR_ENGINE_ACTIVE", later: "PROF_GR_ENGINE_UTIL_RATIO", kind: Gauge, unit: "ratio", level: LevelCompute, loop: Process, nvml: "GPM 1/100", on: true, help: "Part of the time in which the graphics or compute engine was active"},
		{field: SMActive, classic: "PROF_SM_ACTIVE", later: "PROF_SM_UTIL_RATIO", kind: Gauge, unit: "ratio", level: LevelCompute, loop: Process, nvml: "GPM 2/100", help: "Part of the time in which a multiprocessor had a warp, mean over all"},
		{field: SMOccupancy, classic: "PROF_SM_OCCUPANCY", later: "PROF_SM_OCCUPANCY_RATIO", kind: Gauge, unit: "ratio", level: LevelCompute, loop: Process, nvml: "GPM 3/100", help: "Resident warps as part of the most that fit"},
		{field: TensorActive, classic: "PROF_PIPE_TENSOR_ACTIVE", later: "PROF_TENSOR_UTIL_RATIO", kind: Gauge, unit: "ratio", level: LevelCompute, loop: Process, nvml: "GPM 5/100", on: true, help: "Part of the time in which the tensor pipe was active"},
		{field: DRAMActive, classic: "PROF_DRAM_ACTIVE", later: "PROF_DRAM_UTIL_RATIO", kind: Gauge, unit: "ratio", level: LevelInstance, loop: Process, nvml: "GPM 10/100", on: true, help: "Part of the time in which the memory interface was active"},
		{field: 1006, classic: "PROF_PIPE_FP64_ACTIVE", later: "PROF_FP64_UTIL_RATIO", kind: Gauge, unit: "ratio", level: LevelCompute, loop: Process, nvml: "GPM 11/100", help: "Part of the time in which the FP64 pipe was active"},
		{field: 1007, classic: "PROF_PIPE_FP32_ACTIVE", later: "PROF_FP32_UTIL_RATIO", kind: Gauge, unit: "ratio", level: LevelCompute, loop: Process, nvml: "GPM 12/100", help: "Part of the time in which the FP32 pipe was active"},
		{field: 1008, classic: "PROF_PIPE_FP16_ACTIVE", later: "PROF_FP16_UTIL_RATIO", kind: Gauge, unit: "ratio", level: LevelCompute, loop: Process, nvml: "GPM 13/100", help: "Part of the time in which the FP16 pipe was active, without tensor work"},
		{field: 1009, classic: "PROF_PCIE_TX_BYTES", kind: Gauge, unit: "B/s", loop: Fast, nvml: "FI 197, or GPM 20*2^20", on: true, help: "Traffic that the GPU sends over PCIe"},
		{field: 1010, classic: "PROF_PCIE_RX_BYTES", kind: Gauge, unit: "B/s", loop: Fast, nvml: "FI 198, or GPM 21*2^20", on: true, help: "Traffic that the GPU receives over PCIe"},
		{field: 1011, classic: "PROF_NVLINK_TX_BYTES", kind: Gauge, unit: "B/s", loop: Process, nvml: "GPM 61*2^20", help: "Traffic that the GPU sends over NVLink"},
		{field: 1012, classic: "PROF_NVLINK_RX_BYTES", kind: Gauge, unit: "B/s", loop: Process, nvml: "GPM 60*2^20", help: "Traffic that the GPU receives over NVLink"},
		{field: 1013, classic: "PROF_PIPE_TENSOR_IMMA_ACTIVE", later: "PROF_IMMA_UTIL_RATIO", kind: Gauge, unit: "ratio", level: LevelCompute, loop: Process, nvml: "GPM 9/100", help: "Part of the time in which the tensor pipe did integer work"},
		{field: 1014, classic: "PROF_PIPE_TENSOR_HMMA_ACTIVE", later: "PROF_HMMA_UTIL_RATIO", kind: Gauge, unit: "ratio", level: LevelCompute, loop: Process, nvml: "GPM 7/100", help: "Part of the time in which the tensor pipe did half-precision work"},
		{field: 1015, classic: "PROF_PIPE_TENSOR_DFMA_ACTIVE", later: "PROF_DFMA_UTIL_RATIO", kind: Gauge, unit: "ratio", level: LevelCompute, loop: Process, nvml: "GPM 6/100", help: "Part of the time in which the tensor pipe did double-precision work"},
		{field: 1016, classic: "PROF_PIPE_INT_ACTIVE", later: "PROF_INT_UTIL_RATIO", kind: Gauge, unit: "ratio", level: LevelCompute, loop: Process, nvml: "GPM 4/100", help: "Part of the time in which the integer pipe was active"},
	}
}

// cycles only grow: rate(active)/rate(elapsed) is exact over any window. DCGM has them from 4.6 on.
func cycles() []row {
	return []row{
		{field: 1084, classic: "PROF_SM_CYCLES_ELAPSED_TOTAL", kind: Counter, unit: "cycles", loop: Process, nvml: "GPM 248", help: "Cycles of the multiprocessors that passed"},
		{field: 1085, classic: "PROF_SM_CYCLES_ACTIVE_TOTAL", kind: Counter, unit: "cycles", loop: Process, nvml: "GPM 249", help: "Cycles in which multiprocessors had a warp"},
		{field: 1086, classic: "PROF_MMA_CYCLES_ACTIVE_TOTAL", kind: Counter, unit: "cycles", loop: Process, nvml: "GPM 250", help: "Cycles in which the tensor pipe was active"},
		{field: 1087, classic: "PROF_DMMA_CYCLES_ACTIVE_TOTAL", kind: Counter, unit: "cycles", loop: Process, nvml: "GPM 251", help: "Cycles in which the tensor pipe multiplied double-precision matrices"},
		{field: 1088, classic: "PROF_HMMA_CYCLES_ACTIVE_TOTAL", kind: Counter, unit: "cycles", loop: Process, nvml: "GPM 252", help: "Cycles in which the tensor pipe did half-precision work"},
		{field: 1089, classic: "PROF_IMMA_CYCLES_ACTIVE_TOTAL", kind: Counter, unit: "cycles", loop: Process, nvml: "GPM 253", help: "Cycles in which the tensor pipe did integer work"},
		{field: 1090, classic: "PROF_DFMA_CYCLES_ACTIVE_TOTAL", kind: Counter, unit: "cycles", loop: Process, nvml: "GPM 254", help: "Cycles in which the tensor pipe did double-precision work"},
		{field: 1091, classic: "PROF_PCIE_TX_BYTES_TOTAL", kind: Counter, unit: "bytes", loop: Fast, nvml: "FI 197, or GPM 255", help: "Bytes that the GPU sent over PCIe"},
		{field: 1092, classic: "PROF_PCIE_RX_BYTES_TOTAL", kind: Counter, unit: "bytes", loop: Fast, nvml: "FI 198, or GPM 256", help: "Bytes that the GPU received over PCIe"},
		{field: 1093, classic: "PROF_INT_CYCLES_ACTIVE_TOTAL", kind: Counter, unit: "cycles", loop: Process, nvml: "GPM 257", help: "Cycles in which the integer pipe was active"},
		{field: 1094, classic: "PROF_FP64_CYCLES_ACTIVE_TOTAL", kind: Counter, unit: "cycles", loop: Process, nvml: "GPM 258", help: "Cycles in which the FP64 pipe was active"},
		{field: 1095, classic: "PROF_FP32_CYCLES_ACTIVE_TOTAL", kind: Counter, unit: "cycles", loop: Process, nvml: "GPM 259", help: "Cycles in which the FP32 pipe was active"},
		{field: 1096, classic: "PROF_FP16_CYCLES_ACTIVE_TOTAL", kind: Counter, unit: "cycles", loop: Process, nvml: "GPM 260", help: "Cycles in which the FP16 pipe was active"},
	}
}
