package main

import (
	"context"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/gpulet/gpulet/agent"
	"github.com/gpulet/gpulet/agent/config"
)

// flags are the flags of the table of settings: all, or those of these names.
func flags(names ...string) (out []cli.Flag) {
	for _, s := range config.Settings() {
		if s.Flag == "" || len(names) > 0 && !slices.Contains(names, s.Flag) {
			continue
		}
		about := s.Help() + " [$" + s.Env() + "]"
		if s.Kind == config.Bool {
			out = append(out, &cli.BoolFlag{Name: s.Flag, Usage: about, DefaultText: s.Default, HideDefault: s.Default == ""})
		} else {
			out = append(out, &cli.StringFlag{Name: s.Flag, Usage: about, DefaultText: s.Default, HideDefault: s.Default == ""})
		}
	}
	return out
}

// sources are where the settings of a command come from. Only the table says what a value may be.
func sources(c *cli.Command) config.Sources {
	given := map[string]string{}
	for _, s := range config.Settings() {
		switch {
		case s.Flag == "" || !c.IsSet(s.Flag):
		case s.Kind == config.Bool:
			given[s.Flag] = strconv.FormatBool(c.Bool(s.Flag))
		default:
			given[s.Flag] = c.String(s.Flag)
		}
	}
	return config.Sources{Flags: given, Env: os.LookupEnv}
}

// asAgent are the settings of the agent that runs, unless this command was given some itself or no agent answers.
func asAgent(ctx context.Context, c *cli.Command) (config.Sources, agent.Settings, bool) {
	own := sources(c)
	for name := range own.Flags {
		if name != "run-dir" {
			return own, agent.Settings{}, false
		}
	}
	client, err := client(c)
	if err != nil {
		return own, agent.Settings{}, false
	}
	set, err := client.Settings(ctx)
	if err != nil {
		return own, set, false
	}
	its := config.Sources{Flags: map[string]string{}}
	for _, l := range set.Lines {
		if name, ok := strings.CutPrefix(l.Path, "--"); ok {
			its.Flags[name] = l.Value
		}
	}
	return its, set, true
}

// client finds the agent of a command with the flag run-dir.
func client(c *cli.Command) (agent.Client, error) {
	p, err := sources(c).Process()
	return agent.Client{Socket: agent.Socket(p.RunDir)}, err
}
