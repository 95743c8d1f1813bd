package main

import (
	"bytes"
	"context"
	"regexp"

	"github.com/urfave/cli/v3"
)

func metricsCommand() *cli.Command {
	return &cli.Command{
		Name: "metrics", Usage: "print what a scrape gets now",
		Description: "With --match only the series that fit: `--match 'pod=\"trainer\"'`, `--match ^gpu_`. Why a metric is absent: gpulet status.",
		Flags:       append(flags("run-dir"), &cli.StringFlag{Name: "match", Aliases: []string{"m"}, Usage: "print only the series that this `REGEXP` fits"}),
		Action: func(ctx context.Context, c *cli.Command) error {
			if err := noArguments(c); err != nil {
				return err
			}
			match, err := regexp.Compile(c.String("match"))
			if err != nil {
				return usage("--match: %w", err)
			}
			client, err := client(c)
			if err != nil {
				return err
			}
			page, err := client.Metrics(ctx)
			if err != nil {
				return err
			}
			if c.IsSet("match") {
				page = only(page, match)
			}
			_, err = c.Root().Writer.Write(page)
			return err
		},
	}
}

// only keeps the series that fit, without their HELP and TYPE.
func only(page []byte, match *regexp.Regexp) (out []byte) {
	for line := range bytes.Lines(page) {
		if line[0] != '#' && match.Match(bytes.TrimRight(line, "\n")) {
			out = append(out, line...)
		}
	}
	return out
}
