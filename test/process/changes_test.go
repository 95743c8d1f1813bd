package process

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gpulet/gpulet/agent"
	"github.com/gpulet/gpulet/exporter"
	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// ofGPU are the names of DCGM's families that have series of a GPU.
func (p page) ofGPU(labels string) (out []string) {
	for name := range p.families {
		if strings.HasPrefix(name, "DCGM_") && len(p.series(name, labels)) > 0 {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// reads says whether a family has one series with the labels, and of about this value.
func (p page) reads(family, labels string, want float64) bool {
	s := p.series(family, labels)
	return len(s) == 1 && number(s[0]) > want-10 && number(s[0]) < want+10
}

// A GPU whose calls hang says so and its measurements end, each after three of its periods; those of the others stay fresh, and scrapes fast.
func TestHungGPUMetrics(t *testing.T) {
	t.Parallel()
	n := begin(t, wanted{hardware: threeGPUs()})
	n.measured()
	s := n.scrapes(func(page []byte) error {
		if got := strings.Count(string(page), "\ngpu_up{"); got != 3 {
			return fmt.Errorf("%d of 3 GPUs are on the page", got)
		}
		return nil
	})
	if err := n.sim.Hang(t.Context(), 0, false); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	n.awaitPage("gpu_up 0", func(p page) bool {
		up := p.series("gpu_up", "gpu=0")
		return len(up) == 1 && number(up[0]) == 0 && len(p.series("DCGM_FI_DEV_GPU_UTIL", "gpu=0")) == 0
	})
	fast := time.Since(began)
	n.await("the reason", func(s agent.Status) bool {
		return slices.ContainsFunc(s.Metrics.Absent, func(a exporter.AbsentStatus) bool {
			return a.Metric == "DCGM_FI_DEV_GPU_UTIL" && slices.Contains(a.First, "GPU 0") && a.Text != ""
		})
	})
	if err := n.sim.SetLoad(t.Context(), sim.Whole(1), model.Load{Kind: "constant", Level: 70}); err != nil {
		t.Fatal(err)
	}
	n.awaitPage("the other GPU's new load", func(p page) bool { return p.reads("DCGM_FI_DEV_GPU_UTIL", "gpu=1", 70) })
	p := n.awaitPageFor(2*patience, "the end of all that is measured of the GPU", func(p page) bool { return len(p.ofGPU("gpu=0")) == 0 })
	slow := time.Since(began)
	if len(p.ofGPU("gpu=1")) < 10 || len(p.ofGPU("gpu=2")) < 10 {
		t.Errorf("of the others there are %v and %v", p.ofGPU("gpu=1"), p.ofGPU("gpu=2"))
	}
	if err := n.sim.Unhang(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	n.awaitPage("the GPU's return", func(p page) bool {
		up := p.series("gpu_up", "gpu=0")
		return len(up) == 1 && number(up[0]) == 1 && len(p.series("DCGM_FI_DEV_GPU_UTIL", "gpu=0")) == 1
	})
	t.Logf("gpu_up was 0 after %v, the last series ended after %v; %s", fast.Round(100*time.Millisecond), slow.Round(100*time.Millisecond), s.end(t, crowded()*maxScrape))
}

// An administrator divides a GPU anew fifty times: the page has the new instance and nothing of the old one, at once, and nothing leaks.
func TestLayoutChangeMetrics(t *testing.T) {
	t.Parallel()
	n := beginDCGM(t, wanted{config: "health: {interval: 200ms}\n", metrics: "interval: 200ms, ", hardware: model.Shape{Name: "one", Driver: "550.54.15", GPUs: []model.GPUShape{
		{Model: "a100-80", MIG: true, Instances: instances("1g.10gb", "3g.40gb")},
	}}}, "")
	n.measured()
	n.awaitPage("DCGM's series", func(p page) bool { return len(p.series(onlyDCGM, "")) == 2 })
	worker := n.worker()
	const changes, warm = 50, 10
	var agentHad, workerHad int64
	var slowest time.Duration
	profiles := []string{"3g.40gb", "2g.20gb"}
	for i := range changes + warm {
		if i == warm {
			agentHad, workerHad = privateMemory(t, n.agent.PID()), privateMemory(t, worker)
		}
		slowest = max(slowest, n.swap(profiles[i%2], profiles[(i+1)%2]))
	}
	agentGrew, workerGrew := privateMemory(t, n.agent.PID())-agentHad, privateMemory(t, worker)-workerHad
	if leaks(agentGrew) || leaks(workerGrew) || n.worker() != worker {
		t.Errorf("over %d changes the agent grew by %d KiB, DCGM's worker (%d, now %d) by %d KiB", changes, agentGrew>>10, worker, n.worker(), workerGrew>>10)
	}
	if slowest > crowded()*2*time.Second { // a look at the hardware, and a round of the sampler
		t.Errorf("the slowest swap took %v", slowest)
	}
	t.Logf("%d changes, the slowest on the page after %v; the agent grew by %d KiB, DCGM's worker by %d KiB",
		changes, slowest.Round(10*time.Millisecond), agentGrew>>10, workerGrew>>10)
}

// swap puts an instance in another's place, waits for its series and then for those that only DCGM has, and gives the time to the first.
func (n *node) swap(old, next string) time.Duration {
	n.t.Helper()
	ins := n.sim.Model.Status().GPUs[0].Instances
	at := slices.IndexFunc(ins, func(in model.InstanceStatus) bool { return in.Profile == old })
	if at < 0 {
		n.t.Fatalf("no %s among %v", old, ins)
	}
	began := time.Now()
	if err := n.sim.DestroyInstance(n.t.Context(), 0, ins[at].GI); err != nil {
		n.t.Fatal(err)
	}
	id, _, err := n.sim.CreateInstance(n.t.Context(), 0, next, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	labels := fmt.Sprintf("GPU_I_PROFILE=%s,GPU_I_ID=%d", next, id)
	n.awaitPage(next+" in place of "+old, func(p page) bool { return len(p.series("DCGM_FI_DEV_FB_USED", labels)) == 1 && p.nothingOf(old) })
	took := time.Since(began)
	p := n.awaitPage("DCGM's series of "+next, func(p page) bool {
		return len(p.series(onlyDCGM, labels)) == 1 && len(p.series(onlyDCGM, "")) == 2
	})
	if !p.nothingOf(old) {
		n.t.Errorf("the %s that is gone is there again:\n%s", old, p.text)
	}
	return took
}

// nothingOf says whether no family has a series of an instance that is gone.
func (p page) nothingOf(profile string) bool {
	for name := range p.families {
		if len(p.series(name, "GPU_I_PROFILE="+profile)) > 0 {
			return false
		}
	}
	return true
}

// worker is the pid of DCGM's process: the agent has no other.
func (n *node) worker() int {
	n.t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", n.agent.PID()))
	if err != nil {
		n.t.Fatal(err)
	}
	var pids []int
	for _, f := range files {
		data, _ := os.ReadFile(f) // a thread that ended has none
		for word := range strings.FieldsSeq(string(data)) {
			if pid, err := strconv.Atoi(word); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	if len(pids) != 1 {
		n.t.Fatalf("the agent's processes are %v", pids)
	}
	return pids[0]
}

// A collectors file says what is exported, also when it changes; a mistake in it is told with its line, and what was right goes on.
func TestCollectorsFile(t *testing.T) {
	t.Parallel()
	n := prepare(t, wanted{hardware: threeGPUs()})
	file := filepath.Join(n.dir, "counters.csv")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	exports := func(names ...string) {
		t.Helper()
		n.awaitPage(strings.Join(names, " and "), func(p page) bool { return slices.Equal(p.ofGPU("gpu=0"), names) })
	}
	about := func(s agent.Status) (agent.Source, bool) {
		i := slices.IndexFunc(s.Sources, func(s agent.Source) bool { return strings.Contains(s.Name, file) })
		if i < 0 {
			return agent.Source{}, false
		}
		return s.Sources[i], true
	}
	const temperature, use, power = "DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_POWER_USAGE"
	write("# what we look at\n" + temperature + ", gauge, degrees\n" + use + ", gauge, percent\n")
	n.args = []string{"--collectors", file}
	n.start()
	n.offers(offered(n.pieces()))
	exports(temperature, use)
	write(use + ", gauge, percent\n" + power + ", gauge, watts\n")
	exports(use, power)
	write(use + ", gauge, percent\n\nDCGM_FI_DEV_GPU_TMEP, gauge, degrees\n")
	n.await("where the mistake is", func(s agent.Status) bool {
		src, ok := about(s)
		return ok && !src.OK && strings.Contains(src.Reason, file+":3:") && strings.Contains(src.Reason, temperature)
	})
	exports(use, power)
	write(temperature + ", gauge, degrees\n")
	exports(temperature)
	n.await("that all is well", func(s agent.Status) bool { src, ok := about(s); return ok && src.OK })
	if page := string(n.scrape().text); !strings.Contains(page, "# HELP "+temperature+" degrees\n") {
		t.Errorf("the help is not that of the file:\n%s", page)
	}
}
