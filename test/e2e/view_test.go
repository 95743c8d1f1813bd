//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	core "k8s.io/api/core/v1"
	podresources "k8s.io/kubelet/pkg/apis/podresources/v1"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/test/cluster"
	"github.com/gpulet/gpulet/test/cluster/kube"
)

// view is what test/e2e/probe prints of its container.
type view struct {
	Env     map[string]string    `json:"env"`
	Devices map[string][2]uint32 `json:"devices"`
	Mounts  []string             `json:"mounts"`
	GPUs    []string             `json:"gpus"`
}

// gpuPod is a pod whose container runs the probe with so many of one resource.
func gpuPod(name, node, resource string, n int) kube.Pod {
	return kube.Pod{Name: name, Node: node, Containers: []kube.Container{{
		Image: probeImage, Resources: map[string]string{resource: strconv.Itoa(n)},
	}}}
}

// runs creates a pod and waits until its containers run.
func runs(t *testing.T, p kube.Pod) *core.Pod {
	t.Helper()
	ctx := within(t, time.Minute)
	pod, err := here.Create(ctx, p)
	if err == nil {
		pod, err = here.Wait(ctx, pod, kube.Ready)
	}
	if err != nil {
		t.Fatal(err)
	}
	return pod
}

// look reads what the probe of a pod saw.
func look(t *testing.T, pod *core.Pod) (v view) {
	t.Helper()
	for ctx := within(t, 20*time.Second); ; pause(ctx, 100*time.Millisecond) {
		log, err := here.Logs(ctx, pod, "")
		if line, _, ok := strings.Cut(log, "\n"); ok && err == nil {
			if err := json.Unmarshal([]byte(line), &v); err != nil {
				t.Fatalf("%s printed %q: %v", pod.Name, line, err)
			}
			return v
		}
		if ctx.Err() != nil {
			t.Fatalf("%s printed nothing: %v", pod.Name, err)
		}
	}
}

// given asks the kubelet which device ids each container of a node has: namespace/pod/container -> ids.
func (m *machine) given(t *testing.T) map[string][]string {
	t.Helper()
	conn, err := grpc.NewClient("unix://"+m.HostPath(cluster.PodResourcesSocket), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	list, err := podresources.NewPodResourcesListerClient(conn).List(ctx, &podresources.ListPodResourcesRequest{}, grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for _, p := range list.PodResources {
		for _, c := range p.Containers {
			for _, d := range c.Devices {
				key := p.Namespace + "/" + p.Name + "/" + c.Name
				out[key] = append(out[key], d.DeviceIds...)
			}
		}
	}
	return out
}

// exactly checks that a pod's container has the device nodes of its devices and no others, the driver's files, and no variable that
// would give it more. It returns the ids.
func (m *machine) exactly(t *testing.T, pod *core.Pod) []string {
	t.Helper()
	ids := m.given(t)["default/"+pod.Name+"/"+pod.Spec.Containers[0].Name]
	if len(ids) == 0 {
		t.Fatalf("the kubelet gave nothing to %s", pod.Name)
	}
	want := m.nodesOf(t, ids)
	got := look(t, pod)
	if !maps.Equal(got.Devices, want) {
		t.Errorf("%s has %v\nnot %v\nof %v", pod.Name, got.Devices, want, ids)
	}
	if got.Env["NVIDIA_VISIBLE_DEVICES"] != "void" {
		t.Errorf("%s has NVIDIA_VISIBLE_DEVICES=%q", pod.Name, got.Env["NVIDIA_VISIBLE_DEVICES"])
	}
	version := m.sim.Model.DriverVersion()
	for _, lib := range []string{"libcuda.so." + version, "libnvidia-ml.so." + version} {
		if !slices.ContainsFunc(got.Mounts, func(s string) bool { return strings.HasSuffix(s, "/"+lib) }) {
			t.Errorf("%s has no %s among %v", pod.Name, lib, got.Mounts)
		}
	}
	return ids
}

// nodesOf are the device nodes of device ids, from the simulated machine and not from the agent.
func (m *machine) nodesOf(t *testing.T, ids []string) map[string][2]uint32 {
	t.Helper()
	want := map[string][2]uint32{"/dev/nvidiactl": {195, 255}, "/dev/nvidia-uvm": {508, 0}, "/dev/nvidia-uvm-tools": {508, 1}, "/dev/nvidia-modeset": {195, 254}}
	status := m.sim.Model.Status()
	for _, id := range ids {
		p, err := gpu.ParseDeviceID(id)
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, g := range status.GPUs {
			if g.UUID != p.GPU && gpu.ShortUUID(gpu.UUID(g.UUID)) != p.GPU {
				continue
			}
			found = p.Kind == gpu.Whole
			want[fmt.Sprintf("/dev/nvidia%d", g.Minor)] = [2]uint32{195, g.Minor}
			for _, in := range g.Instances {
				if p.Kind != gpu.Slice || int(in.Placement.Start) != p.Start {
					continue
				}
				for _, c := range in.Compute {
					if p.Profile.IsSlice() && int(c.Placement.Start) != p.ComputeStart {
						continue
					}
					found = true
					for _, line := range []string{fmt.Sprintf("gpu%d/gi%d/access ", g.Minor, in.GI), fmt.Sprintf("gpu%d/gi%d/ci%d/access ", g.Minor, in.GI, c.CI)} {
						n := m.capability(t, line)
						want[fmt.Sprintf("/dev/nvidia-caps/nvidia-cap%d", n)] = [2]uint32{235, n}
					}
				}
			}
		}
		if !found {
			t.Fatalf("there is no %s on %s", id, m.Name())
		}
	}
	return want
}

// capability is the minor number of a line of mig-minors.
func (m *machine) capability(t *testing.T, line string) (n uint32) {
	t.Helper()
	for _, f := range m.sim.Model.Files() {
		if f.Path != "/proc/driver/nvidia-caps/mig-minors" {
			continue
		}
		for l := range strings.Lines(f.Content) {
			if rest, ok := strings.CutPrefix(l, line); ok {
				if _, err := fmt.Sscan(rest, &n); err != nil {
					t.Fatal(err)
				}
				return n
			}
		}
	}
	t.Fatalf("no capability %q", line)
	return 0
}

// allocatable waits until the API server says that the node has so many.
func (m *machine) allocatable(t *testing.T, resource string, n int64, d time.Duration) {
	t.Helper()
	if err := here.WaitAllocatable(within(t, d), m.Name(), resource, n); err != nil {
		t.Fatal(err)
	}
}
