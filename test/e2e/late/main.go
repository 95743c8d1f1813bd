// Command late is an agent for GPUs whose slices exist only while a container wants them: everything but the hardware is the
// product's. Each start of a container makes its slice anew, so that its CDI spec is written within PreStart and no sooner.
// It prints a line for each slice that it made: the GPU instance's number, which never returns, and the device's id.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/gpulet/gpulet/deviceplugin"
	"github.com/gpulet/gpulet/deviceplugin/cdi"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
	"github.com/gpulet/gpulet/kubelet/plugin"
)

func main() {
	dir := flag.String("dir", "", "the folder of the machine: its proc, dev and driver, and the state")
	resource := flag.String("resource", "example.com/late", "the resource")
	gpus := flag.Int("gpus", 3, "how many GPUs there are; each has 7 slices")
	lose := flag.Int("lose", 0, "so many slices lose their specs as PreStart returns")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := run(ctx, log, *dir, *resource, newHardware(filepath.Join(*dir, "proc"), *gpus, *lose)); err != nil {
		fmt.Fprintln(os.Stderr, "late:", err)
		os.Exit(1)
	}
}

// run wires what the agent wires, and ends with ctx.
func run(ctx context.Context, log *slog.Logger, dir, resource string, h *hardware) error {
	if err := h.prepare(dir); err != nil {
		return err
	}
	paths, gate := kubelet.PathsBelow("/var/lib/kubelet"), &kubelet.Gate{}
	pods := kubelet.NewPods(kubelet.PodsConfig{Sources: []kubelet.PodSource{kubelet.PodsAPI{Socket: paths.PodsAPI}}, Log: log})
	resources := kubelet.NewResources(kubelet.ResourcesConfig{Socket: paths.PodResources, Gate: gate, Log: log})
	claims := kubelet.NewClaims(kubelet.ClaimsConfig{
		StateDir: filepath.Join(dir, "state"), Pods: pods.Feed(), Resources: resources, Checkpoint: paths.Checkpoint(), Gate: gate,
		Ours: func(name string) bool { return name == resource }, Log: log,
	})
	registrar := plugin.NewRegistrar(plugin.Config{Dir: paths.DevicePlugins, Gate: gate, Log: log})
	h.specs = cdi.New(cdi.Config{
		ProcRoot: filepath.Join(dir, "proc"), DevRoot: filepath.Join(dir, "dev"), DriverRoot: filepath.Join(dir, "driver"), Log: log,
	})
	manager := deviceplugin.New(deviceplugin.Config{
		Log: log, Offers: h.offers, Claims: claims, Registrar: registrar, Specs: h.specs, Pods: pods.Feed(), Resources: resources,
		Settings: gpu.NewFeed(deviceplugin.Settings{
			Strategy: deviceplugin.StrategyMixed, Deliveries: []deviceplugin.Delivery{deviceplugin.CDICRI},
			Rules: []deviceplugin.Rule{{Names: map[string]string{"nvidia.com/mig-" + profile: resource}}},
		}),
		Realizer: h,
	})
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return h.specs.Run(ctx, h.snapshots) })
	for _, run := range []func(context.Context) error{pods.Run, resources.Run, claims.Run, registrar.Run, manager.Run} {
		g.Go(func() error { return run(ctx) })
	}
	return g.Wait()
}
