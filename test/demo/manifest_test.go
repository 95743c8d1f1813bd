package main

import (
	"bytes"
	"os"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"
)

// Of the manifest that users apply only the DaemonSet changes, and there what points at the machine.
func TestManifestChangesLittle(t *testing.T) {
	manifest, err := os.ReadFile("../../" + manifestPath)
	if err != nil {
		t.Fatal(err)
	}
	changed, err := simulated(manifest)
	if err != nil {
		t.Fatal(err)
	}
	before, after := bytes.Split(manifest, []byte("\n---")), bytes.Split(changed, []byte("\n---"))
	if len(before) != len(after) {
		t.Fatalf("%d documents became %d", len(before), len(after))
	}
	differ := 0
	for i := range before {
		if bytes.Equal(before[i], after[i]) {
			continue
		}
		differ++
		var was, is appsv1.DaemonSet
		if err := yaml.UnmarshalStrict(before[i], &was); err != nil {
			t.Fatal(err)
		}
		if err := yaml.UnmarshalStrict(after[i], &is); err != nil {
			t.Fatal(err)
		}
		a, b := was.Spec.Template.Spec, is.Spec.Template.Spec
		if len(b.Volumes) != len(a.Volumes)+1 || b.Containers[0].Image != agentImage || len(b.Containers[0].Args) <= len(a.Containers[0].Args) {
			t.Errorf("the DaemonSet became\n%s", after[i])
		}
	}
	if differ != 1 {
		t.Errorf("%d documents changed", differ)
	}
}

func TestManifestRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":        "kind: Namespace\n",
		"no container":   "kind: DaemonSet\nspec: {template: {spec: {}}}\n",
		"an unknown key": "kind: DaemonSet\nspecs: {}\n",
		"no YAML":        "kind: [\n",
	} {
		if _, err := simulated([]byte(text)); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}
