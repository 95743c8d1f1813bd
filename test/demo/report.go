package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// report prints the scenario for people: a numbered line for each step, indented lines for what came out.
type report struct {
	out   io.Writer
	step  int
	began time.Time // of the first step
	at    time.Time // of this step
}

// begin prints what is being done.
func (r *report) begin(format string, args ...any) {
	r.at = time.Now()
	if r.began.IsZero() {
		r.began = r.at
	}
	r.step++
	r.print("\n%2d. %s\n", r.step, fmt.Sprintf(format, args...))
}

// result prints one line of what came out, with the time since the step began.
func (r *report) result(format string, args ...any) {
	r.print("    %6s  %s\n", seconds(time.Since(r.at)), indent(fmt.Sprintf(format, args...)))
}

// detail prints a line below a result.
func (r *report) detail(format string, args ...any) {
	r.print("            %s\n", indent(fmt.Sprintf(format, args...)))
}

func (r *report) text(format string, args ...any) { r.print(format+"\n", args...) }

func (r *report) total() string { return seconds(time.Since(r.began)) }

func (r *report) print(format string, args ...any) { _, _ = fmt.Fprintf(r.out, format, args...) }

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

func indent(s string) string {
	return strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n            ")
}
