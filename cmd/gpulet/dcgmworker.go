package main

import (
	"context"

	"github.com/urfave/cli/v3"

	"github.com/gpulet/gpulet/exporter/dcgm"
)

// dcgmWorkerCommand is the process that loads libdcgm, so that the agent need not.
func dcgmWorkerCommand() *cli.Command {
	return &cli.Command{
		Name: "dcgm-worker", Hidden: true,
		Usage: "read DCGM for an agent, which starts it",
		Action: func(ctx context.Context, c *cli.Command) error {
			if err := noArguments(c); err != nil {
				return err
			}
			return dcgm.Work(ctx)
		},
	}
}
