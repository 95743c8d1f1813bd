// Package config is what users can set: one table of settings, their file, environment and flags, and the plain value that the
// agent runs with. It owns the form of the file and every error about it. It never acts on a setting.
package config

import (
	"time"

	"github.com/gpulet/gpulet/deviceplugin"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/xid"
	"github.com/gpulet/gpulet/partitioner"
)

// Version is what a file says first.
const Version = "gpulet.dev/v1"

// Config is a whole configuration: a plain value, defaulted and validated.
type Config struct {
	Process Process
	Plugin  deviceplugin.Settings
	Health  Health
	Metrics Metrics
	// Partition has the same rules as Plugin, in the same order.
	Partition partitioner.Settings
}

// Process is what holds for the life of the process; it comes from flags and the environment.
type Process struct {
	// File is the configuration file; empty: there is none.
	File     string
	NodeName string
	// StateDir outlives the pod and has one owner at a time. RunDir holds the admin socket and belongs to this process.
	StateDir, RunDir string
	// KubeletRoot is the kubelet's --root-dir; DevicePluginsDir is empty for the folder below /var/lib/kubelet or KubeletRoot.
	KubeletRoot, DevicePluginsDir string
	CDIDir                        string
	// NVMLLibrary is the library's path; empty: it is searched.
	NVMLLibrary string
	// The roots as this process sees them, and as the host does where the container runtime has to find the same files.
	DriverRoot, DevRoot, ProcRoot, SysRoot string
	HostDriverRoot, HostDevRoot            string
	HostStateDir                           string
	// APIServer says whether the API server is used: auto, on, off.
	APIServer, Kubeconfig string
	Listen                string
	// WebConfigFile says how HTTP is secured, in the form of Prometheus's exporter toolkit; empty: not at all.
	WebConfigFile string
	// SystemdSocket takes the listeners that systemd hands over instead of Listen.
	SystemdSocket bool
	// StatusTokenFile holds the bearer token that opens /api/v1/status to others than loopback; empty: nobody else.
	StatusTokenFile string
	LogLevel        string
	LogFormat       string
}

// Health is when a GPU is trusted.
type Health struct {
	// Interval is between two probes of a GPU.
	Interval    time.Duration
	Quarantine  time.Duration
	CleanProbes int
	// IgnoreXIDs have no effect, FatalXIDs need a reset; fatal wins.
	IgnoreXIDs, FatalXIDs []uint64
}

// Policy is the same in the words of package gpu.
func (h Health) Policy() gpu.HealthPolicy {
	return gpu.HealthPolicy{CleanProbes: h.CleanProbes, Quarantine: h.Quarantine, XIDs: xid.New(h.IgnoreXIDs, h.FatalXIDs)}
}
