package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/gpulet/gpulet/agent/config"
)

// verdict is the outcome of one check.
type verdict int

const (
	ok verdict = iota
	warn
	fail
)

func (v verdict) String() string { return [...]string{"ok", "warn", "fail"}[v] }

// finding is one line of doctor.
type finding struct {
	verdict verdict
	what    string
	todo    string // what to do about it; empty when it is ok
}

// print writes it as a line, and what to do below.
func (f finding) print(w io.Writer, name string) error {
	line := fmt.Sprintf("%-4s  %-14s %s", f.verdict, name, f.what)
	if f.todo != "" {
		line += "\n                      -> " + f.todo
	}
	_, err := fmt.Fprintln(w, strings.TrimRight(line, " "))
	return err
}

// check looks at one thing on this machine. It ends soon after ctx does.
type check struct {
	name string
	look func(ctx context.Context, p config.Process) []finding
}

// checkTimeout is how long one check may take: a driver that hangs must not hang doctor.
const checkTimeout = 8 * time.Second

func doctorCommand() *cli.Command {
	return &cli.Command{
		Name: "doctor", Usage: "check this machine: driver, kubelet, folders, API server; each line says what to do",
		Description: "It looks at what the agent that runs is set to. With flags, or where no agent answers, at its own flags and environment.",
		Flags:       flags(),
		Commands:    []*cli.Command{doctorMetricsCommand()},
		Action: func(ctx context.Context, c *cli.Command) error {
			if err := noArguments(c); err != nil {
				return err
			}
			from, _, _ := asAgent(ctx, c)
			p, err := from.Process()
			if err != nil {
				return err
			}
			checks := append([]check{{"configuration", func(context.Context, config.Process) []finding { return checkConfig(from) }}}, checks()...)
			return examine(ctx, c.Root().Writer, checks, p, checkTimeout)
		},
	}
}

// examine runs checks one after the other and fails if one did.
func examine(ctx context.Context, w io.Writer, checks []check, p config.Process, timeout time.Duration) error {
	failed := 0
	for _, c := range checks {
		for _, f := range within(ctx, c, p, timeout) {
			if f.verdict == fail {
				failed++
			}
			if err := f.print(w, c.name); err != nil {
				return err
			}
		}
	}
	if failed > 0 {
		return fmt.Errorf("doctor found %d that must be seen to", failed)
	}
	return nil
}

// within gives a check up after a time; what hangs goes on until the process ends.
func within(ctx context.Context, c check, p config.Process, timeout time.Duration) []finding {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	done := make(chan []finding, 1)
	go func() { done <- c.look(ctx, p) }()
	select {
	case f := <-done:
		return f
	case <-time.After(timeout + time.Second):
		return []finding{{fail, fmt.Sprintf("no answer within %s", timeout), "see why it hangs: dmesg, ps for processes in state D"}}
	}
}

func checkConfig(s config.Sources) []finding {
	r, err := s.Load()
	switch {
	case err != nil:
		var out []finding
		for line := range strings.SplitSeq(err.Error(), "\n") {
			out = append(out, finding{fail, line, "correct it; gpulet config check FILE tells when it is right"})
		}
		return out
	case r.Config.Process.File == "":
		return []finding{{ok, "no file: defaults, environment and flags", ""}}
	}
	return []finding{{ok, r.Config.Process.File, ""}}
}
