package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

const (
	scrapes       = 10_000
	layoutChanges = 1_000
	layoutPause   = 100 * time.Millisecond // between two changes, so that the agent sees each
	warmUp        = 1_000                  // scrapes, and a tenth of it layout changes, before the memory counts as settled
)

// full is a node of 8 GPUs in 7 slices each, all of which work, with DCGM for the families that only it has there.
func full() node {
	n := slots()
	n.loaded, n.dcgm = true, true
	return n
}

// hopper is a node of 8 undivided GPUs whose profiling comes from the driver, all of which work.
func hopper() node {
	return node{name: "8 whole H100", shape: "hgx-h100", resource: "nvidia.com/gpu", devices: 8, loaded: true}
}

// load gives every GPU something to do.
func load(ctx context.Context, s *sim.Node) error {
	for g := range 8 {
		l := model.Load{Kind: "sine", Level: 50, Amplitude: 40, Period: 10 * time.Second}
		if err := s.SetLoad(ctx, sim.Whole(g), l); err != nil {
			return err
		}
	}
	return nil
}

// scraper scrapes as Prometheus does: one connection, OpenMetrics, gzip.
type scraper struct {
	client  http.Client
	address string
}

// once gives how long a scrape took and the size of the page, unpacked when plain.
func (s *scraper) once(ctx context.Context, plain bool) (time.Duration, int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.address, nil)
	if err != nil {
		return 0, 0, err
	}
	req.Header.Set("Accept", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")
	req.Header.Set("Accept-Encoding", "gzip")
	if plain {
		req.Header.Set("Accept-Encoding", "identity")
	}
	began := time.Now()
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, 0, err
	}
	n, err := io.Copy(io.Discard, resp.Body)
	took := time.Since(began)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return 0, 0, err
	}
	if resp.StatusCode != http.StatusOK {
		return 0, 0, errors.New(resp.Status)
	}
	return took, n, nil
}

// many scrapes n times and gives the median and the 99th percentile in milliseconds.
func (s *scraper) many(ctx context.Context, n int, plain bool) (p50, p99 float64, size int64, err error) {
	took := make([]float64, n)
	for i := range took {
		var d time.Duration
		if d, size, err = s.once(ctx, plain); err != nil {
			return 0, 0, 0, err
		}
		took[i] = 1e3 * d.Seconds()
	}
	slices.Sort(took)
	return took[n/2], took[n*99/100], size, nil
}

// value reads one number without labels from the agent's page.
func (b *bed) value(ctx context.Context, name string) (float64, error) {
	page, err := b.page(ctx)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(page)) {
		if text, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(text), 64)
		}
	}
	return 0, fmt.Errorf("the page has no %s", name)
}

// scrapeFigures are those of one agent.
type scrapeFigures struct {
	p50, p99, plain99   float64 // ms
	ref50, ref99        float64 // ms: a server that has the same page ready
	packed, bytes       int64
	allocations         float64 // of one scrape, with what the sampler allocates meanwhile
	cpu, calls          float64 // % of a core; driver calls a second for each GPU and instance
	memory, early, late float64 // MiB
}

// measureScrapes measures one agent on a node.
func measureScrapes(ctx context.Context, dir, binary string, n node, rest time.Duration, changes int) (f scrapeFigures, err error) {
	b, err := begin(ctx, dir, binary, n)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, b.end()) }()
	s := &scraper{address: "http://" + b.metrics + "/metrics"}
	if f.cpu, f.calls, f.memory, err = b.sampling(ctx, n, rest); err != nil {
		return f, err
	}
	mallocs, err := b.value(ctx, "go_memstats_mallocs_total")
	if err != nil {
		return f, err
	}
	const round = 1000
	if f.p50, f.p99, f.packed, err = s.many(ctx, round, false); err != nil {
		return f, err
	}
	now, err := b.value(ctx, "go_memstats_mallocs_total")
	if err != nil {
		return f, err
	}
	f.allocations = (now - mallocs) / round
	if _, f.plain99, f.bytes, err = s.many(ctx, round, true); err != nil {
		return f, err
	}
	if f.ref50, f.ref99, err = reference(ctx, f.packed, round); err != nil {
		return f, err
	}
	if changes == 0 {
		return f, nil
	}
	if err := b.wear(ctx, s, warmUp, changes/10); err != nil {
		return f, err
	}
	if f.early, err = b.memory(); err != nil {
		return f, err
	}
	if err := b.wear(ctx, s, scrapes-warmUp, changes-changes/10); err != nil {
		return f, err
	}
	f.late, err = b.memory()
	return f, err
}

// sampling gives the agent's CPU in percent of a core, its driver calls a second for each GPU and instance, and its memory in MiB.
func (b *bed) sampling(ctx context.Context, n node, rest time.Duration) (cpu, calls, mib float64, err error) {
	if _, _, err = b.atRest(ctx, time.Second); err != nil { // the start is over
		return 0, 0, 0, err
	}
	count := func() (sum uint64) {
		for name, c := range b.sim.Model.Calls() {
			// The simulated DCGM takes these from the node for itself; the agent looks GPUs up once.
			if name != "profiling" && name != "nvmlDeviceGetHandleByIndex_v2" {
				sum += c
			}
		}
		return sum
	}
	before, began := count(), time.Now()
	cpu, mib, err = b.atRest(ctx, rest)
	entities := 8.0
	if n.divide != "" {
		entities += float64(n.devices)
	}
	return cpu, float64(count()-before) / time.Since(began).Seconds() / entities, mib, err
}

// without gives the CPU and the driver calls of an agent that does not measure.
func without(ctx context.Context, dir, binary string, n node, rest time.Duration) (cpu, calls float64, err error) {
	n.args, n.dcgm = []string{"--metrics-source", "off"}, false
	b, err := begin(ctx, dir, binary, n)
	if err != nil {
		return 0, 0, err
	}
	cpu, calls, _, err = b.sampling(ctx, n, rest)
	return cpu, calls, errors.Join(err, b.end())
}

// reference times a server that has a page of this size ready.
func reference(ctx context.Context, size int64, n int) (p50, p99 float64, err error) {
	page := make([]byte, size)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(page) }))
	defer server.Close()
	s := &scraper{address: server.URL}
	p50, p99, _, err = s.many(ctx, n, true)
	s.client.CloseIdleConnections()
	return p50, p99, err
}

// wear scrapes and changes layouts.
func (b *bed) wear(ctx context.Context, s *scraper, scrapes, changes int) error {
	every := scrapes / changes
	for i := range scrapes {
		if _, _, err := s.once(ctx, false); err != nil {
			return err
		}
		if i%every == 0 {
			time.Sleep(layoutPause)
		}
		if i%every != 0 || i/every >= changes {
			continue
		}
		gpu := (i / every) % 8
		in := b.sim.Model.Status().GPUs[gpu].Instances[0]
		if err := b.sim.DestroyInstance(ctx, gpu, in.GI); err != nil {
			return err
		}
		start := in.Placement.Start
		if _, _, err := b.sim.CreateInstance(ctx, gpu, slots().divide, &start); err != nil {
			return err
		}
	}
	return nil
}

// memory is the agent's private memory in MiB.
func (b *bed) memory() (float64, error) {
	_, mib, err := b.atRest(context.Background(), 0)
	return mib, err
}

// metrics measures the exporter and prints its table and proofs.
func metrics(ctx context.Context, dir, binary string, runs int, rest time.Duration, changes int) error {
	var all []scrapeFigures
	for i := range runs {
		if i > 0 {
			changes = 0 // once is long enough
		}
		f, err := measureScrapes(ctx, filepath.Join(dir, fmt.Sprint("scrape-", i)), binary, full(), rest, changes)
		if err != nil {
			return err
		}
		all = append(all, f)
	}
	f, err := measureScrapes(ctx, filepath.Join(dir, "hopper"), binary, hopper(), rest, 0)
	if err != nil {
		return err
	}
	quiet := map[string][2]float64{}
	for _, n := range []node{full(), hopper()} {
		cpu, calls, err := without(ctx, filepath.Join(dir, "off-"+n.shape), binary, n, rest)
		if err != nil {
			return err
		}
		quiet[n.name] = [2]float64{cpu, calls}
	}
	alone, err := samplerAlone(ctx)
	if err != nil {
		return err
	}
	reportScrapes(all, f, quiet, alone)
	return nil
}

// reportScrapes prints the table and the proofs; quiet has the CPU and calls of agents that do not measure, by node;
// alone is the sampler's own time for a second.
func reportScrapes(all []scrapeFigures, h100 scrapeFigures, quiet map[string][2]float64, alone time.Duration) {
	slack := 1.0
	if os.Getenv("CI") != "" {
		slack = 10
	}
	word := map[bool]string{true: "PROOF", false: "MISS"}
	of := func(get func(f scrapeFigures) float64) float64 {
		var v []float64
		for _, f := range all {
			v = append(v, get(f))
		}
		return median(v)
	}
	p50, p99 := of(func(f scrapeFigures) float64 { return f.p50 }), of(func(f scrapeFigures) float64 { return f.p99 })
	plain := of(func(f scrapeFigures) float64 { return f.plain99 })
	ref50, ref99 := of(func(f scrapeFigures) float64 { return f.ref50 }), of(func(f scrapeFigures) float64 { return f.ref99 })
	allocations := of(func(f scrapeFigures) float64 { return f.allocations })
	cpu, calls := of(func(f scrapeFigures) float64 { return f.cpu }), of(func(f scrapeFigures) float64 { return f.calls })
	first := all[0]
	memory := max(of(func(f scrapeFigures) float64 { return f.memory }), first.early, first.late)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(w, "scrape of %s, gzip\tp50 %.2f ms\tp99 %.2f ms\tbar p99 10 ms\n", full().name, p50, p99)
	_, _ = fmt.Fprintf(w, "the same, not packed\t\tp99 %.2f ms\n", plain)
	_, _ = fmt.Fprintf(w, "a server that has a page of that size ready\tp50 %.2f ms\tp99 %.2f ms\n", ref50, ref99)
	_, _ = fmt.Fprintf(w, "page\t%d bytes, %d packed\t%.0f allocations\n", first.bytes, first.packed, allocations)
	slots, whole := quiet[full().name], quiet[hopper().name]
	for _, r := range []struct {
		name       string
		cpu, calls float64
		quiet      [2]float64
	}{{full().name, cpu, calls, slots}, {hopper().name, h100.cpu, h100.calls, whole}} {
		_, _ = fmt.Fprintf(w, "%s\tsampler %.2f %% of a core\t%.2f driver calls a second for each GPU and instance\tbar 6\n", r.name, r.cpu-r.quiet[0], r.calls-r.quiet[1])
		_, _ = fmt.Fprintf(w, "the whole agent\t%.2f %% of a core\t%.2f driver calls\n", r.cpu, r.calls)
	}
	_, _ = fmt.Fprintf(w, "private memory\t%.1f MiB\tbar 64 MiB\n", memory)
	_ = w.Flush()
	fmt.Printf("%s 3.6a: scrape of %s, median of %d: p50 %.2f ms, p99 %.2f ms (not packed: %.2f ms; a server with the page ready: p50 %.2f, p99 %.2f ms); %d bytes, %d packed, %.0f allocations\n",
		word[p99 <= slack*10], full().name, len(all), p50, p99, plain, ref50, ref99, first.bytes, first.packed, allocations)
	fmt.Printf("%s 3.6b: the sampler makes %.2f driver calls a second for each GPU and instance of %s and takes %.2f %% of a core with the simulator's socket, %.2f %% by itself; of %s %.2f calls and %.2f %%. The whole agent makes %.2f and %.2f calls and takes %.2f and %.2f %%\n",
		word[max(calls-slots[1], h100.calls-whole[1]) <= 6], calls-slots[1], full().name, cpu-slots[0], 100*alone.Seconds(), hopper().name, h100.calls-whole[1], h100.cpu-whole[0], calls, h100.calls, cpu, h100.cpu)
	if first.late > 0 {
		const growth = 4 // MiB: what the garbage collector's rhythm moves
		fmt.Printf("%s 3.6c: private memory of the agent and DCGM's worker at most %.1f MiB; after %d scrapes and %d layout changes %.1f MiB, after a tenth of that %.1f MiB\n",
			word[memory <= 64 && first.late <= first.early+growth], memory, scrapes, layoutChanges, first.late, first.early)
	}
}
