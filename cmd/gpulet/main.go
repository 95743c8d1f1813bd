// Command gpulet is the GPU node agent and its command line.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v3"
)

// version is set by the linker.
var version = "dev"

func main() {
	os.Exit(run(os.Args, os.Stdin, os.Stdout, os.Stderr))
}

// run is the program; it returns the exit code.
func run(args []string, in io.Reader, out, errs io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := command(in, out, errs).Run(ctx, args)
	if err != nil {
		_, _ = fmt.Fprintln(errs, "gpulet:", err)
	}
	return exitCode(err)
}

func command(in io.Reader, out, errs io.Writer) *cli.Command {
	root := &cli.Command{
		Name: "gpulet", Usage: "the node agent for GPUs on Kubernetes", Version: version,
		Description:           exitCodes,
		EnableShellCompletion: true, Suggest: true, HideVersion: true,
		Reader: in, Writer: out, ErrWriter: errs,
		ExitErrHandler: func(context.Context, *cli.Command, error) {}, // run tells the error and its code
		Action: func(_ context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return usage("there is no command %q; see gpulet --help", c.Args().First())
			}
			return cli.ShowRootCommandHelp(c)
		},
		ConfigureShellCompletionCommand: func(c *cli.Command) { c.Hidden = false },
		Commands: []*cli.Command{
			runCommand(), statusCommand(), explainCommand(), metricsCommand(), configCommand(), healthCommand(), doctorCommand(), hookCommand(), versionCommand(),
			dcgmWorkerCommand(),
		},
	}
	strict(root)
	return root
}

// strict makes mistakes on the command line usage errors in every command.
func strict(c *cli.Command) {
	if len(c.Commands) > 0 && c.Action == nil {
		c.Action = func(_ context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return usage("there is no command %q; see %s --help", c.FullName()+" "+c.Args().First(), c.FullName())
			}
			return cli.ShowSubcommandHelp(c)
		}
	}
	c.OnUsageError = func(_ context.Context, _ *cli.Command, err error, _ bool) error { return usage("%w", err) }
	for _, sub := range c.Commands {
		strict(sub)
	}
}

// noArguments is the check of commands that take none.
func noArguments(c *cli.Command) error {
	if c.Args().Present() {
		return usage("%s takes no argument, got %q", c.FullName(), c.Args().First())
	}
	return nil
}
