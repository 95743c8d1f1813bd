package main

import (
	"fmt"
	"strconv"

	"github.com/urfave/cli/v3"

	"github.com/gpulet/gpulet/test/gpusim/daemon"
	"github.com/gpulet/gpulet/test/gpusim/dcgm"
)

// dcgmActions are those on the DCGM engines.
func dcgmActions() *cli.Command {
	return &cli.Command{Name: "dcgm", Usage: "DCGM's engines and what goes wrong in them", Commands: []*cli.Command{
		{Name: "start", Usage: "start nv-hostengine", ArgsUsage: "[VERSION]", Action: plain("engine-start", func(h hand, c *daemon.Command) error {
			c.Text = h.Args().First()
			return nil
		})},
		{Name: "stop", Usage: "end nv-hostengine", Action: plain("engine-stop", nil)},
		{
			Name: "fail", Usage: "make calls of libdcgm go wrong", ArgsUsage: "hang|slow|leak|abort|segfault|fail",
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "call", Value: "*", Usage: "C `FUNCTION`"}, &cli.DurationFlag{Name: "delay", Usage: "of slow calls"},
				&cli.Uint64Flag{Name: "mib", Usage: "what each call leaks"}, &cli.IntFlag{Name: "code", Value: int(dcgm.GenericError), Usage: "dcgmReturn_t of calls that fail"},
				&cli.IntFlag{Name: "at", Value: 1, Usage: "the first such call from now on"}, &cli.IntFlag{Name: "times", Usage: "how many; 0: all"},
			},
			Action: plain("dcgm-call", func(h hand, c *daemon.Command) error {
				c.Call = dcgm.Fault{
					Call: h.String("call"), Kind: h.Args().First(), Delay: h.Duration("delay"), MiB: h.Uint64("mib"), Code: dcgm.Status(h.Int("code")), At: h.Int("at"), Times: h.Int("times"),
				}
				return nil
			}),
		},
		{
			Name: "field", Usage: "make values go wrong", ArgsUsage: "FIELD stale|blank|status",
			Flags: []cli.Flag{
				&cli.IntFlag{Name: "gpu", Value: -1}, &cli.IntFlag{Name: "blank", Value: int(dcgm.BlankNotSupported), Usage: "0 unknown, 1 not found, 2 not supported, 3 no permission"},
				&cli.IntFlag{Name: "status", Value: int(dcgm.StaleData)},
			},
			Action: plain("dcgm-field", func(h hand, c *daemon.Command) error {
				id, err := strconv.ParseUint(h.Args().First(), 10, 16)
				if err != nil {
					return fmt.Errorf("which field? Say its number: %w", err)
				}
				c.Field = dcgm.FieldFault{
					Field: uint16(id), GPU: h.Int("gpu"), Kind: h.Args().Get(1), Blank: dcgm.Blank(h.Int("blank")), Status: dcgm.Status(h.Int("status")),
				}
				return nil
			}),
		},
		{Name: "clear", Usage: "end these faults", Action: plain("dcgm-clear", nil)},
	}}
}
