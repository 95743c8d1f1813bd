package partitioner_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/kubelet"
	"github.com/gpulet/gpulet/partitioner"
	"github.com/gpulet/gpulet/partitioner/apply"
	"github.com/gpulet/gpulet/partitioner/parted"
	"github.com/gpulet/gpulet/partitioner/plan"
	"github.com/gpulet/gpulet/test/gpusim/direct"
	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/shapes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gates are the CDI specs.
type gates struct {
	mu     sync.Mutex
	closed map[gpu.Device]bool // guarded by mu
}

func (g *gates) Withdraw(d gpu.Device) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed[d] = true
	return nil
}

func (g *gates) Restore(d gpu.Device) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.closed, d)
}

// host is a node with simulated GPUs and what the agent keeps of it over restarts.
type host struct {
	t      *testing.T
	model  *model.Node
	dir    string
	boot   string
	claims *gpu.Feed[*kubelet.ClaimSet]
	pods   *gpu.Feed[*kubelet.Pods]
	want   *gpu.Feed[*partitioner.Demands]
}

func newHost(t *testing.T, shape string) *host {
	t.Helper()
	s, err := shapes.Load(shape)
	if err != nil {
		t.Fatal(err)
	}
	n, err := model.New(s, model.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	return &host{
		t: t, model: n, dir: t.TempDir(), boot: "one",
		claims: gpu.NewFeed(&kubelet.ClaimSet{Complete: true}), pods: gpu.NewFeed(&kubelet.Pods{Synced: true}), want: gpu.NewFeed[*partitioner.Demands](nil),
	}
}

// agent is one process on a host: the inventory, the executor and the partitioner, with a kubelet that follows the offers.
type agent struct {
	*host
	monitor *gpu.Monitor
	loop    *partitioner.Partitioner
	stop    func()
}

func (h *host) start(settings partitioner.Settings) *agent {
	h.t.Helper()
	d := direct.New(h.model, model.Caller{})
	m := gpu.NewMonitor(gpu.MonitorConfig{Driver: d, SysRoot: h.t.TempDir(), ProcRoot: h.t.TempDir()})
	a := &agent{host: h, monitor: m}
	listing := gpu.NewFeed[*apply.Listing](nil)
	x := apply.New(apply.Config{
		Hardware: m, Snapshots: m.Snapshots(), Claims: h.claims, Pods: h.pods, Listing: listing, Withdrawer: &gates{closed: map[gpu.Device]bool{}},
		Processes: kubelet.NewProcesses(h.t.TempDir()), StateDir: h.dir, BootID: h.boot,
		Offers: func() uint64 { o, _ := a.loop.Offers().Get(); return o.Version },
	})
	a.loop = partitioner.New(partitioner.Config{
		Settings: gpu.NewFeed(settings), Snapshots: m.Snapshots(), Claims: h.claims, Pods: h.pods, Demands: h.want, Executor: x, Holders: m, StateDir: h.dir,
	})
	ctx, cancel := context.WithCancel(context.Background())
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return m.Run(ctx) })
	g.Go(func() error { return a.loop.Run(ctx) })
	g.Go(func() error { h.kubelet(ctx, a.loop.Offers(), listing); return nil })
	a.stop = func() {
		d.Kill() // as with the process, its handles go
		cancel()
		if err := g.Wait(); err != nil {
			h.t.Error(err)
		}
	}
	return a
}

// kubelet takes lists in a little after they were sent, and forgets withdrawn devices a second later.
func (h *host) kubelet(ctx context.Context, offers *gpu.Feed[*gpu.Offers], listing *gpu.Feed[*apply.Listing]) {
	for {
		o, changed := offers.Get()
		l := &apply.Listing{Offers: o.Version, Pickable: map[gpu.Device]string{}}
		if before, _ := listing.Get(); before != nil {
			for d := range before.Pickable {
				l.Pickable[d] = "the kubelet may still count it"
			}
		}
		for _, x := range o.Offers {
			l.Pickable[x.Device] = "it is offered"
		}
		listing.Set(l)
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
		clean := &apply.Listing{Offers: o.Version, Pickable: map[gpu.Device]string{}}
		for _, x := range o.Offers {
			clean.Pickable[x.Device] = "it is offered"
		}
		listing.Set(clean)
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

// ask has pods wait: each asks for one device.
func (h *host) ask(pods map[string]string) {
	h.t.Helper()
	d := &partitioner.Demands{Generation: 1, Source: "test"}
	for name, resource := range pods {
		var r plan.Resource
		if resource != "gpu" {
			p, err := mig.ParseProfile(resource)
			if err != nil {
				h.t.Fatal(err)
			}
			r.Profile = p
		}
		d.Pods = append(d.Pods, partitioner.Demand{Demand: plan.Demand{ID: name, Asks: []plan.Ask{{Resource: r, Count: 1}}}, Namespace: "team", Pod: name})
	}
	h.want.Set(d)
}

// claim gives a device to a pod.
func (h *host) claim(id, pod string) {
	old, _ := h.claims.Get()
	next := &kubelet.ClaimSet{Complete: true, ByID: map[string][]kubelet.Claim{}}
	for k, v := range old.ByID {
		next.ByID[k] = v
	}
	next.ByID[id] = []kubelet.Claim{{Resource: "nvidia.com/any", ID: id, Pod: kubelet.UID(pod), Namespace: "team", Name: pod, Confirmed: true}}
	h.claims.Set(next)
}

// offers are the devices on offer, by resource; a trailing + says that the hardware is there.
func (a *agent) offers() map[string][]gpu.Offer {
	o, _ := a.loop.Offers().Get()
	out := map[string][]gpu.Offer{}
	for _, x := range o.Offers {
		name := "gpu"
		if x.Device.Kind == gpu.Slice {
			name = x.Device.Slot.Profile.String()
		}
		out[name] = append(out[name], x)
	}
	return out
}

// instances are the MIG UUIDs that exist, by slot, of one GPU.
func (a *agent) instances(index int) map[string]string {
	out := map[string]string{}
	for _, in := range a.model.Status().GPUs[index].Instances {
		for _, c := range in.Compute {
			out[fmt.Sprintf("%s@%d", strings.TrimPrefix(in.Profile, "MIG "), in.Placement.Start)] = c.UUID
		}
	}
	return out
}

func (a *agent) explain() string {
	v, _ := a.loop.View().Get()
	return fmt.Sprintf("%+v", *v)
}

func auto() partitioner.Settings {
	return partitioner.Settings{
		Rules: []partitioner.Rule{{Mode: partitioner.Auto}}, IdleTTL: time.Minute, Cooldown: 5 * time.Second, ModeCooldown: 2 * time.Minute,
		AgedAfter: 5 * time.Minute, OnDemand: true,
	}
}

// Pods that ask for slices and for a whole GPU are served by an undivided node, and what serves them exists when it is on offer for a while.
func TestOnDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, "hgx-h100")
		a := h.start(auto())
		defer a.stop()
		time.Sleep(10 * time.Second)
		if n := len(a.offers()["gpu"]); n != 8 {
			t.Fatalf("%d GPUs are offered at rest: %s", n, a.explain())
		}
		pods := map[string]string{"whole": "gpu", "large-0": "3g.40gb", "large-1": "3g.40gb"}
		for i := range 7 {
			pods[fmt.Sprintf("small-%d", i)] = "1g.10gb"
		}
		h.ask(pods)
		time.Sleep(10 * time.Second)
		o := a.offers()
		if len(o["1g.10gb"]) != 7 || len(o["3g.40gb"]) != 2 || len(o["gpu"]) < 1 {
			t.Fatalf("%d, %d and %d are offered: %s", len(o["1g.10gb"]), len(o["3g.40gb"]), len(o["gpu"]), a.explain())
		}
		for _, x := range slices.Concat(o["1g.10gb"], o["3g.40gb"]) {
			if x.Realized == nil {
				t.Errorf("%s is on offer and does not exist", x.Device.ID())
			}
		}
	})
}

// A pod that needs what only idle instances block gets it; busy ones keep their identity.
func TestIdleGoesBusyStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, "hgx-h100")
		s := auto()
		s.Rules = []partitioner.Rule{{Match: gpu.Selector{Indexes: []int{0}}, Mode: partitioner.Auto}, {Mode: partitioner.Whole}}
		s.IdleTTL = time.Hour
		a := h.start(s)
		defer a.stop()
		time.Sleep(5 * time.Second)
		pods := map[string]string{}
		for i := range 7 {
			pods[fmt.Sprintf("small-%d", i)] = "1g.10gb"
		}
		h.ask(pods)
		time.Sleep(10 * time.Second)
		small := a.offers()["1g.10gb"]
		if len(small) != 7 {
			t.Fatalf("%d small ones are offered: %s", len(small), a.explain())
		}
		var busy []string
		for _, x := range small {
			if x.Device.Slot.Placement.Start < 3 {
				h.claim(x.Device.ID(), fmt.Sprintf("small-%d", x.Device.Slot.Placement.Start))
				busy = append(busy, x.Device.Slot.String())
			}
		}
		h.ask(nil)
		time.Sleep(20 * time.Second)
		before := a.instances(0)
		if len(before) != 7 {
			t.Fatalf("idle instances went although nobody needs their place: %v", before)
		}
		h.ask(map[string]string{"large": "3g.40gb"})
		time.Sleep(20 * time.Second)
		after := a.instances(0)
		for _, slot := range busy {
			if before[slot] == "" || after[slot] != before[slot] {
				t.Errorf("%s was %s and is %s", slot, before[slot], after[slot])
			}
		}
		if after["3g.40gb@4"] == "" || len(a.offers()["3g.40gb"]) != 1 {
			t.Errorf("there is no large one: %v, %s", after, a.explain())
		}
		// What cannot be served is told and changes nothing.
		h.ask(map[string]string{"all": "7g.80gb"})
		time.Sleep(20 * time.Second)
		v, _ := a.loop.View().Get()
		if len(v.Demands) != 1 || !strings.Contains(v.Demands[0].Reason, "team/small-") {
			t.Errorf("the reason does not name who is in the way: %+v", v.Demands)
		}
		if now := a.instances(0); now["1g.10gb@0"] != before["1g.10gb@0"] {
			t.Errorf("a busy instance changed: %v", now)
		}
	})
}

// After a reboot the layout is there again, at the same places, before anything is offered.
func TestReboot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, "hgx-h100")
		a := h.start(auto())
		time.Sleep(5 * time.Second)
		h.ask(map[string]string{"a": "1g.10gb", "b": "3g.40gb"})
		time.Sleep(10 * time.Second)
		var before []string
		for _, g := range a.model.Status().GPUs {
			for slot := range a.instances(g.Index) {
				before = append(before, fmt.Sprint(g.Index, slot))
			}
		}
		a.stop()
		h.want.Set(nil)
		h.model.Reboot()
		h.boot = "two"
		a = h.start(auto())
		defer a.stop()
		first := false
		for range 200 {
			time.Sleep(50 * time.Millisecond)
			o, _ := a.loop.Offers().Get()
			if first = o.Snapshot != nil && o.Snapshot.Version > 0; first {
				break
			}
		}
		var after []string
		for _, g := range a.model.Status().GPUs {
			for slot := range a.instances(g.Index) {
				after = append(after, fmt.Sprint(g.Index, slot))
			}
		}
		slices.Sort(before)
		slices.Sort(after)
		if !first || len(before) != 2 || !slices.Equal(before, after) {
			t.Errorf("%v before, %v when the first offers came (%v): %s", before, after, first, a.explain())
		}
	})
}

// GPUs that no rule is about are offered as they are, and nothing of an administrator's is touched; a command divides one of them.
func TestKeepAndCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, "dgx-a100")
		a := h.start(partitioner.Settings{IdleTTL: time.Minute})
		defer a.stop()
		time.Sleep(5 * time.Second)
		s, _ := a.monitor.Snapshots().Get()
		o, _ := a.loop.Offers().Get()
		if want := gpu.StaticOffers(s); !slices.Equal(devices(want.Offers), devices(o.Offers)) {
			t.Errorf("offered are %v, not %v", devices(o.Offers), devices(want.Offers))
		}
		p, err := mig.ParseProfile("3g.40gb")
		if err != nil {
			t.Fatal(err)
		}
		set := map[gpu.UUID]parted.Target{s.GPUs[3].UUID: {MIG: true, Counts: []plan.Count{{Profile: p, Count: 3}}}}
		if err := a.loop.Set(t.Context(), set); err == nil || !strings.Contains(err.Error(), "3g.40gb") {
			t.Errorf("three of them fit: %v", err)
		}
	})
}

func devices(offers []gpu.Offer) (out []string) {
	for _, o := range offers {
		out = append(out, o.Device.ID())
	}
	return out
}
