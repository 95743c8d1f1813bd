package config

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Explain writes settings with their values and where they came from.
func Explain(w io.Writer, lines []Line) error {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "SETTING\tVALUE\tFROM")
	for _, l := range lines {
		value := l.Value
		if value == "" {
			value = "-"
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\n", l.Path, value, l.Origin)
	}
	_ = t.Flush() // into memory
	_, err := io.WriteString(w, b.String())
	return err
}

// Markdown writes docs/configuration.md.
func Markdown(w io.Writer) error {
	var b strings.Builder
	b.WriteString(intro)
	b.WriteString("\n## The file\n\n| key | takes | default | what it does | flag | environment |\n|---|---|---|---|---|---|\n")
	for _, s := range fileSettings() {
		b.WriteString(row(code(strings.ReplaceAll(s.Key, ".*", ".<name>")), s.takes(), code(s.Default), s.about(), flagName(s), code(s.Env())))
	}
	b.WriteString("\n")
	b.WriteString(example)
	b.WriteString("\n## The process\n\nThese are not in the file: the agent needs them before it can read one. Other commands take those that they need.\n\n")
	b.WriteString("| flag | environment | takes | default | what it does |\n|---|---|---|---|---|\n")
	for _, s := range processSettings() {
		b.WriteString(row(flagName(s), code(s.Env()), s.takes(), code(s.Default), s.about()))
	}
	b.WriteString("\n")
	b.WriteString(outro)
	_, err := io.WriteString(w, b.String())
	return err
}

func row(cells ...string) string {
	for i, c := range cells {
		cells[i] = strings.ReplaceAll(c, "|", `\|`)
	}
	return "| " + strings.Join(cells, " | ") + " |\n"
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

func flagName(s Setting) string {
	if s.Flag == "" {
		return ""
	}
	return code("--" + s.Flag)
}

// takes says what can be given, for the documentation and help texts.
func (s *Setting) takes() string {
	switch s.Kind {
	case Group:
		return ""
	case Enum:
		return strings.Join(s.Values, ", ")
	case Enums:
		return "some of " + strings.Join(s.Values, ", ")
	default:
		return s.Kind.String()
	}
}

// Help is what a help text says of a setting.
func (s *Setting) Help() string {
	if len(s.Values) > 0 {
		return s.about() + " One of " + strings.Join(s.Values, ", ") + "."
	}
	return s.about()
}

func (s *Setting) about() string {
	out := s.About
	if s.Required {
		out += " Required."
	}
	if s.Restart {
		out += " Takes effect at the next start."
	}
	return out
}

const intro = `# Configuration

Written from the table in [agent/config](../agent/config/table.go) by ` + "`go test ./agent/config -update`" + `; a test fails when it differs.

A setting comes from its flag, else from the environment, else from the file, else from its default.
` + "`gpulet config explain`" + ` prints each with its value and where it came from. ` + "`gpulet config check FILE`" + ` says all that is wrong with a
file, with line and column. A running agent looks at the content of its file (a ConfigMap that changes counts): what is right is
applied at once, to the resources concerned only; what is wrong is shown by ` + "`gpulet status`" + ` and what ran goes on, also over a
restart of the agent.
`

const example = `Each list takes a single value too. Anchors and aliases work; unknown keys, keys that are there twice and values of the wrong type
are errors. For example:

` + "```yaml" + `
version: gpulet.dev/v1
migStrategy: mixed
gpus:
  - match: {models: ["*A100*"], indexes: [0, 1]}
    sharing:
      nvidia.com/gpu: {replicas: 4, rename: nvidia.com/gpu.shared, failRequestsGreaterThanOne: true}
  - match: {models: ["*H100*"]}
    mode: auto
  - match: {models: ["*A30*"]}
    layout: {1g.6gb: 2, 2g.12gb: 1}
  - match: {models: ["*T4*"]}
    names: {nvidia.com/gpu: nvidia.com/t4}
  - match: {uuids: [GPU-5c0e8a7e-0e6b-4d5c-9b1f-2a3c4d5e6f70]}
    exclude: true
` + "```" + `
`

const outro = `## What a change does to pods

What a pod holds is given to nobody else: a device that a change would rename, share or exclude keeps its old name until its pod
ends. ` + "`gpulet explain`" + ` says which devices wait for which pods.
`
