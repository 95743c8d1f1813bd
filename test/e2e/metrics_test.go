//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	core "k8s.io/api/core/v1"

	"github.com/gpulet/gpulet/deployments/monitoring"
	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// A person asks Prometheus for a pod by its own namespace and name and gets that pod's series, and every panel of the boards has data.
func TestPrometheus(t *testing.T) {
	m := machines(t, spec{shape: "dgx-a100", prepare: func(t *testing.T, n *sim.Node) {
		sliced("1g.10gb", 7, 7)(t, n)
		for g := range 8 {
			if err := n.SetLoad(t.Context(), sim.Whole(g), model.Load{Kind: "sine", Level: 50, Amplitude: 30, Period: 20 * time.Second}); err != nil {
				t.Fatal(err)
			}
		}
	}})[0]
	m.offers(t, map[string]int64{"nvidia.com/gpu": 7, "nvidia.com/mig-1g.10gb": 7}, 20*time.Second)
	p := startPrometheus(t, m.agent(t))
	whole := runs(t, gpuPod("whole", m.Name(), "nvidia.com/gpu", 1))
	slice := runs(t, gpuPod("slice", m.Name(), "nvidia.com/mig-1g.10gb", 1))
	for _, pod := range []*core.Pod{whole, slice} {
		for _, family := range []string{"DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_FB_USED", "gpu_pod_utilization_ratio"} {
			got := p.await(t, fmt.Sprintf("%s{namespace=%q,pod=%q}", family, pod.Namespace, pod.Name), some)
			if len(got) != 1 || got[0].Metric["container"] != pod.Spec.Containers[0].Name {
				t.Errorf("%s of %s: %v", family, pod.Name, got)
			}
		}
	}
	if got, err := p.query(t.Context(), `{exported_pod!=""}`); err != nil || len(got) > 0 {
		t.Errorf("series with exported_pod: %v %v", got, err)
	}
	proof("3.2", "the series of 2 pods by their own namespace and pod, on a whole GPU and a slice; none has exported_pod")

	if err := m.sim.XID(t.Context(), sim.Whole(0), 31); err != nil { // an application's own: there is something to show, and no harm
		t.Fatal(err)
	}
	boards := map[string]int{}
	for _, e := range monitoring.Expressions(map[string]string{"instance": ".+", "gpu": ".+", "Hostname": ".+", "namespace": ".+", "pod": ".+"}) {
		p.await(t, e.Query, some)
		boards[e.Board]++
	}
	proof("3.3", "every expression gave data: %v", boards)
}

// Two pods share one GPU by time. Real processes of their containers work on it: each pod's part, the remainder and their sum are right.
// When nobody can tell whose the processes are, that is said, and nobody is said to do nothing.
func TestSharedGPU(t *testing.T) {
	m := machines(t, spec{shape: "t4x4", config: "gpus:\n  - match: {indexes: [0]}\n    sharing: {nvidia.com/gpu: {replicas: 2, rename: nvidia.com/gpu.shared}}\n"})[0]
	m.offers(t, map[string]int64{"nvidia.com/gpu": 3, "nvidia.com/gpu.shared": 2}, 20*time.Second)
	p := startPrometheus(t, m.agent(t))
	busy := runs(t, gpuPod("busy", m.Name(), "nvidia.com/gpu.shared", 1))
	calm := runs(t, gpuPod("calm", m.Name(), "nvidia.com/gpu.shared", 1))
	const gib = 1 << 30
	work := func(pid int, sm uint32, memory uint64) int {
		t.Helper()
		pid, err := m.sim.StartProcess(t.Context(), sim.Whole(0), model.ProcessSpec{PID: pid, SM: sm, Mem: sm / 2, Memory: memory})
		if err != nil {
			t.Fatal(err)
		}
		return pid
	}
	pids := []int{m.process(t, busy), m.process(t, calm)}
	work(pids[0], 60, 4*gib)
	work(pids[1], 20, 2*gib)
	ratio := func(pod *core.Pod) string {
		return fmt.Sprintf("gpu_pod_utilization_ratio{namespace=%q,pod=%q}", pod.Namespace, pod.Name)
	}
	near := func(want float64) func([]series) bool {
		return func(s []series) bool { return len(s) == 1 && math.Abs(s[0].number(t)-want) < 0.05 }
	}
	a := p.await(t, ratio(busy), near(0.6))[0].number(t)
	b := p.await(t, ratio(calm), near(0.2))[0].number(t)
	p.await(t, "sum by (UUID) (gpu_pod_utilization_ratio) + on (UUID) gpu_unattributed_utilization_ratio", near(0.8))
	p.await(t, fmt.Sprintf("gpu_pod_memory_used_bytes{pod=%q} / 2^30", busy.Name), near(4))
	p.await(t, `sum by (UUID) (DCGM_FI_DEV_GPU_UTIL{gpu="0"}) / 100`, near(0.8))
	// A process that belongs to no pod is the remainder.
	stranger := work(0, 15, gib)
	rest := p.await(t, `gpu_unattributed_utilization_ratio{gpu="0"}`, near(0.15))[0].number(t)
	p.await(t, `gpu_unattributed_memory_used_bytes{gpu="0"} / 2^30`, near(1))
	if err := m.sim.StopProcess(t.Context(), stranger); err != nil {
		t.Fatal(err)
	}
	proof("3.4a", "pods with loads of 60 and 20 %%: %.3f and %.3f; with a process of neither at 15 %%, the remainder is %.3f; the parts sum to the device", a, b, rest)

	// The same with processes whose numbers say nothing to the agent, as without the host's.
	for i, pid := range pids {
		if err := m.sim.StopProcess(t.Context(), pid); err != nil {
			t.Fatal(err)
		}
		work(0, []uint32{60, 20}[i], 2*gib)
	}
	p.await(t, `count(gpu_pod_utilization_ratio{gpu="0"}) or vector(0)`, func(s []series) bool { return len(s) == 1 && s[0].number(t) == 0 })
	unknown := p.await(t, `gpu_unattributed_utilization_ratio{gpu="0"}`, near(0.8))[0].number(t)
	proof("3.4b", "with processes that nobody can tell, no pod has a number and the remainder is %.3f", unknown)
}

// process is the process of a pod's container, in the numbers of the driver. The simulated machine's /proc gets what the real one says
// of it: there the agent looks.
func (m *machine) process(t *testing.T, pod *core.Pod) int {
	t.Helper()
	for ctx := within(t, 20*time.Second); ctx.Err() == nil; pause(ctx, 100*time.Millisecond) {
		comms, err := filepath.Glob("/proc/[0-9]*/comm")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range comms {
			comm, _ := os.ReadFile(file)
			cgroup, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cgroup"))
			pid := filepath.Base(filepath.Dir(file))
			if !bytes.Contains(cgroup, []byte(pod.UID)) || string(bytes.TrimSpace(comm)) != "probe" {
				continue // of another pod, or the runtime's own before it becomes the container's
			}
			dir := m.processDir(pid)
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			for name, data := range map[string][]byte{"cgroup": cgroup, "comm": comm} {
				if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			n, err := strconv.Atoi(pid)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no process of %s", pod.Name)
	return 0
}

func (m *machine) processDir(pid string) string { return filepath.Join(m.dir, "proc", pid) }
