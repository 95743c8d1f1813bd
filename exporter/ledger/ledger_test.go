package ledger

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

// start is when the tests' containers got their devices.
func start() time.Time { return time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC) }

func after(d time.Duration) time.Time { return start().Add(d) }

func pod(name string) sample.Container {
	return sample.Container{Namespace: "ml", Pod: name, Container: "main", UID: "uid-1"}
}

// A whole GPU and one in MIG mode.
const whole, cut gpu.UUID = "GPU-1", "GPU-2"

// hold is a replica (0: the device itself) of the whole GPU, held since start.
func hold(by sample.Container, replica int) sample.Hold {
	return sample.Hold{
		Container: by, Resource: "nvidia.com/gpu", Since: start(),
		Device: gpu.Device{Kind: gpu.Whole, GPU: whole, Replica: replica}, Entity: whole.Whole(),
	}
}

// slice is an instance of the other GPU, held since start.
func slice(by sample.Container, profile string, instance uint32) sample.Hold {
	p, err := mig.ParseProfile(profile)
	if err != nil {
		panic(err)
	}
	slot := mig.Slot{Profile: p, Placement: mig.Placement{Start: int(instance), Size: 1}}
	return sample.Hold{
		Container: by, Resource: "nvidia.com/" + p.Resource(), Since: start(),
		Device: gpu.Device{Kind: gpu.Slice, GPU: cut, Slot: slot}, Entity: gpu.Entity{GPU: cut, Instance: instance},
	}
}

// node is a set of holds.
func node(holds ...sample.Hold) *sample.Set {
	return &sample.Set{
		Snapshot: &gpu.Snapshot{GPUs: []gpu.GPU{{UUID: whole, Model: "Tesla T4"}, {UUID: cut, Model: "NVIDIA A100-SXM4-80GB"}}},
		Holds:    holds,
	}
}

// with adds what the container of each hold uses of it.
func with(s *sample.Set, p sample.Part) *sample.Set {
	for _, h := range s.Holds {
		s.Shares = append(s.Shares, sample.Share{Container: h.Container, Entity: h.Entity, Part: p})
	}
	return s
}

const gib = 1 << 30

func uses(utilization, bytes float64) sample.Part {
	return sample.Part{Utilization: utilization, MemoryBytes: bytes}
}

func unknown() *gpu.Absence { return &gpu.Absence{Code: gpu.Unattributed} }

// one is the only account.
func one(t *testing.T, accounts []sample.Account) sample.Account {
	t.Helper()
	if len(accounts) != 1 {
		t.Fatalf("there are %d accounts, want 1: %+v", len(accounts), accounts)
	}
	return accounts[0]
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-9 {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func TestAllocatedSecondsFollowTheClock(t *testing.T) {
	a := pod("a")
	for _, c := range []struct {
		name  string
		holds []sample.Hold
		at    []time.Duration // of the steps
		want  float64
	}{
		{"the first step counts nothing", []sample.Hold{hold(a, 0)}, []time.Duration{time.Hour}, 0},
		{"seconds between steps", []sample.Hold{hold(a, 0)}, []time.Duration{0, time.Second, 3500 * time.Millisecond}, 3.5},
		{"two replicas are two devices", []sample.Hold{hold(a, 1), hold(a, 2)}, []time.Duration{0, 2 * time.Second}, 4},
		{"a machine that slept adds no more than the longest step", []sample.Hold{hold(a, 0)}, []time.Duration{0, 8 * time.Hour}, 30},
		{"a clock that goes back takes nothing away", []sample.Hold{hold(a, 0)}, []time.Duration{0, 5 * time.Second, 3 * time.Second, 4 * time.Second}, 6},
		{"a container that came between steps", []sample.Hold{hold(a, 0)}, []time.Duration{-9 * time.Second, time.Second}, 1},
		{"a device that does not exist yet is held all the same", []sample.Hold{func() sample.Hold {
			h := slice(a, "1g.10gb", 3)
			h.Entity = gpu.Entity{}
			return h
		}()}, []time.Duration{0, 7 * time.Second}, 7},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := New(Options{IdleBelow: 0.05})
			var got []sample.Account
			for _, at := range c.at {
				got = l.Step(after(at), node(c.holds...))
			}
			acc := one(t, got)
			near(t, "allocated", acc.Allocated, c.want)
			near(t, "idle without any known use", acc.Idle, 0)
		})
	}
}

// TestIdle steps each second for two minutes, and looks at the seconds that were idle.
func TestIdle(t *testing.T) {
	const all = 120
	for _, c := range []struct {
		name string
		part func(second int) sample.Part
		down bool
		old  bool // the container has had the device for a day
		want float64
	}{
		{name: "busy", part: func(int) sample.Part { return uses(0.9, gib) }, old: true},
		{name: "quiet with its memory in place", part: func(int) sample.Part { return uses(0.01, gib) }, old: true, want: all},
		{name: "quiet, and nothing was ever loaded", part: func(int) sample.Part { return uses(0, 0) }, old: true, want: all},
		{name: "just under the bar", part: func(int) sample.Part { return uses(0.0499, gib) }, old: true, want: all},
		{name: "at the bar", part: func(int) sample.Part { return uses(0.05, gib) }, old: true},
		{name: "use not known", part: func(int) sample.Part { return sample.Part{MemoryBytes: gib, NoUtil: unknown()} }, old: true},
		{name: "memory not known", part: func(int) sample.Part { return sample.Part{NoMB: unknown()} }, old: true, want: all},
		{name: "no number", part: func(int) sample.Part { return uses(math.NaN(), gib) }, old: true},
		{name: "the GPU does not answer", part: func(int) sample.Part { return uses(0, gib) }, old: true, down: true},
		{name: "loading all the time", part: func(s int) sample.Part { return uses(0, float64(s)*100*(1<<20)) }, old: true},
		{name: "loading slowly", part: func(s int) sample.Part { return uses(0, float64(s)*(1<<20)) }, old: true, want: 16},
		{name: "noise in its memory", part: func(s int) sample.Part { return uses(0, gib+float64(s%2)*(16<<20)) }, old: true, want: all},
		{name: "memory that shrinks is not loading", part: func(s int) sample.Part { return uses(0, float64(all-s)*gib) }, old: true, want: all},
		{name: "fresh and empty for ever", part: func(int) sample.Part { return uses(0, 0) }, want: all - 59},
		{name: "fresh, memory not known", part: func(int) sample.Part { return sample.Part{NoMB: unknown()} }, want: all - 59},
		{name: "fresh, filled at once", part: func(int) sample.Part { return uses(0, 20*gib) }, want: all - 30},
		{name: "loaded in 40 s, then forgotten", part: func(s int) sample.Part { return uses(0, float64(min(s, 40))*gib) }, want: all - 40 - 29},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := New(Options{IdleBelow: 0.05})
			h := hold(pod("a"), 0)
			if c.old {
				h.Since = after(-24 * time.Hour)
			}
			var got sample.Account
			for second := range all + 1 {
				set := with(node(h), c.part(second))
				if c.down {
					set.Down = map[gpu.UUID]string{whole: "it is lost"}
				}
				got = one(t, l.Step(after(time.Duration(second)*time.Second), set))
			}
			near(t, "allocated", got.Allocated, all)
			near(t, "idle", got.Idle, c.want)
		})
	}
}

func TestEveryReplicaOfAnIdleContainerIsIdle(t *testing.T) {
	l := New(Options{IdleBelow: 0.05})
	a, b := pod("a"), pod("b")
	set := node(hold(a, 1), hold(a, 2), hold(b, 3))
	for i := range set.Holds {
		set.Holds[i].Since = after(-time.Hour)
	}
	set.Shares = []sample.Share{
		{Container: a, Entity: whole.Whole(), Part: uses(0, gib)},
		{Container: b, Entity: whole.Whole(), Part: uses(0.6, gib)},
	}
	l.Step(start(), set)
	got := l.Step(after(10*time.Second), set)
	near(t, "idle of a", got[0].Idle, 20)
	near(t, "idle of b", got[1].Idle, 0)
}

func TestAccountsOutliveTheirPodsByAMinute(t *testing.T) {
	l := New(Options{})
	l.Step(start(), node(hold(pod("a"), 0)))
	l.Step(after(time.Second), node(hold(pod("a"), 0)))
	for _, c := range []struct {
		at   time.Duration
		want int
	}{{30 * time.Second, 1}, {61 * time.Second, 1}, {62 * time.Second, 0}} {
		got := l.Step(after(c.at), node())
		if len(got) != c.want {
			t.Fatalf("%v after the start there are %d accounts, want %d", c.at, len(got), c.want)
		}
		if c.want > 0 {
			near(t, "allocated", got[0].Allocated, 1)
		}
	}
	if len(l.accounts)+len(l.growths) != 0 {
		t.Error("something is remembered of a pod that nobody knows any more")
	}
}

// TestASuccessorOfTheSameName: a scrape with two series of the same labels would be refused as a whole.
func TestASuccessorOfTheSameName(t *testing.T) {
	l := New(Options{})
	old, young := pod("web-0"), pod("web-0")
	young.UID = "uid-2"
	l.Step(start(), node(hold(old, 0)))
	l.Step(after(5*time.Second), node(hold(old, 0)))
	got := one(t, l.Step(after(10*time.Second), node(hold(young, 0))))
	near(t, "allocated", got.Allocated, 10)
	if got.UID != "uid-2" {
		t.Errorf("the account is of %s, want the pod that lives", got.UID)
	}
}

func TestAccountsAreInTheOrderOfTheirLabels(t *testing.T) {
	l := New(Options{})
	b2 := pod("b")
	b2.Container = "aux"
	got := l.Step(start(), node(slice(pod("b"), "1g.10gb", 1), hold(pod("b"), 0), hold(pod("a"), 0), hold(b2, 0)))
	var names []string
	for _, a := range got {
		names = append(names, a.Pod+" "+a.Container.Container+" "+a.Resource)
	}
	if want := []string{"a main nvidia.com/gpu", "b aux nvidia.com/gpu", "b main nvidia.com/gpu", "b main nvidia.com/mig-1g.10gb"}; !slices.Equal(names, want) {
		t.Errorf("the order is %q, want %q", names, want)
	}
}
