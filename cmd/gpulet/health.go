package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"
)

func healthCommand() *cli.Command {
	return &cli.Command{
		Name: "health", Usage: "clear what is held against a GPU",
		Commands: []*cli.Command{{
			Name: "clear", Usage: "end the recorded reasons for a GPU's bad health: you have seen to it", ArgsUsage: "GPU",
			Description: "GPU is an index or a UUID. What the driver still reports returns with the next look.",
			Flags:       flags("run-dir"),
			Action: func(ctx context.Context, c *cli.Command) error {
				if c.Args().Len() != 1 {
					return usage("health clear takes one argument: a GPU's index or UUID")
				}
				agent, err := client(c)
				if err != nil {
					return err
				}
				if err := agent.ClearHealth(ctx, c.Args().First()); err != nil {
					return err
				}
				_, err = fmt.Fprintln(c.Root().Writer, "cleared")
				return err
			},
		}},
	}
}
