package label

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/partitioner"
	"github.com/gpulet/gpulet/partitioner/parted"
	"github.com/gpulet/gpulet/partitioner/plan"
	"github.com/gpulet/gpulet/test/gpusim/direct"
	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/shapes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gpus are the GPUs of a ready-made node of the simulator, undivided.
func gpus(t *testing.T, shape string) *gpu.Snapshot {
	t.Helper()
	s, err := shapes.Load(shape)
	if err != nil {
		t.Fatal(err)
	}
	n, err := model.New(s, model.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	d := direct.New(n, model.Caller{PID: 1, Name: "test"})
	if err := d.Open(); err != nil {
		t.Fatal(err)
	}
	defer d.Kill()
	out := &gpu.Snapshot{Version: 1}
	count, err := d.Count()
	if err != nil {
		t.Fatal(err)
	}
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
		out.GPUs = append(out.GPUs, gpu.GPU{
			UUID: id.UUID, Index: i, PCIDeviceID: id.PCIDeviceID, PCISubsystemID: id.PCISubsystemID, ComputeCapability: id.ComputeCapability,
			Geometry: geometry, MIG: gpu.MIGState{Capable: geometry.Axis > 0},
		})
	}
	return out
}

// node is a Node with an API server that may be away, and the Follower of it. It works inside a synctest bubble.
type node struct {
	t        *testing.T
	follower *Follower
	cfg      Config
	stop     func()

	mu        sync.Mutex
	labels    map[string]string
	away      bool
	writes    int
	condition struct {
		ok              bool
		reason, message string
	}
}

func start(t *testing.T, s *gpu.Snapshot, settings partitioner.Settings, labels map[string]string, dir string) *node {
	t.Helper()
	n := &node{t: t, labels: labels}
	n.cfg = Config{
		Labels: gpu.NewFeed(labels), Snapshots: gpu.NewFeed(s), Settings: gpu.NewFeed(settings), Writer: n, StateDir: dir,
		View: gpu.NewFeed(&partitioner.View{}),
	}
	n.follower = New(n.cfg)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.follower.Run(ctx) }()
	n.stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	n.settle()
	return n
}

// settle lets everything happen that happens without a further change.
func (n *node) settle() {
	time.Sleep(2 * time.Second)
	synctest.Wait()
}

func (n *node) SetLabel(_ context.Context, key, value string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.writes++; n.away {
		return errors.New("the API server is away")
	}
	n.labels = maps.Clone(n.labels)
	if n.labels[key] = value; value == "" {
		delete(n.labels, key)
	}
	n.cfg.Labels.Set(n.labels)
	return nil
}

func (n *node) SetCondition(_ context.Context, kind string, status bool, reason, message string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.writes++; n.away {
		return errors.New("the API server is away")
	}
	if kind != ConditionType {
		n.t.Errorf("condition %s is written", kind)
	}
	n.condition.ok, n.condition.reason, n.condition.message = status, reason, message
	return nil
}

// label has somebody set a label; an empty value removes it.
func (n *node) label(key, value string) {
	n.mu.Lock()
	n.labels = maps.Clone(n.labels)
	if n.labels[key] = value; value == "" {
		delete(n.labels, key)
	}
	n.cfg.Labels.Set(n.labels)
	n.mu.Unlock()
	n.settle()
}

func (n *node) setAway(away bool) {
	n.mu.Lock()
	n.away = away
	n.mu.Unlock()
}

func (n *node) written() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.writes
}

// wants checks what the Node says; message is a part of the condition's.
func (n *node) wants(state, reason, message string) {
	n.t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if got := n.labels[StateLabel]; got != state {
		n.t.Errorf("state is %q, want %q", got, state)
	}
	c := n.condition
	if c.reason != reason || !contains(c.message, message) {
		n.t.Errorf("condition is %s: %s\nwant         %s: %s", c.reason, c.message, reason, message)
	}
	if ok := reason == ReasonReached || reason == ReasonNotAsked; c.ok != ok && reason != "" {
		n.t.Errorf("condition %s is %v", c.reason, c.ok)
	}
}

// declares checks what one GPU is to be; "-" when nothing is declared for it.
func (n *node) declares(index int, want string) {
	n.t.Helper()
	d, _ := n.follower.Declared().Get()
	s, _ := n.cfg.Snapshots.Get()
	got := "-"
	if d != nil {
		if target, ok := d.Targets[s.GPUs[index].UUID]; ok {
			got = target.String()
		}
	}
	if got != want {
		n.t.Errorf("GPU %d is to be %s, want %s", index, got, want)
	}
}

// divide makes what is declared for some GPUs, as the partitioner would, and tells of it.
func (n *node) divide(indexes ...int) {
	n.t.Helper()
	d, _ := n.follower.Declared().Get()
	old, _ := n.cfg.Snapshots.Get()
	s := &gpu.Snapshot{Version: old.Version + 1, GPUs: slices.Clone(old.GPUs)}
	v := &partitioner.View{}
	for i := range s.GPUs {
		g := &s.GPUs[i]
		target, ok := d.Targets[g.UUID]
		gv := partitioner.GPUView{UUID: g.UUID, Index: i, Source: d.Source}
		if ok && slices.Contains(indexes, i) {
			become(g, target)
			gv.Reached = true
		}
		gv.MIG = g.MIG.Enabled
		v.GPUs = append(v.GPUs, gv)
	}
	n.cfg.Snapshots.Set(s)
	n.cfg.View.Set(v)
	n.settle()
}

func become(g *gpu.GPU, target parted.Target) {
	g.MIG.Enabled, g.MIG.Pending, g.Instances = target.MIG, target.MIG, nil
	made := plan.New().Plan(plan.Input{GPUs: []plan.GPU{{
		UUID: g.UUID, Geometry: g.Geometry, Mode: plan.Mode{On: true}, Role: plan.Declared, Declared: target.Counts,
	}}})
	for i, slot := range made.GPUs[0].Slots {
		g.Instances = append(g.Instances, gpu.Instance{ID: uint32(i), Slot: slot, Compute: []gpu.ComputeInstance{{Profile: slot.Profile}}})
	}
}

// see shows what the partitioner says of one GPU.
func (n *node) see(index int, change func(*partitioner.GPUView)) {
	n.t.Helper()
	before, _ := n.cfg.View.Get()
	s, _ := n.cfg.Snapshots.Get()
	d, _ := n.follower.Declared().Get()
	v := &partitioner.View{GPUs: slices.Clone(before.GPUs)}
	if len(v.GPUs) == 0 {
		for i := range s.GPUs {
			v.GPUs = append(v.GPUs, partitioner.GPUView{UUID: s.GPUs[i].UUID, Index: i, Source: d.Source})
		}
	}
	change(&v.GPUs[index])
	n.cfg.View.Set(v)
	time.Sleep(betweenTexts)
	n.settle()
}

func write(t *testing.T, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "config.yaml")
	rewrite(t, path, text)
	return path
}

func rewrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func slotOf(t *testing.T, name string, start, size int) mig.Slot {
	t.Helper()
	p, err := mig.ParseProfile(name)
	if err != nil {
		t.Fatal(err)
	}
	return mig.Slot{Profile: p, Placement: mig.Placement{Start: start, Size: size}}
}
