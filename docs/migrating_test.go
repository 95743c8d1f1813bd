// Package docs_test holds the pages to the program: what a reader copies out of them works.
package docs_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/gpulet/gpulet/agent/config"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/partitioner/label"
	"github.com/gpulet/gpulet/partitioner/parted"
	"github.com/gpulet/gpulet/test/gpusim/direct"
	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/shapes"
)

const migrating = "migrating-from-mig-manager.md"

// files are the fenced blocks of a page that have the name of a file, by it.
func files(t *testing.T, page string) map[string][]byte {
	t.Helper()
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for i, part := range strings.Split(string(data), "```") {
		head, body, _ := strings.Cut(part, "\n")
		if _, name, named := strings.Cut(head, " "); i%2 == 1 && named {
			out[name] = []byte(body)
		}
	}
	return out
}

// decode reads the one document of a file strictly.
func decode(t *testing.T, data []byte, into any) {
	t.Helper()
	raw, err := yaml.ToJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		t.Fatal(err)
	}
}

// manifest is the object of a kind in the manifest that the page starts from, patched by a file of the page.
func manifest[T any](t *testing.T, kind string, patch []byte) (out T) {
	t.Helper()
	f, err := os.Open("../deployments/minimal/daemonset.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	docs := yaml.NewYAMLOrJSONDecoder(f, 4096)
	for {
		var raw map[string]any
		if err := docs.Decode(&raw); errors.Is(err, io.EOF) {
			t.Fatalf("the manifest has no %s", kind)
		} else if err != nil {
			t.Fatal(err)
		}
		if raw["kind"] != kind {
			continue
		}
		before, err := json.Marshal(raw)
		if err != nil {
			t.Fatal(err)
		}
		change, err := yaml.ToJSON(patch)
		if err != nil {
			t.Fatal(err)
		}
		after, err := strategicpatch.StrategicMergePatch(before, change, out)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(after, &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
}

// The files that the page has a user write fit each other: the agent's configuration is right, and the file that it names is mounted
// from the ConfigMap that a command of the page makes.
func TestMigratingFilesFitEachOther(t *testing.T) {
	blocks := files(t, migrating)
	conf := manifest[corev1.ConfigMap](t, "ConfigMap", blocks["gpulet-config.yaml"])
	r, err := config.Sources{}.Resolve("gpulet.yaml", []byte(conf.Data["gpulet.yaml"]))
	if err != nil {
		t.Fatal(err)
	}
	settings := r.Config.Partition
	if !settings.Label || !settings.AllowReset || !settings.Active() {
		t.Errorf("the label is not followed: %+v", settings)
	}

	set := manifest[appsv1.DaemonSet](t, "DaemonSet", blocks["gpulet-daemonset.yaml"])
	pod := set.Spec.Template.Spec
	if len(pod.Containers) != 1 || len(pod.NodeSelector) != 1 {
		t.Fatalf("%d containers, selector %v", len(pod.Containers), pod.NodeSelector)
	}
	i := slices.IndexFunc(pod.Containers[0].VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == path.Dir(settings.PartedFile) })
	if i < 0 {
		t.Fatalf("%s is not mounted", settings.PartedFile)
	}
	mount := pod.Containers[0].VolumeMounts[i].Name
	v := slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == mount })
	if v < 0 || pod.Volumes[v].ConfigMap == nil {
		t.Fatalf("volume %s is no ConfigMap", mount)
	}
	data, err := os.ReadFile(migrating)
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	for _, want := range []string{
		"create configmap " + pod.Volumes[v].ConfigMap.Name + " --from-file=" + path.Base(settings.PartedFile), label.ConfigLabel + "=inference",
		strings.ReplaceAll(label.StateLabel, ".", `\.`), label.ConditionType,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %s", want)
		}
	}

	var kustomization struct {
		Resources []string
		Patches   []struct{ Path string }
	}
	decode(t, blocks["kustomization.yaml"], &kustomization)
	for _, p := range kustomization.Patches {
		if blocks[p.Path] == nil {
			t.Errorf("the page has no file %s", p.Path)
		}
	}
}

// The user's ConfigMap makes of each node what the table of the page says.
func TestMigratingFileDividesTheNodesOfThePage(t *testing.T) {
	var users corev1.ConfigMap
	decode(t, files(t, migrating)["custom-mig-config.yaml"], &users)
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte(users.Data["config.yaml"]), 0o600); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(migrating)
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(data), "| node | label | each GPU becomes |\n|---|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	rows := strings.Split(table, "\n")
	if len(rows) < 8 {
		t.Fatalf("%d rows", len(rows))
	}
	for _, row := range rows {
		cells := strings.Split(strings.Trim(row, "| "), " | ")
		t.Run(cells[0]+", "+cells[1], func(t *testing.T) {
			s := node(t, cells[0])
			made, err := label.Resolve(s, file, cells[1])
			got := describe(s, made)
			if err != nil {
				got = "failed: " + err.Error()
			}
			if reason, failed := strings.CutPrefix(cells[2], "failed: "); failed && err != nil && strings.Contains(got, reason) {
				return
			}
			if got != cells[2] {
				t.Errorf("got %s, the page says %s", got, cells[2])
			}
		})
	}
}

// describe is what the page says of GPUs: one text when all become the same.
func describe(s *gpu.Snapshot, made map[gpu.UUID]parted.Target) string {
	if len(made) == 0 {
		return "as it is: no entry is for it"
	}
	var texts []string
	on := map[string][]int{}
	for _, g := range s.GPUs {
		text := made[g.UUID].String()
		if on[text] == nil {
			texts = append(texts, text)
		}
		on[text] = append(on[text], g.Index)
	}
	if len(texts) == 1 {
		return texts[0]
	}
	for i, text := range texts {
		texts[i] = text + " on " + strings.TrimPrefix(parted.ListGPUs(on[text]), "GPUs ")
	}
	return strings.Join(texts, ", ")
}

// node is the simulated node that the page calls so.
func node(t *testing.T, name string) *gpu.Snapshot {
	t.Helper()
	shape, err := shapes.Load(map[string]string{
		"8 x A100 40 GB": "a100-40x8", "8 x A100 80 GB": "dgx-a100", "8 x H100": "hgx-h100", "4 x A30": "a30x4", "8 x H200": "hgx-h200",
		"8 x B200": "hgx-b200", "4 x RTX PRO 6000": "rtx6000x4",
	}[name])
	if err != nil {
		t.Fatalf("%q: %v", name, err)
	}
	m, err := model.New(shape, model.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	d := direct.New(m, model.Caller{PID: 1, Name: "test"})
	if err := d.Open(); err != nil {
		t.Fatal(err)
	}
	defer d.Kill()
	count, err := d.Count()
	if err != nil {
		t.Fatal(err)
	}
	s := &gpu.Snapshot{Version: 1}
	for i := range count {
		device, err := d.GPU(i)
		if err != nil {
			t.Fatal(err)
		}
		id, _, err := device.Identity()
		if err != nil {
			t.Fatal(err)
		}
		geometry, _, err := device.Geometry()
		if err != nil {
			t.Fatal(err)
		}
		s.GPUs = append(s.GPUs, gpu.GPU{
			UUID: id.UUID, Index: i, PCIDeviceID: id.PCIDeviceID, PCISubsystemID: id.PCISubsystemID,
			Geometry: geometry, MIG: gpu.MIGState{Capable: geometry.Axis > 0},
		})
	}
	return s
}

// The command that takes the condition away leaves the Node's other conditions.
func TestMigratingRemovesTheCondition(t *testing.T) {
	data, err := os.ReadFile(migrating)
	if err != nil {
		t.Fatal(err)
	}
	_, patch, found := strings.Cut(string(data), "--subresource=status -p '")
	patch, _, _ = strings.Cut(patch, "'")
	if !found {
		t.Fatal("the page has no such command")
	}
	before, err := json.Marshal(corev1.Node{Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady}, {Type: label.ConditionType}}}})
	if err != nil {
		t.Fatal(err)
	}
	after, err := strategicpatch.StrategicMergePatch(before, []byte(patch), corev1.Node{})
	if err != nil {
		t.Fatal(err)
	}
	var n corev1.Node
	if err := json.Unmarshal(after, &n); err != nil {
		t.Fatal(err)
	}
	if c := n.Status.Conditions; len(c) != 1 || c[0].Type != corev1.NodeReady {
		t.Errorf("conditions are %+v", c)
	}
}
