package main

import (
	"context"

	"github.com/urfave/cli/v3"

	"github.com/gpulet/gpulet/deviceplugin/cdi"
)

func hookCommand() *cli.Command {
	return &cli.Command{
		Name: "cdi-hook", Usage: "set up a container's libraries; container runtimes run it, as the CDI specs say",
		SkipFlagParsing: true,
		Action: func(ctx context.Context, c *cli.Command) error {
			return cdi.RunHook(ctx, c.Args().Slice(), c.Root().Reader, c.Root().ErrWriter)
		},
	}
}
