package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

const (
	// manifestPath is what users apply, from the root of the repository.
	manifestPath   = "deployments/minimal/daemonset.yaml"
	agentNamespace = "gpulet"
	agentLabel     = "app.kubernetes.io/name=gpulet"
)

// deploy applies the manifest with the simulated machine in place of the real one.
func (c *clustered) deploy(ctx context.Context, manifest []byte) error {
	changed, err := simulated(manifest)
	if err != nil {
		return err
	}
	_, err = c.kubectl(ctx, changed, "apply", "-f", "-")
	return err
}

// simulated points the DaemonSet of a manifest at the machine below machinePath; all else stays as it is.
func simulated(manifest []byte) ([]byte, error) {
	docs := bytes.Split(manifest, []byte("\n---"))
	found := false
	for i, doc := range docs {
		var kind struct{ Kind string }
		if err := yaml.Unmarshal(doc, &kind); err != nil {
			return nil, fmt.Errorf("document %d of %s: %w", i+1, manifestPath, err)
		}
		if kind.Kind != "DaemonSet" {
			continue
		}
		var ds appsv1.DaemonSet
		if err := yaml.UnmarshalStrict(doc, &ds); err != nil {
			return nil, fmt.Errorf("the DaemonSet of %s: %w", manifestPath, err)
		}
		pod := &ds.Spec.Template.Spec
		if len(pod.Containers) != 1 {
			return nil, fmt.Errorf("the DaemonSet of %s has %d containers", manifestPath, len(pod.Containers))
		}
		agent := &pod.Containers[0]
		agent.Image, agent.ImagePullPolicy = agentImage, corev1.PullNever
		agent.Args = append(agent.Args,
			"--config", machinePath+"/"+configName, "--nvml-library", machinePath+"/lib/libnvidia-ml.so.1",
			"--metrics-dcgm-library", machinePath+"/lib/libdcgm.so.4",
			"--proc-root", machinePath+"/proc", "--sys-root", machinePath+"/sys",
			"--dev-root", machinePath+"/dev", "--host-dev-root", machinePath+"/dev",
			"--driver-root", machinePath+"/driver", "--host-driver-root", machinePath+"/driver")
		directory := corev1.HostPathDirectory
		pod.Volumes = append(pod.Volumes, corev1.Volume{Name: "machine", VolumeSource: corev1.VolumeSource{
			HostPath: &corev1.HostPathVolumeSource{Path: machinePath, Type: &directory},
		}})
		agent.VolumeMounts = append(agent.VolumeMounts, corev1.VolumeMount{Name: "machine", MountPath: machinePath})
		out, err := json.Marshal(&ds)
		if err != nil {
			return nil, err
		}
		docs[i], found = append([]byte("\n"), out...), true
	}
	if !found {
		return nil, errors.New(manifestPath + " has no DaemonSet")
	}
	return bytes.Join(docs, []byte("\n---")), nil
}
