package model

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
)

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

// ParseShape reads a YAML shape strictly: an unknown key is an error with its line.
func ParseShape(data []byte) (Shape, error) {
	var s Shape
	dec := yaml.NewDecoder(bytes.NewReader(data), yaml.Strict())
	if err := dec.Decode(&s); err != nil {
		return Shape{}, fmt.Errorf("shape: %w", err)
	}
	return s, s.validate()
}

func (s Shape) validate() error {
	if BranchOf(s.Driver) == 0 {
		return fmt.Errorf("driver version %q has no branch", s.Driver)
	}
	switch s.NVLink.Kind {
	case "", "none", "nvswitch", "hybrid-mesh", "pairs":
	default:
		return fmt.Errorf("no NVLink kind %q; there are none, nvswitch, hybrid-mesh and pairs", s.NVLink.Kind)
	}
	total := 0
	for i, g := range s.GPUs {
		sp := specOf(g.Model)
		switch {
		case sp == nil:
			return fmt.Errorf("gpus[%d]: no model %q; there are %s", i, g.Model, strings.Join(Models(), ", "))
		case g.Count < 0 || g.Count > maxGPUs:
			return fmt.Errorf("gpus[%d]: count %d", i, g.Count)
		case g.Count > 1 && (g.UUID != "" || g.PCI != "" || g.Serial != "" || g.Minor != nil):
			return fmt.Errorf("gpus[%d]: uuid, pci, serial and minor are of one GPU, count is %d", i, g.Count)
		case g.Minor != nil && (*g.Minor < 0 || *g.Minor >= capsGPUs):
			return fmt.Errorf("gpus[%d]: minor %d is not in 0 to %d", i, *g.Minor, capsGPUs-1)
		case g.NUMA != nil && (*g.NUMA < 0 || *g.NUMA >= max(s.NUMANodes, 1)):
			return fmt.Errorf("gpus[%d]: NUMA node %d of %d", i, *g.NUMA, max(s.NUMANodes, 1))
		case sp.axis == 0 && (g.MIG || len(g.Instances) > 0):
			return fmt.Errorf("gpus[%d]: %s has no MIG", i, g.Model)
		}
		if _, ok := parsePCI(g.PCI); g.PCI != "" && !ok {
			return fmt.Errorf("gpus[%d]: PCI address %q", i, g.PCI)
		}
		total += max(g.Count, 1)
	}
	if total > maxGPUs {
		return fmt.Errorf("%d GPUs; %d at most", total, maxGPUs)
	}
	if s.NVLink.Kind == "hybrid-mesh" && total > 8 {
		return fmt.Errorf("hybrid-mesh joins eight GPUs at most, there are %d", total)
	}
	if s.NUMANodes > 64 || s.CPUs > 4096 || s.NUMANodes < 0 || s.CPUs < 0 || s.GPUsPerSwitch < 0 || s.NUMANodes > 0 && s.CPUs > 0 && s.CPUs < s.NUMANodes {
		return fmt.Errorf("numaNodes %d, cpus %d, gpusPerSwitch %d", s.NUMANodes, s.CPUs, s.GPUsPerSwitch)
	}
	return nil
}

// maxGPUs is as many as bus numbers are given out for.
const maxGPUs = 16
