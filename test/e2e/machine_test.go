//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/gpulet/gpulet/test/cluster"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// spec is what a test wants of a node: a shape of simulated GPUs and a configuration of the agent.
type spec struct {
	shape, driver, config string
	// prepare divides GPUs, say, before the agent starts.
	prepare func(*testing.T, *sim.Node)
}

// machine is one node with simulated GPUs and the agent on it.
type machine struct {
	*cluster.Node
	sim *sim.Node
	dir string // the host's side of machinePath
}

// machines prepares the first nodes of the cluster and starts the agent on them; all of it ends with the test.
func machines(t *testing.T, specs ...spec) []*machine {
	t.Helper()
	var out []*machine
	for i, s := range specs {
		m := &machine{Node: here.cluster.Nodes[i], dir: here.machineDir(i)}
		empty(t, m.dir)
		m.sim = sim.New(t, sim.Options{Shape: s.shape, Driver: s.driver, Dir: m.dir, Seed: here.seed()})
		m.configure(t, s.config)
		if s.prepare != nil {
			s.prepare(t, m.sim)
		}
		out = append(out, m)
	}
	t.Cleanup(func() { clean(t, out) })
	deploy(t, out)
	return out
}

// empty removes what is in a folder; the folder itself is a mount.
func empty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if err == nil {
			err = os.RemoveAll(filepath.Join(dir, e.Name()))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// configure replaces the agent's configuration; it is loaded while the agent runs.
func (m *machine) configure(t *testing.T, text string) {
	t.Helper()
	dir := filepath.Join(m.dir, "config")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	next := filepath.Join(dir, ".next")
	if err := os.WriteFile(next, []byte("version: gpulet.dev/v1\n"+text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, filepath.Join(dir, "gpulet.yaml")); err != nil {
		t.Fatal(err)
	}
}

const namespace = "gpulet"

// deploy starts the agent from the manifest that users apply, with the simulated machine in place of the real one.
func deploy(t *testing.T, on []*machine) {
	t.Helper()
	text, err := os.ReadFile("../../deployments/minimal/daemonset.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var docs []string
	for _, doc := range strings.Split(string(text), "\n---") {
		if strings.Contains(doc, "\nkind: DaemonSet\n") {
			doc = simulated(t, doc, on)
		}
		docs = append(docs, doc)
	}
	kubectl(t, strings.Join(docs, "\n---\n"), "apply", "-f", "-")
	for _, m := range on {
		m.agent(t)
	}
}

// simulated points the DaemonSet at the simulated machines.
func simulated(t *testing.T, doc string, on []*machine) string {
	t.Helper()
	var ds apps.DaemonSet
	if err := yaml.UnmarshalStrict([]byte(doc), &ds); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range on {
		names = append(names, m.Name())
	}
	pod := &ds.Spec.Template.Spec
	pod.Affinity = &core.Affinity{NodeAffinity: &core.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &core.NodeSelector{
		NodeSelectorTerms: []core.NodeSelectorTerm{{MatchExpressions: []core.NodeSelectorRequirement{
			{Key: core.LabelHostname, Operator: core.NodeSelectorOpIn, Values: names},
		}}},
	}}}
	c := &pod.Containers[0]
	c.Image, c.ImagePullPolicy = "gpulet:dev", core.PullNever
	// The machine is another one than the node's own: its folders, in the agent's view and in the runtime's, are below machinePath.
	c.Args = append(c.Args,
		"--config", machinePath+"/config/gpulet.yaml", "--nvml-library", machinePath+"/lib/libnvidia-ml.so.1",
		"--metrics-dcgm-library", machinePath+"/lib/libdcgm.so.4",
		"--proc-root", machinePath+"/proc", "--sys-root", machinePath+"/sys",
		"--dev-root", machinePath+"/dev", "--host-dev-root", machinePath+"/dev",
		"--driver-root", machinePath+"/driver", "--host-driver-root", machinePath+"/driver",
	)
	kind := core.HostPathDirectory
	pod.Volumes = append(pod.Volumes, core.Volume{Name: "machine", VolumeSource: core.VolumeSource{
		HostPath: &core.HostPathVolumeSource{Path: machinePath, Type: &kind},
	}})
	c.VolumeMounts = append(c.VolumeMounts, core.VolumeMount{Name: "machine", MountPath: machinePath})
	out, err := json.Marshal(&ds)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// agent waits for the node's agent pod to be ready.
func (m *machine) agent(t *testing.T) *core.Pod {
	t.Helper()
	var last string
	for ctx := within(t, 2*time.Minute); ctx.Err() == nil; pause(ctx, 200*time.Millisecond) {
		pods, err := here.Client.CoreV1().Pods(namespace).List(ctx, meta.ListOptions{FieldSelector: "spec.nodeName=" + m.Name()})
		if err != nil {
			last = err.Error()
			continue
		}
		for i := range pods.Items {
			p := &pods.Items[i]
			for _, c := range p.Status.Conditions {
				if c.Type == core.PodReady && c.Status == core.ConditionTrue && p.DeletionTimestamp == nil {
					return p
				}
			}
			last = string(p.Status.Phase) + " " + p.Status.Message + fmt.Sprint(p.Status.ContainerStatuses)
		}
	}
	t.Fatalf("no agent is ready on %s: %s", m.Name(), last)
	return nil
}

// clean ends the pods and the agent and removes what a node keeps, so that the next test finds it new.
func clean(t *testing.T, on []*machine) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	if t.Failed() {
		for _, m := range on {
			m.tell(ctx, t)
		}
	}
	now := int64(0)
	_ = here.Client.CoreV1().Pods(meta.NamespaceDefault).DeleteCollection(ctx, meta.DeleteOptions{GracePeriodSeconds: &now}, meta.ListOptions{})
	_ = here.Client.AppsV1().DaemonSets(namespace).DeleteCollection(ctx, meta.DeleteOptions{}, meta.ListOptions{})
	for ; ctx.Err() == nil; pause(ctx, 200*time.Millisecond) {
		a, errA := here.Client.CoreV1().Pods(namespace).List(ctx, meta.ListOptions{})
		b, errB := here.Client.CoreV1().Pods(meta.NamespaceDefault).List(ctx, meta.ListOptions{})
		if errA == nil && errB == nil && len(a.Items)+len(b.Items) == 0 {
			break
		}
	}
	for _, m := range on {
		if err := m.sim.Stop(); err != nil {
			t.Error(err)
		}
		if _, err := m.Run(ctx, "sh", "-c", "rm -rf /var/lib/gpulet /run/gpulet /var/run/cdi/*"); err != nil {
			t.Error(err)
		}
		node, err := here.Client.CoreV1().Nodes().Get(ctx, m.Name(), meta.GetOptions{})
		if err != nil {
			t.Error(err)
			continue
		}
		var gone []map[string]string
		for _, list := range []struct {
			name string
			of   core.ResourceList
		}{{"capacity", node.Status.Capacity}, {"allocatable", node.Status.Allocatable}} {
			for r := range list.of {
				if strings.Contains(string(r), "/") {
					gone = append(gone, map[string]string{"op": "remove", "path": "/status/" + list.name + "/" + strings.ReplaceAll(string(r), "/", "~1")})
				}
			}
		}
		if patch, err := json.Marshal(gone); err == nil && len(gone) > 0 {
			_, _ = here.Client.CoreV1().Nodes().Patch(ctx, m.Name(), types.JSONPatchType, patch, meta.PatchOptions{}, "status")
		}
	}
}

// tell prints what a person would look at after a failure.
func (m *machine) tell(ctx context.Context, t *testing.T) {
	pods, err := here.Client.CoreV1().Pods(namespace).List(ctx, meta.ListOptions{FieldSelector: "spec.nodeName=" + m.Name()})
	if err != nil {
		t.Log(err)
		return
	}
	for i := range pods.Items {
		log, err := here.Logs(ctx, &pods.Items[i], "")
		if lines := strings.Split(log, "\n"); len(lines) > 120 {
			log = strings.Join(lines[len(lines)-120:], "\n")
		}
		t.Logf("%s on %s: %v\n%s", pods.Items[i].Name, m.Name(), err, log)
	}
}

func kubectl(t *testing.T, in string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "kubectl", append([]string{"--kubeconfig", here.cluster.Kubeconfig}, args...)...)
	cmd.Stdin = strings.NewReader(in)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

// within is a context of the test that ends after d.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// slack is what a bar of time is multiplied by: 1 where a promise is measured, 10 in CI, whose machine is shared.
func slack() time.Duration {
	if testing.Short() || os.Getenv("CI") != "" {
		return 10
	}
	return 1
}

// proof prints a figure for test/prove.
func proof(id, format string, args ...any) {
	fmt.Printf("PROOF %s: %s\n", id, fmt.Sprintf(format, args...))
}
