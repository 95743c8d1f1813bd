// Command cluster runs a real Kubernetes cluster on this machine, for trying things out by hand;
// package cluster says what it is made of.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/urfave/cli/v3"

	"github.com/gpulet/gpulet/test/cluster"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := command().Run(ctx, os.Args)
	stop()
	var exit *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &exit): // of what run ran, which said itself what is wrong
		os.Exit(max(exit.ExitCode(), 1))
	default:
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func command() *cli.Command {
	return &cli.Command{
		Name:  "cluster",
		Usage: "a real Kubernetes cluster on this machine (root)",
		Flags: []cli.Flag{&cli.StringFlag{
			Name: "dir", Usage: "the cluster's `FOLDER`; one cluster each",
			Value: folder(), Sources: cli.EnvVars("GPULET_CLUSTER"),
		}},
		Commands: []*cli.Command{
			{
				Name: "up", Usage: "bring up a cluster that stays until down; one that is there is replaced",
				Flags: []cli.Flag{
					&cli.IntFlag{Name: "nodes", Usage: "how `MANY` nodes, 1 to 3", Value: 1},
					&cli.StringSliceFlag{Name: "load", Usage: "an image `ARCHIVE` for its nodes"},
				},
				Action: up,
			},
			{Name: "status", Usage: "say whether a cluster runs, and its nodes' addresses", Action: status},
			{
				Name: "run", Usage: "run a command with KUBECONFIG set", ArgsUsage: "-- COMMAND [ARGUMENT...]",
				SkipFlagParsing: true, Action: run,
			},
			{
				Name: "on", Usage: "run a command on a node, outside any container", ArgsUsage: "NODE -- COMMAND [ARGUMENT...]",
				SkipFlagParsing: true, Action: on,
			},
			{Name: "load", Usage: "load image archives on every node", ArgsUsage: "ARCHIVE...", Action: load},
			{Name: "down", Usage: "take the cluster down and remove all of it", Action: down},
			{Name: "build", Usage: "build the cluster's programs, if they are not in the cache", Action: build},
			{
				Name: "image", Usage: "write a container image of gpulet as a docker archive",
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "gpulet", Usage: "the `PROGRAM`", Value: "bin/gpulet"},
					&cli.StringFlag{Name: "out", Usage: "the `ARCHIVE` to write", Value: "bin/gpulet.tar"},
					&cli.StringFlag{Name: "name", Usage: "the image's `NAME`", Value: "gpulet:dev"},
				},
				Action: image,
			},
		},
	}
}

// folder is in the user's cache, where nobody else can put things in its place.
func folder() string {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = "/var/cache"
	}
	return filepath.Join(cache, "gpulet", "running-cluster")
}

func logger() *slog.Logger { return slog.New(slog.NewTextHandler(os.Stderr, nil)) }

func up(ctx context.Context, cmd *cli.Command) error {
	c, err := cluster.Up(ctx, cluster.Options{Dir: cmd.String("dir"), Nodes: cmd.Int("nodes"), Detached: true, Log: logger()})
	if err != nil {
		return err
	}
	for _, archive := range cmd.StringSlice("load") {
		if err := c.LoadImage(ctx, archive); err != nil {
			return errors.Join(err, c.Down())
		}
	}
	fmt.Printf("export KUBECONFIG=%s\n", c.Kubeconfig)
	return nil
}

func status(_ context.Context, cmd *cli.Command) error {
	c, err := cluster.Attach(cmd.String("dir"))
	if err != nil {
		return err
	}
	fmt.Printf("KUBECONFIG=%s\n", c.Kubeconfig)
	for _, n := range c.Nodes {
		fmt.Printf("%s %s %s\n", n.Name(), n.Addr, n.HostPath("/"))
	}
	return nil
}

func run(ctx context.Context, cmd *cli.Command) error {
	c, err := cluster.Attach(cmd.String("dir"))
	if err != nil {
		return err
	}
	argv := words(cmd)
	if len(argv) == 0 {
		return errors.New("run what? cluster run -- COMMAND")
	}
	child := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // the user's command is the point
	child.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig)
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	return child.Run()
}

func on(ctx context.Context, cmd *cli.Command) error {
	c, err := cluster.Attach(cmd.String("dir"))
	if err != nil {
		return err
	}
	argv := words(cmd)
	if len(argv) < 2 {
		return errors.New("where, and what? cluster on NODE -- COMMAND")
	}
	for _, n := range c.Nodes {
		if n.Name() != argv[0] {
			continue
		}
		if argv[1] == "--" {
			argv = argv[1:]
		}
		child := n.Command(ctx, argv[1:]...)
		child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
		if err := n.Start(child); err != nil {
			return err
		}
		return child.Wait()
	}
	return fmt.Errorf("no node %s", argv[0])
}

// words are the arguments after the subcommand, without a leading "--".
func words(cmd *cli.Command) []string {
	argv := cmd.Args().Slice()
	if len(argv) > 0 && argv[0] == "--" {
		argv = argv[1:]
	}
	return argv
}

func load(ctx context.Context, cmd *cli.Command) error {
	c, err := cluster.Attach(cmd.String("dir"))
	if err != nil {
		return err
	}
	for _, archive := range cmd.Args().Slice() {
		if err := c.LoadImage(ctx, archive); err != nil {
			return err
		}
	}
	return nil
}

func down(ctx context.Context, cmd *cli.Command) error {
	return cluster.Clear(ctx, cmd.String("dir"))
}

func build(ctx context.Context, _ *cli.Command) error {
	_, err := cluster.BuildPrograms(ctx, logger())
	return err
}

func image(ctx context.Context, cmd *cli.Command) error {
	i, err := cluster.ProgramImage(ctx, cmd.String("name"), cmd.String("gpulet"), nil)
	if err != nil {
		return err
	}
	return i.Write(cmd.String("out"))
}
