package xid

// Table is the catalogue in the order of the numbers. Names and classes follow NVIDIA's "XID Errors" document; where its advice
// and what operators met differ, the comment says so. Rows without a comment follow the document.
func Table() []Entry {
	return []Entry{
		// The incumbent ignores 13, 31, 43, 45, 68 and 109 too (k8s-device-plugin, internal/rm/health.go).
		{13, "graphics engine exception of an application", Application, None},
		{31, "memory page fault of an application", Application, None},
		{32, "corrupted push buffer stream", Application, Probe}, // can also be the bus
		{38, "driver firmware error", Hardware, Quarantine},
		{43, "the GPU stopped processing an application", Application, None},
		{44, "graphics engine fault during context switch", Hardware, Probe},
		{45, "preemptive cleanup after an earlier error", Application, None}, // the ends of killed containers
		// 46 and 62 are cured by a reset alone, by the document.
		{46, "the GPU stopped processing", ResetGPU, Reset},
		// 48 on Ampere and later comes beside 94 or 95, which say more; before that the page is lost until a reset.
		{48, "double-bit memory error", ResetGPU, Reset},
		{54, "auxiliary power is not connected", Hardware, Reset},
		{56, "display engine error", Hardware, None}, // no display on a node
		{57, "error programming the video memory interface", Hardware, Quarantine},
		{61, "internal microcontroller breakpoint or warning", ResetGPU, Quarantine},
		{62, "internal microcontroller halt", ResetGPU, Reset},
		// 63 and 64 announce what the probe of row remapping and page retirement then tells exactly:
		// pending is Draining, failed is Unhealthy. Until it has, the device is suspect.
		{63, "a memory row or page was marked for replacement", RestartApp, Probe},
		{64, "a memory row or page could not be replaced", ResetGPU, Reset},
		{66, "illegal access by the driver", Application, Probe},
		{68, "video processor exception", Application, None},
		{69, "graphics engine class error of an application", Application, None}, // a sibling of 13
		// 74: a link error kills jobs over that link and leaves the rest; the document asks for a reset if it repeats.
		{74, "NVLink error", ResetGPU, Quarantine},
		{78, "vGPU start error", Log, Probe},
		{79, "GPU has fallen off the bus", RebootNode, Reset},
		{80, "corrupted data sent to the GPU", Hardware, Quarantine},
		{81, "VGA subsystem error", Hardware, None},
		// 92 is a rate of corrected errors: nothing is lost. The incumbent makes the GPU unhealthy for ever.
		{92, "high rate of corrected memory errors", Log, None},
		// 94 kills the application that read the cell and nothing else (k8s-device-plugin #1974: the catalogue says RESTART_APP);
		// the pending remap that follows is seen by the probe.
		{94, "contained memory error", RestartApp, Probe},
		{95, "uncontained memory error", ResetGPU, Reset},
		// 109 is RESET_GPU in the document and ignored by the incumbent (#1974): most come from one slow application,
		// and a hung GPU is seen by the probe.
		{109, "context switch timeout", ResetGPU, Probe},
		{110, "security fault", ResetGPU, Reset},
		{119, "GPU system processor does not answer", ResetGPU, Reset},
		{120, "GPU system processor error", ResetGPU, Reset},
		{121, "error on the chip-to-chip link", Log, None}, // corrected, by the document
		{122, "error reading the firmware settings", Hardware, Probe},
		{123, "error of the power management unit", ResetGPU, Quarantine},
		{136, "failed training of the link", ResetGPU, Reset},
		{137, "memory page fault over NVLink", Application, None}, // the remote application's fault
		{140, "unrecovered ECC error", ResetGPU, Reset},
		{143, "error while the GPU was being initialised", ResetGPU, Reset},
		{144, "NVLink: error of the request path", ResetGPU, Quarantine}, // 144 to 150 are NVLink 5's split of 74
		{145, "NVLink: error of the reply path", ResetGPU, Quarantine},
		{146, "NVLink: error of the network layer", ResetGPU, Quarantine},
		{147, "NVLink: error of the transaction layer", ResetGPU, Quarantine},
		{148, "NVLink: error of the link layer", ResetGPU, Quarantine},
		{149, "NVLink: error of the link's network controller", ResetGPU, Quarantine},
		{150, "NVLink: error of the link's firmware", ResetGPU, Quarantine},
		{151, "key rotation error", ResetGPU, Reset},
		{154, "the GPU asks for a recovery action", ResetGPU, Probe}, // which one, the probe reads
		{155, "NVLink: link taken down by software", Log, Probe},
		{156, "resource retirement event", Log, Probe},
		{157, "resource retirement failed", ResetGPU, Reset},
		{158, "GPU fatal timeout", ResetGPU, Reset},
		{159, "chip hardware error", Hardware, Reset},
		{160, "memory channel retirement event", RestartApp, Probe},
		{161, "memory channel retirement failed", ResetGPU, Reset},
		{167, "PCIe fatal timeout", ResetGPU, Reset},
		{171, "uncorrectable error in a cache", RestartApp, Probe}, // says which memory a 94 or 95 came from
		{172, "uncorrectable error in on-chip memory", RestartApp, Probe},
	}
}
