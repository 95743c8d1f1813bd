package gpu

import (
	"log/slog"
	"time"
)

// MonitorConfig is what a Monitor needs. Zero durations and numbers get defaults.
type MonitorConfig struct {
	Driver Driver
	Log    *slog.Logger
	// StateDir keeps health over restarts of the agent; empty: nothing is kept.
	StateDir string
	// SysRoot and ProcRoot are the host's /sys and /proc.
	SysRoot, ProcRoot string
	// Interval is between two looks at each GPU, 5 s; events make it look at once.
	Interval time.Duration
	// CallTimeout is how long a GPU may take to answer, 5 s.
	CallTimeout time.Duration
	// TelemetryTimeout is how long one reading of measurements may take, 2 s.
	TelemetryTimeout time.Duration
	// ChangeTimeout is how long one change of a GPU may take, 60 s.
	ChangeTimeout time.Duration
	// FirstAnswer is how long the first snapshot waits for slow GPUs, 1.5 s.
	FirstAnswer time.Duration
	// Health says when trust returns. Defaults: 3 probes, at least 0.8 of Interval apart, a quarantine of 30 s.
	Health HealthPolicy
	// Stale is called, once, when the kernel driver was replaced by another version: only a new process can load
	// the new library. It may be nil and must not block.
	Stale func()
	// XID is called for every XID event of a GPU that is known, with when it came. It may be nil and must not block.
	XID func(uuid UUID, e Event, at time.Time)
}

func (c MonitorConfig) withDefaults() MonitorConfig {
	set := func(d *time.Duration, to time.Duration) {
		if *d <= 0 {
			*d = to
		}
	}
	set(&c.Interval, 5*time.Second)
	set(&c.CallTimeout, 5*time.Second)
	set(&c.TelemetryTimeout, 2*time.Second)
	set(&c.ChangeTimeout, time.Minute)
	set(&c.FirstAnswer, 1500*time.Millisecond)
	set(&c.Health.Spacing, c.Interval*8/10)
	set(&c.Health.Quarantine, 30*time.Second)
	if c.Health.CleanProbes <= 0 {
		c.Health.CleanProbes = 3
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.SysRoot == "" {
		c.SysRoot = "/sys"
	}
	if c.ProcRoot == "" {
		c.ProcRoot = "/proc"
	}
	if c.Stale == nil {
		c.Stale = func() {}
	}
	if c.XID == nil {
		c.XID = func(UUID, Event, time.Time) {}
	}
	return c
}
