//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gpulet/gpulet/test/cluster/kube"
)

// Pods that wait when a kubelet restarts: those that are lost are not more than with a plain plugin.
func TestLostPods(t *testing.T) {
	m := machines(t, mixed)[0]
	m.offers(t, mixedOffers, 20*time.Second)
	plain := plainPlugin(t, m)
	const n = 4
	kinds := map[string]string{"gpulet": "nvidia.com/mig-1g.10gb", "plain": plain}
	for kind, resource := range kinds {
		for i := range n {
			crash := gpuPod(fmt.Sprintf("%s-crash-%d", kind, i), m.Name(), resource, 1)
			crash.Restart = core.RestartPolicyAlways
			crash.Containers[0].Command = []string{"/probe", "--for", "200ms", "--exit", "1"}
			create(t, crash)
		}
		for i := range 2 {
			p := gpuPod(fmt.Sprintf("%s-init-%d", kind, i), m.Name(), resource, 1)
			p.Restart = core.RestartPolicyAlways
			p.Init = []kube.Container{{Image: probeImage, Command: []string{"/probe", "--for", "25s"}, Resources: p.Containers[0].Resources}}
			create(t, p)
		}
	}
	pause(t.Context(), 8*time.Second)
	lost := map[string]int{}
	total := 0
	for range 3 {
		m.restartKubelet(t)
		m.answers(t)
	}
	pause(t.Context(), 20*time.Second)
	pods, err := here.Client.CoreV1().Pods(meta.NamespaceDefault).List(t.Context(), meta.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pods.Items {
		kind, _, _ := strings.Cut(p.Name, "-")
		if _, ok := kinds[kind]; !ok || p.Name == "plain-plugin" {
			continue
		}
		total++
		if p.Status.Phase == core.PodFailed {
			lost[kind]++
			t.Logf("%s: %s", p.Name, kube.Describe(&p))
		}
	}
	proof("2.2c", "3 kubelet restarts, %d waiting, init and back-off pods each: gpulet lost %d, a plain plugin %d", total/2, lost["gpulet"], lost["plain"])
	if lost["gpulet"] > lost["plain"] {
		t.Errorf("%d pods were lost, with a plain plugin %d", lost["gpulet"], lost["plain"])
	}
}

// plainPlugin runs a device plugin of the common kind on the node and names its resource.
func plainPlugin(t *testing.T, m *machine) string {
	t.Helper()
	const resource = "example.com/plain"
	dir := "/var/lib/kubelet/device-plugins"
	p := kube.Pod{Name: "plain-plugin", Node: m.Name(), Restart: core.RestartPolicyAlways, Containers: []kube.Container{{
		Image: probeImage, Command: []string{"/bin/plain", "--dir", dir, "--resource", resource}, Privileged: true,
	}}, Change: func(p *core.Pod) {
		p.Spec.Volumes = []core.Volume{{Name: "dir", VolumeSource: core.VolumeSource{HostPath: &core.HostPathVolumeSource{Path: dir}}}}
		p.Spec.Containers[0].VolumeMounts = []core.VolumeMount{{Name: "dir", MountPath: dir}}
	}}
	runs(t, p)
	m.allocatable(t, resource, 8, 30*time.Second)
	return resource
}

func create(t *testing.T, p kube.Pod) *core.Pod {
	t.Helper()
	pod, err := here.Create(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return pod
}

// While the agent is away what runs goes on and restarts; what waits starts soon after its return.
func TestAgentAway(t *testing.T) {
	length := 10 * time.Minute
	if testing.Short() {
		length = 20 * time.Second
	}
	m := machines(t, mixed)[0]
	m.offers(t, mixedOffers, 20*time.Second)
	again := gpuPod("again", m.Name(), "nvidia.com/gpu", 1)
	again.Restart = core.RestartPolicyAlways
	again.Containers[0].Command = []string{"/probe", "--for", "15s", "--exit", "1"}
	first := runs(t, again)
	kubectl(t, "", "-n", namespace, "patch", "daemonset", "gpulet", "--type=merge", "-p", `{"spec":{"template":{"spec":{"nodeSelector":{"nowhere":"yes"}}}}}`)
	noAgent(t, m)
	away := time.Now().Add(length)
	// For 5 minutes the kubelet restarts containers by what it knows; then it lets the resource go, and containers wait.
	back, err := here.Wait(within(t, time.Minute), first, kube.Restarted("main", 1))
	if err != nil {
		t.Fatal("a container does not restart without the agent:", err)
	}
	pause(t.Context(), time.Until(away))
	waiting := []*core.Pod{back}
	for i, r := range []string{"nvidia.com/gpu", "nvidia.com/mig-1g.10gb", "nvidia.com/gpu.shared"} {
		waiting = append(waiting, create(t, gpuPod(fmt.Sprintf("waiting-%d", i), m.Name(), r, 1)))
	}
	pause(t.Context(), 3*time.Second)
	kubectl(t, "", "-n", namespace, "patch", "daemonset", "gpulet", "--type=json", "-p", `[{"op":"remove","path":"/spec/template/spec/nodeSelector/nowhere"}]`)
	m.agent(t)
	began := time.Now()
	var took []string
	for _, p := range waiting {
		if _, err := here.Wait(within(t, time.Minute), p, kube.Ready); err != nil {
			t.Fatal(err)
		}
		took = append(took, fmt.Sprint(time.Since(began).Round(100*time.Millisecond)))
	}
	proof("2.2d", "away for %s: a container restarted meanwhile, while the kubelet kept the resource; after the agent's return it and 3 pending pods ran after %s", length, strings.Join(took, ", "))
	if all := time.Since(began); all > 20*time.Second {
		t.Errorf("it took %s", all)
	}
}

// noAgent waits until the node has no agent pod.
func noAgent(t *testing.T, m *machine) {
	t.Helper()
	for ctx := within(t, 2*time.Minute); ; pause(ctx, 200*time.Millisecond) {
		pods, err := here.Client.CoreV1().Pods(namespace).List(ctx, meta.ListOptions{FieldSelector: "spec.nodeName=" + m.Name()})
		if err == nil && len(pods.Items) == 0 {
			return
		}
		if ctx.Err() != nil {
			t.Fatal("the agent does not go")
		}
	}
}
