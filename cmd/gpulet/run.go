package main

import (
	"context"

	"github.com/urfave/cli/v3"

	"github.com/gpulet/gpulet/agent"
)

func runCommand() *cli.Command {
	return &cli.Command{
		Name: "run", Usage: "run the agent of this node until SIGTERM or SIGINT",
		Description: "On SIGTERM it hands over to an agent that waits for this node: pods notice nothing.",
		Flags:       flags(),
		Action: func(ctx context.Context, c *cli.Command) error {
			if err := noArguments(c); err != nil {
				return err
			}
			return agent.Run(ctx, agent.Options{Sources: sources(c), Version: version})
		},
	}
}
