package model

// Shape is the hardware and software of a node, as a YAML file in test/gpusim/shapes describes it.
type Shape struct {
	Name   string     `yaml:"name"`
	Driver string     `yaml:"driver"` // full version, for instance 550.54.15
	Cuda   string     `yaml:"cuda"`   // 12.4; empty: the newest that the driver's branch knows
	Kernel string     `yaml:"kernel"` // uname -r
	GPUs   []GPUShape `yaml:"gpus"`
	NVLink NVLink     `yaml:"nvlink"`
	// NUMANodes and CPUs shape the affinity answers; GPUs are spread over the nodes in PCI order unless they say otherwise.
	NUMANodes int `yaml:"numaNodes"`
	CPUs      int `yaml:"cpus"`
	// GPUsPerSwitch is how many GPUs share one PCIe switch. 0: each GPU hangs at its own root port.
	GPUsPerSwitch int `yaml:"gpusPerSwitch"`
	// Passthrough is a virtual machine: a MIG mode change on Ampere needs a reboot.
	Passthrough bool `yaml:"passthrough"`
}

// GPUShape is one GPU, or Count like ones.
type GPUShape struct {
	Model string `yaml:"model"`
	Count int    `yaml:"count"` // 0 means 1
	// UUID, PCI ("0000:07:00.0"), Serial, Minor and NUMA override what is derived; only with Count 1.
	UUID   string `yaml:"uuid"`
	PCI    string `yaml:"pci"`
	Serial string `yaml:"serial"`
	Minor  *int   `yaml:"minor"`
	NUMA   *int   `yaml:"numa"`
	// MIG starts with MIG mode on.
	MIG bool `yaml:"mig"`
	// Instances are made at the first boot, each with one full compute instance.
	Instances []InstanceShape `yaml:"instances"`
}

// InstanceShape is a GPU instance to make: a profile name ("1g.10gb") and, if not the driver's choice, its start.
type InstanceShape struct {
	Profile string `yaml:"profile"`
	Start   *int   `yaml:"start"`
	// Compute lists compute instance profiles ("1c", "2c"); empty: one that fills the instance; "none": no compute instance.
	Compute []string `yaml:"compute"`
}

// NVLink is how the GPUs are joined.
type NVLink struct {
	// Kind is "none", "nvswitch" (all to all), "hybrid-mesh" (the eight V100 of a DGX-1) or "pairs" (bridges).
	Kind string `yaml:"kind"`
}
