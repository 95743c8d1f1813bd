package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v3"

	"github.com/gpulet/gpulet/agent"
	"github.com/gpulet/gpulet/agent/config"
)

func configCommand() *cli.Command {
	return &cli.Command{
		Name: "config", Usage: "check and explain the configuration",
		Commands: []*cli.Command{
			{
				Name: "check", Usage: "say all that is wrong with a configuration file", ArgsUsage: "FILE",
				Action: func(_ context.Context, c *cli.Command) error {
					if c.Args().Len() != 1 {
						return usage("config check takes one argument: a file")
					}
					file := c.Args().First()
					data, err := config.ReadFile(file)
					if err != nil {
						return usage("%w", err)
					}
					if _, err := (config.Sources{}).Resolve(file, data); err != nil {
						return err
					}
					_, err = fmt.Fprintln(c.Root().Writer, file+" is right")
					return err
				},
			},
			{
				Name: "explain", Usage: "print every setting with its value and where it came from",
				Description: "It asks the agent that runs. With flags, or where no agent answers, it resolves its own flags and environment as run does.",
				Flags: append(flags(), &cli.StringFlag{
					Name: "output", Aliases: []string{"o"}, Value: "table", Usage: "`FORM`: table, or yaml for a file that gives the same settings by itself",
				}),
				Action: explainConfig,
			},
			{
				Name: "reload", Usage: "have the agent read its configuration now, and say what is wrong with it",
				Flags: flags("run-dir"),
				Action: func(ctx context.Context, c *cli.Command) error {
					agent, err := client(c)
					if err != nil {
						return err
					}
					if err := agent.Reload(ctx); err != nil {
						return errors.Join(errors.New("the agent goes on with what was right last"), err)
					}
					_, err = fmt.Fprintln(c.Root().Writer, "what the file says is in force")
					return err
				},
			},
		},
	}
}

func explainConfig(ctx context.Context, c *cli.Command) error {
	if err := noArguments(c); err != nil {
		return err
	}
	own, set, running := asAgent(ctx, c)
	if !running {
		r, err := own.Load()
		if err != nil {
			return err
		}
		file, err := r.File()
		if err != nil {
			return err
		}
		set = agent.Settings{Lines: r.Lines, File: string(file)}
	}
	switch c.String("output") {
	case "table":
		return config.Explain(c.Root().Writer, set.Lines)
	case "yaml":
		_, err := fmt.Fprint(c.Root().Writer, set.File)
		return err
	}
	return usage("--output is table or yaml")
}
