package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"
)

func explainCommand() *cli.Command {
	return &cli.Command{
		Name: "explain", Usage: "say why a GPU, a device, a resource or a pod is as it is", ArgsUsage: "WHAT",
		Description: "WHAT is a GPU (index or UUID), a device id, a resource such as nvidia.com/gpu, or a pod (namespace/name or UID).",
		Flags:       flags("run-dir"),
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Len() != 1 {
				return usage("explain takes one argument: a GPU, a device id, a resource or a pod")
			}
			agent, err := client(c)
			if err != nil {
				return err
			}
			s, err := agent.Status(ctx)
			if err != nil {
				return err
			}
			lines, found := s.Explain(c.Args().First())
			if !found {
				return fmt.Errorf("nothing on this node is called %q; gpulet status shows what there is", c.Args().First())
			}
			for _, l := range lines {
				if _, err := fmt.Fprintln(c.Root().Writer, l); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
