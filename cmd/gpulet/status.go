package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/gpulet/gpulet/agent"
)

func statusCommand() *cli.Command {
	return &cli.Command{
		Name: "status", Usage: "show what is on this node: GPUs, devices, claims with their pods, health with its reason",
		Flags: append(flags("run-dir"), &cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: "table", Usage: "`FORM`: table or json"}),
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
			switch c.String("output") {
			case "table":
				return printStatus(c.Root().Writer, s)
			case "json":
				e := json.NewEncoder(c.Root().Writer)
				e.SetIndent("", "  ")
				return e.Encode(s)
			}
			return usage("--output is table or json")
		},
	}
}

// page is text in sections of columns.
type page struct {
	text strings.Builder
	now  time.Time
}

// section writes a table, or nothing when it has no rows.
func (p *page) section(title string, head []string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	p.text.WriteString("\n" + title + "\n")
	t := tabwriter.NewWriter(&p.text, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{head}, rows...) {
		for i, cell := range row {
			if row[i] = cell; cell == "" {
				row[i] = "-"
			}
		}
		_, _ = fmt.Fprintln(t, "  "+strings.Join(row, "\t"))
	}
	_ = t.Flush() // into memory
}

// ago is how long something has been so.
func (p *page) ago(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	d := p.now.Sub(t)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(int(d.Seconds()), 0))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// printStatus writes a status for people.
func printStatus(w io.Writer, s agent.Status) error {
	p := &page{now: s.Now}
	p.head(s)
	p.gpus(s)
	p.resources(s)
	var claims, withheld, moves, sources, gaps [][]string
	for _, c := range s.Claims {
		pod := "not known yet"
		if c.Name != "" {
			pod = c.Namespace + "/" + c.Name
		}
		claims = append(claims, []string{c.Resource, c.ID, pod, c.Container, p.ago(c.Opened), c.Why})
	}
	p.section("CLAIMS", []string{"RESOURCE", "DEVICE", "POD", "CONTAINER", "AGE", "WHY STILL"}, claims)
	for _, x := range s.Withheld {
		withheld = append(withheld, []string{string(x.GPU), x.What, x.Reason})
	}
	p.section("NOT OFFERED", []string{"GPU", "WHAT", "WHY"}, withheld)
	for _, m := range s.Moves {
		moves = append(moves, []string{m.Resource, m.ID, m.Stage, p.ago(m.Since), m.Reason})
	}
	p.section("ON THE MOVE", []string{"RESOURCE", "DEVICE", "STAGE", "AGE", "WHY"}, moves)
	for _, x := range s.Sources {
		state := or(x.Reason, "works")
		if !x.OK {
			state = "does not work: " + x.Reason
		}
		sources = append(sources, []string{x.Name, state})
	}
	if s.CDI != nil {
		state := fmt.Sprintf("devices: %d; driver %s, libraries: %d", len(s.CDI.Devices), or(s.CDI.Driver.Version, "unknown"), s.CDI.Driver.Libraries)
		if s.CDI.Driver.Reason != "" {
			state += "; " + s.CDI.Driver.Reason
		}
		sources = append(sources, []string{"CDI specs in " + s.CDI.Dir, state})
		for _, r := range s.CDI.Reasons {
			sources = append(sources, []string{"CDI", r})
		}
		for _, d := range s.CDI.Devices {
			if d.Reason != "" {
				sources = append(sources, []string{"CDI spec of " + d.ID, d.Reason})
			}
		}
	}
	p.section("ASKED AND TOLD", []string{"WHAT", "STATE"}, sources)
	p.metrics(s)
	for _, g := range s.Gaps {
		gaps = append(gaps, []string{"node", g})
	}
	gaps = append(gaps, gapsOf(s.GPUs)...)
	p.section("GAPS", []string{"WHERE", "WHAT IS MISSING"}, gaps)
	_, err := io.WriteString(w, p.text.String())
	return err
}

// gapsOf tells each gap once, with the GPUs that have it.
func gapsOf(gpus []agent.GPU) (rows [][]string) {
	at := map[string]int{}
	for _, g := range gpus {
		for _, gap := range g.Gaps {
			if i, ok := at[gap]; ok {
				rows[i][0] += " " + strconv.Itoa(g.Index)
				continue
			}
			at[gap] = len(rows)
			rows = append(rows, []string{"GPU " + strconv.Itoa(g.Index), gap})
		}
	}
	return rows
}

// head writes what concerns the agent itself.
func (p *page) head(s agent.Status) {
	ready := "ready"
	if len(s.NotReady) > 0 {
		ready = "not ready: " + strings.Join(s.NotReady, "; ")
	}
	if s.Waiting != nil {
		ready = fmt.Sprintf("waiting for another agent (pid %d, %s) to leave this node", s.Waiting.PID, s.Waiting.Version)
	}
	conf := "defaults, environment and flags"
	if s.Config.File != "" {
		conf = s.Config.File
	}
	conf += ", read " + p.ago(s.Config.Since) + " ago"
	if s.Config.Error != "" {
		conf = s.Config.File + " is WRONG; what was right last goes on\n                " + strings.ReplaceAll(s.Config.Error, "\n", "\n                ")
	}
	if len(s.Config.Pending) > 0 {
		conf += "\n                takes effect at the next start: " + strings.Join(s.Config.Pending, ", ")
	}
	driver := "out of reach"
	if s.Driver.Version != "" {
		driver = fmt.Sprintf("%s, CUDA %s", s.Driver.Version, s.Driver.CUDA)
	}
	fmt.Fprintf(&p.text, "gpulet          %s, up %s\n", s.Version, p.ago(s.Started))
	if s.Node != "" {
		fmt.Fprintf(&p.text, "node            %s\n", s.Node)
	}
	fmt.Fprintf(&p.text, "state           %s\ndriver          %s\nconfiguration   %s\n", ready, driver, conf)
}

func (p *page) gpus(s agent.Status) {
	var rows [][]string
	for _, g := range s.GPUs {
		rows = append(rows, []string{
			strconv.Itoa(g.Index), string(g.UUID), g.Model, g.PCI, strconv.Itoa(g.NUMA), fmt.Sprintf("%d GiB", g.MemoryBytes>>30), g.MIG,
			g.Health.State, p.ago(g.Health.Since), g.Health.Reason,
		})
		for _, in := range g.Instances {
			for _, c := range in.Compute {
				h := in.Health
				if h.State == "Healthy" {
					h = c.Health
				}
				rows = append(rows, []string{"", "  " + string(c.UUID), in.Slot, "", "", "", fmt.Sprintf("gi %d ci %d", in.ID, c.ID), h.State, p.ago(h.Since), h.Reason})
			}
		}
	}
	p.section("GPUS", []string{"#", "UUID", "MODEL", "PCI", "NUMA", "MEMORY", "MIG", "HEALTH", "AGE", "WHY"}, rows)
}

func (p *page) resources(s agent.Status) {
	var rows, devices [][]string
	for _, r := range s.Resources {
		healthy, held := 0, 0
		for _, d := range r.Devices {
			state := "free"
			if len(d.Claims) > 0 {
				held++
				state = "held"
			}
			if d.Healthy {
				healthy++
			} else {
				state = "unhealthy"
			}
			var pods []string
			for _, c := range d.Claims {
				if c.Name != "" {
					pods = append(pods, c.Namespace+"/"+c.Name)
				}
			}
			devices = append(devices, []string{r.Name, d.ID, state, strings.Join(pods, " "), d.Reason})
		}
		state := "registered"
		if !r.Registration.Registered {
			state = "NOT registered"
		}
		rows = append(rows, []string{
			r.Name, strconv.Itoa(len(r.Devices)), strconv.Itoa(healthy), strconv.Itoa(held), state, p.ago(r.Registration.Since),
			strconv.Itoa(r.Registration.Renewals), r.Registration.Reason,
		})
	}
	p.section("RESOURCES", []string{"RESOURCE", "DEVICES", "HEALTHY", "HELD", "KUBELET", "AGE", "RENEWALS", "WHY"}, rows)
	p.section("DEVICES", []string{"RESOURCE", "DEVICE", "STATE", "PODS", "WHY"}, devices)
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
