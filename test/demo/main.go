// Command demo is `make run`: the agent on a simulated node with eight A100 80 GB, and a scenario that prints each step with its
// result and its time. It needs no root, no GPU and no network. With --cluster the same plays on a real cluster on this machine,
// with the agent as a DaemonSet pod; that needs root.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v3"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(os.Stdout).Run(ctx, os.Args)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func command(out io.Writer) *cli.Command {
	return &cli.Command{
		Name: "demo", Usage: "play the agent's main job on simulated GPUs", Writer: out,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "gpulet", Required: true, Usage: "the agent's `PROGRAM`"},
			&cli.BoolFlag{Name: "once", Usage: "exit after the scenario: 0 when every step came out right"},
			&cli.BoolFlag{Name: "cluster", Usage: "on a real cluster on this machine (root)"},
		},
		Action: func(ctx context.Context, c *cli.Command) error {
			build := newLocal
			if c.Bool("cluster") {
				build = newCluster
			}
			return play(ctx, out, build, c.String("gpulet"), c.Bool("once"))
		},
	}
}

// builder makes the machine that the scenario plays on.
type builder func(ctx context.Context, r *report, gpulet string) (node, error)

// play builds a machine, plays the scenario, and unless it is for once leaves everything running until ctx ends.
func play(ctx context.Context, out io.Writer, build builder, gpulet string, once bool) (err error) {
	r := &report{out: out}
	n, err := build(ctx, r, gpulet)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	failed := scenario(ctx, r, n)
	if errors.Is(failed, context.Canceled) {
		return nil // Ctrl-C
	}
	if failed != nil {
		r.text("\nThe last lines of the agent's log:\n%s", n.log(25))
		return failed
	}
	r.text("\nAll steps came out right after %s.", r.total())
	if once {
		return nil
	}
	r.text("%s", n.farewell())
	<-ctx.Done()
	return nil
}
