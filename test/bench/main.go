// Command bench measures the agent's process over simulated GPUs and a fake kubelet, and prints a table with the bars. Figures are
// medians of five agents. A figure past its bar is told as missed; in CI, whose machine is shared, only past ten times the bar.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/gpulet/gpulet/test/fakekubelet"
	"github.com/gpulet/gpulet/test/gpusim/sim"
	"github.com/gpulet/gpulet/test/process"
)

func main() {
	runs := flag.Int("runs", 5, "agents to measure")
	rest := flag.Duration("rest", 10*time.Second, "how long an agent rests while its CPU time is counted")
	exporter := flag.Bool("metrics", false, "measure the exporter instead of the device plugin")
	changes := flag.Int("changes", 0, "layout changes under which the memory of an agent is watched")
	cluster := flag.Bool("fleet", false, "measure the planner of a cluster instead of an agent")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if *cluster {
		if err := planFleet(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(ctx, *runs, *rest, *exporter, *changes); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// figure is one measured thing: a value for each run, in the unit of its bar.
type figure struct {
	id, name, unit string
	bar            float64
	values         []float64
}

func (f *figure) median() float64 { return median(f.values) }

func run(ctx context.Context, runs int, rest time.Duration, exporter bool, changes int) error {
	dir, err := os.MkdirTemp("", "gpulet-bench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary, err := process.Build(ctx, dir)
	if err != nil {
		return err
	}
	if exporter {
		return metrics(ctx, dir, binary, runs, rest, changes)
	}
	starts := &figure{id: "2.8b", name: "start to registered", unit: "s", bar: 2}
	memory := &figure{id: "2.8c", name: "private memory (RssAnon)", unit: "MiB", bar: 48}
	cpu := &figure{id: "2.8d", name: "CPU at rest", unit: "% of a core", bar: 0.5}
	var calls []*callFigures
	alone := slots() // what the exporter takes, --metrics tells
	alone.args = []string{"--metrics-source", "off"}
	for i := range runs {
		b, err := begin(ctx, filepath.Join(dir, strconv.Itoa(i)), binary, alone)
		if err != nil {
			return err
		}
		starts.values = append(starts.values, b.registered.Seconds())
		share, mib, err := b.atRest(ctx, rest)
		if err != nil {
			return errors.Join(err, b.end())
		}
		cpu.values, memory.values = append(cpu.values, share), append(memory.values, mib)
		if err := b.end(); err != nil {
			return err
		}
	}
	for i, n := range []node{slots(), replicas()} {
		c, err := measureCalls(ctx, filepath.Join(dir, fmt.Sprint("calls-", i)), binary, n, runs)
		if err != nil {
			return err
		}
		calls = append(calls, c)
	}
	report([]*figure{starts, memory, cpu}, calls)
	return nil
}

// report prints the table and the proofs.
func report(figures []*figure, calls []*callFigures) {
	slack := 1.0
	if os.Getenv("CI") != "" {
		slack = 10
	}
	word := map[bool]string{true: "PROOF", false: "MISS"}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "what\tmedian\tbar\truns")
	for _, f := range figures {
		_, _ = fmt.Fprintf(w, "%s\t%.3g %s\t%g %s\t%.3g\n", f.name, f.median(), f.unit, f.bar, f.unit, f.values)
	}
	for _, c := range calls {
		for _, m := range c.methods {
			_, _ = fmt.Fprintf(w, "%s, %s\thandler p99 at most %.3g ms\t1 ms\tcall %.3g ms, empty RPC %.3g ms, ratio %.2f\n", m.name, c.node, m.p99*1e3, m.call*1e3, c.empty*1e3, m.call/c.empty)
		}
	}
	_ = w.Flush()
	for _, f := range figures {
		fmt.Printf("%s %s: median of %d: %.3g %s\n", word[f.median() <= slack*f.bar], f.id, len(f.values), f.median(), f.unit)
	}
	for _, c := range calls {
		for _, m := range c.methods {
			fmt.Printf("%s 2.8a: %s at %s with NVML hung: handler p99 at most %.3g ms, call over the socket %.2f times an empty RPC\n", word[m.p99 <= slack*1e-3], m.name, c.node, m.p99*1e3, m.call/c.empty)
		}
	}
}

// node is what an agent is measured on.
type node struct {
	name, shape, config string
	divide              string // a profile to fill each GPU with
	resource            string
	devices             int
	loaded              bool     // the GPUs work
	dcgm                bool     // the simulated libdcgm is there
	args                []string // of the agent
}

func slots() node {
	return node{name: "8 GPUs x 7 slots", shape: "dgx-a100", divide: "1g.10gb", resource: "nvidia.com/mig-1g.10gb", devices: 56}
}

func replicas() node {
	return node{
		name: "16 GPUs x 10 replicas", shape: "v100x16", resource: "nvidia.com/gpu", devices: 160,
		config: "gpus:\n  - sharing: {nvidia.com/gpu: {replicas: 10}}\n",
	}
}

// bed is a simulated node, a fake kubelet and an agent.
type bed struct {
	sim        *sim.Node
	kubelet    *fakekubelet.Kubelet
	agent      *process.Agent
	metrics    string        // address
	registered time.Duration // from the start of the process to the first full list
	cancel     context.CancelFunc
}

// begin starts an agent and waits until the kubelet has all its devices.
func begin(ctx context.Context, dir, binary string, n node) (*bed, error) {
	ctx, cancel := context.WithCancel(ctx)
	b := &bed{cancel: cancel}
	err := os.MkdirAll(filepath.Join(dir, "sim"), 0o755)
	if err == nil {
		b.sim, err = sim.Start(ctx, sim.Options{Shape: n.shape, Dir: filepath.Join(dir, "sim")})
	}
	for g := 0; err == nil && n.divide != "" && g < 8; g++ {
		err = b.sim.SetMIG(ctx, g, true)
		for range 7 {
			if err == nil {
				_, _, err = b.sim.CreateInstance(ctx, g, n.divide, nil)
			}
		}
	}
	if err == nil && n.loaded {
		err = load(ctx, b.sim)
	}
	if err == nil {
		b.kubelet, err = fakekubelet.Start(ctx, filepath.Join(dir, "k"), fakekubelet.Options{})
	}
	if err == nil {
		b.metrics, err = freeAddress(ctx)
	}
	if n.dcgm {
		n.args = append(slices.Clip(n.args), "--metrics-dcgm-library", filepath.Join(dir, "sim", "lib", "libdcgm.so.4"))
	}
	began := time.Now()
	if err == nil {
		b.agent, err = process.Start(ctx, process.Options{
			Binary: binary, Dir: dir, Sim: b.sim, Kubelet: b.kubelet, Config: n.config, Listen: b.metrics,
			Log: os.Stderr, Args: append([]string{"--log-level", "error"}, n.args...),
		})
	}
	for err == nil {
		if lists := b.kubelet.Lists(n.resource); len(lists) > 0 && lists[len(lists)-1].Healthy() == n.devices {
			b.registered = lists[len(lists)-1].At.Sub(began)
			return b, nil
		}
		switch err = b.agent.Running(); {
		case err != nil:
		case time.Since(began) > time.Minute:
			err = fmt.Errorf("%s are not offered after a minute", n.name)
		default:
			time.Sleep(time.Millisecond)
		}
	}
	return nil, errors.Join(err, b.end())
}

func (b *bed) end() error {
	if b.agent != nil {
		_ = b.agent.Stop()
	}
	if b.kubelet != nil {
		b.kubelet.Stop()
	}
	b.cancel()
	if b.sim != nil {
		return b.sim.Stop()
	}
	return nil
}
