// Package expose formats a sample set as metric families: names and units of the chosen profile, labels, and gpulet's own
// families. It is a pure function of the set; it owns the label sets that it keeps from scrape to scrape. It never waits for anything.
package expose

import "github.com/gpulet/gpulet/exporter/family"

// Options say what is exported and how it is spelt: a plain value.
type Options struct {
	// Node is the value of the label with the node's name.
	Node string
	// Fields are the DCGM fields to export; Profile their names and units.
	Fields  []family.Selected
	Profile family.Profile
	// Hostname says how the label with the node's name is spelt.
	Hostname HostnameLabel
	// OldNamespace spells the pod labels pod_name, pod_namespace and container_name, and uuid in lower case.
	OldNamespace bool
	// DriverLabel puts the driver's version on each series of DCGM's families.
	DriverLabel bool
	// Repeat gives values of the whole GPU again for each of its instances, as dcgm-exporter does.
	Repeat bool
	// Synthesize makes DCGM_FI_DEV_GPU_UTIL of an instance from DCGM_FI_PROF_GR_ENGINE_ACTIVE.
	Synthesize bool
}

// HostnameLabel says how the label with the node's name is spelt.
type HostnameLabel string

// The spellings.
const (
	UpperHostname HostnameLabel = "Hostname"
	LowerHostname HostnameLabel = "hostname"
	BothHostnames HostnameLabel = "both"
	NoHostname    HostnameLabel = "none"
)
