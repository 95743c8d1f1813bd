package process

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	commonmodel "github.com/prometheus/common/model"
)

// page is what a scrape gave.
type page struct {
	text     []byte
	families map[string]*dto.MetricFamily
	took     time.Duration
}

// scrape gets the agent's page, which must parse.
func (n *node) scrape() page {
	n.t.Helper()
	ctx, cancel := within(n.t)
	defer cancel()
	began := time.Now()
	text, err := n.agent.Client().Metrics(ctx)
	p := page{text: text, took: time.Since(began)}
	if err == nil {
		parser := expfmt.NewTextParser(commonmodel.UTF8Validation)
		p.families, err = parser.TextToMetricFamilies(bytes.NewReader(text))
	}
	if err != nil {
		n.t.Fatalf("the page: %v", err)
	}
	return p
}

// series are those of a family whose labels are as given: "gpu=0,pod=a".
func (p page) series(family, labels string) (out []*dto.Metric) {
	for _, m := range p.families[family].GetMetric() {
		fits := true
		for want := range strings.SplitSeq(labels, ",") {
			name, value, ok := strings.Cut(want, "=")
			fits = fits && (!ok || label(m, name) == value)
		}
		if fits {
			out = append(out, m)
		}
	}
	return out
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

func number(m *dto.Metric) float64 {
	return m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue()
}

// awaitPage scrapes until the page is as it should be.
func (n *node) awaitPage(what string, is func(page) bool) page {
	n.t.Helper()
	return n.awaitPageFor(patience, what, is)
}

func (n *node) awaitPageFor(atMost time.Duration, what string, is func(page) bool) page {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), atMost)
	defer cancel()
	for {
		p := n.scrape()
		if is(p) {
			return p
		}
		if !pause(ctx, 50*time.Millisecond) {
			var ours []string
			for line := range strings.Lines(string(p.text)) {
				if strings.HasPrefix(line, "gpu_") && !strings.HasPrefix(line, "gpu_source_duration") {
					ours = append(ours, line)
				}
			}
			n.t.Fatalf("never: %s; the page's own families are\n%s", what, strings.Join(ours, ""))
		}
	}
}

// measured waits until everything is offered and every GPU is measured: the agent is at work.
func (n *node) measured() page {
	n.t.Helper()
	n.offers(offered(n.pieces()))
	gpus := len(n.sim.Model.Status().GPUs)
	return n.awaitPage("every GPU", func(p page) bool {
		return len(p.series("gpu_up", "")) == gpus && len(p.series("DCGM_FI_DEV_GPU_TEMP", "")) == gpus
	})
}

// maxScrape is how long a scrape may take, whatever the GPUs and DCGM do.
const maxScrape = 50 * time.Millisecond

// slack is what a bar of time is multiplied by: 1 where a promise is measured, 10 in CI, whose machine is shared, and where the tests
// share the machine with each other; more for a program with the race detector in it.
func slack() time.Duration {
	if buildFlags() != nil {
		return 50
	}
	if f := flag.Lookup("test.run"); testing.Short() || os.Getenv("CI") != "" || f == nil || f.Value.String() == "" {
		return 10
	}
	return 1
}

// crowded is slack on a machine that has more to do than it can: there a bar is no measure of the program, and only what waits for
// something that hangs is told from what waits for a processor.
func crowded() time.Duration {
	var load float64
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		_, _ = fmt.Sscan(string(text), &load)
	}
	if over := time.Duration(load / float64(runtime.NumCPU())); over > 0 {
		return max(slack(), 10) * (over + 1)
	}
	return slack()
}

// scraper scrapes ten times a second, as a hasty Prometheus.
type scraper struct {
	stop    func()
	count   int
	slowest time.Duration
	// stalled is for how long the machine let a process wait that only wanted to sleep, during the slowest scrape.
	stalled time.Duration
	failed  error
}

// scrapes begins to scrape until end, and looks at each page.
func (n *node) scrapes(look func(page []byte) error) *scraper {
	ctx, cancel := context.WithCancel(n.t.Context())
	s := &scraper{}
	var late atomic.Int64 // all together, since it was last asked
	var done sync.WaitGroup
	done.Go(func() {
		const nap = 5 * time.Millisecond
		for began := time.Now(); pause(ctx, nap); began = time.Now() {
			late.Add(int64(time.Since(began) - nap))
		}
	})
	client := n.agent.Client()
	done.Go(func() {
		for pause(ctx, 100*time.Millisecond) {
			late.Store(0)
			began := time.Now()
			text, err := client.Metrics(ctx)
			took, stalled := time.Since(began), time.Duration(late.Load())
			if ctx.Err() != nil {
				return
			}
			if err == nil {
				err = look(text)
			}
			s.count++
			if took-stalled > s.slowest-s.stalled {
				s.slowest, s.stalled = took, stalled
			}
			if err != nil && s.failed == nil {
				s.failed = fmt.Errorf("scrape %d: %w", s.count, err)
			}
		}
	})
	s.stop = func() {
		cancel()
		done.Wait()
	}
	n.t.Cleanup(s.stop)
	return s
}

// end says how it went, and fails the test for what must not be. Time in which the machine stood still does not count.
func (s *scraper) end(t *testing.T, most time.Duration) string {
	t.Helper()
	s.stop()
	if s.failed != nil {
		t.Error(s.failed)
	}
	if s.count == 0 || s.slowest-s.stalled > most {
		t.Errorf("of %d scrapes the slowest took %v, of which the machine stood still for %v", s.count, s.slowest, s.stalled)
	}
	const unit = 100 * time.Microsecond
	return fmt.Sprintf("%d scrapes, the slowest %v, of which the machine stood still for %v", s.count, s.slowest.Round(unit), s.stalled.Round(unit))
}

// verdict is how a figure about the scrapes is told to test/prove: a machine that is too crowded for the test to fail keeps no promise.
func (s *scraper) verdict() string {
	if s.failed != nil || s.slowest-s.stalled > slack()*maxScrape {
		return "MISS"
	}
	return "PROOF"
}

// leaks says whether a process grew by more than memory does by itself. That of a program with the race detector in it says nothing.
func leaks(grew int64) bool { return buildFlags() == nil && grew > 8<<20 }

// privateMemory is what a process has for itself, in bytes.
func privateMemory(t *testing.T, pid int) (bytes int64) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "RssAnon:")
	if _, err := fmt.Sscanf(rest, "%d kB", &bytes); err != nil {
		t.Fatalf("the memory of %d: %v", pid, err)
	}
	return bytes << 10
}
