// Package minimal_test holds the manifest to the program that it starts.
package minimal_test

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/gpulet/gpulet/agent/config"
)

// The manifest starts the agent with flags that exist, folders that are mounted, and a configuration that is right.
func TestManifest(t *testing.T) {
	f, err := os.Open("daemonset.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	docs := yaml.NewYAMLOrJSONDecoder(f, 4096)
	var set appsv1.DaemonSet
	var conf corev1.ConfigMap
	for {
		var raw map[string]any
		if err := docs.Decode(&raw); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		into := map[string]any{"DaemonSet": &set, "ConfigMap": &conf}[raw["kind"].(string)]
		if into == nil {
			continue
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(raw, into, true); err != nil {
			t.Fatal(err)
		}
	}
	if len(set.Spec.Template.Spec.Containers) != 1 {
		t.Fatal("no DaemonSet with one container")
	}
	c := set.Spec.Template.Spec.Containers[0]
	given := map[string]string{}
	for _, arg := range c.Args[1:] {
		name, value, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		given[name] = value
	}
	known := map[string]bool{}
	for _, s := range config.Settings() {
		known[s.Flag] = true
	}
	for name := range given {
		if !known[name] {
			t.Errorf("there is no flag --%s", name)
		}
	}
	r, err := config.Sources{Flags: given}.Resolve("gpulet.yaml", []byte(conf.Data["gpulet.yaml"]))
	if err != nil {
		t.Fatalf("the ConfigMap: %v", err)
	}
	mounted := func(path string) bool {
		for _, m := range c.VolumeMounts {
			if path == m.MountPath || strings.HasPrefix(path, m.MountPath+"/") {
				return true
			}
		}
		return false
	}
	p := r.Config.Process
	for _, path := range []string{p.File, p.StateDir, p.RunDir, p.KubeletRoot, p.CDIDir, p.DriverRoot, p.DevRoot, p.SysRoot} {
		if !mounted(path) {
			t.Errorf("%s is not mounted", path)
		}
	}
}
