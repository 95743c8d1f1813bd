package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/gpulet/gpulet/test/gpusim/daemon"
	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// hand is a command with the node it acts on.
type hand struct {
	*cli.Command
	node *sim.Node
}

// on attaches to the node for an action.
func on(f func(ctx context.Context, h hand) error) cli.ActionFunc {
	return func(ctx context.Context, c *cli.Command) error {
		n, err := sim.Attach(ctx, c.String("root"))
		if err != nil {
			return err
		}
		return errors.Join(f(ctx, hand{c, n}), n.Stop())
	}
}

// do sends a command and prints what it gives.
func (h hand) do(ctx context.Context, c daemon.Command) error {
	a, err := h.node.Do(ctx, c)
	if err != nil {
		return err
	}
	switch {
	case a.Status != nil:
		return h.print(a.Status)
	case a.Calls != nil:
		return h.print(a.Calls)
	case a.PID != 0:
		_, err = fmt.Fprintln(h.Root().Writer, a.PID)
	case a.Hold != 0:
		_, err = fmt.Fprintln(h.Root().Writer, a.Hold)
	case a.Instance != 0 || a.UUID != "":
		_, err = fmt.Fprintln(h.Root().Writer, a.Instance, a.UUID)
	}
	return err
}

func (h hand) print(v any) error {
	e := json.NewEncoder(h.Root().Writer)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// target reads "GPU", "GPU/GI" or "GPU/GI/CI"; the GPU is an index, a UUID or a PCI address, and "all" is every GPU.
func (h hand) target(ctx context.Context, text string) (model.Target, error) {
	if text == "" {
		return model.Target{}, errors.New("which GPU? Say GPU, GPU/GI or GPU/GI/CI")
	}
	if text == "all" {
		return model.WholeGPU(-1), nil
	}
	parts := strings.Split(text, "/")
	a, err := h.node.Do(ctx, daemon.Command{Do: "find", Text: parts[0]})
	if err != nil {
		return model.Target{}, err
	}
	t := model.WholeGPU(a.GPU)
	for i, id := range []*uint32{&t.GI, &t.CI} {
		if len(parts) > i+1 {
			n, err := strconv.ParseUint(parts[i+1], 10, 32)
			if err != nil {
				return t, fmt.Errorf("%q is no GPU/GI/CI: %w", text, err)
			}
			*id = uint32(n)
		}
	}
	return t, nil
}

// at makes an action of a command on the target that is the first argument.
func at(fill func(h hand, c *daemon.Command) error, do string) cli.ActionFunc {
	return on(func(ctx context.Context, h hand) error {
		t, err := h.target(ctx, h.Args().First())
		if err != nil {
			return err
		}
		c := daemon.Command{Do: do, Target: t}
		if fill != nil {
			if err := fill(h, &c); err != nil {
				return err
			}
		}
		return h.do(ctx, c)
	})
}

// plain makes an action of a command without a target.
func plain(do string, fill func(h hand, c *daemon.Command) error) cli.ActionFunc {
	return on(func(ctx context.Context, h hand) error {
		c := daemon.Command{Do: do}
		if fill != nil {
			if err := fill(h, &c); err != nil {
				return err
			}
		}
		return h.do(ctx, c)
	})
}

// number reads argument i.
func number(i int) func(h hand, c *daemon.Command) error {
	return func(h hand, c *daemon.Command) (err error) {
		c.Number, err = strconv.ParseUint(h.Args().Get(i), 0, 64)
		return err
	}
}

// returnCode reads a code by number or text, for instance 15 or "GPU is lost".
func returnCode(text string) (model.Return, error) {
	if n, err := strconv.Atoi(text); err == nil {
		return model.Return(n), nil
	}
	for r := model.Success; r <= model.Unknown; r++ {
		if strings.EqualFold(r.String(), text) {
			return r, nil
		}
	}
	return 0, fmt.Errorf("NVML has no return code %q", text)
}
