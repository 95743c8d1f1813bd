package agent

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"golang.org/x/sync/errgroup"

	"github.com/gpulet/gpulet/agent/config"
	"github.com/gpulet/gpulet/exporter"
	"github.com/gpulet/gpulet/exporter/dcgm"
	"github.com/gpulet/gpulet/exporter/expose"
	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/exporter/xids"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
)

// maxScrapes bounds the scrapes that are answered at a time.
const maxScrapes = 40

// meters measure the GPUs and know whose they are; only the owner of the node runs them.
type meters struct {
	settings   *gpu.Feed[exporter.Settings]
	collectors *collectorsFile
	engine     *dcgm.Client
	exporter   *exporter.Exporter
}

// newMeters makes them; nothing is measured yet.
func (a *Agent) newMeters(c config.Config, o *owner) *meters {
	p, dcgmSettings := c.Process, c.Metrics.DCGM
	m := &meters{collectors: newCollectorsFile(a.log)}
	m.settings = gpu.NewFeed(m.collectors.settings(c))
	m.engine = dcgm.New(dcgm.Config{
		Library: dcgmSettings.Library, NVML: p.NVMLLibrary, DriverRoot: p.DriverRoot, Host: dcgmSettings.Host, Memory: dcgmSettings.Memory, Fast: c.Metrics.Fast, Log: a.log,
	})
	m.exporter = exporter.New(exporter.Config{
		Log: a.log, Node: nodeName(p), Settings: m.settings, Snapshots: a.monitor.Snapshots(), Driver: a.monitor, Engine: m.engine,
		Claims: o.claims.Feed(), Assigned: o.resources.Feed(), Pods: a.pods.Feed(), Processes: kubelet.NewProcesses(p.ProcRoot), XIDs: a.xids,
	})
	return m
}

// nodeName is what series call this node.
func nodeName(p config.Process) string {
	if p.NodeName != "" {
		return p.NodeName
	}
	name, _ := os.Hostname()
	return name
}

func (m *meters) run(ctx context.Context, states *gpu.Feed[config.State]) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return m.collectors.follow(ctx, states, m.settings) })
	g.Go(func() error { return m.engine.Run(ctx) })
	g.Go(func() error { return m.exporter.Run(ctx) })
	return g.Wait()
}

// xidCounts counts XIDs from the start of the process, whoever has the node.
type xidCounts struct {
	*xids.Counter
	kernel *xids.Reader
	missed *xids.Missed
}

// event takes an XID from the driver's events.
func (x xidCounts) event(uuid gpu.UUID, e gpu.Event, at time.Time) {
	x.Event(uuid, e.XID, at)
	x.missed.Event(uuid, e, at)
}

// line takes an XID from the kernel log.
func (x xidCounts) line(uuid gpu.UUID, l xids.Line, at time.Time) {
	x.Kmsg(uuid, l.Code, at)
	x.missed.Line(uuid, l, at)
}

// Source is how the kernel log is read.
func (x xidCounts) Source() sample.Source { return x.kernel.Source() }

// missedXID gives the health of a GPU an error that only the kernel log told.
func (a *Agent) missedXID(ctx context.Context, uuid gpu.UUID, e gpu.Event, at time.Time) {
	if err := a.monitor.XID(ctx, uuid, e, at); err != nil && ctx.Err() == nil {
		a.log.Warn("an XID of the kernel log has no effect on health", "gpu", uuid, "xid", e.XID, "reason", err)
	}
}

// countXIDs reads the kernel log, passes on what only it told, and names new GPUs until ctx ends.
func (a *Agent) countXIDs(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.xids.kernel.Run(ctx) })
	g.Go(func() error { return a.xids.missed.Run(ctx) })
	g.Go(func() error {
		for {
			s, changed := a.monitor.Snapshots().Get()
			var uuids []gpu.UUID
			for i := range s.GPUs {
				uuids = append(uuids, s.GPUs[i].UUID)
			}
			a.xids.SetGPUs(uuids)
			select {
			case <-ctx.Done():
				return nil
			case <-changed:
			}
		}
	})
	return g.Wait()
}

// gatherer has the page that a scrape gets: the agent's own metrics, and those of the GPUs once this agent has the node.
func (a *Agent) gatherer() prometheus.Gatherer {
	own := a.registry()
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		if o := a.owner.Load(); o != nil {
			return expose.Join(own, o.meters.exporter.Gatherer()).Gather()
		}
		return own.Gather()
	})
}

// metricsHandler serves the page as text or OpenMetrics, packed for who takes that. It calls nothing.
func (a *Agent) metricsHandler() http.Handler {
	return promhttp.HandlerFor(a.gatherer(), promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelWarn), ErrorHandling: promhttp.ContinueOnError,
		EnableOpenMetrics: true, MaxRequestsInFlight: maxScrapes,
	})
}
