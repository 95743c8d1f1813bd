package fakekubelet

import (
	"log/slog"
	"time"
)

// Options say how a kubelet differs from one that was just installed. The zero Options are kubelet 1.37.2 in real time.
type Options struct {
	Clock Clock
	Log   *slog.Logger
	// StatusPeriod is between two updates of the Node object, 10 s; negative: only SyncNode updates it.
	StatusPeriod time.Duration
	// Grace is how long a resource without a plugin keeps its capacity, 5 min.
	Grace time.Duration
	// DialTimeout is how long Register waits for the plugin's socket, 10 s; PreStartTimeout bounds PreStartContainer, 30 s.
	DialTimeout, PreStartTimeout time.Duration
	// RetryDelays are between the attempts of RunPod to start a container; the last repeats. 1 s, then 14 s.
	RetryDelays []time.Duration
	// NoPodsAPI is a kubelet before 1.37: it serves no Pods API.
	NoPodsAPI bool
	// Before is called before each call to a plugin, from the goroutine that makes it: what it waits for delays the call, with
	// the devices already picked. After is called when the plugin has answered, before the kubelet takes the answer in.
	Before, After func(c Call)
	// MendedRebuild and MendedMissingID take two races out that kubelet 1.37.2 has: podresources List frees a pick whose
	// Allocate is under way, and a list without an id that is being allocated kills the kubelet.
	MendedRebuild, MendedMissingID bool
}

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	set(&o.StatusPeriod, 10*time.Second)
	set(&o.Grace, 5*time.Minute)
	set(&o.DialTimeout, 10*time.Second)
	set(&o.PreStartTimeout, 30*time.Second)
	if len(o.RetryDelays) == 0 {
		o.RetryDelays = []time.Duration{time.Second, 14 * time.Second}
	}
	if o.Clock == nil {
		o.Clock = wallClock{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Before == nil {
		o.Before = func(Call) {}
	}
	if o.After == nil {
		o.After = func(Call) {}
	}
	return o
}
