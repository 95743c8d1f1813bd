package main

import (
	"errors"
	"slices"
	"strconv"

	"github.com/urfave/cli/v3"

	"github.com/gpulet/gpulet/test/gpusim/daemon"
	"github.com/gpulet/gpulet/test/gpusim/model"
)

const targetUsage = "GPU[/GI[/CI]]"

// actions are the commands of ctl.
func actions() []*cli.Command {
	return append(append(machine(), faults()...), migActions(), loadAction(), processActions(), dcgmActions())
}

func machine() []*cli.Command {
	force := &cli.BoolFlag{Name: "force", Usage: "end processes and clients"}
	return []*cli.Command{
		{Name: "status", Usage: "the node in one picture", Action: plain("status", nil)},
		{Name: "calls", Usage: "NVML calls by name", Action: plain("calls", nil)},
		{Name: "reset", Usage: "nvidia-smi --gpu-reset", ArgsUsage: "GPU", Action: at(nil, "reset")},
		{Name: "reboot", Usage: "start the machine anew", Action: plain("reboot", nil)},
		{Name: "unload", Usage: "remove the kernel module", Flags: []cli.Flag{force}, Action: plain("unload", func(h hand, c *daemon.Command) error {
			c.On = h.Bool("force")
			return nil
		})},
		{Name: "load-driver", Usage: "load the kernel module", ArgsUsage: "[VERSION]", Action: plain("load-driver", func(h hand, c *daemon.Command) error {
			c.Text = h.Args().First()
			return nil
		})},
	}
}

func faults() []*cli.Command {
	off := func(usage string) []cli.Flag { return []cli.Flag{&cli.BoolFlag{Name: "off", Usage: usage}} }
	call := []cli.Flag{
		&cli.StringFlag{Name: "call", Value: "*", Usage: "C `FUNCTION`; without a version suffix each version; change: each that changes how a GPU is divided"},
		&cli.IntFlag{Name: "gpu", Value: -1, Usage: "only calls of GPU `N`"},
	}
	nth := []cli.Flag{
		&cli.IntFlag{Name: "pid", Usage: "only calls of this process"}, &cli.IntFlag{Name: "at", Value: 1, Usage: "the `N`-th such call from now on is the first"},
		&cli.BoolFlag{Name: "after", Usage: "when the call has taken effect and before it is answered"},
	}
	return []*cli.Command{
		{Name: "xid", Usage: "raise an XID", ArgsUsage: targetUsage + " XID", Action: at(number(1), "xid")},
		{Name: "collapse", Usage: "XIDs between two waits are one event", Flags: off("each is its own again"), Action: plain("collapse", func(h hand, c *daemon.Command) error {
			c.On = !h.Bool("off")
			return nil
		})},
		{
			Name: "ecc", Usage: "count memory errors", ArgsUsage: "GPU",
			Flags: []cli.Flag{
				&cli.BoolFlag{Name: "uncorrected"}, &cli.Uint64Flag{Name: "count", Value: 1},
				&cli.Uint64Flag{Name: "location", Value: uint64(model.EccDevice), Usage: "nvmlMemoryLocation_t"},
			},
			Action: at(func(h hand, c *daemon.Command) error {
				c.Ecc = model.EccFault{Uncorrected: h.Bool("uncorrected"), Count: h.Uint64("count"), Location: model.EccLocation(h.Uint64("location"))}
				return nil
			}, "ecc"),
		},
		{Name: "lost", Usage: "the GPU falls off the bus", ArgsUsage: "GPU", Flags: off("put it back"), Action: at(func(h hand, c *daemon.Command) error {
			c.On = !h.Bool("off")
			return nil
		}, "lost")},
		{Name: "hang", Usage: "every call to the GPU blocks", ArgsUsage: "GPU", Flags: []cli.Flag{&cli.BoolFlag{Name: "init", Usage: "nvmlInit blocks too"}}, Action: at(func(h hand, c *daemon.Command) error {
			c.On = h.Bool("init")
			return nil
		}, "hang")},
		{Name: "unhang", Usage: "the blocked calls go on", ArgsUsage: "GPU", Action: at(nil, "unhang")},
		{
			Name: "fail", Usage: "make calls fail", ArgsUsage: "CODE or its text",
			Flags: slices.Concat(call, nth, []cli.Flag{&cli.IntFlag{Name: "times", Usage: "how many fail; 0: all"}}),
			Action: plain("fail", func(h hand, c *daemon.Command) error {
				code, err := returnCode(h.Args().First())
				c.Error = model.ErrorFault{Call: h.String("call"), GPU: h.Int("gpu"), PID: h.Int("pid"), At: h.Int("at"), Times: h.Int("times"), Return: code, AfterEffect: h.Bool("after")}
				return err
			}),
		},
		{
			Name: "hold", Usage: "make one call stand still; prints the hold's number", Flags: slices.Concat(call, nth),
			Action: plain("hold", func(h hand, c *daemon.Command) error {
				c.Hold = model.HoldFault{Call: h.String("call"), GPU: h.Int("gpu"), PID: h.Int("pid"), At: h.Int("at"), AfterEffect: h.Bool("after")}
				return nil
			}),
		},
		{Name: "await-hold", Usage: "wait until the call stands still", ArgsUsage: "HOLD", Action: plain("await-hold", number(0))},
		{Name: "release", Usage: "let a held call go on", ArgsUsage: "HOLD", Action: plain("release", number(0))},
		{
			Name: "slow-changes", Usage: "set how long changes of a GPU's division take, instead of what it was",
			Flags: []cli.Flag{&cli.DurationFlag{Name: "mode"}, &cli.DurationFlag{Name: "create"}, &cli.DurationFlag{Name: "destroy"}},
			Action: plain("slow-changes", func(h hand, c *daemon.Command) error {
				c.Times = model.ChangeTimes{Mode: h.Duration("mode"), Create: h.Duration("create"), Destroy: h.Duration("destroy")}
				return nil
			}),
		},
		{
			Name: "latency", Usage: "make calls slow", Flags: append(slices.Clone(call), &cli.DurationFlag{Name: "delay", Required: true}),
			Action: plain("latency", func(h hand, c *daemon.Command) error {
				c.Latency = model.LatencyFault{Call: h.String("call"), GPU: h.Int("gpu"), Delay: h.Duration("delay")}
				return nil
			}),
		},
		{
			Name: "remap", Usage: "set the remapped rows", ArgsUsage: "GPU",
			Flags: []cli.Flag{&cli.Uint64Flag{Name: "correctable"}, &cli.Uint64Flag{Name: "uncorrectable"}, &cli.BoolFlag{Name: "pending"}, &cli.BoolFlag{Name: "failure"}},
			Action: at(func(h hand, c *daemon.Command) error {
				c.Rows = model.RemappedRows{Correctable: uint32(h.Uint64("correctable")), Uncorrectable: uint32(h.Uint64("uncorrectable")), Pending: h.Bool("pending"), Failure: h.Bool("failure")}
				return nil
			}, "remap"),
		},
		{Name: "recovery", Usage: "set the recovery action", ArgsUsage: "GPU ACTION", Action: at(number(1), "recovery")},
		{Name: "leak", Usage: "an unknown client holds it", ArgsUsage: targetUsage, Action: at(nil, "leak")},
		{Name: "drop-leaks", Usage: "end the leaks", ArgsUsage: "GPU or all", Action: at(nil, "drop-leaks")},
		{Name: "clear", Usage: "end every fault", ArgsUsage: "GPU or all", Action: at(nil, "clear")},
		{Name: "nvlink", Usage: "cut a link", ArgsUsage: "GPU LINK", Flags: off("bring it back"), Action: at(func(h hand, c *daemon.Command) error {
			c.On = !h.Bool("off")
			return number(1)(h, c)
		}, "nvlink")},
	}
}

func migActions() *cli.Command {
	return &cli.Command{Name: "mig", Usage: "partition a GPU as an administrator does", Commands: []*cli.Command{
		{Name: "mode", ArgsUsage: "GPU on|off", Action: at(func(h hand, c *daemon.Command) error {
			switch h.Args().Get(1) {
			case "on":
				c.On = true
			case "off":
			default:
				return errors.New("the mode is on or off")
			}
			return nil
		}, "mig-mode")},
		{Name: "create", Usage: "prints the GPU instance's id and the MIG device's UUID", ArgsUsage: "GPU PROFILE [START]", Flags: []cli.Flag{&cli.BoolFlag{Name: "bare", Usage: "without a compute instance"}}, Action: at(func(h hand, c *daemon.Command) error {
			c.Text, c.On = h.Args().Get(1), h.Bool("bare")
			if text := h.Args().Get(2); text != "" {
				n, err := strconv.ParseUint(text, 10, 32)
				if err != nil {
					return err
				}
				start := uint32(n)
				c.Start = &start
			}
			return nil
		}, "mig-create")},
		{Name: "destroy", ArgsUsage: "GPU/GI", Action: at(func(_ hand, c *daemon.Command) error {
			if c.Target.GI == model.NoInstance {
				return errors.New("which instance? Say GPU/GI")
			}
			c.Instance = c.Target.GI
			return nil
		}, "mig-destroy")},
	}}
}

func loadAction() *cli.Command {
	return &cli.Command{
		Name: "load", Usage: "set a load; --kind none removes it", ArgsUsage: targetUsage,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "kind", Value: "constant", Usage: "constant, ramp, sine, trace or none"},
			&cli.FloatFlag{Name: "level", Usage: "percent"}, &cli.FloatFlag{Name: "from"}, &cli.FloatFlag{Name: "amplitude"},
			&cli.DurationFlag{Name: "period"}, &cli.FloatSliceFlag{Name: "points"},
		},
		Action: at(func(h hand, c *daemon.Command) error {
			if h.String("kind") == "none" {
				return nil
			}
			c.Load = model.Load{
				Kind: h.String("kind"), Level: h.Float("level"), From: h.Float("from"), Amplitude: h.Float("amplitude"),
				Period: h.Duration("period"), Points: h.FloatSlice("points"),
			}
			return nil
		}, "load"),
	}
}

func processActions() *cli.Command {
	return &cli.Command{Name: "process", Usage: "processes on GPUs", Commands: []*cli.Command{
		{
			Name: "start", Usage: "prints the PID", ArgsUsage: targetUsage,
			Flags: []cli.Flag{
				&cli.IntFlag{Name: "pid", Usage: "0 draws one"}, &cli.StringFlag{Name: "name"}, &cli.StringFlag{Name: "kind", Usage: "compute, graphics or mps"},
				&cli.Uint64Flag{Name: "memory", Usage: "`MiB`"}, &cli.Uint64Flag{Name: "sm", Usage: "`PERCENT`"},
			},
			Action: at(func(h hand, c *daemon.Command) error {
				c.Process = model.ProcessSpec{PID: h.Int("pid"), Name: h.String("name"), Kind: h.String("kind"), Memory: h.Uint64("memory") << 20, SM: uint32(h.Uint64("sm"))}
				return nil
			}, "process-start"),
		},
		{Name: "stop", ArgsUsage: "PID", Action: plain("process-stop", number(0))},
	}}
}
