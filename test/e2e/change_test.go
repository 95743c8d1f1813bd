//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gpulet/gpulet/test/cluster/kube"
)

// An administrator divides a GPU anew with NVIDIA's tools while pods run on others: offers follow, and nothing restarts.
func TestAdministrator(t *testing.T) {
	m := machines(t, spec{shape: "dgx-a100", prepare: sliced("1g.10gb", 7, 4, 5)})[0]
	m.offers(t, map[string]int64{"nvidia.com/gpu": 6, "nvidia.com/mig-1g.10gb": 14}, 20*time.Second)
	for i := range 3 {
		runs(t, gpuPod(fmt.Sprintf("slice-%d", i), m.Name(), "nvidia.com/mig-1g.10gb", 1))
	}
	h := m.held(t)
	agent := m.agent(t)
	free := 5 // the GPU that no pod is on
	for _, ids := range h.devices {
		for _, id := range ids {
			if g, err := m.sim.Model.FindGPU(id[:40]); err == nil && g == 5 {
				free = 4
			}
		}
	}
	var slowest time.Duration
	change := func(want map[string]int64, do func()) {
		t.Helper()
		do()
		began := time.Now()
		m.offers(t, want, time.Minute)
		slowest = max(slowest, time.Since(began))
	}
	change(map[string]int64{"nvidia.com/mig-1g.10gb": 7, "nvidia.com/mig-3g.40gb": 2}, func() {
		for _, in := range m.sim.Model.Status().GPUs[free].Instances {
			if err := m.sim.DestroyInstance(t.Context(), free, in.GI); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if _, _, err := m.sim.CreateInstance(t.Context(), free, "3g.40gb", nil); err != nil {
				t.Fatal(err)
			}
		}
	})
	change(map[string]int64{"nvidia.com/mig-1g.10gb": 7, "nvidia.com/mig-3g.40gb": 1, "nvidia.com/mig-2g.20gb": 1}, func() {
		status := m.sim.Model.Status().GPUs[free]
		for _, in := range status.Instances {
			if in.Placement.Start == 4 {
				if err := m.sim.DestroyInstance(t.Context(), free, in.GI); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, _, err := m.sim.CreateInstance(t.Context(), free, "2g.20gb", nil); err != nil {
			t.Fatal(err)
		}
	})
	pod := runs(t, gpuPod("new", m.Name(), "nvidia.com/mig-2g.20gb", 1))
	m.exactly(t, pod)
	now := m.held(t)
	delete(now.containers, "new/main")
	if !maps.Equal(now.containers, h.containers) {
		t.Errorf("containers were %v and are %v", h.containers, now.containers)
	}
	if again := m.agent(t); again.Name != agent.Name || again.Status.ContainerStatuses[0].RestartCount != agent.Status.ContainerStatuses[0].RestartCount {
		t.Errorf("the agent was %s and is %s", agent.Name, again.Name)
	}
	proof("2.6", "2 changes of one GPU beside %d running pods: offered after at most %s, nothing restarted", len(h.containers), slowest.Round(100*time.Millisecond))
	if slowest > slack()*5*time.Second {
		t.Errorf("offers followed after %s", slowest)
	}
}

// Pods of two resources that the same GPUs are offered under in turn all run: none fails while offers flip.
func TestFlips(t *testing.T) {
	total := 500
	if testing.Short() {
		total = 40
	}
	m := machines(t, spec{shape: "dgx-a100", config: flip(0)})[0]
	names := []string{"example.com/left", "example.com/right"}
	m.offers(t, map[string]int64{names[0]: 8, names[1]: 8}, 20*time.Second)
	made, flips, failed, done := 0, 0, 0, 0
	last := time.Now()
	ctx := within(t, 40*time.Minute)
	for ; done < total && ctx.Err() == nil; pause(ctx, 300*time.Millisecond) {
		if time.Since(last) > 5*time.Second && made < total {
			flips++
			m.configure(t, flip(flips))
			last = time.Now()
		}
		pods, err := here.Client.CoreV1().Pods("default").List(ctx, meta.ListOptions{})
		if err != nil {
			continue
		}
		open := 0
		for i := range pods.Items {
			p := &pods.Items[i]
			switch p.Status.Phase {
			case core.PodFailed:
				failed++
				t.Errorf("%s: %s", p.Name, kube.Describe(p))
				fallthrough
			case core.PodSucceeded:
				if p.DeletionTimestamp == nil {
					done++
					_ = here.Client.CoreV1().Pods("default").Delete(ctx, p.Name, meta.DeleteOptions{})
				}
			default:
				open++
			}
		}
		for ; open < 20 && made < total; open++ {
			p := gpuPod(fmt.Sprintf("flip-%d", made), m.Name(), names[made%2], 1)
			p.Containers[0].Command = []string{"/probe", "--for", "500ms"}
			create(t, p)
			made++
		}
	}
	if done < total {
		t.Errorf("%d of %d pods ended", done, total)
	}
	proof("2.3a", "%d pods of two resources, %d flips of the offers: %d Failed", total, flips, failed)
}

// flip is the configuration of one turn: half of the GPUs under each name, and the other way round at the next.
func flip(turn int) string {
	names := [2]string{"example.com/left", "example.com/right"}
	rule := func(gpus, name string) string {
		return fmt.Sprintf("  - match: {indexes: [%s]}\n    sharing: {nvidia.com/gpu: {replicas: 2, rename: %s}}\n", gpus, name)
	}
	return "gpus:\n" + rule("0, 1, 2, 3", names[turn%2]) + rule("4, 5, 6, 7", names[(turn+1)%2])
}
