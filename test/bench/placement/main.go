// Command placement compares the planner with first-fit, best-fit and spread under streams of pods, by how many find room at once
// and how many idle instances are destroyed, and with a bound on what any plan could do that knows the future. It owns no rule of
// the product: what the planner is asked is what an agent asks.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"text/tabwriter"

	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/gpu/nvml"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

func main() {
	trace := flag.String("trace", "", "folder of cluster-trace-gpu-v2023; without it that part is left out")
	pods := flag.Int("pods", 4000, "pods of each synthetic stream")
	seeds := flag.Int("seeds", 5, "synthetic streams for each load")
	flag.Parse()
	if err := run(*trace, *pods, *seeds); err != nil {
		fmt.Fprintln(os.Stderr, "placement:", err)
		os.Exit(1)
	}
}

// gpusEach is how many GPUs a node has, nodes how many nodes the trace is dealt to.
const (
	gpusEach = 8
	nodes    = 4
)

func run(trace string, pods, seeds int) error {
	g, err := geometry(context.Background(), "hgx-h100")
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "stream\tpolicy\taccepted\tdestroys for each 1,000 pods\tat most possible")
	missed := false
	show := func(name string, list []workload) {
		missed = compare(t, name, g, list) || missed
	}
	for _, load := range []float64{0.7, 0.9, 1.1} {
		var list []workload
		for seed := range uint64(seeds) {
			list = append(list, poisson(seed, g, gpusEach, load, pods))
		}
		show(fmt.Sprintf("Poisson, load %.1f", load), list)
	}
	var all []pod
	if trace != "" {
		all, err = traced(trace, g, gpusEach)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist) || trace == "":
		_, _ = fmt.Fprintln(t, "the trace is not here; that part is left out")
	case err != nil:
		return err
	default:
		for _, load := range []float64{0.7, 0.9, 1.1} {
			var list []workload
			for seed := range uint64(seeds) {
				list = append(list, deal(all, g, gpusEach, nodes, load, seed)...)
			}
			show(fmt.Sprintf("trace, load %.1f", load), list)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if missed {
		return errors.New("a rule accepts more pods than the planner")
	}
	return nil
}

// compare prints the policies' rows for one kind of stream. It reports whether any accepts more than the planner, the first.
func compare(t *tabwriter.Writer, name string, g mig.Geometry, list []workload) (missed bool) {
	most, n := 0.0, 0
	for _, w := range list {
		most, n = most+bound(g, w, 1500), n+len(w.pods)
	}
	first := 0
	for i, p := range policies() {
		var sum result
		for _, w := range list {
			sum = sum.plus(play(g, w, p.choose))
		}
		if i == 0 {
			first = sum.accepted
		}
		missed = missed || sum.accepted > first
		_, _ = fmt.Fprintf(t, "%s\t%s\t%.2f %%\t%.1f\t%.2f %%\n", name, p.name, percent(sum.accepted, n), 1000*float64(sum.destroys)/float64(n), 100*most/float64(n))
	}
	return missed
}

func percent(part, of int) float64 { return 100 * float64(part) / float64(of) }

// geometry is that of a simulated node's first GPU, as the product's driver reads it.
func geometry(ctx context.Context, shape string) (mig.Geometry, error) {
	dir, err := os.MkdirTemp("", "gpulet-placement")
	if err != nil {
		return mig.Geometry{}, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	node, err := sim.Start(ctx, sim.Options{Shape: shape, Dir: dir})
	if err != nil {
		return mig.Geometry{}, err
	}
	defer func() { _ = node.Stop() }()
	d := nvml.New(nvml.Options{Library: node.Library(), DriverRoot: node.Root("driver")})
	if err := d.Open(); err != nil {
		return mig.Geometry{}, err
	}
	defer func() { _ = d.Close() }()
	h, err := d.GPU(0)
	if err != nil {
		return mig.Geometry{}, err
	}
	g, _, err := h.Geometry()
	return g, err
}
