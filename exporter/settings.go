package exporter

import (
	"time"

	"github.com/gpulet/gpulet/exporter/expose"
	"github.com/gpulet/gpulet/exporter/ledger"
)

// Settings are the configuration of this package after defaulting and validation: a plain value.
type Settings struct {
	// Off: nothing is sampled, and only the agent's own metrics are served.
	Off bool
	// Source is where measurements come from.
	Source SourceChoice
	// Expose says what is exported, and how it is spelt.
	Expose expose.Options
	// Fast is the period of the fast loop, 100 ms to 10 s; the other loops keep theirs.
	Fast time.Duration
	DCGM DCGM
	// IdleBelow is the utilization (0 to 1) under which an allocated device is idle.
	IdleBelow float64
	// Prices are asked in order: the first that fits a device decides.
	Prices []Price
	// CapacityType is this node's, such as "spot"; empty when it is not known.
	CapacityType string
}

// SourceChoice says where measurements come from.
type SourceChoice string

// The choices. Auto asks NVML, and DCGM where it is there for what NVML does not have.
const (
	Auto     SourceChoice = "auto"
	NVML     SourceChoice = "nvml"
	OnlyDCGM SourceChoice = "dcgm" // DCGM first, NVML for what it does not have
)

// DCGM says how DCGM is reached.
type DCGM struct {
	// Library is libdcgm's path; empty: as the loader finds it.
	Library string
	// Host is a host engine, "tcp://host:5555" or "unix:///path"; empty: an engine inside the worker.
	Host string
	// Memory is the most that the worker may use, bytes.
	Memory uint64
}

// Price is what a device costs.
type Price = ledger.Price
