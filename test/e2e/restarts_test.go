//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gpulet/gpulet/test/cluster"
	"github.com/gpulet/gpulet/test/cluster/kube"
)

// held is what must not change while agents and kubelets come and go: each container of each pod, and its devices.
type held struct {
	containers map[string]string // namespace/pod/container -> container id and restarts
	devices    map[string][]string
}

func (m *machine) held(t *testing.T) held {
	t.Helper()
	h := held{map[string]string{}, m.given(t)}
	pods, err := here.Client.CoreV1().Pods(meta.NamespaceDefault).List(t.Context(), meta.ListOptions{FieldSelector: "spec.nodeName=" + m.Name()})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pods.Items {
		for _, c := range p.Status.ContainerStatuses {
			h.containers[p.Name+"/"+c.Name] = fmt.Sprint(c.ContainerID, " ", c.RestartCount, " ", p.Status.Phase)
		}
	}
	for _, ids := range h.devices {
		slices.Sort(ids)
	}
	return h
}

// same checks that nothing was touched since h, and that no device has two owners.
func (m *machine) same(t *testing.T, h held, after string) {
	t.Helper()
	now := m.held(t)
	if !maps.Equal(h.containers, now.containers) {
		t.Errorf("after %s: containers were %v and are %v", after, h.containers, now.containers)
	}
	owner := map[string]string{}
	for c, ids := range now.devices {
		for _, id := range ids {
			if owner[id] != "" {
				t.Errorf("after %s: %s is given to %s and %s", after, id, owner[id], c)
			}
			owner[id] = c
		}
	}
}

// answers waits until kubelet, agent and API server all answer, and then for the 5 s after which everything must be right.
func (m *machine) answers(t *testing.T) {
	t.Helper()
	m.ready(t)
	m.agent(t)
	pause(t.Context(), 5*time.Second)
}

// ready waits until the kubelet answers on its own sockets and the API server knows the node.
func (m *machine) ready(t *testing.T) {
	t.Helper()
	ctx := within(t, time.Minute)
	m.given(t)
	if _, err := here.WaitNode(ctx, m.Name(), kube.NodeReady); err != nil {
		t.Fatal(err)
	}
}

// right checks at once what the node offers.
func (m *machine) right(t *testing.T, want map[string]int64, after string) {
	t.Helper()
	for resource, n := range want {
		if got, err := here.Allocatable(t.Context(), m.Name(), resource); err != nil || got != n {
			t.Errorf("after %s the node has %d of %s, not %d (%v)", after, got, resource, n, err)
		}
	}
}

// killAgent ends the agent's process as a crash does.
func (m *machine) killAgent(t *testing.T) {
	t.Helper()
	before := m.agent(t)
	if out, err := m.Run(t.Context(), "pkill", "-9", "-x", "gpulet"); err != nil {
		t.Fatal(err, out)
	}
	ctx := within(t, time.Minute)
	if _, err := here.Wait(ctx, before, func(p *core.Pod) bool {
		return kube.Ready(p) && p.Status.ContainerStatuses[0].RestartCount > before.Status.ContainerStatuses[0].RestartCount
	}); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) restartKubelet(t *testing.T) {
	t.Helper()
	if err := m.StopKubelet(); err != nil {
		t.Fatal(err)
	}
	if err := m.StartKubelet(); err != nil {
		t.Fatal(err)
	}
}

// Pods that run are not touched by restarts of the kubelet, the agent, both, or the API server, and what the node offers is right
// soon after.
func TestRestarts(t *testing.T) {
	rounds := 10
	if testing.Short() {
		rounds = 1
	}
	m := machines(t, mixed)[0]
	m.offers(t, mixedOffers, 20*time.Second)
	for i := range 2 {
		runs(t, gpuPod(fmt.Sprintf("gpu-%d", i), m.Name(), "nvidia.com/gpu", 1))
		runs(t, gpuPod(fmt.Sprintf("shared-%d", i), m.Name(), "nvidia.com/gpu.shared", 1))
	}
	for i := range 5 {
		runs(t, gpuPod(fmt.Sprintf("slice-%d", i), m.Name(), "nvidia.com/mig-1g.10gb", 1))
	}
	h := m.held(t)
	step := func(name string, n int, do func()) {
		t.Helper()
		for i := range n {
			do()
			m.answers(t)
			what := fmt.Sprintf("%s %d", name, i+1)
			m.right(t, mixedOffers, what)
			m.same(t, h, what)
			if now := m.given(t); !maps.EqualFunc(now, h.devices, slices.Equal) {
				t.Errorf("after %s the kubelet has %v, it had %v", what, now, h.devices)
			}
		}
	}
	step("kubelet restart", rounds, func() { m.restartKubelet(t) })
	step("agent crash", rounds, func() { m.killAgent(t) })
	step("crash of both", rounds, func() {
		_, _ = m.Run(t.Context(), "pkill", "-9", "-x", "gpulet")
		if err := m.KillKubelet(); err != nil {
			t.Fatal(err)
		}
		if err := m.StartKubelet(); err != nil {
			t.Fatal(err)
		}
	})
	step("API server away", 1, func() {
		if err := here.cluster.StopAPIServer(); err != nil {
			t.Fatal(err)
		}
		away := time.Minute
		if testing.Short() {
			away = 10 * time.Second
		}
		pause(t.Context(), away)
		if err := here.cluster.StartAPIServer(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	m.replaced(t, h)
	if !t.Failed() {
		proof("2.2a", "%d kubelet restarts, %d agent crashes, %d of both, the API server away once, the socket directory replaced once: %d containers untouched, allocatable right 5 s after, no device twice or missing", rounds, rounds, rounds, len(h.containers))
	}
}

// replaced takes the kubelet's directory away with its account of what it gave: what runs keeps its devices, and nobody else gets
// them.
func (m *machine) replaced(t *testing.T, h held) {
	t.Helper()
	if err := m.StopKubelet(); err != nil {
		t.Fatal(err)
	}
	if err := m.ReplaceDevicePlugins(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := m.StartKubelet(); err != nil {
		t.Fatal(err)
	}
	m.answers(t)
	m.same(t, h, "the directory was replaced")
	counts := maps.Clone(mixedOffers) // what the kubelet forgot is Unhealthy until its pod ends
	used := map[string]bool{}
	for pod, ids := range h.devices {
		for _, id := range ids {
			used[id] = true
		}
		switch name := strings.TrimPrefix(pod, "default/"); {
		case strings.HasPrefix(name, "gpu-"):
			counts["nvidia.com/gpu"] -= int64(len(ids))
		case strings.HasPrefix(name, "shared-"):
			counts["nvidia.com/gpu.shared"] -= int64(len(ids))
		case strings.HasPrefix(name, "slice-"):
			counts["nvidia.com/mig-1g.10gb"] -= int64(len(ids))
		}
	}
	m.right(t, counts, "the directory was replaced")
	pods, err := here.Client.CoreV1().Pods(meta.NamespaceDefault).List(t.Context(), meta.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range pods.Items {
		if strings.HasPrefix(pods.Items[i].Name, "gpu-") {
			if err := here.Delete(within(t, time.Minute), &pods.Items[i]); err != nil {
				t.Fatal(err)
			}
		}
	}
	m.offers(t, map[string]int64{"nvidia.com/gpu": mixedOffers["nvidia.com/gpu"]}, 30*time.Second)
	next := runs(t, gpuPod("after", m.Name(), "nvidia.com/mig-1g.10gb", 1))
	for _, id := range m.exactly(t, next) {
		if used[id] {
			t.Errorf("%s was given away while its pod runs", id)
		}
	}
}

// Soon after the kubelet has its socket all resources are registered.
func TestRegistrationTime(t *testing.T) {
	m := machines(t, mixed)[0]
	m.offers(t, mixedOffers, 20*time.Second)
	var took []time.Duration
	rounds := 5
	if testing.Short() {
		rounds = 2
	}
	for range rounds {
		if err := m.StopKubelet(); err != nil {
			t.Fatal(err)
		}
		old := stamp(t, m)
		if err := m.StartKubelet(); err != nil {
			t.Fatal(err)
		}
		var began time.Time
		for ctx := within(t, time.Minute); ; pause(ctx, time.Millisecond) {
			if began = stamp(t, m); began.After(old) {
				break
			}
			if ctx.Err() != nil {
				t.Fatal("the kubelet made no socket")
			}
		}
		m.answers(t)
		last := began
		for _, resource := range m.status(t).Resources {
			r := resource.Registration
			if !r.Registered || r.Since.Before(began.Add(-time.Millisecond)) {
				t.Errorf("%s is registered: %v, since %s; the socket is of %s", r.Resource, r.Registered, r.Since, began)
			}
			if r.Since.After(last) {
				last = r.Since
			}
		}
		took = append(took, last.Sub(began))
	}
	slices.Sort(took)
	middle := took[len(took)/2]
	proof("2.2b", "median %s, most %s, of %d restarts with %d resources", middle.Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond), len(took), len(mixedOffers))
	if middle > slack()*100*time.Millisecond {
		t.Errorf("registration took %v", took)
	}
}

// stamp is when the kubelet's socket was made; zero while there is none.
func stamp(t *testing.T, m *machine) time.Time {
	t.Helper()
	return modified(m.HostPath(cluster.KubeletSocket))
}
