package agent

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gpulet/gpulet/agent/config"
	"github.com/gpulet/gpulet/exporter/xids"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/nvml"
	"github.com/gpulet/gpulet/kubelet"
)

// Options are what an agent is started with.
type Options struct {
	Sources config.Sources
	Version string
	// Log is made from the configuration when nil.
	Log *slog.Logger
	// Driver is NVML when nil.
	Driver gpu.Driver
}

// Agent is one process of gpulet on one node.
type Agent struct {
	log     *slog.Logger
	version string
	began   time.Time
	config  *config.Watcher
	// running is the configuration at the start, which some settings keep.
	running config.Resolved
	monitor *gpu.Monitor
	pods    *kubelet.PodWatcher
	cluster *cluster
	xids    xidCounts
	owner   atomic.Pointer[owner]  // nil until this agent has the lock
	waits   atomic.Pointer[Owner]  // who has the lock while this agent waits
	web     atomic.Pointer[string] // why the HTTP address is not served; nil when it is
	cancel  context.CancelCauseFunc
}

// Run runs an agent until ctx ends, in good order. It returns gpu.ErrLibraryStale when only a new process can load the driver's
// library, and config.ProblemsError when the configuration is wrong and none was right before.
func Run(ctx context.Context, o Options) error {
	log := o.Log
	if log == nil {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	watcher, err := config.NewWatcher(config.WatcherOptions{Sources: o.Sources, Log: log})
	if err != nil {
		return err
	}
	state, _ := watcher.States().Get()
	p := state.Config.Process
	if o.Log == nil {
		log = newLog(os.Stderr, p.LogLevel, p.LogFormat)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a := &Agent{log: log, version: o.Version, began: time.Now(), config: watcher, running: state.Resolved, cancel: cancel}
	if a.cluster, err = newCluster(p, log); err != nil {
		return err
	}
	driver := o.Driver
	if driver == nil {
		driver = nvml.New(nvml.Options{Library: p.NVMLLibrary, DriverRoot: p.DriverRoot})
	}
	health := state.Config.Health.Policy()
	a.xids.Counter, a.xids.missed = xids.New(health.XIDs, log), xids.NewMissed(health.XIDs, a.missedXID)
	a.monitor = gpu.NewMonitor(gpu.MonitorConfig{
		Driver: driver, Log: log, StateDir: p.StateDir, SysRoot: p.SysRoot, ProcRoot: p.ProcRoot,
		Interval: state.Config.Health.Interval, Health: health, Stale: func() { cancel(gpu.ErrLibraryStale) }, XID: a.xids.event,
	})
	a.xids.kernel = xids.NewReader(xids.ReaderConfig{
		Path: filepath.Join(p.DevRoot, "kmsg"), Find: xids.InSnapshot(a.monitor.Snapshots()), Count: a.xids.line, Log: log,
	})
	a.pods = kubelet.NewPods(kubelet.PodsConfig{
		Sources: append([]kubelet.PodSource{kubelet.PodsAPI{Socket: paths(p).PodsAPI}}, a.cluster.podSources()...), Log: log,
	})
	log.Info("gpulet starts", "version", o.Version, "node", p.NodeName, "config", p.File)

	g, ctx := errgroup.WithContext(ctx)
	for _, run := range []func(context.Context) error{
		watcher.Run, a.monitor.Run, a.pods.Run, a.cluster.run, a.countXIDs, a.own, a.serveAdmin, a.serveWeb,
	} {
		g.Go(func() error { return run(ctx) })
	}
	err = g.Wait()
	if cause := context.Cause(ctx); err == nil && errors.Is(cause, gpu.ErrLibraryStale) {
		err = cause
	}
	log.Info("gpulet ends", "reason", ending(err))
	return err
}

func ending(err error) string {
	if err == nil {
		return "it was told to"
	}
	return err.Error()
}

// paths are those of the kubelet.
func paths(p config.Process) kubelet.Paths {
	out := kubelet.PathsBelow(p.KubeletRoot)
	if p.DevicePluginsDir != "" {
		out.DevicePlugins = p.DevicePluginsDir
	}
	return out
}

// bootID is the kernel's; empty when it cannot be read.
func bootID(procRoot string) string {
	data, _ := os.ReadFile(filepath.Join(procRoot, "sys/kernel/random/boot_id"))
	return strings.TrimSpace(string(data))
}
