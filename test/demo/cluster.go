package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gpulet/gpulet/test/cluster"
	"github.com/gpulet/gpulet/test/cluster/kube"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

const (
	agentImage = "gpulet:dev"
	probeImage = "gpulet.dev/demo/probe:1"
	// machinePath is where the cluster's node has the simulated machine.
	machinePath = "/opt/gpusim"
	configName  = "gpulet.yaml"
)

// clustered is the node of a real cluster on this machine: the agent is a DaemonSet pod, made by the manifest that users apply.
type clustered struct {
	files
	dir     string
	sim     *sim.Node
	cluster *cluster.Cluster
	kube    *kube.Kube
	pods    map[string]*corev1.Pod // by name
}

func newCluster(ctx context.Context, r *report, gpulet string) (_ node, err error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("a cluster on this machine takes root; without --cluster nothing does")
	}
	manifest, err := os.ReadFile(manifestPath)
	if err != nil {
		return nil, fmt.Errorf("the agent's manifest: %w (start from the root of the repository)", err)
	}
	dir, err := os.MkdirTemp("", "gpulet")
	if err != nil {
		return nil, err
	}
	c := &clustered{dir: dir, pods: map[string]*corev1.Pod{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close())
		}
	}()
	r.text("A real cluster of one node comes up in %s; the first time, building Kubernetes takes minutes.", dir)
	if err := c.up(ctx); err != nil {
		return nil, err
	}
	if err := c.images(ctx, gpulet); err != nil {
		return nil, err
	}
	r.text("The agent %s is deployed as a DaemonSet. GPU %d is in MIG mode.", gpulet, divided)
	if err := c.deploy(ctx, manifest); err != nil {
		return nil, err
	}
	_, err = c.agent(ctx)
	return c, err
}

// up brings up the cluster and the simulated machine, which its node sees at machinePath.
func (c *clustered) up(ctx context.Context) (err error) {
	machine := filepath.Join(c.dir, "node")
	if err := os.MkdirAll(machine, 0o755); err != nil {
		return err
	}
	if c.cluster, err = cluster.Up(ctx, cluster.Options{
		Dir: filepath.Join(c.dir, "c"), Nodes: 1, PerNode: []cluster.NodeOptions{{Binds: []cluster.Bind{{Host: machine, Node: machinePath}}}},
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}); err != nil {
		return err
	}
	config, err := c.cluster.Client()
	if err != nil {
		return err
	}
	if c.kube, err = kube.New(config); err != nil {
		return err
	}
	n := c.cluster.Nodes[0]
	c.files = files{filepath.Dir(n.HostPath(cluster.KubeletSocket)), n.HostPath(cluster.PodResourcesSocket), n.HostPath("/var/run/cdi")}
	if c.sim, err = startHardware(ctx, machine); err != nil {
		return err
	}
	return c.configure(ctx, "")
}

// images brings the agent and the program of the pods into the cluster.
func (c *clustered) images(ctx context.Context, gpulet string) error {
	probe := filepath.Join(c.dir, "probe")
	if err := cluster.BuildProgram(ctx, "github.com/gpulet/gpulet/test/e2e/probe", probe); err != nil {
		return err
	}
	for name, program := range map[string]string{agentImage: gpulet, probeImage: probe} {
		image, err := cluster.ProgramImage(ctx, name, program, nil)
		if err != nil {
			return err
		}
		archive := filepath.Join(c.dir, "image.tar")
		if err := image.Write(archive); err != nil {
			return err
		}
		if err := c.cluster.LoadImage(ctx, archive); err != nil {
			return err
		}
	}
	return nil
}

// agent waits for the agent's pod to be ready.
func (c *clustered) agent(ctx context.Context) (pod *corev1.Pod, err error) {
	err = until(ctx, "the agent's pod", func(ctx context.Context) (bool, error) {
		pods, err := c.kube.Client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{LabelSelector: agentLabel})
		if err != nil {
			return false, err
		}
		for i := range pods.Items {
			if pod = &pods.Items[i]; kube.Ready(pod) && pod.DeletionTimestamp == nil {
				return true, nil
			}
			err = errors.New(kube.Describe(pod))
		}
		return false, err
	})
	return pod, err
}

func (c *clustered) hardware() *sim.Node { return c.sim }

func (c *clustered) farewell() string {
	return fmt.Sprintf("The cluster goes on: kubectl --kubeconfig %s get pods -A. Ctrl-C ends it.", c.cluster.Kubeconfig)
}

func (c *clustered) run(ctx context.Context, name, resource string, n int64) (grant, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	pod, err := c.kube.Create(ctx, kube.Pod{Name: name, Containers: []kube.Container{
		{Image: probeImage, Resources: map[string]string{resource: strconv.FormatInt(n, 10)}},
	}})
	if err != nil {
		return grant{}, err
	}
	if pod, err = c.kube.Wait(ctx, pod, kube.Ready); err != nil {
		return grant{}, err
	}
	c.pods[name] = pod
	return c.pod(ctx, name)
}

func (c *clustered) pod(ctx context.Context, name string) (grant, error) {
	pod, err := c.kube.Client.CoreV1().Pods(metav1.NamespaceDefault).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return grant{}, err
	}
	g, err := c.granted(string(pod.UID))
	if len(pod.Status.ContainerStatuses) > 0 {
		g.container = pod.Status.ContainerStatuses[0].ContainerID
	}
	return g, err
}

func (c *clustered) end(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return c.kube.Delete(ctx, c.pods[name])
}

func (c *clustered) healthy(ctx context.Context, resource string) ([]string, error) {
	return c.healthyDevices(ctx, resource)
}

func (c *clustered) configure(_ context.Context, text string) error {
	return writeConfig(filepath.Join(c.dir, "node", configName), text)
}

// crash kills the agent's process on the node, which has processes of its own; the kubelet starts it again.
func (c *clustered) crash(ctx context.Context) error {
	before, err := c.agent(ctx)
	if err != nil {
		return err
	}
	out, err := c.cluster.Nodes[0].Run(ctx, "sh", "-c",
		`for p in /proc/[0-9]*; do if [ "$(cat $p/comm)" = gpulet ]; then kill -9 "${p#/proc/}"; fi; done`)
	if err != nil {
		return fmt.Errorf("kill the agent: %w: %s", err, out)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err = c.kube.Wait(ctx, before, func(p *corev1.Pod) bool {
		return kube.Ready(p) && p.Status.ContainerStatuses[0].RestartCount > before.Status.ContainerStatuses[0].RestartCount
	})
	return err
}

func (c *clustered) gpulet(ctx context.Context, args ...string) (string, error) {
	pod, err := c.agent(ctx)
	if err != nil {
		return "", err
	}
	return c.kubectl(ctx, nil, append([]string{"exec", "-n", pod.Namespace, pod.Name, "--", "/usr/bin/gpulet"}, args...)...)
}

func (c *clustered) kubectl(ctx context.Context, in []byte, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "kubectl", append([]string{"--kubeconfig", c.cluster.Kubeconfig}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return out.String(), nil
}

func (c *clustered) log(lines int) string {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := c.kubectl(ctx, nil, "logs", "-n", agentNamespace, "-l", agentLabel, "--tail", strconv.Itoa(lines))
	if err != nil {
		return err.Error()
	}
	return out
}

func (c *clustered) close() (err error) {
	if c.cluster != nil {
		err = c.cluster.Down()
	}
	if c.sim != nil {
		err = errors.Join(err, c.sim.Stop())
	}
	return errors.Join(err, os.RemoveAll(c.dir))
}
