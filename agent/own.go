package agent

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gpulet/gpulet/agent/config"
	"github.com/gpulet/gpulet/deviceplugin"
	"github.com/gpulet/gpulet/deviceplugin/cdi"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
	"github.com/gpulet/gpulet/kubelet/plugin"
)

const (
	// handOver is how long the sockets stay open for a successor that does not come forward.
	handOver = 5 * time.Second
	// digest is how old the last list must be before the kubelet counts as having taken it in.
	digest = 500 * time.Millisecond
)

// owner is what only the owner of the state folder's lock runs.
type owner struct {
	gate      *kubelet.Gate
	resources *kubelet.Resources
	claims    *kubelet.Claims
	registrar *plugin.Registrar
	specs     *cdi.Specs
	manager   *deviceplugin.Manager
	settings  *gpu.Feed[deviceplugin.Settings]
	offers    *gpu.Feed[*gpu.Offers]
	meters    *meters
}

// own waits for the lock and runs what it allows until ctx ends. Then it hands over to the agent that waits, if one does:
// it stops sending and writes its claims, releases the lock, and keeps its sockets open until the other's lists are there.
func (a *Agent) own(ctx context.Context) error {
	p := a.running.Config.Process
	lock, err := Acquire(ctx, p.StateDir, a.version, func(o Owner) {
		a.waits.Store(&o)
		a.log.Info("another agent has this node; waiting for it to leave", "pid", o.PID, "version", o.Version)
	})
	if ctx.Err() != nil {
		if err == nil {
			err = lock.Release()
			return err
		}
		return nil
	}
	if err != nil {
		return err
	}
	if lock.Untold != nil {
		a.log.Warn("it is not written down who has the node", "reason", lock.Untold)
	}
	o := a.newOwner(ctx, p)
	a.owner.Store(o)
	a.waits.Store(nil)
	a.log.Info("this agent has the node")

	registered, closeSockets := context.WithCancel(context.WithoutCancel(ctx))
	var sockets errgroup.Group
	sockets.Go(func() error { return o.registrar.Run(registered) })
	err = a.work(ctx, o, lock)

	wanted := lock.Wanted()
	err = errors.Join(err, lock.Release())
	if wanted {
		a.log.Info("the lock is released; waiting for the successor's lists")
		c, cancel := context.WithTimeout(registered, handOver)
		if lock.Succeeded(c) != nil {
			a.log.Warn("the successor's lists are not there yet; leaving", "after", handOver)
		}
		cancel()
	}
	closeSockets()
	return errors.Join(err, sockets.Wait())
}

// newOwner makes the components; nothing runs yet.
func (a *Agent) newOwner(ctx context.Context, p config.Process) *owner {
	o := &owner{gate: &kubelet.Gate{}}
	kp := paths(p)
	state, _ := a.config.States().Get()
	o.settings = gpu.NewFeed(state.Config.Plugin)
	snapshot, _ := a.monitor.Snapshots().Get()
	o.offers = gpu.NewFeed(gpu.StaticOffers(snapshot))
	o.resources = kubelet.NewResources(kubelet.ResourcesConfig{Socket: kp.PodResources, Gate: o.gate, Log: a.log})
	o.claims = kubelet.NewClaims(kubelet.ClaimsConfig{
		StateDir: p.StateDir, BootID: bootID(p.ProcRoot), Pods: a.pods.Feed(), Resources: o.resources,
		Checkpoint: kp.Checkpoint(), Gate: o.gate, Ours: o.ours, Log: a.log,
	})
	o.registrar = plugin.NewRegistrar(plugin.Config{Dir: kp.DevicePlugins, Gate: o.gate, View: view{o.resources}, Log: a.log})
	o.specs = cdi.New(cdi.Config{
		Dir: p.CDIDir, DriverRoot: p.DriverRoot, DevRoot: p.DevRoot, ProcRoot: p.ProcRoot,
		HostDriverRoot: or(p.HostDriverRoot, p.DriverRoot), HostDevRoot: or(p.HostDevRoot, p.DevRoot),
		HookHostPath: a.installHook(ctx, p), Log: a.log,
	})
	o.manager = deviceplugin.New(deviceplugin.Config{
		Log: a.log, Settings: o.settings, Offers: o.offers, Claims: o.claims, Registrar: o.registrar, Specs: o.specs,
		Node: a.cluster.node(), Events: a.cluster.events(), Pods: a.pods.Feed(), Resources: o.resources, Holders: a.monitor, Processes: kubelet.NewProcesses(p.ProcRoot),
	})
	o.meters = a.newMeters(state.Config, o)
	return o
}

// work runs everything but the sockets until ctx ends.
func (a *Agent) work(ctx context.Context, o *owner, lock *Lock) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return follow(ctx, a.config.States(), o.settings, func(s config.State) deviceplugin.Settings { return s.Config.Plugin })
	})
	g.Go(func() error { return follow(ctx, a.monitor.Snapshots(), o.offers, gpu.StaticOffers) })
	g.Go(func() error { return o.specs.Run(ctx, a.monitor.Snapshots()) })
	g.Go(func() error { return o.resources.Run(ctx) })
	g.Go(func() error { return o.claims.Run(ctx) })
	g.Go(func() error { return o.manager.Run(ctx) })
	g.Go(func() error { return o.meters.run(ctx, a.config.States()) })
	g.Go(func() error { return a.announce(ctx, o, lock) })
	return g.Wait()
}

// announce tells the agent that had the lock before when the kubelet has all lists of this one.
func (a *Agent) announce(ctx context.Context, o *owner, lock *Lock) error {
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for len(o.missing(time.Now().Add(-digest))) > 0 {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
	if err := lock.Listed(); err != nil { // the other leaves a little later
		a.log.Warn("it is not written down that the lists are there", "reason", err)
	}
	return nil
}

// missing says which resources the kubelet has no list of from before a time, and why; nothing when all is well.
func (o *owner) missing(before time.Time) (out []string) {
	v, _ := o.manager.View().Get()
	if v.Waiting != "" {
		return []string{v.Waiting}
	}
	states, _ := o.registrar.States().Get()
	known := map[string]plugin.State{}
	for _, s := range states {
		known[s.Resource] = s
	}
	for resource := range v.Resources {
		s, ok := known[resource]
		switch {
		case !ok:
			out = append(out, resource+" is not registered yet")
		case !s.Registered:
			out = append(out, fmt.Sprintf("%s is not registered: %s", resource, or(s.Reason, "the kubelet has not answered yet")))
		case s.Listed.IsZero() || s.Listed.After(before) && s.Since.After(before):
			out = append(out, resource+" was not listed yet")
		}
	}
	return out
}

// ours says whether a resource may be one that gpulet serves: by its domain, or because the configuration names it.
func (o *owner) ours(resource string) bool {
	if strings.HasPrefix(resource, "nvidia.com/") {
		return true
	}
	settings, _ := o.settings.Get()
	for _, r := range settings.Rules {
		for _, name := range r.Names {
			if name == resource {
				return true
			}
		}
		for _, s := range r.Sharing {
			if s.Rename == resource {
				return true
			}
		}
	}
	return false
}

// installHook puts this program where the host's runtime finds it for CDI hooks, and tries it there. It gives the path on the
// host, empty when containers have to start without hooks.
func (a *Agent) installHook(ctx context.Context, p config.Process) string {
	const name = "bin/gpulet"
	here, host := filepath.Join(p.StateDir, name), filepath.Join(or(p.HostStateDir, p.StateDir), name)
	err := cdi.InstallHook(here)
	switch {
	case err != nil:
	case p.DriverRoot == "/":
		err = cdi.TryHook(ctx, "/", here)
	case p.HostDriverRoot == "/": // then the driver's root is the host's
		err = cdi.TryHook(ctx, p.DriverRoot, host)
	}
	if err != nil {
		a.log.Warn("containers start without CDI hooks", "reason", err)
		return ""
	}
	return host
}

// view is what the kubelet believes, for the registrar's watchdog.
type view struct{ resources *kubelet.Resources }

func (v view) Allocatable(ctx context.Context) (map[string][]string, error) {
	a, err := v.resources.Refresh(ctx)
	if err != nil {
		return nil, err
	}
	if !a.Synced {
		return nil, errors.New(a.Reason)
	}
	return a.Allocatable, nil
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
