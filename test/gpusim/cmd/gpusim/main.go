// gpusim is simulated GPU hardware for a person at a terminal: `gpusim run` serves a node in a folder, `gpusim ctl` is the hand at
// the machine.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/urfave/cli/v3"

	"github.com/gpulet/gpulet/test/gpusim/lib"
	"github.com/gpulet/gpulet/test/gpusim/shapes"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := command().Run(ctx, os.Args)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "gpusim:", err)
		os.Exit(1)
	}
}

func command() *cli.Command {
	return &cli.Command{
		Name: "gpusim", Usage: "simulated NVIDIA GPUs",
		Commands: []*cli.Command{
			{
				Name: "run", Usage: "serve a node in a folder until interrupted", Action: run,
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "shape", Value: "dgx-a100", Usage: "`SHAPE` of the node: a file, or one of " + strings.Join(shapes.Names(), ", ")},
					&cli.StringFlag{Name: "root", Required: true, Usage: "`DIR` that becomes the machine"},
					&cli.StringFlag{Name: "driver", Usage: "driver `VERSION` other than the shape's"},
					&cli.Uint64Flag{Name: "seed", Usage: "`N` for UUIDs and noise"},
					&cli.BoolFlag{Name: "strict", Usage: "MIG handles of other processes keep instances busy"},
				},
			},
			{
				Name: "ctl", Usage: "act on a node that is served", Commands: actions(),
				Flags: []cli.Flag{&cli.StringFlag{Name: "root", Required: true, Usage: "`DIR` of the node", Sources: cli.EnvVars("GPUSIM_ROOT")}},
			},
			{
				Name: "libraries", Usage: "build libnvidia-ml.so.1 of each driver branch and libdcgm.so.4, for machines without a compiler (" + lib.DirEnv + ")", Action: libraries,
				Flags: []cli.Flag{&cli.StringFlag{Name: "out", Required: true, Usage: "`DIR` to put them in"}},
			},
		},
	}
}

func run(ctx context.Context, c *cli.Command) error {
	n, err := sim.Start(ctx, sim.Options{
		Shape: c.String("shape"), Dir: c.String("root"), Driver: c.String("driver"), Seed: c.Uint64("seed"), Strict: c.Bool("strict"),
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return err
	}
	fmt.Println("ready", n.Dir)
	<-ctx.Done()
	return n.Stop()
}

func libraries(ctx context.Context, c *cli.Command) error {
	if err := os.MkdirAll(c.String("out"), 0o755); err != nil {
		return err
	}
	cuda, err := lib.Cuda(ctx)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(c.String("out"), "libcuda.so"), cuda, 0o755); err != nil {
		return err
	}
	if err := lib.WriteDCGM(ctx, c.String("out")); err != nil {
		return err
	}
	for _, branch := range lib.Branches() {
		path, err := lib.Build(ctx, branch)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(c.String("out"), fmt.Sprintf("%d.so", branch)), data, 0o755); err != nil {
			return err
		}
	}
	return nil
}
