//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/test/cluster/kube"
)

// Pods in every state keep their device, and nobody else gets it: pending, init, restarting, terminating, with sidecars, with a GPU in
// an init container only, and one whose container restarts 50 times.
func TestPodStates(t *testing.T) {
	restarts := int32(50)
	if testing.Short() {
		restarts = 3
	}
	m := machines(t, mixed)[0]
	m.offers(t, mixedOffers, 20*time.Second)
	slice := map[string]string{"nvidia.com/mig-1g.10gb": "1"}
	probe := func(args ...string) kube.Container {
		return kube.Container{Image: probeImage, Command: append([]string{"/probe"}, args...)}
	}
	gpuProbe := func(args ...string) kube.Container {
		c := probe(args...)
		c.Resources = slice
		return c
	}
	sidecar := gpuProbe()
	sidecar.Sidecar = true
	always := core.RestartPolicyAlways
	pods := map[string]kube.Pod{
		"init":        {Init: []kube.Container{gpuProbe("--for", "600s")}, Containers: []kube.Container{gpuProbe()}},
		"init-only":   {Init: []kube.Container{gpuProbe("--for", "1s")}, Containers: []kube.Container{probe()}},
		"sidecar":     {Init: []kube.Container{sidecar}, Containers: []kube.Container{probe()}},
		"restarting":  {Restart: always, Containers: []kube.Container{gpuProbe("--for", "100ms", "--exit", "1")}},
		"terminating": {Grace: 600, Containers: []kube.Container{gpuProbe("--stubborn")}},
		"running":     {Containers: []kube.Container{gpuProbe()}},
	}
	made := map[string]*core.Pod{}
	for name, p := range pods {
		p.Name, p.Node = name, m.Name()
		made[name] = create(t, p)
	}
	for _, name := range []string{"running", "sidecar", "init-only", "terminating"} {
		if _, err := here.Wait(within(t, time.Minute), made[name], kube.Ready); err != nil {
			t.Fatal(err)
		}
	}
	if err := here.Client.CoreV1().Pods("default").Delete(t.Context(), "terminating", meta.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	// The rest of the slices: as many pods as fit, and one that has to wait.
	free := int(mixedOffers["nvidia.com/mig-1g.10gb"]) - len(pods)
	for i := range free + 1 {
		name := fmt.Sprintf("more-%d", i)
		p := gpuPod(name, m.Name(), "nvidia.com/mig-1g.10gb", 1)
		made[name] = create(t, p)
		if i < free {
			if _, err := here.Wait(within(t, time.Minute), made[name], kube.Ready); err != nil {
				t.Fatal(err)
			}
		}
	}
	owners := m.owners(t)
	busy, err := here.Wait(within(t, 10*time.Minute), made["restarting"], kube.Restarted("main", restarts))
	if err != nil {
		t.Fatal(err)
	}
	m.killAgent(t)
	m.restartKubelet(t)
	m.answers(t)
	now := m.owners(t)
	for id, pod := range owners {
		if now[id] != pod {
			t.Errorf("%s was of %s and is of %q", id, pod, now[id])
		}
	}
	if len(owners) != int(mixedOffers["nvidia.com/mig-1g.10gb"]) {
		t.Errorf("%d devices have an owner: %v", len(owners), owners)
	}
	waiting, err := here.Client.CoreV1().Pods("default").Get(t.Context(), fmt.Sprintf("more-%d", free), meta.GetOptions{})
	if err != nil || waiting.Status.Phase != core.PodPending {
		t.Errorf("the pod that does not fit is %v %v", waiting.Status.Phase, err)
	}
	if !t.Failed() {
		proof("2.7a", "%d devices of pods in 6 states kept through %d container restarts, an agent crash and a kubelet restart; a pod beyond them stays Pending", len(owners), busy.Status.ContainerStatuses[0].RestartCount)
	}
}

// owners are the agent's claims of slices: device id -> pod.
func (m *machine) owners(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, c := range m.status(t).Claims {
		if c.Resource != "nvidia.com/mig-1g.10gb" {
			continue
		}
		if old := out[c.ID]; old != "" && old != c.Name {
			t.Errorf("%s is claimed by %s and %s", c.ID, old, c.Name)
		}
		out[c.ID] = c.Name
	}
	return out
}

// A configuration that shares what was whole gives nobody a GPU that is in use, and what is free is shared at once.
func TestReplacedConfiguration(t *testing.T) {
	m := machines(t, spec{shape: "dgx-a100"})[0]
	const whole, shared = "nvidia.com/gpu", "nvidia.com/gpu.shared"
	m.offers(t, map[string]int64{whole: 8}, 20*time.Second)
	first := runs(t, gpuPod("whole-1", m.Name(), whole, 2))
	used := m.exactly(t, first)
	began := time.Now()
	m.configure(t, "gpus:\n  - sharing: {nvidia.com/gpu: {replicas: 3, rename: nvidia.com/gpu.shared}}\n")
	m.offers(t, map[string]int64{shared: 18}, time.Minute)
	took := time.Since(began)
	var pods []*core.Pod
	for i := range 18 {
		pods = append(pods, create(t, gpuPod(fmt.Sprintf("shared-%d", i), m.Name(), shared, 1)))
	}
	extra := create(t, gpuPod("one-too-many", m.Name(), shared, 1))
	for _, p := range pods {
		if _, err := here.Wait(within(t, 2*time.Minute), p, kube.Ready); err != nil {
			t.Fatal(err)
		}
	}
	for c, ids := range m.given(t) {
		for _, id := range ids {
			p, err := gpu.ParseDeviceID(id)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(c, "/whole-1/main") && slices.Contains(used, p.GPU) {
				t.Errorf("%s got a share of %s, which is whole-1's", c, p.GPU)
			}
		}
	}
	if p, err := here.Client.CoreV1().Pods("default").Get(t.Context(), extra.Name, meta.GetOptions{}); err != nil || p.Status.Phase != core.PodPending {
		t.Errorf("one pod too many is %v %v", p.Status.Phase, err)
	}
	if err := here.Delete(within(t, time.Minute), first); err != nil {
		t.Fatal(err)
	}
	m.offers(t, map[string]int64{shared: 24, whole: 0}, time.Minute)
	if _, err := here.Wait(within(t, time.Minute), extra, kube.Ready); err != nil {
		t.Fatal(err)
	}
	if !t.Failed() {
		proof("2.7b", "2 of 8 GPUs in use as whole: 18 replicas of the other 6 offered %s after the change, none of the 2; theirs after their pod's end", took.Round(100*time.Millisecond))
	}
}

// A rolling upgrade with two agents on the node at a time never shows fewer devices, and only one of them acts.
func TestTwoAgents(t *testing.T) {
	rounds := 10
	if testing.Short() {
		rounds = 2
	}
	m := machines(t, mixed)[0]
	m.offers(t, mixedOffers, 20*time.Second)
	runs(t, gpuPod("stays", m.Name(), "nvidia.com/gpu", 1))
	h := m.held(t)
	ctx, cancel := context.WithCancel(t.Context())
	type sample struct {
		at   time.Time
		what string
	}
	bad := make(chan []sample)
	samples := 0
	go func() {
		var out []sample
		for ; ctx.Err() == nil; pause(ctx, 50*time.Millisecond) {
			now := time.Now()
			node, err := here.Client.CoreV1().Nodes().Get(ctx, m.Name(), meta.GetOptions{})
			if err != nil {
				continue
			}
			samples++
			for r, n := range mixedOffers {
				q := node.Status.Allocatable[core.ResourceName(r)]
				if q.Value() != n {
					out = append(out, sample{now, fmt.Sprintf("%d of %s", q.Value(), r)})
				}
			}
		}
		bad <- out
	}()
	owners := 0
	for i := range rounds {
		kubectl(t, "", "-n", namespace, "patch", "daemonset", "gpulet", "--type=merge", "-p", fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"round":"%d"}}}}}`, i))
		owners = max(owners, m.rollout(t))
	}
	cancel()
	for _, s := range <-bad {
		t.Errorf("%s: %s", s.at.Format(time.TimeOnly), s.what)
	}
	if now := m.held(t); !maps.Equal(now.containers, h.containers) {
		t.Errorf("containers were %v and are %v", h.containers, now.containers)
	}
	if owners != 1 {
		t.Errorf("%d agents at once said that they own the node", owners)
	}
	if !t.Failed() {
		proof("2.7c", "%d upgrades, %d samples of allocatable: never fewer; never two owners of the node", rounds, samples)
	}
}

// rollout waits until a new agent alone is ready, and says how many agents at most said that they own the node.
func (m *machine) rollout(t *testing.T) (owners int) {
	t.Helper()
	for ctx := within(t, 2*time.Minute); ; pause(ctx, 100*time.Millisecond) {
		ds, err := here.Client.AppsV1().DaemonSets(namespace).Get(ctx, "gpulet", meta.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		owners = max(owners, m.lockHolders(t))
		pods, err := here.Client.CoreV1().Pods(namespace).List(ctx, meta.ListOptions{})
		s := ds.Status
		if err == nil && len(pods.Items) == 1 && s.ObservedGeneration == ds.Generation && s.UpdatedNumberScheduled == s.DesiredNumberScheduled && s.NumberReady == s.DesiredNumberScheduled {
			return owners
		}
		if ctx.Err() != nil {
			t.Fatal("the new agent does not take over")
		}
	}
}
