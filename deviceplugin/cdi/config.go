package cdi

import (
	"log/slog"
	"time"

	"tags.cncf.io/container-device-interface/pkg/parser"
)

// The names of what a container asks for: gpulet.dev/gpu=<device id> and gpulet.dev/driver=all.
const (
	vendor      = "gpulet.dev"
	gpuClass    = "gpu"
	driverClass = "driver"
	driverName  = "all"
)

// Config is what Specs needs. Empty fields get the defaults that are told.
type Config struct {
	// Dir is the folder that the runtimes watch, /var/run/cdi.
	Dir string
	// DriverRoot (/), DevRoot (/dev) and ProcRoot (/proc) are folders as this process sees them.
	DriverRoot, DevRoot, ProcRoot string
	// HostDriverRoot (/) and HostDevRoot (/dev) are the first two as the runtime on the host sees them.
	HostDriverRoot, HostDevRoot string
	// HookHostPath is the program gpulet on the host, which runs the hooks. Without it each library is mounted under its
	// short name too, and only containers that search the same folders as the host find them.
	HookHostPath string
	// Every is how often the kernel's files and the driver's are looked at without a new snapshot, 30 s.
	Every time.Duration
	Log   *slog.Logger
}

func (c Config) withDefaults() Config {
	for _, f := range []struct {
		field *string
		to    string
	}{
		{&c.Dir, "/var/run/cdi"},
		{&c.DriverRoot, "/"},
		{&c.DevRoot, "/dev"},
		{&c.ProcRoot, "/proc"},
		{&c.HostDriverRoot, "/"},
		{&c.HostDevRoot, "/dev"},
	} {
		if *f.field == "" {
			*f.field = f.to
		}
	}
	if c.Every <= 0 {
		c.Every = 30 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// fileName is where the spec of a device is: a pure function of its id.
func fileName(id string) string { return vendor + "-" + gpuClass + "_" + id + ".json" }

// driverFile is where the spec of the driver is.
const driverFile = vendor + "-" + driverClass + ".json"

// ours begins the names of our files.
const ours = vendor + "-"

func qualified(class, name string) string { return parser.QualifiedName(vendor, class, name) }
