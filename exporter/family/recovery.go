package family

import "github.com/gpulet/gpulet/gpu"

// RecoveryActions lists the values of the label action of gpu_recovery_action, at the index of their gpu.Recovery.
func RecoveryActions() []string {
	return []string{
		gpu.RecoveryNone:          "none",
		gpu.RecoveryReset:         "reset",
		gpu.RecoveryReboot:        "reboot",
		gpu.RecoveryDrainP2P:      "drain_p2p",
		gpu.RecoveryDrainAndReset: "drain_and_reset",
		gpu.RecoveryIMEX:          "imex",
		gpu.RecoveryBusReset:      "bus_reset",
		gpu.RecoverySystemReboot:  "system_reboot",
	}
}
