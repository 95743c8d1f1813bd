package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/gpulet/gpulet/agent"
)

func planCommand() *cli.Command {
	return &cli.Command{
		Name: "plan", Usage: "say what would change, and why, without changing anything", ArgsUsage: "[LAYOUT]",
		Description: layoutWords + `
Without a layout and pods: what is planned now. With --pod: what would be done for pods that ask so, beside those that wait.
Examples:
  gpulet plan --gpu 0 1g.10gb=7
  gpulet plan --pod mig-3g.40gb=1 --pod mig-1g.10gb=2,gpu=1
  gpulet plan --empty --pod mig-7g.80gb=1`,
		Flags: append(
			flags("run-dir"), gpuFlag(), outputFlag(),
			&cli.StringSliceFlag{Name: "pod", Usage: "a pod that asks for `RESOURCE=N[,RESOURCE=N]`; nvidia.com/ may be left out", Config: cli.StringConfig{TrimSpace: true}},
			&cli.BoolFlag{Name: "empty", Usage: "as if nothing were in use on this node"},
		),
		DisableSliceFlagSeparator: true,
		Action: func(ctx context.Context, c *cli.Command) error {
			o, err := order(c)
			if err != nil {
				return err
			}
			q := agent.PlanQuestion{PartitionOrder: o, Empty: c.Bool("empty")}
			for _, text := range c.StringSlice("pod") {
				asks, err := requests(text)
				if err != nil {
					return err
				}
				q.Pods = append(q.Pods, asks)
			}
			client, err := client(c)
			if err != nil {
				return err
			}
			a, err := client.Plan(ctx, q)
			if err != nil {
				return err
			}
			return show(c, a, func() error { return printPlan(c.Root().Writer, a) })
		},
	}
}

// requests reads what a pod asks for.
func requests(text string) (map[string]int, error) {
	out := map[string]int{}
	for part := range strings.SplitSeq(text, ",") {
		name, count, counted := strings.Cut(strings.TrimSpace(part), "=")
		n := 1
		if counted {
			var err error
			if n, err = strconv.Atoi(count); err != nil || n < 1 {
				return nil, usage("--pod %q: a count of at least 1 comes after the =", text)
			}
		}
		if name == "" {
			return nil, usage("--pod %q: want a resource such as mig-1g.10gb=2 or gpu=1", text)
		}
		if !strings.Contains(name, "/") {
			name = "nvidia.com/" + name
		}
		out[name] += n
	}
	return out, nil
}

// printPlan writes an answer for people.
func printPlan(w io.Writer, a agent.PlanAnswer) error {
	p := &page{}
	var steps, waits [][]string
	for _, s := range a.Steps {
		steps = append(steps, []string{strconv.Itoa(s.GPU), s.Do, s.Why})
	}
	for _, s := range a.Served {
		waits = append(waits, []string{s.Who, "gets " + strings.Join(s.Devices, " ")})
	}
	for _, u := range a.Unmet {
		waits = append(waits, []string{u.Who, u.Reason})
	}
	if len(steps) == 0 {
		p.text.WriteString("\nnothing would change\n")
	}
	p.section("STEPS", []string{"GPU", "STEP", "WHY"}, steps)
	p.section("PODS AND LAYOUTS", []string{"WHO", "WHAT BECOMES OF IT"}, waits)
	if !a.Exact {
		p.text.WriteString("\nthe search was cut short: a better plan may exist\n")
	}
	p.text.WriteString("\nAFTER IT\n")
	p.partition(a.After)
	if _, err := io.WriteString(w, strings.TrimPrefix(p.text.String(), "\n")); err != nil {
		return fmt.Errorf("write the plan: %w", err)
	}
	return nil
}
