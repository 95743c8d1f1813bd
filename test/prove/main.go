// Command prove measures every promise of gpulet and writes docs/proofs.md.
// It owns that file: a figure stands there only because a command printed it.
// It judges nothing itself; a row holds when its command exits with 0 and does not call it missed.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

const report = "docs/proofs.md"

func main() {
	ci := flag.Bool("ci", false, "measure only the rows that fit into CI, and write no file")
	only := flag.String("only", "", "measure only rows whose id begins with one of these, separated by commas; the others keep what they have")
	list := flag.Bool("list", false, "print the rows and stop")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if cache, err := os.UserCacheDir(); err == nil { // where test/deps.sh put Prometheus
		_ = os.Setenv("PATH", os.Getenv("PATH")+":"+filepath.Join(cache, "gpulet/prometheus/usr/bin"))
	}
	if *ci { // its machine is shared: bars of time are ten times as wide there
		_ = os.Setenv("CI", "1")
	}
	if err := run(ctx, *ci, *only, *list); err != nil {
		fmt.Fprintln(os.Stderr, "prove:", err)
		os.Exit(1)
	}
}

// checkout names the commit, with "-dirty" when more than the report was changed since.
func checkout(ctx context.Context) (string, error) {
	commit, err := output(ctx, "git", "describe", "--always", "--exclude=*")
	if err != nil {
		return "", err
	}
	changed, err := output(ctx, "git", "status", "--porcelain", "--untracked-files=no", "--", ".", ":!"+report)
	if changed != "" {
		commit += "-dirty"
	}
	return commit, err
}

func run(ctx context.Context, ci bool, only string, list bool) error {
	old, err := readReport(report)
	if err != nil {
		return err
	}
	commit, err := checkout(ctx)
	if err != nil {
		return fmt.Errorf("find the commit: %w", err)
	}
	var results []result
	outputs := map[string]outcome{} // by command: rows may share one
	passed, failed := 0, 0
	for _, r := range rows() {
		if list {
			fmt.Printf("%-6s %s\n", r.ID, r.Promise)
			continue
		}
		if !wanted(r, ci, only) {
			results = append(results, old[r.ID].orOpen(r))
			continue
		}
		o, ran := outputs[r.Command]
		if !ran {
			fmt.Printf("=== %s %s\n", r.ID, r.Command)
			o = execute(ctx, r.Command)
			outputs[r.Command] = o
		}
		res := result{row: r, Figure: o.figure(r.ID), Holds: "yes", Commit: commit, Date: time.Now().UTC().Format(time.DateOnly)}
		if o.err != nil || res.Figure == "" || o.missed[r.ID] {
			res.Holds = "**no**"
			failed++
			fmt.Printf("--- MISSED %s: %s (%v)\n", r.ID, res.Figure, o.err)
		} else {
			passed++
			fmt.Printf("--- holds %s: %s\n", r.ID, res.Figure)
		}
		results = append(results, res)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if list {
		return nil
	}
	if !ci {
		if err := os.WriteFile(report, render(results), 0o644); err != nil {
			return err
		}
	}
	fmt.Printf("%d passed, %d failed\n", passed, failed)
	if failed > 0 {
		return errors.New("not every promise holds")
	}
	return nil
}

// wanted reports whether a row is measured in this run.
func wanted(r row, ci bool, only string) bool {
	if r.Command == "" || (ci && !r.CI) {
		return false
	}
	if only == "" {
		return true
	}
	for prefix := range strings.SplitSeq(only, ",") {
		if strings.HasPrefix(r.ID, prefix) {
			return true
		}
	}
	return false
}

// outcome is what one command printed as proofs, by row id, which of them it called missed, and how it ended.
type outcome struct {
	figures map[string][]string
	missed  map[string]bool
	err     error
}

func (o outcome) figure(id string) string { return strings.Join(o.figures[id], "; ") }

// proofLine is how a test or benchmark states a figure: `PROOF 2.1: 3 pods of 3 ran`, or MISS where it is past its bar.
const proofLine = `(PROOF|MISS) ([0-9]+\.[0-9]+[a-z]?): (.+)$`

// execute runs a shell command, passes its output through, and collects its proofs.
func execute(ctx context.Context, command string) outcome {
	cmd := exec.CommandContext(ctx, "bash", "-o", "pipefail", "-c", command)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	o := outcome{figures: map[string][]string{}, missed: map[string]bool{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		match := regexp.MustCompile(proofLine)
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			fmt.Println(lines.Text())
			if m := match.FindStringSubmatch(lines.Text()); m != nil {
				o.figures[m[2]] = append(o.figures[m[2]], m[3])
				o.missed[m[2]] = o.missed[m[2]] || m[1] == "MISS"
			}
		}
		_, _ = io.Copy(io.Discard, r) // a line beyond the buffer must not block the command
	}()
	o.err = cmd.Run()
	_ = w.Close()
	<-done
	return o
}

func output(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	return string(bytes.TrimSpace(out)), err
}
