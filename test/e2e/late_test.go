//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	core "k8s.io/api/core/v1"

	"github.com/gpulet/gpulet/test/cluster/kube"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

const (
	lateResource = "example.com/late"
	lateGPUs     = 3
	// unresolvable is what the runtime says of a container whose CDI spec it does not know.
	unresolvable = "unresolvable CDI devices"
)

// Containers start whose CDI spec is written only as they start: each has its own devices, those that did not find the spec
// at first too.
func TestLateSpecs(t *testing.T) {
	pods, each := 20, 50
	if testing.Short() {
		each = 3
	}
	m := &machine{Node: here.cluster.Nodes[0], dir: here.machineDir(0), sim: &sim.Node{}} // late has GPUs of its own
	empty(t, m.dir)
	t.Cleanup(func() { clean(t, []*machine{m}) })
	l := startLate(t, m, 1)
	m.allocatable(t, lateResource, 7*lateGPUs, 30*time.Second)

	// The first spec is lost on purpose: what is counted below is counted rightly, and such a container runs too.
	l.wait(t, l.pod(t, "lost", 1), time.Minute)
	began := time.Now()
	lost := l.tally(t)
	if lost.starts != 1 || lost.late != 1 || lost.refused == 0 {
		t.Fatalf("a start whose spec was lost is counted as %+v", lost)
	}
	var all []*core.Pod
	for i := range pods {
		all = append(all, l.pod(t, fmt.Sprintf("late-%d", i), each))
	}
	for _, p := range all {
		l.wait(t, p, 12*time.Minute-time.Since(began))
	}
	took := time.Since(began)
	l.stop(t)
	got := l.tally(t)
	got.starts, got.late, got.refused = got.starts-lost.starts, got.late-lost.late, got.refused-lost.refused
	t.Logf("%+v in %s; the one that was lost on purpose: %+v", got, took, lost)
	if got.starts != pods*each {
		t.Errorf("%d containers had the devices of their start, not %d", got.starts, pods*each)
	}
	if got.late > 0 && got.refused == 0 {
		t.Errorf("%d starts were tried again, and the runtime never said %q", got.late, unresolvable)
	}
	if !t.Failed() {
		proof("2.3b", "%d container starts whose CDI spec was written within PreStart: %d did not resolve at first, all ran with the devices of their start; besides, 1 whose spec was lost on purpose was counted and ran", got.starts, got.late)
	}
}

// late is test/e2e/late running on a node, with the pods that use it.
type late struct {
	m          *machine
	cmd        *exec.Cmd
	dir        string            // on the host
	containerd int64             // size of the runtime's log at the start
	each       map[string]int    // starts that a pod shall have
	device     map[string]string // pod -> device
}

// startLate starts late; the specs of the first slices that it makes are lost.
func startLate(t *testing.T, m *machine, lose int) *late {
	t.Helper()
	l := &late{m: m, dir: filepath.Join(m.dir, "late"), each: map[string]int{}, device: map[string]string{}}
	for _, sub := range []string{"records", "machine"} {
		if err := os.MkdirAll(filepath.Join(l.dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(l.dir, "late"), "./late")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	l.containerd = int64(len(l.read(t, l.runtimeLog())))
	// It outlives the test's context: its end is stop, in good order.
	l.cmd = m.Command(context.WithoutCancel(t.Context()), machinePath+"/late/late", "--dir", machinePath+"/late/machine",
		"--resource", lateResource, "--gpus", strconv.Itoa(lateGPUs), "--lose", strconv.Itoa(lose))
	out, err := os.Create(filepath.Join(l.dir, "made"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	log, err := os.Create(filepath.Join(l.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	l.cmd.Stdout, l.cmd.Stderr = out, log
	if err := m.Start(l.cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.stop(t)
		if lines := strings.Split(string(l.read(t, filepath.Join(l.dir, "log"))), "\n"); t.Failed() {
			t.Log("the end of late's log:\n" + strings.Join(lines[max(0, len(lines)-100):], "\n"))
		}
	})
	return l
}

func (l *late) stop(t *testing.T) {
	t.Helper()
	if l.cmd.ProcessState != nil {
		return
	}
	_ = l.cmd.Process.Signal(syscall.SIGTERM)
	if err := l.cmd.Wait(); err != nil {
		t.Error("late ended:", err)
	}
}

func (l *late) runtimeLog() string {
	return filepath.Join(here.dir, "c", "logs", l.m.Name()+"-containerd.log")
}

func (l *late) read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// pod makes a pod whose container records what it was given, fails after 50 ms, and succeeds at its last start.
func (l *late) pod(t *testing.T, name string, starts int) *core.Pod {
	t.Helper()
	const records = machinePath + "/late/records"
	l.each[name] = starts
	p := gpuPod(name, l.m.Name(), lateResource, 1)
	p.Restart = core.RestartPolicyOnFailure
	p.Containers[0].Command = []string{
		"/probe", "--record", "/records/" + name, "--runs", strconv.Itoa(starts), "--for", "50ms", "--exit", "1",
	}
	p.Change = func(p *core.Pod) {
		p.Spec.Volumes = []core.Volume{{Name: "records", VolumeSource: core.VolumeSource{HostPath: &core.HostPathVolumeSource{Path: records}}}}
		p.Spec.Containers[0].VolumeMounts = []core.VolumeMount{{Name: "records", MountPath: "/records"}}
	}
	return create(t, p)
}

// wait waits for the pod's last start.
func (l *late) wait(t *testing.T, p *core.Pod, d time.Duration) {
	t.Helper()
	now, err := here.Wait(within(t, d), p, kube.Ended)
	if err != nil {
		t.Fatal(err)
	}
	restarts := int(now.Status.ContainerStatuses[0].RestartCount)
	if now.Status.Phase != core.PodSucceeded || restarts != l.each[p.Name]-1 {
		t.Errorf("%s has %d restarts, not %d: %s", p.Name, restarts, l.each[p.Name]-1, kube.Describe(now))
	}
}

// tally is what came of the starts until now.
type tally struct {
	starts  int // containers that ran with the devices that were made for this start
	late    int // of these, how many were tried again because there was no spec yet
	refused int // how often the runtime refused
}

// tally compares what was made with what the containers had. Each slice has a number of its own, and its nodes tell it.
func (l *late) tally(t *testing.T) (out tally) {
	t.Helper()
	ran := map[int]string{} // a slice's number -> the pod
	for name, starts := range l.each {
		last := 0
		lines := bytes.Split(bytes.TrimSpace(l.read(t, filepath.Join(l.dir, "records", name))), []byte("\n"))
		if len(lines) != starts {
			t.Errorf("%s ran %d times, not %d", name, len(lines), starts)
		}
		for i, line := range lines {
			var v view
			if err := json.Unmarshal(line, &v); err != nil {
				t.Fatal(err)
			}
			number := sliceOf(v)
			if number <= last {
				t.Errorf("start %d of %s has %v, the one before had slice %d", i+1, name, v.Devices, last)
				continue
			}
			last, ran[number] = number, name
		}
	}
	tries := map[string]int{} // of a device since it last ran
	for line := range strings.Lines(string(l.read(t, filepath.Join(l.dir, "made")))) {
		var number int
		var device string
		if _, err := fmt.Sscan(line, &number, &device); err != nil {
			t.Fatalf("late printed %q: %v", line, err)
		}
		tries[device]++
		name, ok := ran[number]
		if !ok {
			continue
		}
		delete(ran, number)
		if owner := l.device[name]; owner != "" && owner != device {
			t.Errorf("%s had %s and then %s", name, owner, device)
		}
		l.device[name] = device
		out.starts++
		if tries[device] > 1 {
			out.late++
		}
		delete(tries, device)
	}
	if len(ran) > 0 {
		t.Errorf("containers had slices that were never made: %v", ran)
	}
	for device, n := range tries {
		t.Errorf("%d starts on %s came to nothing", n, device)
	}
	for line := range bytes.Lines(l.read(t, l.runtimeLog())[l.containerd:]) {
		if bytes.Contains(line, []byte(unresolvable)) && bytes.Contains(line, []byte("CreateContainer")) {
			out.refused++
		}
	}
	return out
}

// sliceOf is the number of the only slice that a container can open; 0 when it can open another thing too, or nothing.
func sliceOf(v view) int {
	for g := range lateGPUs {
		for path, numbers := range v.Devices {
			var n int
			if _, err := fmt.Sscanf(path, "/dev/nvidia-caps/nvidia-cap%d", &n); err != nil {
				continue
			}
			n /= 2
			want := map[string][2]uint32{"/dev/nvidiactl": {195, 255}, fmt.Sprintf("/dev/nvidia%d", g): {195, uint32(g)}}
			for _, c := range []int{2 * n, 2*n + 1} {
				want[fmt.Sprintf("/dev/nvidia-caps/nvidia-cap%d", c)] = [2]uint32{235, uint32(c)}
			}
			if numbers[0] == 235 && maps.Equal(v.Devices, want) {
				return n
			}
		}
	}
	return 0
}
