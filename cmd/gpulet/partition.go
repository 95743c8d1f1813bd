package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/gpulet/gpulet/agent"
	"github.com/gpulet/gpulet/partitioner"
)

// layoutWords is how a layout is written on the command line.
const layoutWords = `LAYOUT is counts of profiles (1g.10gb=4 3g.40gb=1), the name of a configuration (all-balanced), "whole" for MIG mode off, or
"empty" for MIG mode on without instances.`

func partitionCommand() *cli.Command {
	return &cli.Command{
		Name: "partition", Usage: "show and set how the GPUs of this node are divided",
		Commands: []*cli.Command{partitionShowCommand(), partitionSetCommand(), partitionReleaseCommand()},
	}
}

func gpuFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "gpu", Aliases: []string{"g"}, Usage: "`GPU`, an index or a UUID; several times or with commas; all GPUs without it"}
}

// gpusOf are the GPUs that the flag names.
func gpusOf(c *cli.Command) (out []string) {
	for _, list := range c.StringSlice("gpu") {
		out = append(out, strings.Split(list, ",")...)
	}
	return out
}

func outputFlag() cli.Flag {
	return &cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: "table", Usage: "`FORM`: table or json"}
}

func partitionShowCommand() *cli.Command {
	return &cli.Command{
		Name: "show", Usage: "draw what is on each GPU, who has it, what is to come, and why",
		Flags: append(flags("run-dir"), gpuFlag(), outputFlag()),
		Action: func(ctx context.Context, c *cli.Command) error {
			if err := noArguments(c); err != nil {
				return err
			}
			client, err := client(c)
			if err != nil {
				return err
			}
			s, err := client.Status(ctx)
			if err != nil {
				return err
			}
			if s.Partition == nil {
				return fmt.Errorf("this agent does not have the node: %s", strings.Join(s.NotReady, "; "))
			}
			v, err := those(*s.Partition, gpusOf(c))
			if err != nil {
				return err
			}
			return show(c, v, func() error { return printPartition(c.Root().Writer, v) })
		},
	}
}

// show writes a value as JSON, or as print does for people.
func show(c *cli.Command, v any, people func() error) error {
	switch c.String("output") {
	case "table":
		return people()
	case "json":
		e := json.NewEncoder(c.Root().Writer)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
	return usage("--output is table or json")
}

// those is a view of these GPUs alone; of all when none is named.
func those(v partitioner.View, names []string) (partitioner.View, error) {
	if len(names) == 0 {
		return v, nil
	}
	var gpus []partitioner.GPUView
	for _, name := range names {
		i := slices.IndexFunc(v.GPUs, func(g partitioner.GPUView) bool { return string(g.UUID) == name || strconv.Itoa(g.Index) == name })
		if i < 0 {
			return v, usage("no GPU %q: want an index or a UUID as gpulet status shows them", name)
		}
		gpus = append(gpus, v.GPUs[i])
	}
	v.GPUs = gpus
	return v, nil
}

func partitionSetCommand() *cli.Command {
	return &cli.Command{
		Name: "set", Usage: "declare the layout of GPUs until it is released", ArgsUsage: "LAYOUT",
		Description: layoutWords + "\nWhat pods have stays; the rest follows as it becomes free. A command goes before the Node's label and the configuration.",
		Flags:       append(flags("run-dir"), gpuFlag()),
		Action: func(ctx context.Context, c *cli.Command) error {
			order, err := order(c)
			if err != nil {
				return err
			}
			if order.Empty() {
				return usage("partition set needs a layout. %s", layoutWords)
			}
			return send(ctx, c, func(client agent.Client) (string, error) { return client.SetPartition(ctx, order) })
		},
	}
}

func partitionReleaseCommand() *cli.Command {
	return &cli.Command{
		Name: "release", Usage: "end what partition set declared: the label, the configuration or demand decide again",
		Flags: append(flags("run-dir"), gpuFlag()),
		Action: func(ctx context.Context, c *cli.Command) error {
			if err := noArguments(c); err != nil {
				return err
			}
			return send(ctx, c, func(client agent.Client) (string, error) {
				return client.ReleasePartition(ctx, agent.PartitionOrder{GPUs: gpusOf(c)})
			})
		},
	}
}

// send gives the agent a command and prints its answer.
func send(_ context.Context, c *cli.Command, f func(agent.Client) (string, error)) error {
	client, err := client(c)
	if err != nil {
		return err
	}
	answer, err := f(client)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.Root().Writer, answer)
	return err
}

// order reads the layout on a command line; the zero layout when there is none.
func order(c *cli.Command) (agent.PartitionOrder, error) {
	o := agent.PartitionOrder{GPUs: gpusOf(c)}
	for _, word := range c.Args().Slice() {
		profile, count, counted := strings.Cut(word, "=")
		switch n, err := strconv.Atoi(count); {
		case counted && (err != nil || n < 1):
			return o, usage("%q: a count of at least 1 comes after the =", word)
		case counted && (o.Named != "" || o.Whole || o.None):
			return o, usage("%q: counts of profiles and a name exclude each other", word)
		case counted:
			if o.Layout == nil {
				o.Layout = map[string]int{}
			}
			if _, twice := o.Layout[profile]; twice {
				return o, usage("%s is counted twice", profile)
			}
			o.Layout[profile] = n
		case !o.Empty():
			return o, usage("%q: one layout is enough. %s", word, layoutWords)
		case word == "whole":
			o.Whole = true
		case word == "empty":
			o.None = true
		default:
			o.Named = word
		}
	}
	return o, nil
}

// printPartition writes a view for people.
func printPartition(w io.Writer, v partitioner.View) error {
	p := &page{}
	p.partition(v)
	_, err := io.WriteString(w, strings.TrimPrefix(p.text.String(), "\n"))
	return err
}

// partition draws the GPUs and says what waits and what still fits.
func (p *page) partition(v partitioner.View) {
	if v.Waiting != "" {
		fmt.Fprintf(&p.text, "\nnothing is offered yet: %s\n", v.Waiting)
	}
	if v.DryRun {
		p.text.WriteString("\ndry run: nothing is changed\n")
	}
	drawn := false
	for _, g := range v.GPUs {
		p.divided(g)
		drawn = drawn || len(draw(g)) > 0
	}
	if drawn {
		p.text.WriteString("\n" + legend + "\n")
	}
	var waits, fits [][]string
	for _, d := range v.Demands {
		state := "gets " + strings.Join(d.Devices, " ")
		if d.Reason != "" {
			state = d.Reason
		}
		waits = append(waits, []string{d.Namespace + "/" + d.Pod, strings.Join(d.Asks, ", "), state})
	}
	for _, u := range v.Unmet {
		waits = append(waits, []string{"declared", "", u})
	}
	for _, f := range v.Fits {
		fits = append(fits, []string{f.Resource, strconv.Itoa(f.After), strconv.Itoa(f.Now), strconv.Itoa(f.Empty)})
	}
	p.section("WAITING", []string{"POD", "ASKS", "STATE"}, waits)
	p.section("COULD STILL FIT", []string{"RESOURCE", "BESIDE ALL OFFERS", "BESIDE CLAIMS", "ON THE EMPTY NODE"}, fits)
}

// divided writes one GPU.
func (p *page) divided(g partitioner.GPUView) {
	mode := "MIG off"
	switch {
	case g.MIG && !g.Wanted:
		mode = "MIG on, to be off"
	case g.MIG:
		mode = "MIG on"
	case g.Wanted:
		mode = "MIG off, to be on"
	case g.Axis == 0:
		mode = "no MIG"
	}
	fmt.Fprintf(&p.text, "\nGPU %d  %s (%s), %s", g.Index, g.Role, g.Source, mode)
	if g.Whole != "" {
		p.text.WriteString(", as a whole " + g.Whole)
		if g.Holder != "" {
			p.text.WriteString(" by " + g.Holder)
		}
	}
	p.text.WriteString("\n")
	for _, line := range []struct{ word, text string }{{"out of service", g.Out}, {"under way", g.Doing}, {"trouble", g.Trouble}} {
		if line.text != "" {
			fmt.Fprintf(&p.text, "  %s: %s\n", line.word, line.text)
		}
	}
	for _, line := range draw(g) {
		p.text.WriteString("  " + line + "\n")
	}
	for _, s := range g.Slots {
		var notes []string
		for _, n := range []struct{ word, text string }{{"", s.Holder}, {"for ", s.For}, {"", s.Why}} {
			if n.text != "" {
				notes = append(notes, n.word+n.text)
			}
		}
		if s.Foreign {
			notes = append(notes, "made by an administrator, stays")
		}
		fmt.Fprintf(&p.text, "  %-16s %-8s %s\n", s.Name, s.State, strings.Join(notes, "; "))
	}
}
