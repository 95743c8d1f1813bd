// Package family is the table of metric families: NVIDIA's names of the classic and the later profile, types, units, scales,
// levels and sources, and the families of gpulet's own. Code, documentation and tests read it. It owns the form of
// dcgm-exporter's CSV collector files. It never measures anything.
package family

import "github.com/gpulet/gpulet/gpu"

// Type is a Prometheus type.
type Type string

// The types; a Label is no family but a label on the others.
const (
	Gauge   Type = "gauge"
	Counter Type = "counter"
	Label   Type = "label"
	// Histogram is the type of some families of gpulet's own, and of no field.
	Histogram Type = "histogram"
)

// Level is the smallest entity that has a value of its own; a field asked above its level is that of the GPU.
type Level int

// The levels.
const (
	LevelGPU      Level = iota // once for each GPU
	LevelInstance              // for each GPU instance, and for a GPU that is not divided
	LevelCompute               // as LevelInstance; the driver would even tell compute instances apart
)

// Loop says how often a field is read.
type Loop int

// The loops. Fast is each second unless configured, Process each 2, Slow each 15; Static when the layout or driver changes.
const (
	Fast Loop = iota
	Process
	Slow
	Static
)

// Family is one DCGM field as it is exported.
type Family struct {
	Field gpu.Field
	// Classic is the name up to DCGM 4.5, Later that of the dcgm47 profile; both with DCGM_FI_.
	Classic, Later string
	Type           Type
	// Unit is the classic unit ("MHz"), LaterUnit that of the dcgm47 profile; a value in Unit times Scale is one in LaterUnit.
	Unit, LaterUnit string
	Scale           float64
	Level           Level
	Loop            Loop
	// NVML names the call, field id or GPM metric that gives it without DCGM; empty: only DCGM has it.
	NVML string
	// Default: it is exported unless a collectors file says otherwise.
	Default bool
	// Guess: Later is made like its siblings' names; NVIDIA's own could not be confirmed.
	Guess bool
	Help  string
}

// Own is a family of gpulet's own, in base units.
type Own struct {
	Name   string
	Type   Type
	Unit   string
	Labels []string
	Help   string
	// From says for people what it is made of.
	From string
}

// Profile says under which names and units DCGM's fields are exported.
type Profile string

// The profiles.
const (
	Classic Profile = "classic"
	DCGM47  Profile = "dcgm47"
	Both    Profile = "both"
)

// Selected is a field to export, as the table or a collectors file says.
type Selected struct {
	Family
	// Type and Help are the table's unless a collectors file gave others.
	Type Type
	Help string
}
