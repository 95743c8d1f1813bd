package process

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gpulet/gpulet/agent"
	"github.com/gpulet/gpulet/exporter"
	"github.com/gpulet/gpulet/test/gpusim/dcgm"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

// onlyDCGM is a field that before Hopper nobody but DCGM has; it is read each two seconds.
const (
	onlyDCGM       = "DCGM_FI_PROF_DRAM_ACTIVE"
	onlyDCGMField  = 1005
	onlyDCGMPeriod = 2 * time.Second
)

// beginDCGM begins a node whose agent uses a make of the simulated libdcgm: "" is DCGM 4.6.
func beginDCGM(t *testing.T, w wanted, variant string) *node {
	t.Helper()
	n := prepare(t, w)
	n.install(variant)
	n.config += fmt.Sprintf("metrics: {%sdcgm: {library: %s, memoryMiB: 64}}\n", w.metrics, n.libdcgm())
	n.start()
	return n
}

// libdcgm is where the node's agent finds it.
func (n *node) libdcgm() string { return filepath.Join(n.sim.Dir, "installed", "libdcgm.so.4") }

// install puts a make of libdcgm in place of the one before, as a package manager does.
func (n *node) install(variant string) {
	n.t.Helper()
	from, err := n.sim.DCGMLibrary(n.t.Context(), variant)
	var data []byte
	if err == nil {
		data, err = os.ReadFile(filepath.Join(from, "libdcgm.so.4"))
	}
	if err == nil {
		err = os.MkdirAll(filepath.Dir(n.libdcgm()), 0o755)
	}
	if err == nil {
		err = os.WriteFile(n.libdcgm()+".new", data, 0o755)
	}
	if err == nil {
		err = os.Rename(n.libdcgm()+".new", n.libdcgm())
	}
	if err != nil {
		n.t.Fatal(err)
	}
}

// dcgmSource is what status says of DCGM.
func dcgmSource(s agent.Status) (out exporter.SourceStatus) {
	if i := slices.IndexFunc(s.Metrics.Sources, func(s exporter.SourceStatus) bool { return s.Name == "dcgm" }); i >= 0 {
		out = s.Metrics.Sources[i]
	}
	return out
}

// whyAbsent is why a metric is not there, as status tells; empty when it is.
func whyAbsent(s agent.Status, metric string) string {
	var out []string
	for _, a := range s.Metrics.Absent {
		if a.Metric == metric {
			out = append(out, fmt.Sprintf("%s: %s", a.Reason, a.Text))
		}
	}
	return strings.Join(out, "; ")
}

// complete waits until the field that only DCGM has is there for all that three GPUs have: two GPUs and three instances.
func (n *node) complete(atMost time.Duration) {
	n.t.Helper()
	n.awaitPageFor(atMost, "DCGM's series of all GPUs and instances", func(p page) bool { return len(p.series(onlyDCGM, "")) == 5 })
}

// gone waits until DCGM's series have left and gives how long that took.
func (n *node) gone() time.Duration {
	n.t.Helper()
	began := time.Now()
	n.awaitPage("the end of DCGM's series", func(p page) bool { return len(p.series(onlyDCGM, "")) == 0 })
	return time.Since(began)
}

// ageBar is three periods, and the second in which a set is made anew.
const ageBar = 3*onlyDCGMPeriod + time.Second

// DCGM's host engine dies: what only it knows ends within three periods, and comes back by itself with the next engine, even of another version.
func TestEngineRestart(t *testing.T) {
	t.Parallel()
	n := prepare(t, wanted{hardware: threeGPUs()})
	n.install("")
	n.config = fmt.Sprintf("metrics: {dcgm: {library: %s, host: \"unix://%s\"}}\n", n.libdcgm(), n.sim.EngineSocket())
	if err := n.sim.StartEngine(t.Context(), "4.6.1"); err != nil {
		t.Fatal(err)
	}
	n.start()
	n.measured()
	n.complete(patience)
	s := n.scrapes(others)
	var left, returned []string
	for _, version := range []string{"4.6.1", "4.5.2"} {
		if err := n.sim.StopEngine(t.Context()); err != nil {
			t.Fatal(err)
		}
		took := n.gone()
		if took > crowded()*ageBar {
			t.Errorf("DCGM's series stay %v after the engine's death", took)
		}
		n.await("the reason", func(s agent.Status) bool { return whyAbsent(s, onlyDCGM) != "" && dcgmSource(s).State == "failing" })
		began := time.Now()
		if err := n.sim.StartEngine(t.Context(), version); err != nil {
			t.Fatal(err)
		}
		n.complete(2 * patience)
		left, returned = append(left, took.Round(100*time.Millisecond).String()), append(returned, time.Since(began).Round(100*time.Millisecond).String())
	}
	scrapes := s.end(t, crowded()*maxScrape)
	fmt.Printf("%s 3.5b: DCGM's series left after %s and returned after %s; meanwhile %s\n", s.verdict(), strings.Join(left, " and "), strings.Join(returned, " and "), scrapes)
}

// harm is a way in which DCGM is broken.
type harm struct {
	name    string
	variant string // of the library
	hurt    func(ctx context.Context, n *node) error
	mend    func(ctx context.Context, n *node) error
	reason  string // what status must say
	workers uint64 // how many workers it costs at least
}

func harms() []harm {
	call := func(f dcgm.Fault) func(context.Context, *node) error {
		return func(ctx context.Context, n *node) error { return n.sim.FailDCGM(ctx, f) }
	}
	values := func(f dcgm.FieldFault) func(context.Context, *node) error {
		f.GPU = -1
		return func(ctx context.Context, n *node) error { return n.sim.FailDCGMField(ctx, f) }
	}
	clean := func(ctx context.Context, n *node) error { return n.sim.ClearDCGM(ctx) }
	const reads = "dcgmEntitiesGetLatestValues"
	return []harm{
		{name: "lacks symbols", variant: "broken", reason: reads, mend: func(_ context.Context, n *node) error { n.install(""); return nil }},
		{name: "crashes", reason: "SIGSEGV", workers: 2, hurt: call(dcgm.Fault{Call: reads, Kind: "segfault"}), mend: clean},
		{name: "aborts", reason: "SIGABRT", workers: 2, hurt: call(dcgm.Fault{Call: reads, Kind: "abort"}), mend: clean},
		{name: "leaks", reason: "memory", workers: 2, hurt: call(dcgm.Fault{Call: reads, Kind: "leak", MiB: 24}), mend: clean},
		{name: "hangs", reason: "answer", workers: 1, hurt: call(dcgm.Fault{Call: reads, Kind: "hang"}), mend: clean},
		{name: "gives blanks", reason: "DCGM", hurt: values(dcgm.FieldFault{Field: onlyDCGMField, Kind: "blank", Blank: dcgm.BlankNotSupported}), mend: clean},
		{name: "gives stale values", reason: "stale", hurt: values(dcgm.FieldFault{Field: onlyDCGMField, Kind: "stale"}), mend: clean},
	}
}

// waitsForDCGM is how long a scrape takes at least that waits for what hangs. Seven broken nodes at once are no place for a finer bar.
const waitsForDCGM = time.Second

// What DCGM does wrong costs what only DCGM knows: the agent and what NVML tells go on, status says why, and it returns when it is mended.
func TestBrokenDCGM(t *testing.T) {
	t.Parallel()
	told := make(chan string, len(harms()))
	t.Run("all", func(t *testing.T) {
		for _, h := range harms() {
			t.Run(h.name, func(t *testing.T) {
				t.Parallel()
				told <- h.name + ": " + endure(t, h)
			})
		}
	})
	close(told)
	for line := range told {
		fmt.Printf("PROOF 3.5c: a libdcgm that %s\n", line)
	}
}

// endure has a node live with broken DCGM for a while.
func endure(t *testing.T, h harm) string {
	n := beginDCGM(t, wanted{hardware: threeGPUs()}, h.variant)
	n.measured()
	if h.hurt != nil {
		n.complete(patience)
		if err := h.hurt(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	began, memory := time.Now(), privateMemory(t, n.agent.PID())
	s := n.scrapes(others)
	n.gone()
	n.await("the reason", func(s agent.Status) bool { return strings.Contains(whyAbsent(s, onlyDCGM), h.reason) })
	if h.workers > 0 {
		// A worker that hangs at its start is given half a minute.
		n.awaitPageFor(2*patience, "other workers", func(p page) bool {
			s := p.series("gpu_source_restarts_total", "source=dcgm")
			return len(s) == 1 && number(s[0]) >= float64(h.workers)
		})
	} else if !pause(t.Context(), 2*time.Second) {
		return ""
	}
	took := time.Since(began)
	now := n.await("an answer", func(agent.Status) bool { return true })
	said, restarts := whyAbsent(now, onlyDCGM), dcgmSource(now).Restarts
	if most := restartsWithin(took); restarts > most || h.workers == 0 && h.variant == "" && restarts > 0 {
		t.Errorf("%d workers were started in %v", restarts, took)
	}
	if err := h.mend(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	n.complete(2 * patience)
	if grew := privateMemory(t, n.agent.PID()) - memory; leaks(grew) {
		t.Errorf("the agent has %d KiB more than before", grew>>10)
	}
	return fmt.Sprintf("in %v %d workers were started anew, status said %q; %s", took.Round(time.Second), restarts, said, s.end(t, max(waitsForDCGM, crowded()*maxScrape)))
}

// restartsWithin is how many restarts of the worker the pauses between them allow: 1, 2, 4, 8 s and so on.
func restartsWithin(d time.Duration) (n uint64) {
	for pause := time.Second; d > 0; pause *= 2 {
		d -= pause
		n++
	}
	return n
}

// others looks that what NVML tells is on a page: temperatures of three GPUs, memory of two and of three instances.
func others(page []byte) error {
	for family, want := range map[string]int{"DCGM_FI_DEV_GPU_TEMP{": 3, "DCGM_FI_DEV_FB_USED{": 5, `gpu_source_up{source="nvml"} 1`: 1} {
		if got := strings.Count(string(page), "\n"+family); got != want {
			return fmt.Errorf("%d series of %s", got, family)
		}
	}
	return nil
}

// An instance is destroyed and the same one made again before anybody looked: DCGM dropped its watches with the first, and its series return.
func TestInstanceMadeAgain(t *testing.T) {
	t.Parallel()
	n := beginDCGM(t, wanted{config: "health: {interval: 200ms}\n", metrics: "interval: 200ms, ", hardware: model.Shape{Name: "one", Driver: "550.54.15", GPUs: []model.GPUShape{
		{Model: "a100-80", MIG: true, Instances: instances("1g.10gb", "3g.40gb")},
	}}}, "")
	n.measured()
	n.awaitPage("DCGM's series", func(p page) bool { return len(p.series(onlyDCGM, "")) == 2 })
	old := n.sim.Model.Status().GPUs[0].Instances[1]
	if err := n.sim.DestroyInstance(t.Context(), 0, old.GI); err != nil {
		t.Fatal(err)
	}
	start := old.Placement.Start
	id, uuid, err := n.sim.CreateInstance(t.Context(), 0, old.Profile, &start)
	if err != nil || id != old.GI {
		t.Fatalf("instance %d in place of %d: %v", id, old.GI, err)
	}
	n.await("the new instance", func(s agent.Status) bool {
		return slices.ContainsFunc(s.GPUs[0].Instances, func(in agent.Instance) bool { return string(in.Compute[0].UUID) == uuid })
	})
	n.awaitPage("the end of the old one's series", func(p page) bool { return len(p.series(onlyDCGM, "")) == 1 })
	n.awaitPage("DCGM's series of the new one", func(p page) bool { return len(p.series(onlyDCGM, "")) == 2 })
}
