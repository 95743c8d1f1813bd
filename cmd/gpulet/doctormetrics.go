package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/urfave/cli/v3"

	"github.com/gpulet/gpulet/agent"
	"github.com/gpulet/gpulet/agent/config"
)

func doctorMetricsCommand() *cli.Command {
	return &cli.Command{
		Name: "metrics", Usage: "follow a measurement from the GPU to Prometheus and name the first broken link",
		Description: "It asks the agent that runs: device, source, sampler, podresources, labels; and with --prometheus whether this node was scraped within the last minute and a pod is found by its own name.",
		Flags:       append(flags("run-dir"), &cli.StringFlag{Name: "prometheus", Usage: "`URL` of a Prometheus that scrapes this node, such as http://prometheus:9090"}),
		Action: func(ctx context.Context, c *cli.Command) error {
			if err := noArguments(c); err != nil {
				return err
			}
			server := strings.TrimSuffix(c.String("prometheus"), "/")
			if u, err := url.Parse(server); err != nil || server != "" && (u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
				return usage("--prometheus: want http://HOST:PORT, got %q", server)
			}
			client, err := client(c)
			if err != nil {
				return err
			}
			m := chain{server: server}
			if m.status, err = client.Status(ctx); err != nil {
				return err
			}
			text, err := client.Metrics(ctx)
			if err != nil {
				return err
			}
			if m.page, err = readPage(text); err != nil {
				return err
			}
			return m.walk(ctx, c.Root().Writer)
		},
	}
}

// chain is what the way of a measurement is judged by.
type chain struct {
	status agent.Status
	page   map[string]*dto.MetricFamily
	server string // Prometheus, empty when it is not to be asked
}

func readPage(text []byte) (map[string]*dto.MetricFamily, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	page, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("read the agent's page: %w", err)
	}
	return page, nil
}

// walk follows the chain to its end, so that all that is broken is told, and names the first broken link.
func (m chain) walk(ctx context.Context, w io.Writer) error {
	of := func(look func() []finding) func(context.Context, config.Process) []finding {
		return func(context.Context, config.Process) []finding { return look() }
	}
	links := []check{
		{"device", of(m.device)},
		{"source", of(m.source)},
		{"sampler", of(m.sampler)},
		{"podresources", of(m.podresources)},
		{"labels", of(m.labels)},
	}
	if m.server != "" {
		links = append(links, check{"Prometheus", func(ctx context.Context, _ config.Process) []finding { return m.prometheus(ctx) }})
	}
	first := ""
	for _, l := range links {
		for _, f := range within(ctx, l, config.Process{}, checkTimeout) {
			if err := f.print(w, l.name); err != nil {
				return err
			}
			if f.verdict == fail && first == "" {
				first = l.name + ": " + f.what
			}
		}
	}
	if first != "" {
		return errors.New("the first broken link is " + first)
	}
	return nil
}

// device: are there GPUs, and does this agent have them?
func (m chain) device() []finding {
	s := m.status
	switch {
	case s.Waiting != nil:
		return []finding{{fail, fmt.Sprintf("another agent has this node: pid %d, %s", s.Waiting.PID, s.Waiting.Version), "ask that one, or end it: this one measures nothing while it waits"}}
	case s.Driver.Version == "":
		return []finding{{fail, "the driver is out of reach", "gpulet doctor looks at the driver"}}
	case len(s.GPUs) == 0:
		return []finding{{fail, "the driver sees no GPU", "see lspci and dmesg"}}
	}
	out := []finding{{ok, fmt.Sprintf("%s, driver %s", count(len(s.GPUs), "GPU"), s.Driver.Version), ""}}
	for _, g := range s.GPUs {
		if g.Health.State != "Healthy" {
			out = append(out, finding{warn, fmt.Sprintf("GPU %d is %s: %s", g.Index, g.Health.State, g.Health.Reason), fmt.Sprintf("gpulet explain %d says more", g.Index)})
		}
	}
	return out
}

// count is "1 GPU" or "3 GPUs".
func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
