package family

import (
	"slices"
	"strings"
)

// Labels of gpulet's own families, in the order in which they are written. UUID and GPU_I_* are spelt as DCGM's families spell
// them, so that both join without relabelling. GPU_I_PROFILE and GPU_I_ID are empty for a GPU that is not divided.
const (
	gpuLabels    = "gpu UUID"
	deviceLabels = gpuLabels + " GPU_I_PROFILE GPU_I_ID"
	podLabels    = "namespace pod container"
)

// OwnFamilies lists gpulet's own families. Their labels are the contract between expose, the rules and the dashboards.
// Values that are not known have no series: gpu_field_unavailable counts them with the reason.
func OwnFamilies() []Own {
	return slices.Concat(ofDevices(), ofPods(), ofFaults(), ofSources())
}

func ofDevices() []Own {
	return []Own{
		own("gpu_up", Gauge, "", gpuLabels, "inventory, sampler",
			"Whether the GPU answers (1) or not (0). Without an answer its other series end after three periods."),
		own("gpu_info", Gauge, "", gpuLabels+" pci_bus_id device model Hostname driver_version mig_mode", "inventory",
			"What the GPU is: always 1. mig_mode is enabled, disabled, pending or unsupported."),
		own("gpu_health", Gauge, "", deviceLabels+" state reason", "health of the inventory",
			"The state of health with its reason, empty when healthy: always 1, one series for each GPU and GPU instance."),
		own("gpu_recovery_action", Gauge, "", gpuLabels+" action", "DCGM_FI_DEV_GET_GPU_RECOVERY_ACTION",
			"1 for the action that the driver asks for to bring the GPU back, 0 for the others; none when it asks for nothing."),
		own("gpu_utilization_window_max_ratio", Gauge, "ratio", deviceLabels+" window", "fast loop",
			"Largest utilization (0 to 1) of the last 15 or 60 seconds, as the label window says."),
		own("gpu_power_window_max_watts", Gauge, "watts", gpuLabels+" window", "fast loop",
			"Largest power draw of the last 15 or 60 seconds, as the label window says."),
		own("gpu_memory_used_window_max_bytes", Gauge, "bytes", deviceLabels+" window", "fast loop",
			"Most memory in use in the last 15 or 60 seconds, as the label window says."),
		own("gpu_throttle_seconds_total", Counter, "seconds", gpuLabels+" reason", "DCGM_FI_DEV_CLOCKS_EVENT_REASON_*_NS, DCGM_FI_DEV_*_VIOLATION",
			"Time in which the clocks were held down, by why. Reasons overlap: they do not add up."),
		own("gpu_energy_joules_total", Counter, "joules", gpuLabels, "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION",
			"Energy that the GPU used since the driver was loaded."),
	}
}

func ofPods() []Own {
	return []Own{
		own("gpu_pod_info", Gauge, "", podLabels+" pod_uid "+deviceLabels+" resource sharing", "claims, podresources",
			"Which container holds which device: always 1. sharing is exclusive, time-slicing or mps."),
		own("gpu_pod_utilization_ratio", Gauge, "ratio", podLabels+" "+deviceLabels, "process loop",
			"Part (0 to 1) of the device's time that the container's kernels took. The containers of a device and gpu_unattributed_utilization_ratio add up to the device."),
		own("gpu_pod_memory_used_bytes", Gauge, "bytes", podLabels+" "+deviceLabels, "process loop",
			"Memory of the device that the container uses. The containers of a device and gpu_unattributed_memory_used_bytes add up to the device."),
		own("gpu_unattributed_utilization_ratio", Gauge, "ratio", deviceLabels, "process loop",
			"Part (0 to 1) of the device's utilization that no container explains."),
		own("gpu_unattributed_memory_used_bytes", Gauge, "bytes", deviceLabels, "process loop",
			"Memory of the device in use that no container explains."),
		own("gpu_allocated_seconds_total", Counter, "seconds", podLabels+" resource", "claims, podresources",
			"Seconds that the container has held devices of the resource, times their number."),
		own("gpu_idle_allocated_seconds_total", Counter, "seconds", podLabels+" resource", "claims, process loop",
			"Those of gpu_allocated_seconds_total in which the device did nothing for the container and its memory did not fill."),
		own("gpu_cost_dollars_total", Counter, "dollars", podLabels+" resource", "claims, price table",
			"Cost of the devices that the container has held, by the price table of the configuration; containers that share a device divide it."),
	}
}

func ofFaults() []Own {
	return []Own{
		own("gpu_xid_errors_total", Counter, "", gpuLabels+" xid class", "NVML events, kernel log",
			"XID errors since the agent started, by code and class. A code's series begins with its first error."),
		own("gpu_xid_last_timestamp_seconds", Gauge, "seconds", gpuLabels+" xid class", "NVML events, kernel log",
			"When the code was last seen, in seconds since 1970."),
		own("gpu_field_unavailable", Gauge, "", "field reason", "sampler",
			"Number of GPUs and GPU instances for which a field or family that is exported has no value, by why; status tells which."),
	}
}

func ofSources() []Own {
	return []Own{
		own("gpu_source_up", Gauge, "", "source", "sampler", "Whether the source of measurements gave values when it was last asked."),
		own("gpu_source_last_success_timestamp_seconds", Gauge, "seconds", "source", "sampler",
			"When the source last gave values, in seconds since 1970."),
		own("gpu_source_duration_seconds", Histogram, "seconds", "source", "sampler", "How long one reading of the source took."),
		own("gpu_source_errors_total", Counter, "", "source reason", "sampler", "Failed readings of the source, by why."),
		own("gpu_source_stale_values_total", Counter, "", "source", "sampler", "Values of the source that were dropped because they were older than three periods."),
		own("gpu_source_restarts_total", Counter, "", "source", "sampler", "Restarts of the source's own process; only DCGM has one."),
	}
}

func own(name string, t Type, unit, labels, from, help string) Own {
	return Own{Name: name, Type: t, Unit: unit, Labels: strings.Fields(labels), From: from, Help: help}
}
